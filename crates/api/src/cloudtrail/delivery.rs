//! Delivery into buckets: CloudTrail's side of S3 and the key service.
//!
//! Everything is asked as `cloudtrail.amazonaws.com`, of the policies that the owners of bucket and key
//! wrote, with the trail as `aws:SourceArn`. There is no way around them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use strongroom_audit::service::{DeliveryTarget, TargetProblem};
use strongroom_audit::trails::{DeliveredObject, DeliveryError, Encryption, ObjectSink, Trail};
use strongroom_ports::{KeyAuthority, KeyError, KeyReference};
use strongroom_s3::S3Error;
use strongroom_types::kms::{EncryptionContext, KeyIdentifier};
use strongroom_types::{AccountId, RequestContext, ServiceSource};

use crate::s3::{ByService, ServicePut, ServiceS3};

/// As whom trails deliver.
const SERVICE: &str = "cloudtrail.amazonaws.com";
/// What CloudTrail adds to the encryption context.
const TRAIL_PAIR: &str = "aws:cloudtrail:arn";

/// What delivery stands on.
#[derive(Clone)]
pub struct S3DeliveryPorts {
    /// The buckets.
    pub s3: ServiceS3,
    /// The keys.
    pub keys: Arc<dyn KeyAuthority>,
}

/// Buckets and keys, as CloudTrail uses them.
pub struct S3Delivery {
    ports: S3DeliveryPorts,
}

/// Puts what trails deliver. It has threads of its own, so that it can block.
pub struct S3Sink {
    s3: ServiceS3,
    runtime: tokio::runtime::Runtime,
}

impl S3Delivery {
    /// Delivery into the buckets of `ports`.
    pub fn new(ports: S3DeliveryPorts) -> Self {
        Self { ports }
    }

    /// A sink, for one thread that may block. It must not be dropped by a task.
    ///
    /// # Errors
    ///
    /// The operating system's, when it gives no threads.
    pub fn sink(&self) -> std::io::Result<S3Sink> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("trail-delivery")
            .build()?;
        Ok(S3Sink {
            s3: self.ports.s3.clone(),
            runtime,
        })
    }

    fn check_bucket(&self, trail: &Trail, by: &ByService) -> Result<(), TargetProblem> {
        let refused = |error: S3Error| {
            if matches!(error, S3Error::NoSuchBucket(_)) {
                TargetProblem::NoBucket(trail.bucket.clone())
            } else if matches!(error, S3Error::AccessDenied(_)) {
                TargetProblem::BucketPolicy(trail.bucket.clone())
            } else {
                tracing::warn!(%error, "a trail's bucket cannot be asked");
                TargetProblem::Unavailable
            }
        };
        self.ports
            .s3
            .may_get_bucket_acl(by, &trail.bucket)
            .map_err(refused)?;
        let (root, region) = (trail.root(), &trail.region);
        let log_files = (
            format!("{root}CloudTrail/{region}/"),
            under_key(trail, Encryption::BucketDefault),
        );
        let digests = (
            format!("{root}CloudTrail-Digest/{region}/"),
            if trail.digests_under_key {
                under_key(trail, Encryption::SseS3)
            } else {
                Encryption::SseS3
            },
        );
        for (key, encryption) in [log_files, digests] {
            let put = ServicePut {
                by: by.clone(),
                bucket: trail.bucket.clone(),
                key,
                headers: headers(&trail.arn(), &encryption, &[]),
            };
            self.ports.s3.may_put(&put).map_err(refused)?;
        }
        Ok(())
    }

    fn check_key(&self, trail: &Trail, by: &ByService, key: &str) -> Result<(), TargetProblem> {
        let arn = format!("arn:aws:s3:::{}/{}", trail.bucket, trail.root());
        let context = EncryptionContext::default()
            .with(TRAIL_PAIR, &trail.arn())
            .and_then(|context| context.with("aws:s3:arn", &arn))
            .map_err(|_| TargetProblem::KeyId(key.to_owned()))?;
        let caller = self.ports.s3.context(by);
        let reference = KeyReference::Named(key.to_owned());
        let used = self
            .ports
            .keys
            .generate_data_key(&caller, &reference, &context);
        let used = used.map_err(|error| {
            if matches!(error, KeyError::AccessDenied(_)) {
                TargetProblem::KeyPolicy {
                    bucket: trail.bucket.clone(),
                    key: key.to_owned(),
                }
            } else {
                of_key(error, key)
            }
        })?;
        // The data key is for nothing, its use is recorded all the same.
        let recorded = used.record.submit().wait();
        recorded.map(drop).map_err(|error| {
            tracing::error!(%error, "the use of a trail's key is not recorded");
            TargetProblem::Unavailable
        })
    }
}

impl DeliveryTarget for S3Delivery {
    fn key_arn(&self, caller: &RequestContext, key_id: &str) -> Result<String, TargetProblem> {
        if KeyIdentifier::parse(key_id).is_err() {
            return Err(TargetProblem::KeyId(key_id.to_owned()));
        }
        let arn = self.ports.keys.key_named(caller, key_id);
        let arn = arn.map_err(|error| of_key(error, key_id))?;
        Ok(arn.to_string())
    }

    fn check(&self, trail: &Trail) -> Result<(), TargetProblem> {
        let by = by_trail(&trail.arn(), &trail.account).ok_or(TargetProblem::Unavailable)?;
        self.check_bucket(trail, &by)?;
        match &trail.kms_key_arn {
            Some(key) => self.check_key(trail, &by, key),
            None => Ok(()),
        }
    }
}

impl ObjectSink for S3Sink {
    fn put(&self, object: DeliveredObject) -> Result<(), DeliveryError> {
        let DeliveredObject {
            trail_arn,
            account,
            bucket,
            key,
            body,
            encryption,
            metadata,
        } = object;
        let by = by_trail(&trail_arn, &account).ok_or_else(|| DeliveryError {
            code: "InternalError".to_owned(),
            message: "the trail's account is none".to_owned(),
        })?;
        let put = ServicePut {
            by,
            bucket,
            key,
            headers: headers(&trail_arn, &encryption, &metadata),
        };
        let done = self.runtime.block_on(self.s3.put(put, body));
        done.map_err(|refusal| DeliveryError {
            code: refusal.code.to_owned(),
            message: refusal.message,
        })
    }
}

fn by_trail(arn: &str, account: &str) -> Option<ByService> {
    Some(ByService {
        service: SERVICE,
        source: ServiceSource {
            account: AccountId::parse(account).ok()?,
            arn: arn.to_owned(),
        },
    })
}

fn under_key(trail: &Trail, otherwise: Encryption) -> Encryption {
    let key = trail.kms_key_arn.clone();
    key.map_or(otherwise, Encryption::Kms)
}

/// What is sent with an object.
fn headers(
    trail_arn: &str,
    encryption: &Encryption,
    metadata: &[(&'static str, String)],
) -> Vec<(String, String)> {
    let mut headers = vec![
        ("x-amz-acl", "bucket-owner-full-control".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("content-encoding", "gzip".to_owned()),
    ];
    match encryption {
        Encryption::BucketDefault => {}
        Encryption::SseS3 => {
            headers.push(("x-amz-server-side-encryption", "AES256".to_owned()));
        }
        Encryption::Kms(key) => {
            let pairs = serde_json::json!({ TRAIL_PAIR: trail_arn }).to_string();
            headers.extend([
                ("x-amz-server-side-encryption", "aws:kms".to_owned()),
                (
                    "x-amz-server-side-encryption-aws-kms-key-id",
                    key.to_owned(),
                ),
                ("x-amz-server-side-encryption-context", BASE64.encode(pairs)),
            ]);
        }
    }
    let named = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let own = metadata
        .iter()
        .map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone()));
    named.chain(own).collect()
}

fn of_key(error: KeyError, key: &str) -> TargetProblem {
    match error {
        KeyError::NotFound(_) => TargetProblem::KeyNotFound(key.to_owned()),
        KeyError::Disabled(_) => TargetProblem::KeyDisabled(key.to_owned()),
        KeyError::InvalidKeyUsage(_) => TargetProblem::KeyId(key.to_owned()),
        KeyError::InvalidState(text) | KeyError::AccessDenied(text) => TargetProblem::Key(text),
        error @ (KeyError::InvalidCiphertext
        | KeyError::Throttled
        | KeyError::Unavailable
        | KeyError::Damaged
        | KeyError::NotInMemory
        | _) => {
            tracing::warn!(%error, "a trail's key cannot be asked");
            TargetProblem::Unavailable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_says_how_it_is_encrypted_and_for_which_trail() {
        let of = |encryption: &Encryption| headers("arn:trail", encryption, &[]);
        let sse = |encryption: &Encryption| {
            let headers = of(encryption).into_iter();
            let sse = headers.filter(|(name, _)| name.starts_with("x-amz-server-side"));
            sse.map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(sse(&Encryption::BucketDefault), Vec::<String>::new());
        assert_eq!(sse(&Encryption::SseS3), ["AES256"]);
        let [algorithm, key, context] = sse(&Encryption::Kms("arn:key".to_owned()))
            .try_into()
            .unwrap();
        assert_eq!((algorithm.as_str(), key.as_str()), ("aws:kms", "arn:key"));
        let pairs = BASE64.decode(context).unwrap();
        assert_eq!(pairs, br#"{"aws:cloudtrail:arn":"arn:trail"}"#);
        let with = headers("t", &Encryption::SseS3, &[("signature", "ab".to_owned())]);
        assert!(with.contains(&("x-amz-meta-signature".to_owned(), "ab".to_owned())));
        assert!(with.contains(&(
            "x-amz-acl".to_owned(),
            "bucket-owner-full-control".to_owned()
        )));
    }
}
