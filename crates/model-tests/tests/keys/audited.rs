//! Every use of a key that was answered has exactly one record, found by its request's id, whatever the
//! disk does: power that goes, errors, no space. So has every change. And the chain verifies.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_audit::{AuditLog, Cursor, Direction, Filter, Home, Lane, Ledger};
use strongroom_kms::{CreateKeyInput, RotateKeyOnDemandInput};
use strongroom_policy::Action;
use strongroom_policy::actions::{GetObject, PutObject};
use strongroom_ports::Clock as _;
use strongroom_rows::SealedRows;
use strongroom_s3::{Entry, GetObjectInput, PutObjectInput, S3Error};
use strongroom_sse::SseHeaders;
use strongroom_store::disk::{Fault, FaultKind};
use strongroom_types::{AccountId, ObjectKey, Region, RequestContext, RequestId};

use crate::world::{Pieces, START_MILLIS, World, bucket, context};

/// Calls of one history.
const CALLS: u8 = 24;

/// One of the calls: which records it leaves, when it is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Call {
    Put,
    Get,
    Rotate,
    Create,
}

impl Call {
    fn of(number: u64) -> Self {
        [
            Self::Put,
            Self::Get,
            Self::Get,
            Self::Put,
            Self::Rotate,
            Self::Create,
        ][usize::try_from(number % 6).unwrap()]
    }

    const fn record(self) -> &'static str {
        match self {
            Self::Put => "GenerateDataKey",
            Self::Get => "Decrypt",
            Self::Rotate => "RotateKeyOnDemand",
            Self::Create => "CreateKey",
        }
    }
}

/// A request with an id of its own.
fn request(id: [u8; 16]) -> Arc<RequestContext> {
    let mut context = (*context()).clone();
    context.request_id = RequestId::from_bytes(id);
    Arc::new(context)
}

/// What was answered, by request id.
type Answered = BTreeMap<[u8; 16], Call>;

struct History<'a> {
    world: &'a World,
    key: String,
    answered: Answered,
    round: u8,
}

impl History<'_> {
    fn enter<A: Action>(&self, id: [u8; 16], name: &str) -> Result<Entry<A>, S3Error> {
        let key = ObjectKey::parse(name).unwrap();
        let s3 = &self.world.services().s3;
        s3.enter_object(request(id), &bucket(), &key, None)
    }

    fn put(&self, id: [u8; 16], name: &str, body: &[u8]) -> bool {
        let input = PutObjectInput {
            content_length: u64::try_from(body.len()).unwrap(),
            sse: SseHeaders {
                algorithm: Some("aws:kms".to_owned()),
                kms_key_id: Some(self.key.clone()),
                ..SseHeaders::default()
            },
            ..PutObjectInput::default()
        };
        let Ok(entry) = self.enter::<PutObject>(id, name) else {
            return false;
        };
        let s3 = &self.world.services().s3;
        let put = self
            .world
            .wait(s3.put_object(entry, input, Pieces::of(body)));
        put.is_ok()
    }

    fn get(&self, id: [u8; 16]) -> bool {
        let s3 = &self.world.services().s3;
        let entry = self.enter::<GetObject>(id, "first");
        let got = entry.and_then(|entry| s3.get_object(entry, GetObjectInput::default()));
        got.is_ok()
    }

    fn call(&mut self, number: u8, draw: u64) {
        let call = Call::of(draw);
        let mut id = [self.round; 16];
        id[15] = number;
        let caller = request(id);
        let kms = &self.world.services().kms;
        let done = match call {
            // Inline, and a blob of its own.
            Call::Put if number.is_multiple_of(3) => {
                self.put(id, &format!("o{number}"), &vec![7; 20_000])
            }
            Call::Put => self.put(id, &format!("o{number}"), b"small"),
            Call::Get => self.get(id),
            Call::Rotate => {
                let key_id = self.key.clone();
                let input = RotateKeyOnDemandInput { key_id };
                kms.rotate_key_on_demand(&caller, input).is_ok()
            }
            Call::Create => kms.create_key(&caller, CreateKeyInput::default()).is_ok(),
        };
        if done {
            self.answered.insert(id, call);
        }
    }
}

fn log(world: &World) -> AuditLog {
    let rows = SealedRows {
        meta: Arc::clone(&world.services().meta),
        custody: Arc::clone(&world.custody),
        entropy: Arc::clone(&world.entropy) as _,
    };
    let home = Home {
        account: AccountId::parse("111122223333").unwrap(),
        region: Region::parse("us-east-1").unwrap(),
    };
    AuditLog::new(rows, Arc::clone(&world.clock) as _, home)
}

/// Each answered call has its one record, and no call has two.
fn check(world: &World, answered: &Answered, what: &str) {
    let log = log(world);
    let ledger = Ledger::new(log.rows().clone(), log.home().clone());
    let lane = Lane::Management;
    while ledger.step(lane, world.clock.now(), true).unwrap().more {}
    let mut found: BTreeMap<([u8; 16], String), u64> = BTreeMap::new();
    let mut place = Cursor::default();
    loop {
        let from = (place, Direction::Forward);
        let page = ledger
            .read_page(lane, from, &Filter::default(), 100)
            .unwrap();
        for event in page.events {
            assert_eq!(event.error_code, None, "{what}");
            if let Some(id) = event.request_id {
                *found.entry((id, event.name)).or_default() += 1;
            }
        }
        place = page.at;
        if page.is_end {
            break;
        }
    }
    for (id, call) in answered {
        let count = found.get(&(*id, call.record().to_owned()));
        assert_eq!(count, Some(&1), "{what}: {call:?} of {id:?} in {found:?}");
    }
    let own = context();
    for ((id, name), count) in &found {
        if id != own.request_id.as_bytes() {
            assert_eq!(*count, 1, "{what}: {name} of {id:?} is doubled");
        }
    }
    let report = ledger.verify(lane, &[]).unwrap();
    assert!(report.is_whole(), "{what}: {report:?}");
    assert_eq!(report.waiting, 0, "{what}");
}

#[test]
fn every_answered_use_of_a_key_has_one_record_through_any_fault() {
    let cases: u64 = std::env::var("STRONGROOM_MODEL_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(24);
    let mut unanswered = 0;
    let mut uses = 0;
    for case in 0..cases {
        let mut world = World::new(case);
        let made = world
            .services()
            .kms
            .create_key(&context(), CreateKeyInput::default());
        let key = made.unwrap().key_metadata.arn.to_string();
        let mut history = History {
            world: &world,
            key: key.clone(),
            answered: Answered::new(),
            round: 1,
        };
        assert!(history.put([0xEE; 16], "first", b"body"));
        history.answered.insert([0xEE; 16], Call::Put);
        let mut answered = history.answered;
        for round in 1..4_u8 {
            let seed = case * 31 + u64::from(round) * 7;
            let kind = [
                FaultKind::PowerOff,
                FaultKind::Eio,
                FaultKind::Enospc,
                FaultKind::ShortWrite,
            ][usize::try_from(seed % 4).unwrap()];
            world.disk.set_fault(Some(Fault {
                at_operation: world.disk.operations() + 3 + seed % 40,
                sticky: seed % 3 != 0,
                kind,
            }));
            let mut history = History {
                world: &world,
                key: key.clone(),
                answered: Answered::new(),
                round,
            };
            for number in 0..CALLS {
                history.call(number, seed.wrapping_mul(u64::from(number) + 11) >> 1);
            }
            unanswered += usize::from(CALLS) - history.answered.len();
            uses += history.answered.len();
            answered.extend(history.answered);
            world.disk.set_fault(None);
            world.lose_power(seed);
            let what = format!("case {case}, round {round}, {kind:?}");
            assert!(world.clock.now().as_millis() >= START_MILLIS);
            check(&world, &answered, &what);
        }
    }
    assert!(unanswered > 0 && uses > 0, "{unanswered} {uses}");
}
