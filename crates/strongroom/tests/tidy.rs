//! Checks of the repository itself: what reviewers would otherwise have to remember.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// All tracked-looking files below `directory` whose names end in one of `endings`.
fn files(directory: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let skip = matches!(
                name.as_str(),
                "target" | ".git" | ".venv" | "corpus" | "__pycache__" | "node_modules"
            );
            if !skip {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn sources_are_ascii() {
    for path in files(&root(), &[".rs", ".toml"]) {
        for (number, line) in read(&path).lines().enumerate() {
            assert!(
                line.is_ascii(),
                "{}:{}: not ASCII: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    // Spelled apart, so that this file does not find itself.
    let banned = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("#[al", "low("),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    for path in files(&root().join("crates"), &[".rs"]) {
        let text = read(&path);
        for word in banned {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn every_crate_is_on_the_map() {
    let map = read(&root().join("ARCHITECTURE.md"));
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            map.contains(&format!("| `{name}` |")),
            "crate {name} is missing in ARCHITECTURE.md's code map"
        );
    }
}

#[test]
fn every_crate_of_ours_is_compiled_quickly() {
    let workspace = read(&root().join("Cargo.toml"));
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let manifest = read(&entry.unwrap().path().join("Cargo.toml"));
        let name = manifest
            .lines()
            .find_map(|line| line.strip_prefix("name = \""))
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap();
        assert!(
            workspace.contains(&format!("\n{name}.opt-level = 1\n")),
            "{name} is not below [profile.dev.package] in Cargo.toml"
        );
    }
}

#[test]
fn every_dependency_is_justified() {
    let manifest = read(&root().join("Cargo.toml"));
    let justified = read(&root().join("docs/dependencies.md"));
    let section = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    for line in section
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with('#'))
    {
        let name = line.split('=').next().unwrap().trim();
        if !name.starts_with("strongroom-") {
            assert!(
                justified.contains(&format!("| `{name}` |")),
                "{name} is missing in docs/dependencies.md"
            );
        }
    }
}

/// The two layers of DSSE-KMS must not share an implementation: not directly, and not below.
#[test]
fn the_outer_layer_shares_no_lineage_with_the_inner_one() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = |package: &str| {
        let output = Command::new(&cargo)
            .current_dir(root())
            .args(["tree", "--offline", "--locked", "--prefix", "none"])
            .args(["-e", "normal", "--format", "{p}", "-p", package])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        let names = String::from_utf8(output.stdout).unwrap();
        let names = names.lines().filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let outer = tree("strongroom-outer");
    assert!(outer.contains(&"aes-gcm".to_owned()), "{outer:?}");
    for name in &outer {
        for banned in ["aws-lc", "ring", "openssl", "boring", "strongroom-crypto"] {
            let is_banned = name == banned || name.starts_with(&format!("{banned}-"));
            assert!(!is_banned, "strongroom-outer depends on {name}");
        }
    }
    // The same look at the inner layer finds what it must find.
    assert!(tree("strongroom-crypto").contains(&"aws-lc-rs".to_owned()));
}

#[test]
fn secret_types_do_not_print_or_copy() {
    let secrets = [
        "DataKey",
        "UnsealKey",
        "CustomerKey",
        "ServiceKey",
        "RootKey",
        "SigningSecret",
        "SlotKey",
        "PrivateKey",
        "MacKey",
        "ImportWrappingKey",
        "KmsDataKey",
        "OuterKey",
        "SymmetricMaterial",
        "ShredKey",
        "BodyKeys",
        "KeyShare",
        "Passphrase",
    ];
    for path in files(&root().join("crates"), &[".rs"]) {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(name) = secrets.iter().find(|name| {
                line.contains(&format!("struct {name}("))
                    || line.contains(&format!("struct {name} {{"))
            }) else {
                continue;
            };
            let attributes = lines[..number].iter().rev().take_while(|line| {
                line.trim_start().starts_with("#[") || line.trim_start().starts_with("//")
            });
            for attribute in attributes.filter(|line| line.contains("derive(")) {
                for banned in [
                    "Clone",
                    "Copy",
                    "Debug",
                    "Serialize",
                    "PartialEq",
                    "Display",
                ] {
                    assert!(
                        !attribute.contains(banned),
                        "{}: {name} derives {banned}",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn the_readme_names_the_commands_that_ci_runs() {
    let readme = read(&root().join("README.md"));
    for command in ["cargo run --release -- serve", "eval \"$(", "tools/test.sh"] {
        assert!(
            readme.contains(command),
            "README.md does not say `{command}`"
        );
    }
    assert!(
        read(&root().join(".ci/run")).contains("tools/test.sh"),
        ".ci/run does not call the README's test command"
    );
}

#[test]
fn adrs_are_numbered_once_and_have_their_parts() {
    let mut numbers = Vec::new();
    for path in files(&root().join("docs/adr"), &[".md"]) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        numbers.push(
            name[..4]
                .parse::<u32>()
                .unwrap_or_else(|_| panic!("{name} has no number")),
        );
        let text = read(&path);
        for part in ["Context", "Decision", "Consequences"] {
            let found = [format!("**{part}.**"), format!("## {part}")]
                .iter()
                .any(|head| text.contains(head));
            assert!(found, "{name} lacks {part}");
        }
    }
    numbers.sort_unstable();
    let unique = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), unique, "two ADRs share a number");
}
