//! Uses of keys and their records: both or none.

use strongroom_policy::actions::GetObject;
use strongroom_ports::KeyError;
use strongroom_s3::{GetObjectInput, S3Error, Versioning};
use strongroom_sse::SseHeaders;
use strongroom_types::RangeSpec;

use super::{WINDOW, complete, create, kms, part, put};
use crate::support::keys::TestTrail;
use crate::support::{Fixture, pattern};

#[test]
fn every_use_is_recorded_once_and_an_objects_together_with_the_object() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = || kms(Some(&key.to_string()));
    let alone = || TestTrail::count(&*f.keys.trail);
    let in_transactions = || TestTrail::count(&*f.meta);
    let large = pattern(3 * WINDOW);
    put(&f, "k", sse(), b"x").unwrap();
    assert_eq!((alone(), in_transactions()), (0, 1));
    put(&f, "large", sse(), &large).unwrap();
    assert_eq!((alone(), in_transactions()), (1, 1));
    let read = |key: &str| {
        let entry = f.entry::<GetObject>(key);
        let output = f.service.get_object(entry, GetObjectInput::default());
        f.drain(output.unwrap()).unwrap()
    };
    assert_eq!(read("k"), b"x");
    assert_eq!(read("large"), large);
    assert_eq!((alone(), in_transactions()), (3, 1));
    let upload = create(&f, "m", sse()).unwrap();
    let etags = [part(&f, "m", upload, 1, b"only").unwrap()];
    complete(&f, "m", upload, &etags).unwrap();
    let asked = f.keys.take_operations();
    let uses = asked.iter().filter(|it| !it.starts_with("authorize"));
    assert_eq!(alone() + in_transactions(), uses.count(), "{asked:?}");
}

#[test]
fn a_use_that_cannot_be_recorded_gives_nothing() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = || kms(Some(&key.to_string()));
    let unrecorded = || S3Error::Kms(KeyError::Unavailable);
    put(&f, "k", sse(), b"x").unwrap();
    put(&f, "plain", SseHeaders::default(), b"y").unwrap();
    f.keys.trail.set_broken(true);
    let get = |key: &str| {
        let entry = f.entry::<GetObject>(key);
        f.service.get_object(entry, GetObjectInput::default())
    };
    assert_eq!(get("k").unwrap_err(), unrecorded());
    let resident = f.service.resident().unwrap();
    let entry = f.entry::<GetObject>("k");
    let got = resident.read_object(&entry, &GetObjectInput::default());
    assert_eq!(got.wait().unwrap_err(), unrecorded());
    // A request that fails for another reason has used the key, too.
    let entry = f.entry::<GetObject>("k");
    let input = GetObjectInput {
        range: RangeSpec::parse("bytes=9-"),
        ..GetObjectInput::default()
    };
    assert_eq!(
        f.service.get_object(entry, input).unwrap_err(),
        unrecorded()
    );
    assert_eq!(
        put(&f, "large", sse(), &pattern(3 * WINDOW)).unwrap_err(),
        unrecorded()
    );
    assert_eq!(create(&f, "m", sse()).unwrap_err(), unrecorded());
    // What needs no key of the key service goes on.
    assert!(get("plain").is_ok());
    f.keys.trail.set_broken(false);
    assert!(get("k").is_ok());
}
