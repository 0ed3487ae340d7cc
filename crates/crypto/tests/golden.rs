//! Golden vectors: bytes written once and read for ever, and bytes that must be refused for ever.
//!
//! `testdata/format/v1/*.json` is read by this test and by the second reader in Python. To write it
//! anew (only together with a new format version), run this test with
//! `STRONGROOM_WRITE_VECTORS=1`.
#![cfg(test)]

mod common;
mod vectors;

use std::process::Command;

use serde_json::Value;

const FILES: [(&str, &str); 7] = [
    (
        "streams",
        include_str!("../../../testdata/format/v1/streams.json"),
    ),
    (
        "keys",
        include_str!("../../../testdata/format/v1/keys.json"),
    ),
    (
        "records",
        include_str!("../../../testdata/format/v1/records.json"),
    ),
    (
        "pages",
        include_str!("../../../testdata/format/v1/pages.json"),
    ),
    (
        "layers",
        include_str!("../../../testdata/format/v1/layers.json"),
    ),
    ("kms", include_str!("../../../testdata/format/v1/kms.json")),
    (
        "negative",
        include_str!("../../../testdata/format/v1/negative.json"),
    ),
];

#[test]
fn golden_vectors_are_written_as_ever() {
    if std::env::var_os("STRONGROOM_WRITE_VECTORS").is_some() {
        for (name, text) in vectors::generate() {
            let path = format!("{DIRECTORY}/{name}.json");
            #[expect(clippy::disallowed_methods, reason = "writes test data on request")]
            std::fs::write(path, text).unwrap();
        }
        return;
    }
    for ((name, committed), (generated_name, generated)) in FILES.iter().zip(vectors::generate()) {
        assert_eq!(*name, generated_name);
        assert!(
            *committed == generated,
            "{name}.json would be written otherwise"
        );
    }
}

#[test]
fn golden_vectors_are_read_as_ever() {
    let mut counts = (0, 0);
    for (name, text) in FILES {
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        assert!(!cases.is_empty(), "{name}");
        for case in cases {
            let got = vectors::read(&case);
            let expected = if let Some(error) = case.get("error") {
                counts.1 += 1;
                Err(error.as_str().unwrap().to_owned())
            } else {
                counts.0 += 1;
                Ok(vectors::plaintext(&case))
            };
            assert!(
                got == expected,
                "{name}: {}: {:?}",
                case["name"],
                got.map(|bytes| bytes.len())
            );
        }
    }
    assert!(counts.1 > counts.0, "more must be refused than accepted");
}

#[test]
fn worked_example_in_format_md_is_the_first_vector() {
    let format = include_str!("../../../FORMAT.md");
    let digits: String = format.split_whitespace().collect();
    let cases: Vec<Value> = serde_json::from_str(FILES[0].1).unwrap();
    assert_eq!(cases[0]["name"], "single");
    assert!(digits.contains(cases[0]["stored"].as_str().unwrap()));
}

/// `FORMAT.md` is enough to write a reader: here is one that shares no code with this crate.
#[test]
fn second_reader_agrees() {
    let python = std::env::var_os("STRONGROOM_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/second_reader.py"
        ))
        .arg(DIRECTORY)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/format/v1");
