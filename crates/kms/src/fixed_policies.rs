//! The key policies that the service writes itself.

use serde_json::json;
use strongroom_types::{AccountId, Region};

/// The policy of a key that was created without one (Developer Guide, "Default key policy"): the
/// account's IAM policies decide.
pub(crate) fn default_policy(account: AccountId) -> String {
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

/// The policy of the AWS managed key of a service: use through the service for everybody in the
/// account, metadata for the account.
pub(crate) fn aws_managed_policy(
    id: &str,
    service_name: &str,
    service: &str,
    account: AccountId,
    region: &Region,
) -> String {
    json!({
        "Version": "2012-10-17",
        "Id": id,
        "Statement": [
            {
                "Sid": format!(
                    "Allow access through {service_name} for all principals in the account that \
                     are authorized to use {service_name}"
                ),
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": [
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:DescribeKey",
                ],
                "Resource": "*",
                "Condition": {
                    "StringEquals": {
                        "kms:CallerAccount": account.to_string(),
                        "kms:ViaService": format!("{service}.{region}.amazonaws.com"),
                    },
                },
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
                "Resource": "*",
            },
        ],
    })
    .to_string()
}
