//! What the operator does, and what the server does by itself, for the trail: events of
//! `strongroom.local`, which no AWS service has.
//!
//! Who may use the admin socket is the user whose server it is; the record names his uid. Accounts and
//! root access keys are recorded in the transactions of their changes, and the key ring in that which
//! notes its generation. What commands do by themselves they note ([`crate::notes`]).

use strongroom_audit::{AuditLog, EventBuilder, OWN_SOURCE, Params};

use crate::admin::{Answer, BackupRequest, Request, SealRequest, VerifyRequest};
use crate::failure::{Exit, Failure};

/// A command that changes something, or that needs a right of its own.
pub(super) struct Deed {
    name: &'static str,
    details: Params,
    /// Type and ARN of what it is done to.
    resources: Vec<(&'static str, String)>,
}

impl Deed {
    /// What a request does; nothing if it only looks, or if its change has a record of its own.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let mut resources = Vec::new();
        let (name, details) = match request {
            Request::RotateRootKey => ("RotateRootKey", Params::new()),
            Request::Rewrap => ("RewrapKeys", Params::new()),
            Request::RetireRootKey { version } => {
                let details = Params::new().number("version", (*version).into());
                ("RetireRootKey", details)
            }
            Request::Seal { ask } => match ask {
                SealRequest::ForgetShares => ("ForgetShares", Params::new()),
                // The command notes it with the seals that it dropped.
                SealRequest::Rekeyed { .. }
                | SealRequest::Status
                | SealRequest::Unseal { .. }
                | SealRequest::RingChanged => return None,
            },
            Request::Verify { ask } => match ask {
                VerifyRequest::Start { sealed, .. } => {
                    ("VerifyStore", Params::new().flag("withoutKeys", *sealed))
                }
                VerifyRequest::Status | VerifyRequest::Report { .. } | VerifyRequest::Stop => {
                    return None;
                }
            },
            Request::Backup { ask } => match ask {
                BackupRequest::Begin { .. } => ("BackupStore", Params::new()),
                BackupRequest::Sign { digest, .. } => {
                    let digest = hex::encode(digest);
                    ("SignBackup", Params::new().text("manifestSha256", &digest))
                }
                BackupRequest::GoOn { .. }
                | BackupRequest::Shreds { .. }
                | BackupRequest::End { .. } => return None,
            },
            Request::ReloadTls => ("ReloadCertificates", Params::new()),
            // Whoever asks holds the root access key then.
            Request::Env => ("ShowRootAccessKey", Params::new()),
            Request::ReEncrypt {
                bucket,
                prefix,
                key,
                bucket_key,
                limit: _,
            } => {
                resources.push(("AWS::S3::Bucket", format!("arn:aws:s3:::{bucket}")));
                resources.push(("AWS::KMS::Key", key.clone()));
                let details = Params::new()
                    .text("bucketName", bucket)
                    .text("prefix", prefix)
                    .text("kmsKeyArn", key)
                    .flag("bucketKeyEnabled", *bucket_key);
                ("ReEncryptObjects", details)
            }
            Request::RotateCredentials
            | Request::AuditIsThere
            | Request::Audit { .. }
            | Request::Inspect { .. }
            | Request::RootKeyStatus
            | Request::CountVersions { .. }
            | Request::Impact { .. }
            | Request::Explain { .. }
            | Request::Readers { .. }
            | Request::Assumers { .. }
            | Request::CreateAccount { .. }
            | Request::ListAccounts
            | Request::DisableAccount { .. }
            | Request::RotateAccountCredentials { .. } => return None,
        };
        Some(Self {
            name,
            details,
            resources,
        })
    }

    /// Records it, with what came of it, and gives that on once the record is durable.
    ///
    /// # Errors
    ///
    /// The command's own; [`Exit::Store`] without a record, though it may have been carried out.
    pub(super) fn recorded(
        self,
        audit: &AuditLog,
        outcome: Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        let Self {
            name,
            mut details,
            resources,
        } = self;
        if let Ok(Answer::RootKeyRotated { version }) = &outcome {
            details = details.number("version", (*version).into());
        }
        if let Ok(Answer::BackupBegun(begun)) = &outcome {
            details = details.number("mark", begun.mark);
        }
        if let Ok(Answer::ReEncrypted(page)) = &outcome {
            details = details
                .number("lookedAt", page.looked_at)
                .number("updated", page.updated)
                .number("skipped", page.skipped)
                .flag("done", page.done);
        }
        let failed = outcome.as_ref().err().map(|failure| failure.what.as_str());
        let details = by_operator(details);
        let event = EventBuilder::by_service(audit.home().account, OWN_SOURCE, name);
        let event = resources
            .iter()
            .fold(event, |event, (kind, arn)| event.resource(kind, arn, None));
        append(audit, name, event.service_details(&details), failed)?;
        outcome
    }
}

/// With who is at the admin socket: it lets in nobody but the server's own user.
pub(crate) fn by_operator(details: Params) -> Params {
    details.number("operatorUid", rustix::process::geteuid().as_raw().into())
}

/// Records an event of the server's own, and waits until it is durable.
///
/// # Errors
///
/// [`Exit::Store`].
pub(crate) fn record(
    audit: &AuditLog,
    name: &str,
    details: &Params,
    failed: Option<&str>,
) -> Result<(), Failure> {
    let event = EventBuilder::by_service(audit.home().account, OWN_SOURCE, name);
    append(audit, name, event.service_details(details), failed)
}

fn append(
    audit: &AuditLog,
    name: &str,
    mut event: EventBuilder<'_>,
    failed: Option<&str>,
) -> Result<(), Failure> {
    if let Some(why) = failed {
        event = event.failed("Refused", why);
    }
    let receipt = audit.append(&[audit.finish(event)]).wait();
    receipt.map(drop).map_err(|error| {
        Failure::new(
            Exit::Store,
            format!("{name} cannot be recorded in the audit trail: {error}"),
            "make room on the disk of the data directory, or look at the server's log",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_look_are_no_deeds_and_secrets_are_not_told() {
        assert!(Deed::of(&Request::RootKeyStatus).is_none());
        assert!(Deed::of(&Request::ListAccounts).is_none());
        let deed = Deed::of(&Request::RetireRootKey { version: 3 }).unwrap();
        assert_eq!(deed.name, "RetireRootKey");
        let told = by_operator(deed.details).as_json();
        assert!(told.starts_with(r#"{"version":3,"operatorUid":"#), "{told}");
    }
}
