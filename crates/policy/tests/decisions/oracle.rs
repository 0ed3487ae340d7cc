//! A second evaluator, written in Python from AWS's documentation by another approach, decides the
//! same random cases.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::cases::Case;
use crate::random::Random;
use serde_json::{Value, json};
use strongroom_policy::{Layer, Outcome};

/// `POLICY_CASES` says how many, `POLICY_SEED` from which seed.
#[test]
fn an_independent_evaluator_decides_alike() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let count = number("POLICY_CASES").unwrap_or(5_000);
    let seed = number("POLICY_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().as_secs()
    });
    println!("POLICY_SEED={seed} POLICY_CASES={count}");
    let mut random = Random::new(seed);
    let cases: Vec<Case> = (0..count).map(|_| random.case()).collect();
    let theirs = ask_the_other(&cases);
    assert_eq!(theirs.len(), cases.len());
    let mut outcomes = BTreeMap::new();
    for (index, (case, theirs)) in cases.iter().zip(theirs).enumerate() {
        let ours = ours(case);
        *outcomes.entry(ours["outcome"].to_string()).or_insert(0) += 1;
        assert_eq!(
            ours,
            theirs,
            "case {index} of seed {seed}:\n{:#}",
            case.to_json()
        );
    }
    println!("{outcomes:?}");
    // Cases with one end would compare little.
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.values().all(|it| it * 40 > count), "{outcomes:?}");
}

fn ours(case: &Case) -> Value {
    let decision = case.decide();
    let outcome = match decision.outcome {
        Outcome::Allowed(_) => "allowed",
        Outcome::ExplicitlyDenied(_) => "explicit",
        Outcome::ImplicitlyDenied(_) => "implicit",
        Outcome::Unreadable(_) => "unreadable",
    };
    let mut matched: Vec<String> = decision
        .matched
        .iter()
        .filter_map(|it| {
            let layer = match it.layer {
                Layer::Identity => "identity",
                Layer::Boundary => "boundary",
                Layer::Session => "session",
                Layer::Resource => "resource",
                Layer::Grant => return None,
                Layer::Acl => return Some(format!("acl/{}", it.index)),
            };
            Some(format!(
                "{layer}/{}/{}",
                if it.policy.is_empty() {
                    "0"
                } else {
                    &it.policy
                },
                it.index
            ))
        })
        .collect();
    matched.sort();
    json!({"outcome": outcome, "matched": matched})
}

fn ask_the_other(cases: &[Case]) -> Vec<Value> {
    let python = std::env::var_os("STRONGROOM_PYTHON").unwrap_or_else(|| "python3".into());
    let mut child = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/policy_oracle.py"
        ))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            for case in cases {
                writeln!(input, "{}", case.to_json()).unwrap();
            }
        });
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "the second evaluator failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
