//! Vectors of what came with the key service: two layers, ciphertext blobs, key material, and data
//! keys under the key service's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strongroom_crypto::{
    BodyKeys, CiphertextBlob, DataKey, Keyring, KmsDataKey, MaterialIdentity, OuterKey, Sealed,
    ShredId, ShredKey, StreamSealer, SymmetricMaterial, Unsealed, WrappedKey, material_id,
    open_whole, seal_blob, seal_whole,
};
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyId, KeyMaterialId, KeySpec};

use super::generate::{Negative, base, mend, single_header_len, with};
use super::read::{Given, bytes, data_key, object, part, text, unseal_key};
use crate::common::{Seeded, pattern};

const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Streams of two layers.
pub(super) fn layers() -> Vec<Value> {
    let parted = json!({"part_number": 7, "attempt_uid": "a7".repeat(16)});
    let mut out = Vec::new();
    for (name, log2, len, extra) in [
        ("two layers", 16, 5, json!({})),
        ("two layers, empty", 16, 0, json!({})),
        ("two layers, two full segments of 4 KiB", 12, 8192, parted),
    ] {
        let case = with(base(name, "stream_two_layers"), extra);
        let case = with(case, json!({"outer_key": "0e".repeat(32)}));
        let entropy = Seeded::new(400 + out.len() as u64);
        let (keys, object, part) = (two_keys(&case), object(&case), part(&case));
        let mut sealer =
            StreamSealer::with_segment_log2(&keys, &object, part, &entropy, log2).unwrap();
        let mut stored = sealer.header().to_vec();
        let plaintext = pattern(len);
        let segments: Vec<&[u8]> = match len {
            0 => vec![&[]],
            _ => plaintext.chunks(1 << log2).collect(),
        };
        for (index, segment) in segments.iter().enumerate() {
            let mut segment = [*segment, &[0; 40]].concat();
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

/// `keys` are the vectors of keys, the ring the first of them.
pub(super) fn kms(keys: &[Value]) -> Vec<Value> {
    let entropy = Seeded::new(500);
    let arn = KeyArn::parse(ARN).unwrap();
    let by_ring = json!({"ring": keys[0]["stored"], "unseal_key": keys[0]["unseal_key"]});
    let ring = ring(&with(json!({}), by_ring.clone()));
    let mut out = Vec::new();

    let material = SymmetricMaterial::parse(&[0x3A; 32]).unwrap();
    let id = material_id(arn.id, material.expose());
    for (name, context) in [
        ("blob without a context", json!({})),
        (
            "blob with a context",
            json!({"b": "2", "a": "\u{fc}", "aws:s3:arn": "arn:aws:s3:::bucket/key"}),
        ),
    ] {
        let case = json!({
            "name": name, "kind": "kms_blob", "arn": ARN, "material": "3a".repeat(32),
            "context": context, "plaintext": hex::encode("plaintext"),
        });
        let context = self::context(&case);
        let blob = seal_blob(
            &material,
            arn.id,
            id,
            &arn,
            &context,
            b"plaintext",
            &entropy,
        );
        out.push(with(case, json!({"stored": hex::encode(blob)})));
    }
    out.push(json!({
        "name": "material id", "kind": "material_id", "key_id": hex::encode(arn.id.as_bytes()),
        "material": "3a".repeat(32), "stored": id.to_string(), "plaintext": "",
    }));

    let (shred_id, shred) = (ShredId::random(&entropy), ShredKey::random(&entropy));
    let file = ring.seal_shred_key(shred_id, &shred, &entropy);
    let identity = MaterialIdentity {
        arn,
        material: id,
        spec: KeySpec::parse("SYMMETRIC_DEFAULT").unwrap(),
    };
    let wrapped = ring.wrap_material(&shred, &identity, material.expose(), &entropy);
    let of_both = with(
        json!({
            "shred_id": shred_id.to_string(), "arn": ARN, "material_id": id.to_string(),
            "spec": "SYMMETRIC_DEFAULT", "plaintext": "3a".repeat(32),
        }),
        by_ring.clone(),
    );
    for (name, kind, stored, other) in [
        ("shred file", "shred_file", &file, &wrapped),
        ("wrapped material", "material", &wrapped, &file),
    ] {
        out.push(with(
            of_both.clone(),
            json!({
                "name": name, "kind": kind, "stored": hex::encode(stored),
                "other": hex::encode(other),
            }),
        ));
    }

    let case = base("wrapped by a key of the key service", "wrap_kms");
    let kms_key = KmsDataKey::parse(&[0x4B; 32]).unwrap();
    let inner = kms_key.wrap_data_key(b"a blob", &data_key(&case), &object(&case), &entropy);
    let single = BodyKeys::single(data_key(&case));
    let probe = seal_whole(&single, &object(&case), None, &entropy, b"probe");
    let by_kms = json!({
        "kms_key": "4b".repeat(32), "blob": hex::encode("a blob"), "plaintext": hex::encode("probe"),
    });
    out.push(with(
        with(case, by_kms.clone()),
        json!({"stored": hex::encode(inner.as_bytes()), "probe": hex::encode(probe)}),
    ));

    let case = with(
        base("wrapped for two layers", "wrap_two_layers"),
        json!({"outer_key": "0e".repeat(32)}),
    );
    let outer = ring.wrap_outer_key(&outer_key(&case), &object(&case), &entropy);
    let wrapped = WrappedKey::two_layers(&inner, &outer).unwrap();
    let probe = seal_whole(&two_keys(&case), &object(&case), None, &entropy, b"probe");
    out.push(with(
        with(with(case, by_kms), by_ring),
        json!({"stored": hex::encode(wrapped.as_bytes()), "probe": hex::encode(probe)}),
    ));
    out
}

/// Everything of these that must be refused.
pub(super) fn negative(out: &mut Negative, layers: &[Value], kms: &[Value]) {
    let [two, _, full] = layers else { panic!() };
    out.inputs(two, "wrong data key", json!({"data_key": "00".repeat(32)}));
    out.inputs(
        two,
        "wrong outer key",
        json!({"outer_key": "00".repeat(32)}),
    );
    out.inputs(two, "keys swapped", {
        json!({"data_key": two["outer_key"], "outer_key": two["data_key"]})
    });
    out.inputs(two, "wrong bucket", json!({"bucket_uid": "b2".repeat(16)}));
    out.inputs(two, "wrong object key", json!({"object_key": "other"}));
    out.inputs(two, "one key only", json!({"kind": "stream"}));
    let header = single_header_len(two);
    for (at, name) in [
        (5, "suite"),
        (6, "segment size"),
        (7, "flags"),
        (16, "salt"),
        (48, "commitment"),
        (83, "bucket"),
        (118, "field of the inner header"),
        (130, "inner header"),
        (header - 1, "header MAC"),
    ] {
        out.bytes(two, &format!("{name} changed"), |s| s[at] ^= 1);
    }
    out.bytes(two, "checksum changed", |s| *s.last_mut().unwrap() ^= 1);
    for (before_end, name) in [(9, "outer tag"), (25, "inner tag"), (41, "ciphertext")] {
        out.bytes(two, &format!("{name} changed, checksum mended"), |s| {
            let at = s.len() - before_end;
            s[at] ^= 1;
            mend(&mut s[header..]);
        });
    }
    out.bytes(two, "truncated by a byte", |s| s.truncate(s.len() - 1));
    out.bytes(two, "header only", |s| s.truncate(header));
    let header = single_header_len(full);
    out.bytes(full, "segments swapped", |s| {
        s[header..].rotate_left(4136);
    });
    out.bytes(full, "truncated at a segment boundary", |s| {
        s.truncate(header + 4136);
    });

    let [_, blob, id, shred, material, by_kms, by_both] = kms else {
        panic!()
    };
    out.inputs(
        blob,
        "another material",
        json!({"material": "3b".repeat(32)}),
    );
    out.inputs(blob, "no context", json!({"context": {}}));
    let mut context = blob["context"].clone();
    context["c"] = json!("");
    out.inputs(blob, "a pair more", json!({"context": context}));
    out.inputs(
        blob,
        "another account",
        json!({"arn": ARN.replace("111122223333", "111122223334")}),
    );
    for (at, name) in [
        (0, "version"),
        (1, "suite"),
        (2, "key id"),
        (18, "material id"),
        (50, "salt"),
        (82, "commitment"),
        (114, "ciphertext"),
    ] {
        out.bytes(blob, &format!("{name} changed"), |s| s[at] ^= 1);
    }
    out.bytes(blob, "truncated", |s| s.truncate(s.len() - 1));
    out.bytes(blob, "no tag", |s| s.truncate(120));
    out.inputs(id, "another key", json!({"key_id": "00".repeat(16)}));
    out.inputs(id, "another material", json!({"material": "3b".repeat(32)}));

    for (at, name) in [(0, "magic"), (4, "version"), (8, "ring"), (100, "key")] {
        out.bytes(shred, &format!("{name} changed, checksum mended"), |s| {
            s[at] ^= 1;
            mend(s);
        });
    }
    out.bytes(shred, "damaged", |s| s[100] ^= 1);
    out.bytes(shred, "truncated", |s| s.truncate(147));
    out.inputs(shred, "another id", json!({"shred_id": "00".repeat(16)}));
    out.inputs(material, "another key", {
        json!({"arn": ARN.replace("1234abcd", "1234abce")})
    });
    out.inputs(
        material,
        "another material",
        json!({"material_id": "00".repeat(32)}),
    );
    out.inputs(material, "another spec", json!({"spec": "HMAC_256"}));
    for (at, name) in [
        (0, "version"),
        (1, "suite"),
        (2, "ring"),
        (21, "root key version"),
        (22, "salt"),
        (54, "commitment"),
        (86, "ciphertext"),
    ] {
        out.bytes(material, &format!("{name} changed"), |s| s[at] ^= 3);
    }
    out.bytes(material, "truncated", |s| s.truncate(s.len() - 1));

    for wrapped in [by_kms, by_both] {
        out.inputs(
            wrapped,
            "another key of the key service",
            json!({"kms_key": "00".repeat(32)}),
        );
        out.inputs(
            wrapped,
            "moved to another key",
            json!({"object_key": "other"}),
        );
        out.bytes(wrapped, "mode changed", |s| s[1] = 3);
        out.bytes(wrapped, "truncated", |s| s.truncate(s.len() - 1));
        out.bytes(wrapped, "trailing byte", |s| s.push(0));
        out.bytes(wrapped, "tag changed", |s| *s.last_mut().unwrap() ^= 1);
    }
    out.bytes(by_kms, "blob changed", |s| s[9] ^= 1);
    out.bytes(by_kms, "blob of no length", |s| s[8] = 0);
    out.bytes(by_both, "blob changed", |s| s[13] ^= 1);
    let outer_at = 4 + bytes(by_kms, "stored").len();
    out.bytes(by_both, "outer half called a data key", |s| {
        s[outer_at + 1] = 1;
    });
    out.bytes(by_both, "halves swapped", |s| {
        let (inner, outer) = s[4..].split_at(outer_at - 4);
        let len = u16::try_from(outer.len()).unwrap().to_be_bytes();
        *s = [&[1, 4], &len[..], outer, inner].concat();
    });
    let half = hex::encode(&bytes(by_both, "stored")[outer_at..]);
    out.inputs(by_kms, "outer half alone", json!({"stored": half}));
}

pub(super) fn read(case: &Value) -> Result<Vec<u8>, String> {
    let stored = bytes(case, "stored");
    match case["kind"].as_str().unwrap() {
        "stream_two_layers" => {
            open_whole(&two_keys(case), &object(case), part(case), &stored).map_err(text)
        }
        "kms_blob" => {
            let material = SymmetricMaterial::parse(&bytes(case, "material")).unwrap();
            let blob = CiphertextBlob::parse(&stored).map_err(text)?;
            let opened = blob.open(&material, &arn(case), &context(case));
            opened.map(|plaintext| plaintext.to_vec()).map_err(text)
        }
        "material_id" => {
            let key = KeyId::from_bytes(bytes(case, "key_id").try_into().unwrap());
            let id = material_id(key, &bytes(case, "material"));
            let equal = id.as_bytes().as_slice() == stored;
            equal.then(Vec::new).ok_or_else(|| "false".to_owned())
        }
        "shred_file" => material(case, &stored, &bytes(case, "other")),
        "material" => material(case, &bytes(case, "other"), &stored),
        "wrap_kms" => {
            let wrapped = WrappedKey::parse(&stored).map_err(text)?;
            let keys = BodyKeys::single(from_kms(case, &wrapped)?);
            open_whole(&keys, &object(case), None, &bytes(case, "probe")).map_err(text)
        }
        "wrap_two_layers" => {
            let wrapped = WrappedKey::parse(&stored).map_err(text)?;
            let data_key = from_kms(case, &wrapped)?;
            let outer = ring(case)
                .unwrap_outer_key(&wrapped, &object(case))
                .map_err(text)?;
            let keys = BodyKeys::two_layers(data_key, outer);
            open_whole(&keys, &object(case), None, &bytes(case, "probe")).map_err(text)
        }
        other => panic!("{other}"),
    }
}

fn from_kms(case: &Value, wrapped: &WrappedKey) -> Result<DataKey, String> {
    let kms_key = KmsDataKey::parse(&bytes(case, "kms_key")).unwrap();
    let opened = kms_key.unwrap_data_key(wrapped, &object(case));
    let data_key = opened.map_err(text)?;
    assert_eq!(wrapped.kms_blob(), Some(&bytes(case, "blob")[..]));
    Ok(data_key)
}

/// A shred key cannot be looked at: it is right if it opens the material of the vector.
fn material(case: &Value, file: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, String> {
    let ring = ring(case);
    let id = ShredId::from_bytes(bytes(case, "shred_id").try_into().unwrap());
    let shred = ring.open_shred_key(id, file).map_err(text)?;
    let identity = MaterialIdentity {
        arn: arn(case),
        material: KeyMaterialId::from_bytes(bytes(case, "material_id").try_into().unwrap()),
        spec: KeySpec::parse(case["spec"].as_str().unwrap()).unwrap(),
    };
    let opened = ring.unwrap_material(&shred, &identity, wrapped);
    opened.map(|material| material.to_vec()).map_err(text)
}

fn ring(case: &Value) -> Keyring<Unsealed> {
    let ring = Keyring::<Sealed>::parse(&bytes(case, "ring")).unwrap();
    ring.unseal(&unseal_key(case)).unwrap()
}

fn arn(case: &Value) -> KeyArn {
    KeyArn::parse(case["arn"].as_str().unwrap()).unwrap()
}

fn context(case: &Value) -> EncryptionContext {
    let pairs = case["context"].as_object().unwrap().iter();
    let pairs: BTreeMap<_, _> = pairs
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    EncryptionContext::new(pairs).unwrap()
}

fn outer_key(case: &Value) -> OuterKey {
    OuterKey::random(&Given(bytes(case, "outer_key")))
}

fn two_keys(case: &Value) -> BodyKeys {
    BodyKeys::two_layers(data_key(case), outer_key(case))
}
