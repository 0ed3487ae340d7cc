//! Writes all vectors from fixed seeds.

use serde_json::{Value, json};
use strongroom_crypto::{
    Attribute, CustomerKey, CustomerKeyVerifier, Footer, FrameCipher, Keyring, PageCipher,
    RowSealer, SEGMENT_OVERHEAD_BYTES, Sealed, StreamSealer, Unsealed, WrappedKey, encode_footer,
    keyless_checksum, seal_whole,
};
use strongroom_types::Timestamp;

use super::read::{self, body_keys, bytes, data_key, object, part, service_key, unseal_key};
use super::service;
use crate::common::{Seeded, pattern};

/// File names and contents.
pub(crate) fn generate() -> [(&'static str, String); 7] {
    let streams = streams();
    let keys = keys();
    let records = records(&keys);
    let layers = service::layers();
    let kms = service::kms(&keys);
    let mut negative = negative(&streams, &keys, &records);
    service::negative(&mut negative, &layers, &kms);
    [
        ("streams", lines(&streams)),
        ("keys", lines(&keys)),
        ("records", lines(&records)),
        ("pages", lines(&[page()])),
        ("layers", lines(&layers)),
        ("kms", lines(&kms)),
        ("negative", lines(&negative.0)),
    ]
}

/// One vector a line, so that a change shows as one.
fn lines(cases: &[Value]) -> String {
    let lines: Vec<_> = cases.iter().map(Value::to_string).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

pub(super) fn base(name: &str, kind: &str) -> Value {
    json!({
        "name": name,
        "kind": kind,
        "bucket_uid": "b1".repeat(16),
        "version_uid": "5e".repeat(16),
        "object_key": "a//b/../report.csv",
        "data_key": hex::encode((0..32).collect::<Vec<u8>>()),
    })
}

pub(super) fn with(mut case: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else {
        panic!("changes are an object");
    };
    for (field, value) in changes {
        case[field] = value;
    }
    case
}

fn streams() -> Vec<Value> {
    let parted = json!({"part_number": 7, "attempt_uid": "a7".repeat(16)});
    let mut out = Vec::new();
    for (name, log2, len, extra) in [
        ("single", 16, 5, json!({})),
        ("empty", 16, 0, json!({})),
        ("part", 16, 100, parted.clone()),
        (
            "name of several scripts",
            16,
            1,
            json!({"object_key": "\u{fc}ber/\u{6587}.txt"}),
        ),
        ("two segments of 64 KiB", 16, 65537, json!({})),
        ("three segments of 4 KiB", 12, 8292, parted),
        ("two full segments of 4 KiB", 12, 8192, json!({})),
    ] {
        let case = with(base(name, "stream"), extra);
        let entropy = Seeded::new(100 + out.len() as u64);
        let (key, object, part) = (body_keys(&case), object(&case), part(&case));
        let mut sealer =
            StreamSealer::with_segment_log2(&key, &object, part, &entropy, log2).unwrap();
        let mut stored = sealer.header().to_vec();
        let plaintext = pattern(len);
        let segments: Vec<&[u8]> = match len {
            0 => vec![&[]],
            _ => plaintext.chunks(1 << log2).collect(),
        };
        for (index, segment) in segments.iter().enumerate() {
            let mut segment = [*segment, &[0; SEGMENT_OVERHEAD_BYTES]].concat();
            sealer
                .seal_segment(&mut segment, index + 1 == segments.len())
                .unwrap();
            stored.extend(segment);
        }
        out.push(with(
            case,
            json!({"pattern_len": len, "stored": hex::encode(stored)}),
        ));
    }
    out
}

fn keys() -> Vec<Value> {
    let entropy = Seeded::new(200);
    let (mut ring, unseal) = Keyring::create(Timestamp::from_seconds(1_800_000_000), &entropy);
    ring.add_slot(1, "/etc/strongroom/unseal.key", vec![0xAA; 40]);
    let case = base("wrapped by version 1 of the root key", "wrap_ring");
    let old = ring.wrap_data_key(&data_key(&case), &object(&case), &entropy);
    ring.rotate(Timestamp::from_seconds(1_900_000_000), &entropy);
    let new = ring.wrap_data_key(&data_key(&case), &object(&case), &entropy);
    let file = hex::encode(ring.encode(&unseal, &entropy));
    let unseal_key = hex::encode(unseal.expose());
    let probe = seal_whole(&body_keys(&case), &object(&case), None, &entropy, b"probe");
    let by_ring = json!({
        "ring": file,
        "unseal_key": unseal_key,
        "probe": hex::encode(&probe),
        "plaintext": hex::encode("probe"),
    });
    let customer_key = CustomerKey::parse(&[0xC5; 32]).unwrap();
    let wrapped = customer_key.wrap_data_key(&data_key(&case), &object(&case), &entropy);
    let pepper = json!({"service_key": "90".repeat(32), "customer_key": "c5".repeat(32)});
    let verifier = CustomerKeyVerifier::create(&customer_key, &service_key(&pepper), &entropy);
    vec![
        json!({
            "name": "ring of two root key versions", "kind": "ring", "unseal_key": unseal_key,
            "stored": file, "plaintext": hex::encode("1 2"),
        }),
        with(
            with(case, by_ring.clone()),
            json!({"stored": hex::encode(old.as_bytes())}),
        ),
        with(
            with(
                base("wrapped by version 2 of the root key", "wrap_ring"),
                by_ring,
            ),
            json!({"stored": hex::encode(new.as_bytes())}),
        ),
        with(
            base("wrapped by a customer key", "wrap_customer"),
            json!({
                "customer_key": "c5".repeat(32), "probe": hex::encode(&probe),
                "plaintext": hex::encode("probe"), "stored": hex::encode(wrapped.as_bytes()),
            }),
        ),
        with(
            with(
                json!({"name": "verifier", "kind": "verifier", "plaintext": ""}),
                pepper,
            ),
            json!({"stored": hex::encode(verifier.as_bytes())}),
        ),
    ]
}

fn records(keys: &[Value]) -> Vec<Value> {
    let entropy = Seeded::new(300);
    let service = json!({"service_key": "51".repeat(32)});
    let sealer = RowSealer::new(&service_key(&service));
    let row = sealer.seal(3, b"bucket\0key", b"a row's value", &entropy);
    let mut out = vec![with(
        json!({
            "name": "row", "kind": "row", "table": 3, "row_key": hex::encode(b"bucket\0key"),
            "plaintext": hex::encode("a row's value"), "stored": hex::encode(row),
        }),
        service.clone(),
    )];
    for (name, attribute) in [
        ("checksum", Attribute::Checksum),
        ("part_checksum", part_checksum()),
        ("footer_record", Attribute::FooterRecord),
    ] {
        let mut case = with(
            base(name, "attribute"),
            json!({"attribute": name, "plaintext": hex::encode("crc")}),
        );
        if name == "part_checksum" {
            case = with(
                case,
                json!({"part_number": 7, "attempt_uid": "a7".repeat(16)}),
            );
        }
        let stored = data_key(&case).seal_attribute(attribute, &object(&case), b"crc", &entropy);
        out.push(with(case, json!({"stored": hex::encode(stored)})));
    }
    let wrapped = bytes(&keys[1], "stored");
    let footer = Footer {
        wrapped_key: WrappedKey::parse(&wrapped).unwrap(),
        record: b"sealed".to_vec(),
        encryption: None,
        header_checksum: None,
        blob_id: None,
    };
    let with_checksum = encode_footer(&Footer {
        header_checksum: Some(keyless_checksum(b"header")),
        ..footer.clone()
    });
    let with_name = encode_footer(&Footer {
        header_checksum: Some(keyless_checksum(b"header")),
        blob_id: Some([0xB7; 16]),
        ..footer.clone()
    });
    let footer = encode_footer(&footer);
    let contents = [&wrapped[..], b"sealed", footer.len().to_string().as_bytes()].concat();
    out.push(json!({
        "name": "footer", "kind": "footer", "plaintext": hex::encode(contents),
        "stored": hex::encode([&b"before"[..], &footer].concat()),
    }));
    let mut frame = b"frame body".to_vec();
    FrameCipher::new(&service_key(&service), &[0x5A; 32]).seal(9, b"clear part", &mut frame, 0);
    out.push(with(
        json!({
            "name": "frame", "kind": "frame", "salt": "5a".repeat(32), "index": 9,
            "aad": hex::encode("clear part"), "plaintext": hex::encode("frame body"),
            "stored": hex::encode(frame),
        }),
        service,
    ));
    let contents = [
        &wrapped[..],
        b"sealed",
        &keyless_checksum(b"header"),
        with_checksum.len().to_string().as_bytes(),
    ]
    .concat();
    out.push(json!({
        "name": "footer with header's checksum", "kind": "footer", "plaintext": hex::encode(contents),
        "stored": hex::encode(&with_checksum),
    }));
    let contents = [
        &wrapped[..],
        b"sealed",
        &keyless_checksum(b"header"),
        &[0xB7; 16],
        with_name.len().to_string().as_bytes(),
    ]
    .concat();
    out.push(json!({
        "name": "footer with its blob's name", "kind": "footer", "plaintext": hex::encode(contents),
        "stored": hex::encode(&with_name),
    }));
    out
}

fn part_checksum() -> Attribute {
    let part = crate::common::part(7);
    Attribute::PartChecksum(part.number, part.attempt)
}

fn page() -> Value {
    let case = json!({"service_key": "1d".repeat(32)});
    let plaintext = pattern(4096);
    let mut page = Vec::new();
    let plaintext = plaintext.first_chunk().unwrap();
    PageCipher::new(&service_key(&case)).seal(0x0102_0304, 5, plaintext, &mut page);
    with(
        case,
        json!({
            "name": "page", "kind": "page", "page": 0x0102_0304, "pattern_len": 4096,
            "stored": hex::encode(page),
        }),
    )
}

/// Everything that must be refused, with the error that this crate gives.
fn negative(streams: &[Value], keys: &[Value], records: &[Value]) -> Negative {
    let mut out = Negative(Vec::new());
    let (single, part) = (&streams[0], &streams[2]);
    out.inputs(
        single,
        "wrong data key",
        json!({"data_key": "00".repeat(32)}),
    );
    out.inputs(
        single,
        "wrong bucket",
        json!({"bucket_uid": "b2".repeat(16)}),
    );
    out.inputs(
        single,
        "wrong object key",
        json!({"object_key": "a/b/../report.csv"}),
    );
    out.inputs(
        single,
        "wrong version",
        json!({"version_uid": "5f".repeat(16)}),
    );
    let as_part = json!({"part_number": 7, "attempt_uid": "a7".repeat(16)});
    out.inputs(single, "single opened as a part", as_part);
    out.inputs(part, "wrong part number", json!({"part_number": 8}));
    out.inputs(
        part,
        "wrong attempt",
        json!({"attempt_uid": "a8".repeat(16)}),
    );
    out.inputs(part, "part opened as single", json!({"part_number": null}));
    for bit in 0..8 {
        out.bytes(single, &format!("header flag bit {bit} set"), |s| {
            s[7] |= 1 << bit;
        });
    }
    out.bytes(part, "part flag cleared", |s| s[7] = 0);
    for (at, value, name) in [
        (0, b'T', "magic"),
        (4, 0, "format version 0"),
        (4, 2, "format version 2"),
        (5, 0, "suite 0"),
        (5, 2, "suite 2 around the fields of suite 1"),
        (5, 3, "suite 3"),
        (6, 11, "segments too small"),
        (6, 21, "segments too large"),
        (6, 15, "another segment size"),
        (11, 0xC8, "another header length"),
        (10, 0xFF, "header length beyond the limit"),
        (15, 1, "part number without the flag"),
        (16, 0, "salt changed"),
        (48, 0, "commitment changed"),
        (80, 9, "unknown header field"),
        (82, 15, "header field of a wrong length"),
        (83, 0, "bucket in the header changed"),
        (102, 0, "version in the header changed"),
        (125, 0, "sealed name changed"),
    ] {
        out.bytes(single, name, |s| s[at] = value);
    }
    let header = single_header_len(single);
    out.bytes(single, "header MAC changed", |s| s[header - 1] ^= 1);
    out.bytes(single, "padding not zero", |s| s[header - 33] ^= 1);
    out.bytes(single, "checksum changed", |s| *s.last_mut().unwrap() ^= 1);
    out.bytes(single, "ciphertext changed, checksum mended", |s| {
        s[header] ^= 1;
        mend(&mut s[header..]);
    });
    out.bytes(single, "tag changed, checksum mended", |s| {
        let at = s.len() - 9;
        s[at] ^= 1;
        mend(&mut s[header..]);
    });
    out.bytes(single, "trailing byte", |s| s.push(0));
    out.bytes(single, "truncated by a byte", |s| s.truncate(s.len() - 1));
    out.bytes(single, "header only", |s| s.truncate(header));
    out.bytes(single, "cut in the header", |s| s.truncate(100));
    out.bytes(single, "nothing", Vec::clear);

    let full = &streams[6];
    let header = single_header_len(full);
    let first = header..header + 4120;
    let second = header + 4120..header + 8240;
    out.bytes(full, "segments swapped", |s| {
        let moved = [&s[..header], &s[second.clone()], &s[first.clone()]].concat();
        *s = moved;
    });
    out.bytes(full, "truncated at a segment boundary", |s| {
        s.truncate(header + 4120);
    });
    out.bytes(full, "first segment dropped", |s| {
        s.drain(first.clone());
    });
    out.bytes(full, "last segment repeated", |s| {
        s.extend_from_within(second.clone());
    });
    out.bytes(full, "first segment repeated in place of the second", |s| {
        s.truncate(header + 4120);
        s.extend_from_within(first.clone());
    });
    out.bytes(full, "empty last segment appended", |s| {
        s.extend([0; 24]);
        let at = s.len() - 24;
        mend(&mut s[at..]);
    });

    let (ring, by_ring, by_customer) = (&keys[0], &keys[1], &keys[3]);
    for wrapped in [by_ring, by_customer] {
        out.inputs(
            wrapped,
            "moved to another bucket",
            json!({"bucket_uid": "b2".repeat(16)}),
        );
        out.inputs(
            wrapped,
            "moved to another key",
            json!({"object_key": "other"}),
        );
        out.inputs(
            wrapped,
            "moved to another version",
            json!({"version_uid": "5f".repeat(16)}),
        );
        for (at, name) in [
            (0, "version"),
            (1, "mode"),
            (2, "id length"),
            (6, "id or key version"),
        ] {
            out.bytes(wrapped, &format!("{name} changed"), |s| s[at] ^= 0x0C);
        }
        let len = bytes(wrapped, "stored").len();
        for (before_end, name) in [(128, "salt"), (96, "commitment"), (80, "key"), (1, "tag")] {
            out.bytes(wrapped, &format!("{name} changed"), |s| {
                s[len - before_end] ^= 1;
            });
        }
        out.bytes(wrapped, "trailing byte", |s| s.push(0));
        out.bytes(wrapped, "truncated", |s| s.truncate(len - 1));
        out.bytes(wrapped, "mode 2 of another shape", |s| s[1] = 2);
        out.bytes(wrapped, "mode 4 of another shape", |s| s[1] = 4);
    }
    out.bytes(by_ring, "wrong ring version", |s| s[22] = 2);
    out.bytes(by_ring, "unknown ring version", |s| s[22] = 9);
    out.bytes(by_ring, "another ring", |s| s[3] ^= 1);
    out.inputs(
        by_customer,
        "another customer key",
        json!({"customer_key": "c6".repeat(32)}),
    );

    out.inputs(
        ring,
        "another unseal key",
        json!({"unseal_key": "00".repeat(32)}),
    );
    out.bytes(ring, "not a ring", |s| s[0] = b'X');
    out.bytes(ring, "damaged", |s| s[100] ^= 1);
    out.bytes(ring, "truncated", |s| s.truncate(s.len() - 1));
    for (at, value, name) in [
        (4, 2, "version 2"),
        (5, 9, "suite 9"),
        (6, 1, "reserved byte set"),
        (11, 1, "wrong length"),
        (12, 0, "another ring id"),
        (35, 9, "another generation"),
        (36, 0, "salt changed"),
        (68, 0, "check value changed"),
        (112, b'X', "slot description changed"),
    ] {
        out.bytes(ring, &format!("{name}, checksum mended"), |s| {
            s[at] = value;
            mend(s);
        });
    }
    out.bytes(ring, "sealed keys changed, checksum mended", |s| {
        let at = s.len() - 100;
        s[at] ^= 1;
        mend(s);
    });
    let verifier = &keys[4];
    out.inputs(
        verifier,
        "another customer key",
        json!({"customer_key": "c6".repeat(32)}),
    );
    out.inputs(
        verifier,
        "another pepper",
        json!({"service_key": "91".repeat(32)}),
    );
    out.bytes(verifier, "salt changed", |s| s[0] ^= 1);
    out.bytes(verifier, "truncated", |s| s.truncate(63));

    let [row, checksum, of_part, _, footer, frame, _, _] = records else {
        panic!()
    };
    out.inputs(row, "another table", json!({"table": 4}));
    out.inputs(row, "another row", json!({"row_key": "00"}));
    out.inputs(row, "another key", json!({"service_key": "52".repeat(32)}));
    for (at, name) in [(0, "version"), (1, "nonce"), (13, "ciphertext")] {
        out.bytes(row, &format!("{name} changed"), |s| s[at] ^= 1);
    }
    out.bytes(row, "truncated", |s| s.truncate(20));
    out.inputs(
        checksum,
        "another attribute",
        json!({"attribute": "footer_record"}),
    );
    out.inputs(checksum, "another object", json!({"object_key": "other"}));
    out.bytes(checksum, "salt changed", |s| s[1] ^= 1);
    out.bytes(checksum, "tag changed", |s| *s.last_mut().unwrap() ^= 1);
    out.inputs(of_part, "another part", json!({"part_number": 8}));
    out.inputs(
        of_part,
        "another attempt",
        json!({"attempt_uid": "a8".repeat(16)}),
    );
    out.bytes(footer, "end magic changed", |s| *s.last_mut().unwrap() ^= 1);
    out.bytes(footer, "start magic changed", |s| s[6] ^= 1);
    out.bytes(footer, "wrapped key changed", |s| s[60] ^= 1);
    out.bytes(footer, "start missing", |s| {
        s.drain(..10);
    });
    out.inputs(frame, "another index", json!({"index": 10}));
    out.inputs(frame, "another clear part", json!({"aad": ""}));
    out.inputs(frame, "another file", json!({"salt": "5b".repeat(32)}));
    out.bytes(frame, "ciphertext changed", |s| s[0] ^= 1);
    out.bytes(frame, "truncated", |s| s.truncate(15));
    out
}

pub(super) struct Negative(Vec<Value>);

impl Negative {
    /// The vector with other inputs.
    pub(super) fn inputs(&mut self, from: &Value, name: &str, changes: Value) {
        let kind = from["name"].as_str().unwrap();
        let mut case = with(from.clone(), changes);
        case["name"] = json!(format!("{kind}: {name}"));
        let fields = case.as_object_mut().unwrap();
        fields.remove("plaintext");
        fields.remove("pattern_len");
        let error = read::read(&case).expect_err(name);
        case["error"] = json!(error);
        self.0.push(case);
    }

    /// The vector with other bytes.
    pub(super) fn bytes(&mut self, from: &Value, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut stored = bytes(from, "stored");
        change(&mut stored);
        self.inputs(from, name, json!({"stored": hex::encode(stored)}));
    }
}

pub(super) fn single_header_len(case: &Value) -> usize {
    let stored = bytes(case, "stored");
    usize::from(u16::from_be_bytes([stored[10], stored[11]]))
}

/// Puts the right CRC-64/NVME at the end.
pub(super) fn mend(bytes: &mut [u8]) {
    let (checked, checksum) = bytes.split_last_chunk_mut::<8>().unwrap();
    *checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, checked).to_be_bytes();
}

#[test]
fn ring_of_the_vectors_unseals() {
    assert_eq!(object(&base("", "")), crate::common::object());
    let case = &keys()[0];
    let ring = Keyring::<Sealed>::parse(&bytes(case, "stored")).unwrap();
    let ring: Keyring<Unsealed> = ring.unseal(&unseal_key(case)).unwrap();
    assert_eq!(ring.active_version(), 2);
}
