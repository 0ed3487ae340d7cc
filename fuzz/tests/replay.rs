//! Every committed input passes its target, on stable and without an engine.

use std::fs;
use std::path::Path;

#[test]
fn committed_corpus_passes_all_targets() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in strongroom_fuzz::TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no corpus");
    }
}

#[test]
fn every_directory_of_the_corpus_has_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let name = entry.unwrap().file_name();
        let known = strongroom_fuzz::TARGETS
            .iter()
            .any(|(target, _)| name == *target);
        assert!(known, "{}", name.display());
    }
}

/// A corpus of inputs that are all refused at the first byte would test nothing.
#[test]
fn records_of_the_corpus_are_records() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/metadata_record");
    for name in [
        "bucket",
        "current",
        "version",
        "version-of-parts",
        "delete-marker",
        "null-version",
        "upload",
        "part",
        "blob",
        "garbage",
    ] {
        let bytes = fs::read(corpus.join(name)).unwrap();
        assert!(strongroom_s3::fuzzing::record(&bytes), "{name}");
    }
}
