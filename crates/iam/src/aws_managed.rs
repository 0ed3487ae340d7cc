//! The policies that AWS manages, as far as people use them here. They grant what AWS's grant to the
//! services that this server has.

use std::sync::OnceLock;

use strongroom_types::Timestamp;

use crate::{Document, DocumentKind};

/// When AWS's were made.
pub(crate) const CREATED: Timestamp = Timestamp::from_seconds(1_423_161_588);

/// A policy that AWS manages.
#[derive(Debug)]
pub(crate) struct AwsManaged {
    pub name: &'static str,
    /// AWS's own id.
    pub id: &'static str,
    pub description: &'static str,
    pub document: Document,
}

impl AwsManaged {
    pub(crate) fn arn(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }
}

const PREFIX: &str = "arn:aws:iam::aws:policy/";

/// All of them.
pub(crate) fn all() -> &'static [AwsManaged] {
    static ALL: OnceLock<Vec<AwsManaged>> = OnceLock::new();
    ALL.get_or_init(|| {
        TEXTS
            .iter()
            .filter_map(|(name, id, description, text)| {
                // All of them parse: a test says so.
                let document = Document::parse(text, DocumentKind::Identity).ok()?;
                Some(AwsManaged {
                    name,
                    id,
                    description,
                    document,
                })
            })
            .collect()
    })
}

/// The policy of that ARN.
pub(crate) fn find(arn: &str) -> Option<&'static AwsManaged> {
    let name = arn.strip_prefix(PREFIX)?;
    all().iter().find(|it| it.name == name)
}

const TEXTS: &[(&str, &str, &str, &str)] = &[
    (
        "AWSKeyManagementServicePowerUser",
        "ANPAJNPP7PPPPMJRV2SA4",
        "Access to all of Key Management Service but what keys hold and who may use them.",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateAlias","kms:CreateKey","kms:DeleteAlias","kms:Describe*","kms:GenerateRandom","kms:Get*","kms:List*","kms:TagResource","kms:UntagResource","iam:ListGroups","iam:ListRoles","iam:ListUsers"],"Resource":"*"}]}"#,
    ),
    (
        "AdministratorAccess",
        "ANPAIWMBCKSKIEE64ZLYK",
        "Full access to all services and resources.",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    ),
    (
        "AmazonS3FullAccess",
        "ANPAIFIR6V6BVTRAHWINE",
        "Full access to all buckets.",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","s3-object-lambda:*"],"Resource":"*"}]}"#,
    ),
    (
        "AmazonS3ReadOnlyAccess",
        "ANPAIZTJ4DXE7G6AGAE6M",
        "Read access to all buckets.",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Describe*","s3:Get*","s3:List*","s3-object-lambda:Get*","s3-object-lambda:List*"],"Resource":"*"}]}"#,
    ),
    (
        "ReadOnlyAccess",
        "ANPAILL3HVNFSB6DCOWYQ",
        "Read access to all services and resources.",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cloudformation:Describe*","cloudformation:Detect*","cloudformation:Estimate*","cloudformation:Get*","cloudformation:List*","cloudtrail:Describe*","cloudtrail:Get*","cloudtrail:List*","cloudtrail:LookupEvents","iam:Generate*","iam:Get*","iam:List*","iam:Simulate*","kms:Describe*","kms:Get*","kms:List*","s3:DescribeJob","s3:Get*","s3:List*","secretsmanager:Describe*","secretsmanager:GetResourcePolicy","secretsmanager:List*","sts:GetAccessKeyInfo","sts:GetCallerIdentity","sts:GetSessionToken"],"Resource":"*"}]}"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_parse_and_are_found_by_their_arns() {
        assert_eq!(all().len(), TEXTS.len());
        for managed in all() {
            assert!(find(&managed.arn()).is_some_and(|it| it.name == managed.name));
        }
        assert!(find("arn:aws:iam::111122223333:policy/AdministratorAccess").is_none());
        assert!(find("arn:aws:iam::aws:policy/Nothing").is_none());
    }

    #[test]
    fn reading_everything_reads_no_secret() {
        let reads = |name: &str, action: &str| {
            let managed = find(&format!("{PREFIX}{name}")).unwrap();
            managed.document.parsed().statements.iter().any(|it| {
                it.action
                    .as_ref()
                    .is_some_and(|actions| actions.covers(action))
            })
        };
        assert!(reads("ReadOnlyAccess", "s3:GetObject"));
        for action in [
            "kms:Decrypt",
            "secretsmanager:GetSecretValue",
            "iam:CreateUser",
        ] {
            assert!(!reads("ReadOnlyAccess", action), "{action}");
        }
        assert!(!reads("AWSKeyManagementServicePowerUser", "kms:Decrypt"));
        assert!(!reads("AmazonS3ReadOnlyAccess", "s3:PutObject"));
    }
}
