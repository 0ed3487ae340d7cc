//! Random histories of a key with imported material, with processes that die, against a model of a
//! few lines: nothing becomes undecryptable, nothing comes back.

use strongroom_types::kms::{ExpirationModel, ImportType, KeyState, WrappingAlgorithm};
use strongroom_types::kms::{KeyArn, KeyMaterialId};

use super::tests::{delete, import, input, parameters, rotate};
use crate::fixture::{Death, World};
use crate::materials::Material;
use crate::rotation::tests::{opens, sealed};
use crate::{GetParametersForImportOutput, ImportKeyMaterialInput, KmsError};

const HISTORIES: u64 = 10;
const STEPS: usize = 40;
/// Materials that a history knows.
const BYTES: u64 = 4;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    ImportNew(u8),
    ImportExisting(u8),
    Delete(u8),
    Rotate,
}

/// What a step does to the model.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Effect {
    Refused,
    Nothing,
    /// A commit; whether fresh material was made durable before it.
    Commit {
        keeps_material: bool,
    },
}

#[derive(Clone, Default, Debug)]
struct Model {
    /// In the order of their first use; whether each is there.
    used: Vec<(u8, bool)>,
    pending: Option<u8>,
}

impl Model {
    fn enabled(&self) -> bool {
        !self.used.is_empty() && self.used.iter().all(|(_, present)| *present)
    }

    fn is_present(&self, material: u8) -> bool {
        self.used.contains(&(material, true))
    }

    fn known(&self, material: u8) -> bool {
        self.pending == Some(material) || self.used.iter().any(|(it, _)| *it == material)
    }

    fn set(&mut self, material: u8, present: bool) {
        for (it, there) in &mut self.used {
            if *it == material {
                *there = present;
            }
        }
    }

    fn apply(&mut self, step: Step) -> Effect {
        let kept = Effect::Commit {
            keeps_material: true,
        };
        let plain = Effect::Commit {
            keeps_material: false,
        };
        match step {
            Step::ImportNew(new) if self.used.is_empty() => {
                self.used.push((new, true));
                kept
            }
            Step::ImportNew(new) if self.known(new) || self.pending.is_some() => Effect::Refused,
            Step::ImportNew(new) => {
                self.pending = Some(new);
                kept
            }
            Step::ImportExisting(old) if !self.known(old) => Effect::Refused,
            Step::ImportExisting(old) => {
                let again = self.pending == Some(old) || self.is_present(old);
                self.set(old, true);
                if again { plain } else { kept }
            }
            Step::Delete(old) if !self.known(old) => Effect::Refused,
            Step::Delete(old) if self.pending == Some(old) => {
                self.pending = None;
                plain
            }
            Step::Delete(old) if self.is_present(old) => {
                self.set(old, false);
                plain
            }
            Step::Delete(_) => Effect::Nothing,
            Step::Rotate if !self.enabled() => Effect::Refused,
            Step::Rotate => match self.pending.take() {
                None => Effect::Refused,
                Some(next) => {
                    self.used.push((next, true));
                    plain
                }
            },
        }
    }
}

fn run(
    world: &World,
    key: &KeyArn,
    parameters: &GetParametersForImportOutput,
    step: Step,
) -> Result<(), KmsError> {
    let import_as = |bytes: u8, import_type| {
        let input = ImportKeyMaterialInput {
            import_type: Some(import_type),
            expiration_model: Some(ExpirationModel::DoesNotExpire),
            ..input(key, parameters, &[bytes; 32])
        };
        import(world, input).map(drop)
    };
    match step {
        Step::ImportNew(bytes) => import_as(bytes, ImportType::NewKeyMaterial),
        Step::ImportExisting(bytes) => import_as(bytes, ImportType::ExistingKeyMaterial),
        Step::Delete(bytes) => delete(world, key, Some(id(world, key, bytes))).map(drop),
        Step::Rotate => rotate(world, key),
    }
}

fn id(world: &World, key: &KeyArn, bytes: u8) -> KeyMaterialId {
    let spec = world.key_row(key).spec;
    Material::parse(spec, &[bytes; 32]).unwrap().id(key)
}

#[test]
fn random_histories_agree_with_a_model() {
    for seed in 0..HISTORIES {
        let mut random = Random(seed);
        let world = World::new();
        let key = world.external();
        let parameters = parameters(&world, &key, WrappingAlgorithm::RsaesOaepSha256).unwrap();
        let mut model = Model::default();
        let mut blobs: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut left_over = 0;
        for at in 0..STEPS {
            let bytes = u8::try_from(random.below(BYTES)).unwrap();
            let step = match random.below(7) {
                0 | 1 => Step::ImportNew(bytes),
                2 | 3 => Step::ImportExisting(bytes),
                4 => Step::Delete(bytes),
                _ => Step::Rotate,
            };
            let death = match random.below(6) {
                0 => Some(Death::BeforeCommit),
                1 => Some(Death::AfterCommit),
                _ => None,
            };
            let mut after = model.clone();
            let effect = after.apply(step);
            if let Some(death) = death {
                world.meta.die_at_next_commit(death);
            }
            let outcome = run(&world, &key, &parameters, step);
            let told = format!("seed {seed}, step {at}: {step:?} {death:?} {effect:?} {outcome:?}");
            let died = death.filter(|_| !world.meta.live_on());
            match (effect, died) {
                (Effect::Refused, None) => assert!(outcome.is_err(), "{told}"),
                (Effect::Nothing, None) => assert_eq!(outcome, Ok(()), "{told}"),
                (Effect::Commit { .. }, None) => {
                    assert_eq!((outcome, death), (Ok(()), None), "{told}");
                    model = after;
                }
                (Effect::Commit { .. }, Some(Death::AfterCommit)) => {
                    assert_eq!(outcome, Err(KmsError::Unavailable), "{told}");
                    model = after;
                }
                (Effect::Commit { keeps_material }, Some(Death::BeforeCommit)) => {
                    assert_eq!(outcome, Err(KmsError::Unavailable), "{told}");
                    left_over += usize::from(keeps_material);
                }
                // What changes nothing is recorded all the same.
                (Effect::Nothing, Some(_)) => {
                    assert_eq!(outcome, Err(KmsError::Unavailable), "{told}");
                }
                (Effect::Refused, Some(_)) => panic!("{told}"),
            }
            let state = if model.enabled() {
                KeyState::Enabled
            } else {
                KeyState::PendingImport
            };
            assert_eq!(world.state(&key), state, "{told}");
            for (bytes, blob) in &blobs {
                assert_eq!(
                    opens(&world, &key, blob),
                    model.is_present(*bytes),
                    "{told}"
                );
            }
            if model.enabled() {
                let (current, _) = *model.used.last().unwrap();
                blobs.push((current, sealed(&world, &key)));
            }
        }
        // What was ordered to be destroyed is, whoever died in between.
        world.service().run_due_work().unwrap();
        let there = model.used.iter().filter(|(_, present)| *present).count()
            + usize::from(model.pending.is_some());
        assert_eq!(world.shreds.len(), there + left_over, "seed {seed}");
        assert_eq!(world.rows(strongroom_ports::Table::KMS_MATERIALS), there);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}
