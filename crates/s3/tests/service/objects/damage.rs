//! Damage is noticed, and never given out.

use strongroom_crypto::{Layers, header_len_bytes};
use strongroom_policy::actions::GetObject;
use strongroom_ports::Table;
use strongroom_s3::{GetObjectInput, ReadError, S3Error, Versioning};
use strongroom_types::RangeSpec;

use super::{SEGMENT, WINDOW, ranged};
use crate::support::{Fixture, bucket, context, object_key, pattern};

#[test]
fn every_flipped_bit_of_a_small_object_is_noticed() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", b"some plaintext");
    let row = f.rows(Table::INLINE).remove(0);
    for index in 0..row.value.len() {
        let mut value = row.value.to_vec();
        value[index] ^= 1 << (index % 8);
        f.replace_row(Table::INLINE, &row.key, value);
        let got = f
            .try_get("k", GetObjectInput::default())
            .map(|_| ())
            .unwrap_err();
        assert_eq!(got, S3Error::Damaged, "byte {index}");
    }
    for len in [0, 1, row.value.len() - 1] {
        f.replace_row(Table::INLINE, &row.key, row.value[..len].to_vec());
        assert_eq!(
            f.try_get("k", GetObjectInput::default())
                .map(|_| ())
                .unwrap_err(),
            S3Error::Damaged,
            "cut to {len}"
        );
    }
    assert!(f.audit.0.lock().contains(&"IntegrityFailure"));
    f.replace_row(Table::INLINE, &row.key, row.value.to_vec());
    assert_eq!(f.get("k"), b"some plaintext");
    for table in [Table::VERSIONS, Table::BUCKETS] {
        let row = f.rows(table).remove(0);
        for index in [0, 5, row.value.len() / 2, row.value.len() - 1] {
            let mut value = row.value.to_vec();
            value[index] ^= 1;
            f.replace_row(table, &row.key, value);
            let entry =
                f.service
                    .enter_object::<GetObject>(context(), &bucket(), &object_key("k"), None);
            let got =
                entry.and_then(|entry| f.service.get_object(entry, GetObjectInput::default()));
            assert_eq!(
                got.map(|_| ()).unwrap_err(),
                S3Error::Damaged,
                "{table:?} byte {index}"
            );
        }
        f.replace_row(table, &row.key, row.value.to_vec());
    }
}

#[test]
fn damage_to_a_blob_never_gives_wrong_bytes() {
    let f = Fixture::new(Versioning::Never);
    let body = pattern(2 * WINDOW + 1000);
    f.put("k", &body);
    let id = f.blob_ids()[0];
    let stored = f.blob_bytes(id);
    let header = header_len_bytes(&object_key("k"), Layers::One);
    let damage_at = |offset: usize| {
        let mut bytes = stored.clone();
        bytes[offset] ^= 0x10;
        f.replace_blob(id, &bytes);
    };
    for offset in [
        0,
        10,
        header - 1,
        header,
        header + SEGMENT + 23,
        header + 3 * (SEGMENT + 24),
    ] {
        damage_at(offset);
        let got = f.try_get("k", GetObjectInput::default()).map(|_| ());
        assert_eq!(
            got.unwrap_err(),
            S3Error::Damaged,
            "in front, byte {offset}: no answer begins"
        );
    }
    for offset in [header + 4 * (SEGMENT + 24), header + 8 * (SEGMENT + 24) + 5] {
        damage_at(offset);
        let output = f.try_get("k", GetObjectInput::default()).unwrap();
        assert_eq!(
            f.drain(output).unwrap_err(),
            ReadError::Damaged,
            "behind, byte {offset}: the stream breaks"
        );
        let intact = f.read("k", ranged(RangeSpec::FromTo(0, 99))).unwrap();
        assert_eq!(intact, body[..100], "a range reads only its own segments");
    }
    f.replace_blob(id, &stored[..stored.len() / 2]);
    assert_eq!(
        f.try_get("k", GetObjectInput::default())
            .map(|_| ())
            .unwrap_err(),
        S3Error::Damaged,
        "cut in half"
    );
    f.blobs_delete(id);
    assert_eq!(
        f.try_get("k", GetObjectInput::default())
            .map(|_| ())
            .unwrap_err(),
        S3Error::Damaged,
        "gone"
    );
    f.put("k", b"new");
    assert_eq!(f.get("k"), b"new", "a damaged object can be overwritten");
}

#[test]
fn streams_of_other_objects_do_not_open() {
    let f = Fixture::new(Versioning::Never);
    f.put("a", b"aaa");
    f.put("b", b"bbb");
    let rows = f.rows(Table::INLINE);
    f.replace_row(Table::INLINE, &rows[0].key, rows[1].value.to_vec());
    f.replace_row(Table::INLINE, &rows[1].key, rows[0].value.to_vec());
    for key in ["a", "b"] {
        let got = f.try_get(key, GetObjectInput::default()).map(|_| ());
        assert_eq!(got.unwrap_err(), S3Error::Damaged, "{key}");
    }
}
