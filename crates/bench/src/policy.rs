//! What a decision costs: by policies that were compiled before, as every request finds them.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use strongroom_policy::{
    AccessRequest, Authorizer as _, Conditions, IdentityPolicies, NamedPolicy, Policy,
    PolicyAuthorizer, PrincipalAttributes, PrincipalPolicies, Resource, Unreadable,
};
use strongroom_types::{
    AccessKeyId, AccountId, BucketName, Entropy, ObjectKey, Principal, Region, RequestContext,
    RequestId, Timestamp, TlsVersion, Transport,
};

/// Decisions of a round, and rounds; the fastest counts, for whatever else runs only adds.
const DECISIONS: u32 = 20_000;
const ROUNDS: u32 = 15;

/// As people write them: what AWS's own policies and its guides have.
const TYPICAL: [&str; 3] = [
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*",
    "s3:Describe*","s3-object-lambda:Get*","s3-object-lambda:List*"],
    "Resource":"arn:aws:s3:::public-*"}]}"#,
    r#"{"Version":"2012-10-17","Statement":[
    {"Sid":"List","Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::homes",
    "Condition":{"StringLike":{"s3:prefix":["","home/","home/${aws:username}/*"]}}},
    {"Sid":"Home","Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],
    "Resource":"arn:aws:s3:::homes/home/${aws:username}/*"}]}"#,
    r#"{"Version":"2012-10-17","Statement":[
    {"Sid":"Tls","Effect":"Deny","Action":"*","Resource":"*",
    "Condition":{"Bool":{"aws:SecureTransport":"false"}}},
    {"Sid":"Office","Effect":"Deny","NotAction":"iam:*","Resource":"*",
    "Condition":{"NotIpAddress":{"aws:SourceIp":["203.0.113.0/24","198.51.100.0/24"]},
    "Bool":{"aws:ViaAWSService":"false"}}}]}"#,
];

const BUCKET_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Sid":"Tls","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::homes","arn:aws:s3:::homes/*"],
    "Condition":{"NumericLessThan":{"s3:TlsVersion":"1.2"}}},
    {"Sid":"Kms","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::homes/*",
    "Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}}]}"#;

pub(crate) fn run() -> Result<()> {
    println!("{:46} {:>9}", "decision", "us");
    let typical = TYPICAL.map(str::to_owned).to_vec();
    row("3 typical policies", &typical, None)?;
    row(
        "3 typical policies and a bucket policy",
        &typical,
        Some(BUCKET_POLICY),
    )?;
    // What allows is the last that is looked at.
    let mut many: Vec<String> = (0..19).map(policy_of_2_kib).collect();
    many.push(format!("{:2048}", TYPICAL[1]));
    row("20 policies of 2 KiB", &many, None)?;
    row(
        "20 policies of 2 KiB and a bucket policy",
        &many,
        Some(BUCKET_POLICY),
    )?;
    let text = policy_of_2_kib(0);
    let start = Instant::now();
    for _ in 0..1000 {
        black_box(Policy::parse(black_box(&text))?);
    }
    let us = start.elapsed().as_secs_f64() * 1e6 / 1000.0;
    println!("{:46} {us:9.2}", "(parsing and compiling 2 KiB, once)");
    Ok(())
}

fn row(name: &str, texts: &[String], bucket_policy: Option<&str>) -> Result<()> {
    let authorizer = PolicyAuthorizer::new(Arc::new(Fixed::parse(texts)?));
    let context = context()?;
    let account = AccountId::parse("111122223333")?;
    let resource = Resource::Object {
        bucket: BucketName::parse("homes").context("a bucket")?,
        owner: account,
        key: ObjectKey::parse("home/alice/2026/report.csv").context("a key")?,
    };
    let conditions = Conditions::default().with("s3:x-amz-server-side-encryption", "aws:kms");
    let request = AccessRequest {
        context: &context,
        action: "s3:PutObject",
        resource: &resource,
        conditions: &conditions,
        resource_policy: bucket_policy,
        grants: None,
        acls: None,
    };
    ensure!(authorizer.decide(&request).is_ok(), "{name} must allow");
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..DECISIONS {
            let _ = black_box(authorizer.decide(black_box(&request)));
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(DECISIONS));
    }
    println!("{name:46} {best:9.2}");
    Ok(())
}

/// Statements of other teams: near the request in all but the end.
fn policy_of_2_kib(number: u32) -> String {
    let mut text = String::from(r#"{"Version":"2012-10-17","Statement":["#);
    let mut statement = 0;
    while text.len() < 1600 {
        let comma = if statement == 0 { "" } else { "," };
        let condition = match statement % 3 {
            0 => r#","Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue"}}"#,
            1 => r#","Condition":{"StringLike":{"s3:x-amz-server-side-encryption":"AES*"}}"#,
            _ => "",
        };
        let resource = if statement % 3 == 2 {
            format!("arn:aws:s3:::homes/team-{number}-{statement}/*")
        } else {
            "arn:aws:s3:::homes/*".to_owned()
        };
        let _ = write!(
            text,
            r#"{comma}{{"Sid":"Team{number}x{statement}","Effect":"Allow","Action":["s3:GetObject","s3:PutObject",
            "s3:DeleteObject*"],"Resource":["{resource}","arn:aws:s3:::team-{number}*"]{condition}}}"#
        );
        statement += 1;
    }
    text.push_str("]}");
    format!("{text:2048}")
}

#[derive(Debug)]
struct Fixed(PrincipalPolicies);

impl Fixed {
    fn parse(texts: &[String]) -> Result<Self> {
        let mut identity = Vec::with_capacity(texts.len());
        for text in texts {
            identity.push(NamedPolicy {
                name: "arn:aws:iam::111122223333:policy/team".into(),
                policy: Arc::new(Policy::parse(text)?),
            });
        }
        Ok(Self(PrincipalPolicies {
            identity,
            attributes: PrincipalAttributes {
                tags: vec![("team".into(), "red".into())],
                ..PrincipalAttributes::default()
            },
            ..PrincipalPolicies::default()
        }))
    }
}

impl IdentityPolicies for Fixed {
    fn policies_of(&self, _: &RequestContext) -> Result<PrincipalPolicies, Unreadable> {
        Ok(self.0.clone())
    }
}

fn context() -> Result<RequestContext> {
    Ok(RequestContext {
        request_id: RequestId::random(&Zeroes),
        received: Timestamp::from_seconds(1_767_323_045),
        principal: Principal::User {
            account: AccountId::parse("111122223333")?,
            user_id: "AIDAEXAMPLE".into(),
            path_and_name: "team/alice".into(),
        },
        canonical_id: None,
        access_key_id: Some(AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE")?),
        session: None,
        via_service: None,
        region: Region::parse("us-east-1")?,
        source_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        transport: Transport::Tls(TlsVersion::V1_3),
        user_agent: None,
        sent: None,
    })
}

struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}
