//! Re-encryption of a bucket for its owner, who asks over the admin socket: as the account's root
//! user, so that every step is decided and recorded as a request of that user would be.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_policy::actions::ListBucketVersions;
use strongroom_ports::{Clock, Entropy, KeyError};
use strongroom_s3::{Entry, ReEncryptionJob, S3, S3Error};
use strongroom_types::kms::KeyArn;
use strongroom_types::{BucketName, Principal, RequestContext, RequestId, Transport};

use crate::account::Account;
use crate::admin::{Answer, RE_ENCRYPTION_PAGE_MAX, ReEncryptedPage, Skipped, malformed};
use crate::failure::{Exit, Failure};

/// The server's side of `strongroom reencrypt`.
pub(super) struct ReEncryption {
    pub(super) s3: Arc<S3>,
    pub(super) account: Account,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl ReEncryption {
    /// Counts the next versions under a prefix.
    ///
    /// # Errors
    ///
    /// With what to do about it.
    pub(super) fn count(
        &self,
        bucket: &str,
        prefix: &str,
        from: Option<String>,
    ) -> Result<Answer, Failure> {
        let from = match from.map(hex::decode) {
            Some(Ok(from)) => Some(Bytes::from(from)),
            Some(Err(_)) => return Err(malformed()),
            None => None,
        };
        let entry = self.enter(bucket)?;
        let page = self.s3.count_versions(&entry, prefix, from);
        let page = page.map_err(|error| explained(&error))?;
        Ok(Answer::Counted {
            count: page.count,
            next: page.next.map(hex::encode),
        })
    }

    /// Does the next versions.
    ///
    /// # Errors
    ///
    /// With what to do about it.
    pub(super) fn page(
        &self,
        bucket: &str,
        prefix: String,
        key: &str,
        bucket_key: bool,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let job = ReEncryptionJob {
            prefix,
            key: KeyArn::parse(key).ok_or_else(malformed)?,
            bucket_key,
        };
        let entry = self.enter(bucket)?;
        let limit = limit.clamp(1, RE_ENCRYPTION_PAGE_MAX);
        let page = self.s3.reencrypt(entry, &job, limit);
        let page = page.map_err(|error| explained(&error))?;
        let skipped = page.skipped_here.into_iter().map(|skipped| Skipped {
            failed: !skipped.is_expected(),
            key: skipped.key,
            version: skipped.version.map(|version| version.to_string()),
            reason: skipped.reason.to_string(),
        });
        Ok(Answer::ReEncrypted(ReEncryptedPage {
            looked_at: page.looked_at,
            looked_at_here: page.looked_at_here,
            updated: page.updated,
            already: page.already,
            skipped: page.skipped,
            failed: page.failed,
            skipped_here: skipped.collect(),
            done: page.done,
        }))
    }

    fn enter(&self, bucket: &str) -> Result<Entry<ListBucketVersions>, Failure> {
        let name = BucketName::parse(bucket).map_err(|_| malformed())?;
        let context = RequestContext {
            request_id: RequestId::random(&*self.entropy),
            received: self.clock.now(),
            principal: Principal::Root {
                account: self.account.id,
            },
            canonical_id: Some(self.account.canonical_id.clone()),
            access_key_id: None,
            session: None,
            via_service: None,
            region: self.account.region.clone(),
            source_ip: Ipv4Addr::LOCALHOST.into(),
            transport: Transport::Plain,
            user_agent: Some("strongroom reencrypt".into()),
            sent: None,
        };
        let entered = self.s3.enter_bucket(Arc::new(context), &name, None);
        entered.map_err(|error| explained(&error))
    }
}

/// What a person can do about what stops a whole job.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what else there is has no remedy of its own"
)]
fn explained(error: &S3Error) -> Failure {
    let (what, remedy) = match error {
        S3Error::NoSuchBucket(name) => (
            format!("there is no bucket {name}"),
            "see which there are: aws s3 ls",
        ),
        S3Error::ReEncryption(refusal) => (
            refusal.to_string(),
            "choose a key of this account: aws kms list-keys",
        ),
        S3Error::Kms(error) => {
            let remedy = match error {
                KeyError::NotFound(_) => "see which keys there are: aws kms list-keys",
                KeyError::Disabled(_) => "enable it: aws kms enable-key --key-id KEY-ARN",
                KeyError::InvalidState(_) => "see its state: aws kms describe-key --key-id KEY-ARN",
                KeyError::InvalidKeyUsage(_) => {
                    "choose a symmetric encryption key: aws kms create-key makes one"
                }
                _ => "look at the server's log",
            };
            (format!("the key cannot be used: {error}"), remedy)
        }
        S3Error::Contention => (
            "another command re-encrypts the same prefix".to_owned(),
            "let it finish, or interrupt it and run this one again",
        ),
        S3Error::NoSpace => (
            "no space is left".to_owned(),
            "make room on the disk of the data directory",
        ),
        other => (other.to_string(), "look at the server's log"),
    };
    Failure::new(Exit::General, what, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_a_job_comes_with_a_cure() {
        let key = |error| S3Error::Kms(error);
        for (error, what, remedy) in [
            (
                S3Error::NoSuchBucket(BucketName::parse("photos").unwrap()),
                "there is no bucket photos",
                "aws s3 ls",
            ),
            (
                key(KeyError::Disabled("K is disabled.".to_owned())),
                "K is disabled.",
                "enable-key",
            ),
            (
                key(KeyError::NotFound("K does not exist".to_owned())),
                "K does not exist",
                "list-keys",
            ),
            (S3Error::Contention, "another command", "let it finish"),
            (S3Error::Damaged, "does not verify", "log"),
        ] {
            let failure = explained(&error);
            assert!(failure.what.contains(what), "{failure}");
            assert!(failure.remedy.contains(remedy), "{failure}");
        }
    }
}
