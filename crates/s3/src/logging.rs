//! Server access logging: which bucket's requests are logged, and where to (S3 User Guide, "Logging
//! requests with server access logging").

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use std::sync::Arc;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use strongroom_policy::actions::{self, PutObject};
use strongroom_types::{
    AclGrant, AclPermission, BucketName, CanonicalId, ObjectKey, Principal, RequestContext,
    RequestId, ServiceSource, TlsVersion, Transport,
};

use crate::rows::AclGrantRow;
use crate::{AclRefusal, BucketView, Entry, S3, S3Error, WantedAcl};

/// As whom logs are delivered: policies of target buckets name it.
pub const LOGGING_SERVICE: &str = "logging.s3.amazonaws.com";

/// Where a bucket's requests are logged to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketLogging {
    /// `TargetBucket`, of the same owner.
    pub target_bucket: BucketName,
    /// `TargetPrefix`.
    pub target_prefix: String,
    /// `TargetObjectKeyFormat`.
    pub key_format: LogKeyFormat,
    /// `TargetGrants`: what others may do to log objects, beside the owner's full control.
    pub target_grants: Vec<AclGrant>,
}

impl BucketLogging {
    /// The list of a log object of `owner`, if it is not private.
    pub fn grants_of(&self, owner: &CanonicalId) -> Vec<AclGrant> {
        if self.target_grants.is_empty() {
            return Vec::new();
        }
        let own = AclGrant::to_account(owner.clone(), AclPermission::FullControl);
        let others = self.target_grants.iter().filter(|it| **it != own).cloned();
        std::iter::once(own.clone()).chain(others).collect()
    }
}

/// What the keys of log objects look like behind the prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogKeyFormat {
    /// `YYYY-mm-DD-HH-MM-SS-UniqueString`.
    #[default]
    Simple,
    /// `SimplePrefix`, as it was asked for by name.
    SimpleByName,
    /// `account/region/bucket/YYYY/MM/DD/...`, by the day of the requests.
    ByEventTime,
    /// The same by the time of the delivery.
    ByDeliveryTime,
}

/// Why a target is refused (`InvalidTargetBucketForLogging`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetRefusal {
    /// There is none of that name.
    #[error("The target bucket for logging does not exist")]
    NoBucket,
    /// It is another account's.
    #[error("The owner for the bucket to be logged and the target bucket must be the same.")]
    OtherOwner,
    /// Its policy does not let the logging service put objects under the prefix.
    #[error(
        "The policy of the target bucket must allow logging.s3.amazonaws.com to do s3:PutObject under the target prefix"
    )]
    NotAllowed,
}

/// A bucket whose requests are logged.
#[derive(Clone, Debug)]
pub struct LoggedBucket {
    /// The bucket.
    pub bucket: BucketView,
    /// Where to.
    pub logging: BucketLogging,
}

/// [`BucketLogging`], in a bucket's row.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct LoggingRow {
    #[n(0)]
    pub target_bucket: String,
    #[n(1)]
    pub target_prefix: String,
    /// 0 none named, 1 simple, 2 by event time, 3 by delivery time.
    #[n(2)]
    pub key_format: u8,
    /// Left out where there are none.
    #[n(3)]
    pub target_grants: Option<Vec<AclGrantRow>>,
}

impl LoggingRow {
    pub(crate) fn from_logging(logging: &BucketLogging) -> Self {
        Self {
            target_bucket: logging.target_bucket.to_string(),
            target_prefix: logging.target_prefix.clone(),
            key_format: match logging.key_format {
                LogKeyFormat::Simple => 0,
                LogKeyFormat::SimpleByName => 1,
                LogKeyFormat::ByEventTime => 2,
                LogKeyFormat::ByDeliveryTime => 3,
            },
            target_grants: (!logging.target_grants.is_empty()).then(|| {
                let grants = logging.target_grants.iter();
                grants.map(AclGrantRow::from_grant).collect()
            }),
        }
    }

    pub(crate) fn into_logging(self) -> Option<BucketLogging> {
        Some(BucketLogging {
            target_bucket: BucketName::parse(&self.target_bucket).ok()?,
            target_prefix: self.target_prefix,
            key_format: match self.key_format {
                0 => LogKeyFormat::Simple,
                1 => LogKeyFormat::SimpleByName,
                2 => LogKeyFormat::ByEventTime,
                3 => LogKeyFormat::ByDeliveryTime,
                _ => return None,
            },
            target_grants: {
                let rows = self.target_grants.unwrap_or_default();
                let grants = rows.iter().map(AclGrantRow::to_grant);
                grants.collect::<Option<_>>()?
            },
        })
    }
}

impl S3 {
    /// PutBucketLogging: logs the bucket's requests, or none any more.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`], [`S3Error::LogTarget`]; [`S3Error::Acl`] and
    /// [`S3Error::AccessDenied`] for grants that the target does not take.
    pub fn put_bucket_logging(
        &self,
        entry: Entry<actions::PutBucketLogging>,
        logging: Option<BucketLogging>,
    ) -> Result<(), S3Error> {
        let source = entry.bucket().ok_or(S3Error::Unavailable)?;
        if let Some(logging) = &logging {
            self.check_log_target(source, logging)?;
        }
        self.change_bucket(&entry, |bucket| bucket.logging.clone_from(&logging))
    }

    fn check_log_target(
        &self,
        source: &BucketView,
        logging: &BucketLogging,
    ) -> Result<(), S3Error> {
        let refused = |why: TargetRefusal| Err(S3Error::LogTarget(why));
        let BucketLogging {
            target_bucket,
            target_prefix,
            ..
        } = logging;
        let Some((target, _)) = self.read_bucket(target_bucket)? else {
            return refused(TargetRefusal::NoBucket);
        };
        if target.owner != source.owner {
            return refused(TargetRefusal::OtherOwner);
        }
        let key = format!("{target_prefix}2026-01-01-00-00-00-0000000000000000");
        let key = ObjectKey::parse(&key).map_err(|_| S3Error::Unavailable)?;
        let grants = logging.grants_of(&target.owner_canonical_id);
        if !grants.is_empty() && !target.object_ownership().has_acls() {
            return Err(AclRefusal::NotSupported.into());
        }
        let context = Arc::new(self.logging_context(source));
        let entry = match self.enter_object::<PutObject>(context, target_bucket, &key, None) {
            Err(S3Error::AccessDenied(_)) => return refused(TargetRefusal::NotAllowed),
            entered => entered?,
        };
        if grants.is_empty() {
            return Ok(());
        }
        // As at each delivery: a statement that denies lists denies these.
        let wanted = WantedAcl::Grants(grants);
        self.owner_of_new(&entry, &wanted).map(drop)
    }

    /// The context of a delivery of a bucket's log.
    fn logging_context(&self, source: &BucketView) -> RequestContext {
        RequestContext {
            request_id: RequestId::random(&*self.ports.entropy),
            received: self.ports.clock.now(),
            principal: Principal::Service {
                name: LOGGING_SERVICE.into(),
                source: Some(Arc::new(log_source(source))),
            },
            canonical_id: None,
            access_key_id: None,
            session: None,
            via_service: None,
            region: self.options.region.clone(),
            source_ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            transport: Transport::Tls(TlsVersion::V1_3),
            user_agent: Some(LOGGING_SERVICE.into()),
            sent: None,
        }
    }

    /// All buckets whose requests are logged.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn logged_buckets(&self) -> Result<Vec<LoggedBucket>, S3Error> {
        let mut found = Vec::new();
        self.each_bucket(Bytes::new(), None, |bucket| {
            if let Some(logging) = bucket.logging.clone() {
                found.push(LoggedBucket { bucket, logging });
            }
            true
        })?;
        for logged in &mut found {
            let logging = &mut logged.logging;
            if logging.target_grants.is_empty() {
                continue;
            }
            // Where lists do not count any more, they are not sent: logs go on.
            let target = self.read_bucket(&logging.target_bucket)?;
            if target.is_none_or(|(target, _)| !target.object_ownership().has_acls()) {
                logging.target_grants.clear();
            }
        }
        Ok(found)
    }
}

/// Whose requests a log is of, for `aws:SourceArn` and `aws:SourceAccount`.
pub fn log_source(bucket: &BucketView) -> ServiceSource {
    ServiceSource {
        account: bucket.owner,
        arn: format!("arn:aws:s3:::{}", bucket.name),
    }
}
