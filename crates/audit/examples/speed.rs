//! What a record, a step of the ledger and a lookup cost: `cargo run -p strongroom-audit --example speed`.
//!
//! Events of 40 keys and 200 users, in memory. Prints times; asserts nothing about them.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strongroom_audit::{Attribute, AuditLog, EventBuilder, Home, Lane, Ledger, Lookup, Params};
use strongroom_crypto::Keyring;
use strongroom_ports::{Clock, Entropy};
use strongroom_rows::{Custody, SealedRows};
use strongroom_store::MemoryMeta;
use strongroom_types::{
    AccessKeyId, AccountId, Principal, Region, RequestContext, RequestId, Timestamp, Transport,
};

struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let mixed = next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            for (byte, from) in chunk.iter_mut().zip(mixed) {
                *byte = from;
            }
        }
    }
}

impl Clock for Counter {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn main() {
    let count: u64 = std::env::args()
        .nth(1)
        .map_or(200_000, |it| it.parse().unwrap());
    let entropy = Arc::new(Counter(AtomicU64::new(1)));
    let clock = Arc::new(Counter(AtomicU64::new(1_767_348_000_000)));
    let (ring, _) = Keyring::create(clock.now(), &*entropy);
    let rows = SealedRows {
        meta: Arc::new(MemoryMeta::new()),
        custody: Arc::new(Custody::new(Arc::new(ring))),
        entropy: Arc::clone(&entropy) as _,
    };
    let account = AccountId::parse("111122223333").unwrap();
    let region = Region::parse("us-east-1").unwrap();
    let home = Home {
        account,
        region: region.clone(),
    };
    let log = AuditLog::new(rows.clone(), Arc::clone(&clock) as _, home.clone());
    let ledger = Ledger::new(rows, home);
    let mut context = RequestContext {
        request_id: RequestId::random(&*entropy),
        received: clock.now(),
        principal: Principal::Anonymous,
        canonical_id: None,
        access_key_id: Some(AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap()),
        session: None,
        via_service: Some("s3.us-east-1.amazonaws.com".into()),
        region,
        source_ip: [192, 0, 2, 1].into(),
        transport: Transport::Plain,
        user_agent: Some("aws-cli/2.31".into()),
        sent: None,
    };
    let key = |n: u64| {
        format!(
            "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-{:012}",
            n % 40
        )
    };
    let (mut recording, mut stepping) = (Duration::ZERO, Duration::ZERO);
    for n in 0..count {
        context.principal = Principal::User {
            account,
            user_id: format!("AIDA{:016}", n % 200).into(),
            path_and_name: format!("user{}", n % 200).into(),
        };
        context.request_id = RequestId::random(&*entropy);
        let key = key(n / 7);
        let started = Instant::now();
        let params = Params::new()
            .text("encryptionAlgorithm", "SYMMETRIC_DEFAULT")
            .text("keyId", &key);
        let event = EventBuilder::of(&context, "kms.amazonaws.com", "Decrypt")
            .params(&params)
            .resource("AWS::KMS::Key", &key, Some(account));
        let event = log.finish(event);
        log.append(&[event]).wait().unwrap();
        recording += started.elapsed();
        if n % 5 == 0 {
            clock.0.fetch_add(1, Ordering::Relaxed);
        }
        if n % 5000 == 4999 {
            let started = Instant::now();
            while ledger
                .step(Lane::Management, clock.now(), false)
                .unwrap()
                .more
            {}
            stepping += started.elapsed();
        }
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap());
    println!(
        "record: {:.1} us an event, with the store's part",
        each(recording)
    );
    println!("step:   {:.1} us an event", each(stepping));
    for (name, by) in [
        ("by key", Some((Attribute::ResourceName, key(3)))),
        ("by user", Some((Attribute::Username, "user7".to_owned()))),
        (
            "by name",
            Some((Attribute::EventName, "Decrypt".to_owned())),
        ),
        (
            "by name that no event has",
            Some((Attribute::EventName, "None".to_owned())),
        ),
        ("all", None),
    ] {
        let query = Lookup {
            account,
            by,
            start: None,
            end: None,
            max_results: 50,
            next_token: None,
        };
        let started = Instant::now();
        let page = ledger.lookup(&query, clock.now()).unwrap();
        println!(
            "lookup {name}: {} events in {:.1?}",
            page.events.len(),
            started.elapsed()
        );
    }
    let started = Instant::now();
    let report = ledger.verify(Lane::Management, &[]).unwrap();
    println!(
        "verify: {} events in {} batches, whole: {}, in {:.1?}",
        report.events,
        report.batches,
        report.is_whole(),
        started.elapsed()
    );
}
