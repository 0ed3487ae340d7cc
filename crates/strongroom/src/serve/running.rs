//! What the running server does for its owner's commands.

use std::net::SocketAddr;
use std::sync::Arc;

use strongroom_api::server::TlsReloader;
use strongroom_iam::IamService;
use strongroom_kms::KeyService;

use super::backups::Backups;
use super::explaining::Explaining;
use super::reencryption::ReEncryption;
use super::root_key::RootKey;
use crate::account::{Account, Accounts};
use crate::admin::{AdminActions, Answer, BackupBegun, BackupRequest, Request};
use crate::audit::AuditReading;
use crate::commands::env_answer;
use crate::config::Settings;
use crate::credentials::CredentialMap;
use crate::failure::{Exit, Failure};
use crate::impact::{ImpactAsk, ImpactSource};
use crate::{identities, inspect, tenants};

/// The server, as the admin channel sees it.
pub(super) struct Running {
    pub(super) settings: Settings,
    pub(super) accounts: Accounts,
    pub(super) account: Account,
    pub(super) credentials: Arc<CredentialMap>,
    pub(super) iam: Arc<IamService>,
    pub(super) reencryption: ReEncryption,
    pub(super) root_key: Arc<RootKey>,
    pub(super) backups: Arc<Backups>,
    pub(super) kms: Arc<KeyService>,
    pub(super) explaining: Explaining,
    pub(super) audit: AuditReading,
    pub(super) http: Option<SocketAddr>,
    pub(super) https: Option<SocketAddr>,
    pub(super) tls: Option<Arc<TlsReloader>>,
}

impl AdminActions for Running {
    fn answer(&self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Env => self.env(),
            Request::RotateCredentials => self.rotate(),
            Request::Seal { .. } => Err(Failure::new(
                Exit::General,
                "what is about seals does not come here",
                "",
            )),
            Request::Inspect {
                bucket,
                key,
                version,
            } => {
                let meta = &*self.accounts.meta;
                let ring = self.accounts.custody.ring();
                inspect::answer(
                    &self.settings,
                    (meta, &ring),
                    (&bucket, &key, version.as_deref()),
                )
                .map(|found| Answer::Inspected(Box::new(found)))
            }
            Request::Verify { .. } => Err(Failure::new(
                Exit::General,
                "a verification does not come here",
                "",
            )),
            Request::ReloadTls => self.reload_tls(),
            Request::AuditIsThere => Ok(Answer::Done),
            Request::Audit { ask } => Ok(Answer::Audited {
                audited: Box::new(self.audit.answer(&ask)?),
            }),
            Request::CreateAccount { .. }
            | Request::ListAccounts
            | Request::DisableAccount { .. }
            | Request::RotateAccountCredentials { .. } => tenants::answer(&self.iam, &request),
            Request::Backup { ask } => self.backup(ask),
            Request::RootKeyStatus => Ok(Answer::RootKey(self.root_key.status()?)),
            Request::RotateRootKey => Ok(Answer::RootKeyRotated {
                version: self.root_key.rotate()?,
            }),
            Request::Rewrap => self.root_key.rewrap().map(|()| Answer::Done),
            Request::RetireRootKey { version } => {
                self.root_key.retire(version).map(|()| Answer::Done)
            }
            Request::CountVersions {
                bucket,
                prefix,
                from,
            } => self.reencryption.count(&bucket, &prefix, from),
            Request::ReEncrypt {
                bucket,
                prefix,
                key,
                bucket_key,
                limit,
            } => self
                .reencryption
                .page(&bucket, prefix, &key, bucket_key, limit),
            Request::Impact { ask } => self.impact(&ask),
            Request::Explain {
                action,
                principal,
                resource,
                context,
                via,
            } => self
                .explaining
                .explain(action, (&principal, &resource), context, via),
            Request::Readers {
                bucket,
                key,
                version,
                from,
            } => self
                .explaining
                .readers((&bucket, &key, version.as_deref()), from.as_deref()),
            Request::Assumers { role, from } => self.explaining.assumers(&role, from.as_deref()),
        }
    }
}

impl Running {
    fn env(&self) -> Result<Answer, Failure> {
        let key = self.accounts.root_keys()?.pop().ok_or_else(|| {
            Failure::new(
                Exit::Store,
                "the store has no root access key",
                "make one: strongroom credentials rotate",
            )
        })?;
        let (http, https) = (local(self.http), local(self.https));
        Ok(Answer::Env(env_answer(
            &self.settings,
            &self.account,
            key,
            http,
            https,
        )))
    }

    fn impact(&self, ask: &ImpactAsk) -> Result<Answer, Failure> {
        let source = ImpactSource {
            rows: &self.accounts.sealed_rows(),
            home: (self.account.id, &self.account.region),
            now: self.accounts.clock.now(),
            kms: Some(&self.kms),
        };
        let found = source.answer(ask)?;
        Ok(Answer::Impact { found })
    }

    fn rotate(&self) -> Result<Answer, Failure> {
        // Durable first: a key that was answered and then lost would lock its owner out.
        let new = self.accounts.rotate_root_key()?;
        self.credentials
            .replace(&self.account, std::slice::from_ref(&new));
        let keys = std::slice::from_ref(&new);
        identities::show_root_keys(self.iam.identities(), keys);
        // Whoever had the old key may have made others with it.
        self.iam
            .delete_own_root_keys()
            .map_err(|error| tenants::refused(&error))?;
        tracing::warn!(access_key_id = %new.id, "root access key rotated");
        Ok(Answer::Rotated {
            access_key_id: new.id.to_string(),
        })
    }

    fn backup(&self, ask: BackupRequest) -> Result<Answer, Failure> {
        match ask {
            BackupRequest::Begin { holder } => {
                let (hold, begun) = self.backups.begin(holder)?;
                let extents = begun.extents.into_iter();
                Ok(Answer::BackupBegun(BackupBegun {
                    hold,
                    mark: begun.mark,
                    marked: begun.marked,
                    ring_id: begun.ring_id,
                    extents: extents.map(|it| (it.path, it.len_bytes)).collect(),
                }))
            }
            BackupRequest::GoOn { hold } => self.backups.go_on(hold).map(|()| Answer::Done),
            BackupRequest::Shreds { hold, after } => {
                let (ids, more) = self.backups.shreds(hold, after)?;
                Ok(Answer::BackupShreds { ids, more })
            }
            BackupRequest::Sign { hold, digest } => {
                let mac = self.backups.sign(hold, &digest)?;
                Ok(Answer::BackupSigned { mac })
            }
            BackupRequest::End { hold } => {
                self.backups.end(hold);
                Ok(Answer::Done)
            }
        }
    }

    fn reload_tls(&self) -> Result<Answer, Failure> {
        if let Some(tls) = &self.tls {
            tls.reload_if_changed().map_err(|error| {
                Failure::new(
                    Exit::Environment,
                    error.to_string(),
                    "the old certificate stays in use; correct the files",
                )
            })?;
        }
        Ok(Answer::Done)
    }
}

/// Where a client on this host reaches a listener: one on every address is reached over loopback.
fn local(address: Option<SocketAddr>) -> Option<String> {
    let mut address = address?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_on_every_address_are_reached_over_loopback() {
        let shown = |text: &str| local(Some(text.parse().unwrap())).unwrap();
        assert_eq!(shown("0.0.0.0:9000"), "127.0.0.1:9000");
        assert_eq!(shown("[::]:9000"), "[::1]:9000");
        assert_eq!(shown("192.0.2.1:9000"), "192.0.2.1:9000");
        assert_eq!(local(None), None);
    }
}
