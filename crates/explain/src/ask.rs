//! What people write for a principal and for what something is done to.

use std::fmt;
use std::str::FromStr;

use strongroom_types::kms::{AliasArn, KeyArn, KeyIdentifier};
use strongroom_types::{AccountId, BucketName, ObjectKey};

/// Who asks, as a person writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PrincipalAsk {
    /// `111122223333` or `arn:aws:iam::111122223333:root`.
    Root(AccountId),
    /// `arn:aws:iam::111122223333:user/PATH/NAME`.
    User(AccountId, String),
    /// `arn:aws:iam::111122223333:role/PATH/NAME`: any session of it.
    Role(AccountId, String),
    /// `arn:aws:sts::111122223333:assumed-role/ROLE/SESSION`.
    Session {
        /// The account.
        account: AccountId,
        /// The role's name.
        role: String,
        /// The session's name.
        session: String,
    },
    /// `arn:aws:sts::111122223333:federated-user/NAME`.
    Federated(AccountId, String),
    /// `cloudtrail.amazonaws.com`.
    Service(String),
    /// `anonymous`.
    Anonymous,
}

impl FromStr for PrincipalAsk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no principal; expected is the ARN of a user, role, session or root user, \
                 an account id, or anonymous"
            )
        };
        if text == "anonymous" {
            return Ok(Self::Anonymous);
        }
        if let Ok(account) = AccountId::parse(text) {
            return Ok(Self::Root(account));
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if text.ends_with(".amazonaws.com") && text.chars().all(is_host) {
            return Ok(Self::Service(text.to_owned()));
        }
        let (is_iam, rest) = match (
            text.strip_prefix("arn:aws:iam::"),
            text.strip_prefix("arn:aws:sts::"),
        ) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        let (account, resource) = rest.split_once(':').ok_or_else(wrong)?;
        let account = AccountId::parse(account).map_err(|_| wrong())?;
        if is_iam && resource == "root" {
            return Ok(Self::Root(account));
        }
        let (kind, name) = resource.split_once('/').ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        match (is_iam, kind) {
            (true, "user") => Ok(Self::User(account, text.to_owned())),
            (true, "role") => Ok(Self::Role(account, text.to_owned())),
            (false, "assumed-role") => {
                let (role, session) = name.split_once('/').ok_or_else(wrong)?;
                Ok(Self::Session {
                    account,
                    role: role.to_owned(),
                    session: session.to_owned(),
                })
            }
            (false, "federated-user") => Ok(Self::Federated(account, name.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// What something is done to, as a person writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResourceAsk {
    /// `*`: of what is done to nothing in particular.
    Everything,
    /// `arn:aws:s3:::BUCKET`.
    Bucket(BucketName),
    /// `arn:aws:s3:::BUCKET/KEY`.
    Object(BucketName, ObjectKey),
    /// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
    Key(KeyArn),
    /// `arn:aws:kms:REGION:ACCOUNT:alias/NAME`.
    Alias(AliasArn),
    /// `arn:aws:iam::ACCOUNT:...` or `arn:aws:sts::ACCOUNT:...`.
    Identity(AccountId, String),
}

impl FromStr for ResourceAsk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no resource; expected is the ARN of a bucket, object, KMS key, alias or \
                 something of IAM, s3://BUCKET/KEY, or *"
            )
        };
        if text == "*" || text == "arn:aws:s3:::*" {
            return Ok(Self::Everything);
        }
        let s3 = text
            .strip_prefix("arn:aws:s3:::")
            .or_else(|| text.strip_prefix("s3://"));
        if let Some(place) = s3 {
            let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
            let bucket = BucketName::parse(bucket)
                .map_err(|_| format!("{bucket:?} cannot be the name of a bucket"))?;
            if key.is_empty() {
                return Ok(Self::Bucket(bucket));
            }
            let key = ObjectKey::parse(key).map_err(|error| error.to_string())?;
            return Ok(Self::Object(bucket, key));
        }
        match KeyIdentifier::parse(text) {
            Ok(KeyIdentifier::Arn(key)) => return Ok(Self::Key(key)),
            Ok(KeyIdentifier::AliasArn(alias)) => return Ok(Self::Alias(alias)),
            // Of which account, is not said.
            Ok(KeyIdentifier::Id(_) | KeyIdentifier::Alias(_)) | Err(_) => {}
        }
        let rest = text
            .strip_prefix("arn:aws:iam::")
            .or_else(|| text.strip_prefix("arn:aws:sts::"))
            .ok_or_else(wrong)?;
        let (account, _) = rest.split_once(':').ok_or_else(wrong)?;
        let account = AccountId::parse(account).map_err(|_| wrong())?;
        Ok(Self::Identity(account, text.to_owned()))
    }
}

impl fmt::Display for ResourceAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Bucket(bucket) => write!(f, "arn:aws:s3:::{bucket}"),
            Self::Object(bucket, key) => write!(f, "arn:aws:s3:::{bucket}/{key}"),
            Self::Key(arn) => arn.fmt(f),
            Self::Alias(arn) => arn.fmt(f),
            Self::Identity(_, arn) => f.write_str(arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_written_in_the_forms_that_aws_has() {
        let parse = |text: &str| text.parse::<PrincipalAsk>();
        let account = AccountId::parse("111122223333").unwrap();
        for text in ["111122223333", "arn:aws:iam::111122223333:root"] {
            assert_eq!(parse(text), Ok(PrincipalAsk::Root(account)));
        }
        assert_eq!(
            parse("arn:aws:sts::111122223333:assumed-role/r/s"),
            Ok(PrincipalAsk::Session {
                account,
                role: "r".to_owned(),
                session: "s".to_owned()
            })
        );
        assert_eq!(parse("anonymous"), Ok(PrincipalAsk::Anonymous));
        for wrong in [
            "alice",
            "",
            "arn:aws:iam::111122223333:group/g",
            "arn:aws:iam::1111:user/alice",
            "arn:aws:sts::111122223333:assumed-role/r",
        ] {
            assert!(parse(wrong).unwrap_err().contains("anonymous"), "{wrong}");
        }
    }

    #[test]
    fn resources_are_arns_or_s3_urls() {
        let shown = |text: &str| text.parse::<ResourceAsk>().map(|it| it.to_string());
        assert_eq!(shown("s3://abc/k/l"), Ok("arn:aws:s3:::abc/k/l".to_owned()));
        assert_eq!(shown("arn:aws:s3:::abc"), Ok("arn:aws:s3:::abc".to_owned()));
        assert_eq!(shown("*"), Ok("*".to_owned()));
        let user = "arn:aws:iam::111122223333:user/alice";
        assert_eq!(shown(user), Ok(user.to_owned()));
        for wrong in ["alice", "s3://A", "arn:aws:sqs:us-east-1:111122223333:q"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
