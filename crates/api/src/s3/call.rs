//! One request on its way to an operation, and what all handlers do with it.

use std::sync::Arc;

use http::request::Parts;
use strongroom_policy::actions::{GetObject, ListBucket};
use strongroom_policy::{Action, ActionOnVersion, Conditions};
use strongroom_s3::{Arrival, BucketView, ChangeRecord, ETagCondition, Entry, S3, S3Error};
use strongroom_types::{
    AccountId, BucketName, ObjectKey, Principal, RequestContext, UploadId, VersionId,
};

use super::address::Address;
use super::body::{AnyBody, decoded_body};
use super::documents::{Declared, DigestRule, Document};
use super::{S3ApiOptions, parse_digests, parse_headers};
use crate::error::{ErrorPlace, Failure, RequestError};
use crate::limits::{ANONYMOUS_DOCUMENT_MAX_BYTES, XML_DOCUMENT_MAX_BYTES};
use crate::recording::{BucketChange, LateRecord, Learned};
use crate::sigv4::uri::Query;
use crate::sigv4::{Payload, Verifier};
use crate::worker::on_worker;

/// An authenticated request (or an anonymous one), addressed and not yet decided about.
pub(crate) struct Call {
    /// The service.
    pub(crate) s3: Arc<S3>,
    /// What an operator may choose.
    pub(crate) options: Arc<S3ApiOptions>,
    /// Verifies forms, whose signature is in their body.
    pub(crate) verifier: Arc<Verifier>,
    /// Who asks, from where.
    pub(crate) context: Arc<RequestContext>,
    /// What the request says of itself, to policies.
    pub(crate) conditions: Conditions,
    /// Method, URI and headers.
    pub(crate) parts: Arc<Parts>,
    /// The query, decoded.
    pub(crate) query: Arc<Query>,
    /// Bucket and key as sent.
    pub(crate) address: Address,
    /// The body as it comes.
    pub(crate) body: AnyBody,
    /// What the body must turn out to be.
    pub(crate) payload: Payload,
    /// What its record tells that the head does not say.
    pub(crate) learned: Option<Arc<Learned>>,
    /// The record that a change of a bucket takes along.
    pub(crate) change: Option<Arc<BucketChange>>,
    /// The record of an answer that begins before its end is known.
    pub(crate) late: Option<Arc<LateRecord>>,
    /// What errors say of the request.
    pub(crate) place: ErrorPlace,
}

impl Call {
    /// The bucket.
    pub(crate) fn bucket(&self) -> Result<BucketName, Failure> {
        Ok(self.address.bucket_name()?)
    }

    /// The bucket and the key.
    pub(crate) fn object(&self) -> Result<(BucketName, ObjectKey), Failure> {
        Ok((self.address.bucket_name()?, self.address.object_key()?))
    }

    /// `x-amz-expected-bucket-owner`.
    pub(crate) fn expected_owner(&self) -> Result<Option<AccountId>, Failure> {
        expected_owner(self, "x-amz-expected-bucket-owner")
    }

    /// The request, on its way in.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival {
            context: self.context.clone(),
            conditions: self.conditions.clone(),
            record: self.change.clone().map(|it| it as Arc<dyn ChangeRecord>),
        }
    }

    /// How a bucket operation gets in.
    pub(crate) fn bucket_door(&self) -> Result<Door, Failure> {
        Ok(Door {
            s3: self.s3.clone(),
            arrival: self.arrival(),
            bucket: self.bucket()?,
            expected_owner: self.expected_owner()?,
            learned: self.learned.clone(),
        })
    }

    /// How an object operation gets in.
    pub(crate) fn object_door(&self) -> Result<(Door, ObjectKey), Failure> {
        let (bucket, key) = self.object()?;
        let expected_owner = self.expected_owner()?;
        let door = Door {
            s3: self.s3.clone(),
            arrival: self.arrival(),
            bucket,
            expected_owner,
            learned: self.learned.clone(),
        };
        Ok((door, key))
    }

    /// Reads a body that is a document, whole, and holds it against its digests.
    pub(crate) async fn read_document(&mut self, rule: DigestRule) -> Document {
        // Documents are read before the decision, which may depend on them: of nobody's little.
        let max_bytes = if self.context.principal == Principal::Anonymous {
            ANONYMOUS_DOCUMENT_MAX_BYTES
        } else {
            XML_DOCUMENT_MAX_BYTES
        };
        let headers = &self.parts.headers;
        let digests = match rule {
            DigestRule::OfObject => parse_digests::digests_but_checksum(headers, &self.payload),
            DigestRule::Required | DigestRule::RequiredUnlessSigned | DigestRule::Optional => {
                parse_digests::digests(headers, &self.payload)
            }
        };
        let is_signed = !matches!(
            self.payload,
            Payload::Unsigned | Payload::ChunkedUnsignedTrailer
        );
        let body = std::mem::take(&mut self.body);
        match decoded_body(body, &self.payload, &self.parts.headers) {
            Ok(incoming) => {
                let document = super::documents::read(
                    incoming.source,
                    Declared {
                        digests,
                        is_signed,
                        rule,
                        max_bytes,
                    },
                )
                .await;
                let shown = self.learned.as_ref().filter(|it| it.shows_document);
                if let (Some(learned), Some(bytes)) = (shown, document.peek()) {
                    // It is read once.
                    let _ = learned.document.set(bytes.to_vec());
                }
                document
            }
            Err(error) => Document::failed(error.into()),
        }
    }
}

fn expected_owner(call: &Call, name: &'static str) -> Result<Option<AccountId>, Failure> {
    let Some(value) = parse_headers::text(&call.parts.headers, name)? else {
        return Ok(None);
    };
    AccountId::parse(value).map(Some).map_err(|_| {
        RequestError::InvalidArgument {
            message: "The value of the expected bucket owner parameter must be an AWS account ID.",
            name,
            value: Some(value.to_owned()),
        }
        .into()
    })
}

impl Call {
    /// `x-amz-source-expected-bucket-owner`.
    pub(crate) fn expected_source_owner(&self) -> Result<Option<AccountId>, Failure> {
        expected_owner(self, "x-amz-source-expected-bucket-owner")
    }
}

/// How an operation gets in: by asking the service, on a worker thread.
#[derive(Clone)]
pub(crate) struct Door {
    /// The service.
    pub(crate) s3: Arc<S3>,
    /// Who asks, and what the request says.
    pub(crate) arrival: Arrival,
    /// The bucket.
    pub(crate) bucket: BucketName,
    /// Whose it must be.
    pub(crate) expected_owner: Option<AccountId>,
    /// What the request's record tells of the bucket.
    pub(crate) learned: Option<Arc<Learned>>,
}

impl Door {
    /// Notes whose the bucket is.
    fn learn<A: Action>(&self, entered: Result<Entry<A>, S3Error>) -> Result<Entry<A>, S3Error> {
        if let (Some(learned), Ok(entry)) = (&self.learned, &entered)
            && let Some(bucket) = entry.bucket()
        {
            // It is entered again for each of many objects.
            let _ = learned.owner.set(bucket.owner);
        }
        entered
    }

    /// Lets the request in to the bucket.
    pub(crate) fn enter_bucket<A: Action>(&self) -> Result<Entry<A>, S3Error> {
        let arrival = self.arrival.clone();
        self.learn(
            self.s3
                .enter_bucket(arrival, &self.bucket, self.expected_owner),
        )
    }

    /// Lets the request in to an object.
    pub(crate) fn enter_object<A: Action>(&self, key: &ObjectKey) -> Result<Entry<A>, S3Error> {
        let arrival = self.arrival.clone();
        self.learn(
            self.s3
                .enter_object(arrival, &self.bucket, key, self.expected_owner),
        )
    }

    /// Lets the request in to an object, or to a version of it, if it names one. One that is named
    /// wrongly is told to those only who may see versions.
    pub(crate) fn enter_version<A: ActionOnVersion>(
        &self,
        key: &ObjectKey,
        version: &Result<Option<VersionId>, Failure>,
    ) -> Result<Entry<A>, S3Error> {
        let version = version.as_ref().map_or(Some(VersionId::Null), |it| *it);
        let arrival = self.arrival.clone();
        self.learn(
            self.s3
                .enter_version(arrival, &self.bucket, key, version, self.expected_owner),
        )
    }

    /// Lets the request in to an upload. One that is named wrongly is told to those only who may.
    pub(crate) fn enter_upload<A: Action>(
        &self,
        key: &ObjectKey,
        upload: &Result<UploadId, Failure>,
    ) -> Result<Entry<A>, S3Error> {
        let Ok(upload) = upload else {
            return self.enter_object(key);
        };
        let arrival = self.arrival.clone();
        self.learn(
            self.s3
                .enter_upload(arrival, &self.bucket, key, *upload, self.expected_owner),
        )
    }
}

impl Door {
    /// Who lets something depend on an object's ETag learns whether the object has it, which takes
    /// the right to read the object (S3 User Guide, "Enforce conditional deletes"); that there is
    /// one, which is what `*` asks, does not.
    pub(crate) fn enter_to_compare(
        &self,
        key: &ObjectKey,
        version: &Result<Option<VersionId>, Failure>,
        if_match: Option<&ETagCondition>,
    ) -> Result<(), S3Error> {
        match if_match {
            Some(ETagCondition::Tags(_)) => self.enter_version::<GetObject>(key, version).map(drop),
            Some(ETagCondition::Any) | None => Ok(()),
        }
    }

    /// That something is missing is told to those only who may list the bucket; others hear that
    /// they may not (S3 API Reference, GetObject, "Permissions").
    pub(crate) fn unless_missing<T>(&self, outcome: Result<T, S3Error>) -> Result<T, S3Error> {
        let is_missing = matches!(
            outcome,
            Err(S3Error::NoSuchKey { .. }
                | S3Error::NoSuchVersion { .. }
                | S3Error::IsDeleteMarker { .. }
                | S3Error::CopySourceIsDeleteMarker)
        );
        if is_missing {
            self.enter_bucket::<ListBucket>()?;
        }
        outcome
    }

    /// Runs `work`, which reads, on what is in memory, here and now; and if that is not enough, on
    /// a worker thread. What `work` does on this thread must be short.
    pub(crate) async fn read<T: Send + 'static>(
        self,
        work: impl Fn(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if let Some(resident) = self.s3.resident() {
            let door = Self {
                s3: Arc::clone(resident),
                ..self.clone()
            };
            match work(&door) {
                Err(Failure::S3(S3Error::NotInMemory)) => {}
                outcome => return outcome,
            }
        }
        blocking(move || work(&self)).await
    }
}

/// Runs what blocks on a worker thread. A panic there is an internal error of this one request.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let outcome = on_worker(work).await;
    outcome.unwrap_or_else(|| Err(S3Error::Unavailable.into()))
}

/// Whose a bucket is, if there is one of that name.
pub(crate) async fn owner_of(s3: &Arc<S3>, bucket: &str) -> Option<AccountId> {
    let name = BucketName::parse(bucket).ok()?;
    let known = s3.resident().map(|resident| resident.owner_of(&name));
    let owner = match known {
        Some(Err(S3Error::NotInMemory)) | None => {
            let s3 = Arc::clone(s3);
            blocking(move || Ok(s3.owner_of(&name)?)).await.ok()
        }
        Some(known) => known.ok(),
    };
    owner.flatten()
}

impl Door {
    /// The bucket as it is, for those who may do `A`.
    pub(crate) async fn view<A: Action>(self) -> Result<Arc<BucketView>, Failure> {
        blocking(move || {
            let entry = self.enter_bucket::<A>()?;
            Ok(entry.bucket().cloned().ok_or(S3Error::Unavailable)?)
        })
        .await
    }
}
