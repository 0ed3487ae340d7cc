//! Which policies are public, held against what strangers are allowed.

use serde_json::{Value, json};
use strongroom_policy::{PolicyDocument, is_public};
use strongroom_types::Principal;

use crate::cases::Case;
use crate::random::Random;

const KEYS: [&str; 8] = [
    "aws:SourceIp",
    "aws:userid",
    "aws:PrincipalArn",
    "aws:PrincipalAccount",
    "aws:SourceVpc",
    "aws:PrincipalType",
    "aws:UserAgent",
    "s3:authType",
];
const OPERATORS: [&str; 9] = [
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringLike",
    "ArnLike",
    "StringNotEquals",
    "StringEqualsIfExists",
    "ForAllValues:StringLike",
    "IpAddress",
    "IpAddressIfExists",
];
const TEXTS: [&str; 7] = [
    "anonymous",
    "Anonymous",
    "anon*",
    "*",
    "${aws:userid}",
    "111122223333",
    "x",
];
const RANGES: [&str; 9] = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/8",
    "203.0.113.0/24",
    "::/0",
    "2000::/3",
    "2001:db8::/32",
    "::ffff:0.0.0.0/96",
];
/// Addresses that a policy is asked from.
const ASKED: usize = 64;

fn one_of<'a>(random: &mut Random, all: &[&'a str]) -> &'a str {
    all[random.below(all.len())]
}

fn condition(random: &mut Random) -> (String, Value) {
    let operator = one_of(random, &OPERATORS);
    if operator.starts_with("IpAddress") {
        let ranges: Vec<String> = if random.one_in(4) {
            let many = 1 + random.below(256);
            (0..many).map(|n| format!("{n}.0.0.0/8")).collect()
        } else {
            let some = 1 + random.below(2);
            (0..some)
                .map(|_| one_of(random, &RANGES).to_owned())
                .collect()
        };
        return (operator.to_owned(), json!({ "aws:SourceIp": ranges }));
    }
    let some = 1 + random.below(2);
    let values: Vec<&str> = (0..some).map(|_| one_of(random, &TEXTS)).collect();
    (
        operator.to_owned(),
        json!({ (one_of(random, &KEYS)): values }),
    )
}

fn policy(random: &mut Random) -> String {
    let some = 1 + random.below(2);
    let statements: Vec<Value> = (0..some)
        .map(|_| {
            let some = random.below(3);
            let conditions: serde_json::Map<_, _> = (0..some).map(|_| condition(random)).collect();
            json!({
                "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "*", "Condition": conditions,
            })
        })
        .collect();
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// Half of them of either version.
fn address(random: &mut Random) -> String {
    let mut byte = || u8::try_from(random.below(256)).unwrap();
    if byte() < 128 {
        format!("{}.{}.{}.{}", byte(), byte(), byte(), byte())
    } else {
        format!(
            "2{:x}{:02x}:{:02x}{:02x}::1",
            byte() % 16,
            byte(),
            byte(),
            byte()
        )
    }
}

#[test]
fn what_strangers_are_allowed_from_everywhere_is_public() {
    let (mut public, mut private) = (0, 0);
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let text = policy(&mut random);
        if is_public(&PolicyDocument::parse(&text).unwrap()) {
            public += 1;
            continue;
        }
        private += 1;
        let mut case = Case::new(Principal::Anonymous, "s3:GetObject", "arn:aws:s3:::b/k");
        case.resource_policy = Some(text.clone());
        let mut allowed = 0;
        for _ in 0..ASKED {
            case.source_ip = address(&mut random);
            allowed += usize::from(case.is_allowed());
        }
        // Some are asked from ranges that are narrow.
        assert!(allowed * 4 < ASKED, "{allowed} of {ASKED}: {text}");
    }
    // All of one kind would show little.
    assert!(public > 100 && private > 100, "{public} {private}");
}
