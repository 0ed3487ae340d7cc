//! What is stored opens in its own place only, and says nothing in clear.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use strongroom_crypto::parse_footer;
use strongroom_policy::actions::{DeleteObject, GetObject};
use strongroom_ports::Table;
use strongroom_s3::{DeleteObjectInput, GetObjectInput, S3Error, Versioning};

use super::{dsse, modes, put};
use crate::support::{Fixture, pattern};

#[test]
fn wrapped_keys_and_streams_do_not_fit_another_object_or_version() {
    let f = Fixture::new(Versioning::Enabled);
    let key = f.keys.create();
    for (sse, _, _) in modes(&key) {
        let big = pattern(100_000);
        put(&f, "k", sse.clone(), &big).unwrap();
        put(&f, "k", sse.clone(), &big).unwrap();
        put(&f, "l", sse.clone(), &big).unwrap();
        let rows = f.rows(Table::VERSIONS);
        for (at, from) in [(0, 1), (0, rows.len() - 1), (rows.len() - 1, 0)] {
            // The whole row, key record and context included, moved to another version's place.
            f.replace_row(Table::VERSIONS, &rows[at].key, rows[from].value.to_vec());
            let name = if at == 0 { "k" } else { "l" };
            let got = f.try_get(name, GetObjectInput::default()).unwrap_err();
            assert_eq!(got, S3Error::Damaged);
            f.replace_row(Table::VERSIONS, &rows[at].key, rows[at].value.to_vec());
        }
        let ids = f.blob_ids();
        let (one, other) = (f.blob_bytes(ids[0]), f.blob_bytes(ids[1]));
        f.replace_blob(ids[0], &other);
        f.replace_blob(ids[1], &one);
        let broken = ["k", "l"]
            .iter()
            .filter(|name| f.read(name, GetObjectInput::default()).is_err())
            .count();
        assert!(broken >= 1);
        f.replace_blob(ids[0], &one);
        f.replace_blob(ids[1], &other);
        assert_eq!(f.get("k"), big);
        for name in ["k", "k", "l"] {
            let version = f
                .service
                .head_object(f.entry::<GetObject>(name), GetObjectInput::default())
                .unwrap()
                .object
                .version;
            let input = DeleteObjectInput {
                version,
                if_match: None,
            };
            f.service
                .delete_object(f.entry::<DeleteObject>(name), input)
                .unwrap();
        }
        f.service.collect_garbage(usize::MAX).unwrap();
        assert!(f.blob_ids().is_empty());
    }
}

#[test]
fn a_flipped_bit_in_two_layers_is_damage_and_an_event() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let body = pattern(100_000);
    put(&f, "k", dsse(&key), &body).unwrap();
    let id = f.blob_ids()[0];
    let stored = f.blob_bytes(id);
    let (_, footer_len) = parse_footer(&stored).unwrap();
    let stream_len = stored.len() - footer_len;
    for at in [0, 60, 200, 70_000, stream_len - 1] {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        f.replace_blob(id, &changed);
        let got = f.read("k", GetObjectInput::default());
        assert_eq!(got.unwrap_err(), S3Error::Damaged, "{at}");
        assert!(f.audit.0.lock().pop().is_some());
    }
    f.replace_blob(id, &stored);
    assert_eq!(f.get("k"), body);
}

#[test]
fn a_blob_says_nothing_of_keys_and_names_in_clear() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    for (mut sse, _, _) in modes(&key) {
        sse.context = Some(BASE64.encode(r#"{"department":"lawyers"}"#));
        put(&f, "secret-name", sse, &pattern(100_000)).unwrap();
        for id in f.blob_ids() {
            let bytes = f.blob_bytes(id);
            for word in [
                "department",
                "lawyers",
                "secret-name",
                "arn:aws",
                &key.id.to_string(),
            ] {
                let found = bytes
                    .windows(word.len())
                    .any(|part| part == word.as_bytes());
                assert!(!found, "{word}");
            }
            let (footer, _) = parse_footer(&bytes).unwrap();
            assert!(footer.encryption.is_some() && footer.wrapped_key.kms_blob().is_some());
        }
    }
}
