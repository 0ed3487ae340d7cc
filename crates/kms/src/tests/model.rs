//! Random lives of keys agree with a reference of a few lines.

use proptest::prelude::*;
use strongroom_store::ConflictRule;

use super::*;
use crate::fixture::World;

#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Disable(usize),
    Enable(usize),
    Schedule(usize, u32),
    Cancel(usize),
    Encrypt(usize),
    Decrypt(usize),
    Rotate(usize),
    Days(u64),
    DueWork,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..4_usize;
    prop_oneof![
        2 => Just(Step::Create),
        2 => key.clone().prop_map(Step::Disable),
        3 => key.clone().prop_map(Step::Enable),
        2 => (key.clone(), 7..31_u32).prop_map(|(key, days)| Step::Schedule(key, days)),
        2 => key.clone().prop_map(Step::Cancel),
        4 => key.clone().prop_map(Step::Encrypt),
        4 => key.clone().prop_map(Step::Decrypt),
        2 => key.prop_map(Step::Rotate),
        3 => (1..12_u64).prop_map(Step::Days),
        2 => Just(Step::DueWork),
        2 => Just(Step::Restart),
    ]
}

/// What a key is, as the guide has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Enabled,
    Disabled,
    /// Deleted on that day.
    Pending(u64),
    Gone,
}

struct Reference {
    is: Is,
    arn: KeyArn,
    /// Under every material so far.
    ciphertexts: Vec<Vec<u8>>,
    rotations: u32,
}

impl Reference {
    fn refusal(&self) -> Option<String> {
        let arn = &self.arn;
        match self.is {
            Is::Enabled => None,
            Is::Disabled => Some(format!("{arn} is disabled.")),
            Is::Pending(_) => Some(format!("{arn} is pending deletion.")),
            Is::Gone => Some(format!("Key '{arn}' does not exist")),
        }
    }

    /// Of what is refused only for keys that go or are gone.
    fn refusal_of_change(&self) -> Option<String> {
        self.refusal().filter(|_| !matches!(self.is, Is::Disabled))
    }
}

fn expect<T>(outcome: Result<T, KmsError>, refusal: Option<String>) -> Option<T> {
    match (outcome, refusal) {
        (Ok(value), None) => Some(value),
        (Err(error), Some(refusal)) => {
            assert_eq!(error.to_string(), refusal);
            None
        }
        (Ok(_), Some(refusal)) => panic!("should be refused: {refusal}"),
        (Err(error), None) => panic!("should not be refused: {error}"),
    }
}

fn live(world: &World, steps: &[Step]) {
    let mut service = world.service();
    let mut keys: Vec<Reference> = Vec::new();
    let mut today = 0;
    for step in steps {
        let chosen = match *step {
            Step::Disable(key)
            | Step::Enable(key)
            | Step::Schedule(key, _)
            | Step::Cancel(key)
            | Step::Encrypt(key)
            | Step::Decrypt(key)
            | Step::Rotate(key) => match keys.get_mut(key) {
                Some(key) => Some(key),
                None => continue,
            },
            Step::Create | Step::Days(_) | Step::DueWork | Step::Restart => None,
        };
        match (*step, chosen) {
            (Step::Create, _) => keys.push(Reference {
                is: Is::Enabled,
                arn: created(&service),
                ciphertexts: Vec::new(),
                rotations: 0,
            }),
            (Step::Disable(_), Some(key)) => {
                if expect(disable(&service, &key.arn), key.refusal_of_change()).is_some() {
                    key.is = Is::Disabled;
                }
            }
            (Step::Enable(_), Some(key)) => {
                if expect(enable(&service, &key.arn), key.refusal_of_change()).is_some() {
                    key.is = Is::Enabled;
                }
            }
            (Step::Schedule(_, days), Some(key)) => {
                let outcome = schedule(&service, &key.arn, days);
                if expect(outcome, key.refusal_of_change()).is_some() {
                    key.is = Is::Pending(today + u64::from(days));
                }
            }
            (Step::Cancel(_), Some(key)) => {
                let refusal = match key.is {
                    Is::Pending(_) => None,
                    Is::Gone => key.refusal(),
                    Is::Enabled | Is::Disabled => {
                        Some(format!("{} is not pending deletion.", key.arn))
                    }
                };
                if expect(cancel(&service, &key.arn), refusal).is_some() {
                    key.is = Is::Disabled;
                }
            }
            (Step::Encrypt(_), Some(key)) => {
                let outcome = encrypt(&service, &key.arn.to_string(), b"plaintext");
                key.ciphertexts.extend(expect(outcome, key.refusal()));
            }
            (Step::Decrypt(_), Some(key)) => {
                for ciphertext in &key.ciphertexts {
                    // Once nothing is left of a key, its id is as good as another account's.
                    let opened = match decrypt(&service, ciphertext) {
                        Err(KmsError::AccessDenied(_)) if matches!(key.is, Is::Gone) => None,
                        outcome => expect(outcome, key.refusal()),
                    };
                    assert!(opened.is_none_or(|it| it == b"plaintext"));
                }
            }
            (Step::Rotate(_), Some(key)) => {
                if key.rotations < 25 {
                    let key_id = key.arn.to_string();
                    let input = crate::RotateKeyOnDemandInput { key_id };
                    let outcome = service.rotate_key_on_demand(&root(), input);
                    if expect(outcome, key.refusal()).is_some() {
                        key.rotations += 1;
                    }
                }
            }
            (Step::Days(days), _) => {
                world.clock.advance_days(days);
                today += days;
                for key in &mut keys {
                    if matches!(key.is, Is::Pending(day) if day <= today) {
                        key.is = Is::Gone;
                    }
                }
            }
            (Step::DueWork, _) => assert_eq!(service.run_due_work().unwrap().failed, 0),
            (Step::Restart, _) => service = world.service(),
            (_, None) => {}
        }
        for key in &keys {
            let described = expect(
                described(&service, &key.arn.to_string()),
                key.refusal().filter(|_| key.is == Is::Gone),
            );
            let shown = described.map(|it| it.key_state);
            let expected = match key.is {
                Is::Enabled => Some(KeyState::Enabled),
                Is::Disabled => Some(KeyState::Disabled),
                Is::Pending(_) => Some(KeyState::PendingDeletion),
                Is::Gone => None,
            };
            assert_eq!(shown, expected);
        }
    }
    // In the end, exactly the shred keys of the living are left.
    service.run_due_work().unwrap();
    let living = keys.iter().filter(|key| key.is != Is::Gone);
    let materials: u32 = living.map(|key| key.rotations + 1).sum();
    assert_eq!(world.shreds.len(), usize::try_from(materials).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn random_lives_agree_with_the_reference(steps in proptest::collection::vec(step(), 1..60)) {
        live(&World::new(), &steps);
    }

    #[test]
    fn they_agree_on_a_store_that_reports_conflicts(steps in proptest::collection::vec(step(), 1..40), seed: u64) {
        live(&World::with_conflicts(ConflictRule { one_in: 4, seed }), &steps);
    }
}
