//! Random histories.

use proptest::prelude::*;
use strongroom_model::keys::{DAY_MILLIS, Target};
use strongroom_model::vault::{Step, Vault, Wish};

use crate::world::INLINE_MAX_BYTES;

const ALIASES: [&str; 2] = ["alias/first", "alias/second"];

/// What becomes of the power while a step is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Power {
    /// Nothing.
    Stays,
    /// It goes after the step was answered.
    LostAfter {
        /// Of what is left on the disk.
        seed: u64,
    },
    /// It goes at the `offset`-th change of the disk, if the step comes that far; else after it.
    LostDuring {
        offset: u64,
        /// Of what is left on the disk.
        seed: u64,
    },
    /// The services end after the step, and start again.
    Restarts,
}

/// A step, and the power meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) step: Step,
    pub(crate) power: Power,
}

/// The seed of randomness, the turns, and when a backup is made.
pub(crate) fn history(length: usize) -> impl Strategy<Value = (u64, Vec<Turn>, usize)> {
    let turns = prop::collection::vec(turn(), 1..length);
    let (external, ends) = (prop::bool::weighted(0.2), any::<bool>());
    (any::<u64>(), turns, 0..length, external, ends).prop_map(
        |(seed, turns, backup_at, external, ends)| {
            let mut history = beginning(external);
            history.extend(turns);
            if ends {
                history.extend(end());
            }
            (seed, history, backup_at)
        },
    )
}

/// Histories start where they are interesting: with keys and an alias.
fn beginning(external: bool) -> Vec<Turn> {
    let mut steps = vec![
        Step::CreateKey { external: false },
        Step::CreateKey { external: false },
        Step::CreateAlias {
            name: ALIASES[0].to_owned(),
            key: 0,
        },
    ];
    if external {
        steps.push(Step::CreateKey { external: true });
        steps.push(Step::Import {
            key: 2,
            label: 0,
            as_new: true,
            life_days: None,
        });
    }
    undisturbed(steps)
}

/// ... and half of them end with the end of a key.
fn end() -> Vec<Turn> {
    undisturbed(vec![
        Step::Schedule { key: 0, days: 7 },
        Step::Pass {
            millis: 7 * DAY_MILLIS,
        },
        Step::DueWork,
    ])
}

fn undisturbed(steps: Vec<Step>) -> Vec<Turn> {
    let power = Power::Stays;
    let turns = steps.into_iter().map(|step| Turn { step, power });
    turns.collect()
}

/// The step, with numbers that name something wherever anything was made.
pub(crate) fn named(step: &Step, model: &Vault) -> Step {
    let mut step = step.clone();
    let within = |at: &mut usize, count: usize| *at %= count.max(1);
    let keys = model.keys.count();
    if let Step::Copy {
        wish:
            Wish::Kms {
                target: Some(Target::Key(key)),
                ..
            }
            | Wish::Dsse {
                target: Some(Target::Key(key)),
            },
        ..
    } = &mut step
    {
        within(key, keys);
    }
    if let Step::Get { name } | Step::Copy { from: name, .. } | Step::Update { name, .. } =
        &mut step
        && !model.objects.contains_key(name)
        && let Some(other) = model.objects.keys().next()
    {
        name.clone_from(other);
    }
    match &mut step {
        Step::Disable { key }
        | Step::Enable { key }
        | Step::Schedule { key, .. }
        | Step::Cancel { key }
        | Step::SetRotation { key, .. }
        | Step::Rotate { key }
        | Step::Import { key, .. }
        | Step::DeleteMaterial { key, .. }
        | Step::CreateAlias { key, .. }
        | Step::UpdateAlias { key, .. }
        | Step::Update { key, .. }
        | Step::Encrypt {
            target: Target::Key(key),
            ..
        }
        | Step::Put {
            wish:
                Wish::Kms {
                    target: Some(Target::Key(key)),
                    ..
                }
                | Wish::Dsse {
                    target: Some(Target::Key(key)),
                },
            ..
        }
        | Step::CreateUpload {
            wish:
                Wish::Kms {
                    target: Some(Target::Key(key)),
                    ..
                }
                | Wish::Dsse {
                    target: Some(Target::Key(key)),
                },
            ..
        } => within(key, keys),
        Step::Decrypt { ciphertext, .. } => within(ciphertext, model.ciphertexts.len()),
        Step::UploadPart { upload, .. } | Step::Complete { upload } => {
            let running = model.uploads.iter().enumerate();
            let running: Vec<usize> = running.filter(|it| it.1.is_some()).map(|it| it.0).collect();
            if !running.is_empty() {
                *upload = running[*upload % running.len()];
            }
        }
        Step::CreateKey { .. }
        | Step::DeleteAlias { .. }
        | Step::Encrypt { .. }
        | Step::Put { .. }
        | Step::Get { .. }
        | Step::Delete { .. }
        | Step::Copy { .. }
        | Step::CreateUpload { .. }
        | Step::Pass { .. }
        | Step::DueWork => {}
    }
    step
}

fn turn() -> impl Strategy<Value = Turn> {
    // A commit is few changes of the disk, a new shred key many.
    let offset = prop_oneof![4 => 0..3_u64, 3 => 3..14_u64, 1 => 14..40_u64];
    let power = prop_oneof![
        10 => Just(Power::Stays),
        1 => any::<u64>().prop_map(|seed| Power::LostAfter { seed }),
        5 => (offset, any::<u64>()).prop_map(|(offset, seed)| Power::LostDuring { offset, seed }),
        1 => Just(Power::Restarts),
    ];
    (step(), power).prop_map(|(step, power)| Turn { step, power })
}

fn key() -> impl Strategy<Value = usize> {
    0..4_usize
}

fn alias() -> impl Strategy<Value = String> {
    prop::sample::select(&ALIASES[..]).prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "a/b", "b", "c"]).prop_map(str::to_owned)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![4 => key().prop_map(Target::Key), 1 => alias().prop_map(Target::Alias)]
}

fn wish() -> impl Strategy<Value = Wish> {
    let target = || prop::option::weighted(0.85, target());
    prop_oneof![
        1 => Just(Wish::SseS3),
        1 => (1..3_u8).prop_map(Wish::Customer),
        4 => (target(), any::<bool>()).prop_map(|(target, bucket_key)| Wish::Kms { target, bucket_key }),
        2 => target().prop_map(|target| Wish::Dsse { target }),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        2 => any::<u8>().prop_map(|byte| vec![byte; 2 * INLINE_MAX_BYTES]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => key_step(),
        5 => import_step(),
        6 => alias_step(),
        7 => (target(), 0..2_u8).prop_map(|(target, context)| Step::Encrypt { target, context }),
        2 => (0..6_usize, 0..2_u8).prop_map(|(ciphertext, context)| Step::Decrypt { ciphertext, context }),
        24 => object_step(),
        13 => upload_step(),
        10 => prop_oneof![
            3 => (1..12_u64).prop_map(|days| Step::Pass { millis: days * DAY_MILLIS }),
            1 => (12..120_u64).prop_map(|days| Step::Pass { millis: days * DAY_MILLIS }),
            2 => (1..400_000_u64).prop_map(|millis| Step::Pass { millis }),
        ],
        7 => Just(Step::DueWork),
    ]
}

fn key_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop::bool::weighted(0.15).prop_map(|external| Step::CreateKey { external }),
        4 => key().prop_map(|key| Step::Disable { key }),
        6 => key().prop_map(|key| Step::Enable { key }),
        6 => (key(), 7..20_u32).prop_map(|(key, days)| Step::Schedule { key, days }),
        3 => key().prop_map(|key| Step::Cancel { key }),
        5 => key().prop_map(|key| Step::Rotate { key }),
        3 => (key(), prop::option::weighted(0.8, 90..120_u32))
            .prop_map(|(key, days)| Step::SetRotation { key, days }),
    ]
}

fn import_step() -> impl Strategy<Value = Step> {
    let life = prop::option::weighted(0.4, 1..30_u32);
    let key = || prop_oneof![1 => key(), 3 => Just(2)];
    prop_oneof![
        5 => (key(), 0..3_u8, prop::bool::weighted(0.7), life).prop_map(
            |(key, label, as_new, life_days)| Step::Import { key, label, as_new, life_days }
        ),
        2 => (key(), prop::option::of(0..3_u8))
            .prop_map(|(key, label)| Step::DeleteMaterial { key, label }),
    ]
}

fn alias_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (alias(), key()).prop_map(|(name, key)| Step::CreateAlias { name, key }),
        2 => (alias(), key()).prop_map(|(name, key)| Step::UpdateAlias { name, key }),
        1 => alias().prop_map(|name| Step::DeleteAlias { name }),
    ]
}

fn object_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (name(), bytes(), wish()).prop_map(|(name, bytes, wish)| Step::Put { name, bytes, wish }),
        1 => name().prop_map(|name| Step::Get { name }),
        2 => name().prop_map(|name| Step::Delete { name }),
        3 => (name(), name(), wish()).prop_map(|(from, to, wish)| Step::Copy { from, to, wish }),
        4 => (name(), key(), any::<bool>())
            .prop_map(|(name, key, bucket_key)| Step::Update { name, key, bucket_key }),
    ]
}

fn upload_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (name(), wish()).prop_map(|(name, wish)| Step::CreateUpload { name, wish }),
        3 => (0..3_usize, bytes()).prop_map(|(upload, bytes)| Step::UploadPart { upload, bytes }),
        3 => (0..3_usize).prop_map(|upload| Step::Complete { upload }),
    ]
}
