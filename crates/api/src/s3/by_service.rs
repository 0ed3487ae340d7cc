//! S3 for the services of this server that keep their files in their users' buckets: requests that
//! nobody signed and no socket brought, and that are decided by the same policies as all others.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use strongroom_policy::Conditions;
use strongroom_policy::actions::{GetBucketAcl, PutObject};
use strongroom_ports::{Clock, Entropy};
use strongroom_s3::{
    Arrival, BodyError, BodySource, Entry, ExpectedDigests, PutObjectInput, S3, S3Error,
    WriteConditions,
};
use strongroom_types::{
    BucketName, ObjectKey, Principal, Region, RequestContext, RequestId, ServiceSource, TagSet,
    TlsVersion, Transport,
};

use super::as_sent::{AsSent, AuthType};
use super::call::blocking;
use super::route::Level;
use super::{parse_acl, parse_headers};
use crate::error::{ErrorPlace, Failure};
use crate::sigv4::uri::Query;

/// A service, and what it acts for.
#[derive(Clone, Debug)]
pub struct ByService {
    /// Its name, such as `cloudtrail.amazonaws.com`.
    pub service: &'static str,
    /// For `aws:SourceArn` and `aws:SourceAccount`.
    pub source: ServiceSource,
}

/// An object that a service puts.
#[derive(Clone, Debug)]
pub struct ServicePut {
    /// Who puts it.
    pub by: ByService,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Headers as a client would send them: ACL, encryption, type, metadata.
    pub headers: Vec<(String, String)>,
}

/// Why S3 refuses a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// S3's error code.
    pub code: &'static str,
    /// What it says.
    pub message: String,
}

/// S3, as services use it.
#[derive(Clone)]
pub struct ServiceS3 {
    /// The buckets.
    pub s3: Arc<S3>,
    /// This server's region.
    pub region: Region,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl ServiceS3 {
    /// The context of a request that a service makes: over no network, so that nobody can listen.
    pub fn context(&self, by: &ByService) -> RequestContext {
        RequestContext {
            request_id: RequestId::random(&*self.entropy),
            received: self.clock.now(),
            principal: Principal::Service {
                name: by.service.into(),
                source: Some(Arc::new(by.source.clone())),
            },
            canonical_id: None,
            access_key_id: None,
            session: None,
            via_service: None,
            region: self.region.clone(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            transport: Transport::Tls(TlsVersion::V1_3),
            user_agent: Some(by.service.into()),
            sent: None,
        }
    }

    /// Whether the service may see who has access to the bucket. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error`], as GetBucketAcl.
    pub fn may_get_bucket_acl(&self, by: &ByService, bucket: &str) -> Result<(), S3Error> {
        let bucket = named(bucket)?;
        let arrival = Arrival {
            context: Arc::new(self.context(by)),
            conditions: Conditions::default(),
        };
        self.s3
            .enter_bucket::<GetBucketAcl>(arrival, &bucket, None)
            .map(drop)
    }

    /// Whether the object would be let in. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error`], as PutObject.
    pub fn may_put(&self, put: &ServicePut) -> Result<(), S3Error> {
        self.enter(put).map(drop).map_err(|failure| match failure {
            Failure::S3(error) => error,
            // Headers of our own making that do not parse.
            Failure::Auth(_) | Failure::Chunk(_) | Failure::Request(_) => S3Error::Unavailable,
        })
    }

    /// Puts the object: durable when it returns.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn put(&self, put: ServicePut, body: Vec<u8>) -> Result<(), Refusal> {
        let putting = async {
            let service = self.clone();
            let (entry, mut input) = blocking(move || service.enter(&put)).await?;
            input.content_length = u64::try_from(body.len()).unwrap_or(u64::MAX);
            let body = Box::pin(OnePiece(Some(body.into())));
            self.s3.put_object(entry, input, body).await?;
            Ok::<(), Failure>(())
        };
        putting.await.map_err(|error| refusal(&error))
    }

    fn enter(&self, put: &ServicePut) -> Result<(Entry<PutObject>, PutObjectInput), Failure> {
        let ServicePut {
            by,
            bucket,
            key,
            headers,
        } = put;
        let (bucket, key) = (named(bucket)?, ObjectKey::parse(key));
        let key = key.map_err(|_| S3Error::Unavailable)?;
        let mut request = Request::put("/");
        for (name, value) in headers {
            request = request.header(
                HeaderName::try_from(name).map_err(|_| S3Error::Unavailable)?,
                HeaderValue::try_from(value).map_err(|_| S3Error::Unavailable)?,
            );
        }
        let (parts, ()) = request
            .body(())
            .map_err(|_| S3Error::Unavailable)?
            .into_parts();
        let headers = &parts.headers;
        let input = PutObjectInput {
            content_length: 0,
            metadata: parse_headers::metadata(headers)?,
            acl: parse_acl::headers(headers)?,
            tags: TagSet::default(),
            sse: parse_headers::sse(headers)?,
            conditions: WriteConditions::default(),
            digests: ExpectedDigests::default(),
        };
        let context = self.context(by);
        let as_sent = AsSent {
            received: context.received,
            account: context.principal.acts_in(),
            parts: Arc::new(parts),
            query: Arc::new(Query::default()),
            operation: "PutObject",
            level: Level::Object,
            auth_type: AuthType::Header,
            signed: None,
            region: self.region.clone(),
        };
        let arrival = Arrival {
            context: Arc::new(context),
            conditions: Conditions::of(Arc::new(as_sent)),
        };
        let entry = self.s3.enter_object(arrival, &bucket, &key, None)?;
        Ok((entry, input))
    }
}

/// A name that cannot be a bucket's is none.
fn named(bucket: &str) -> Result<BucketName, S3Error> {
    BucketName::parse(bucket).map_err(|_| S3Error::Unavailable)
}

fn refusal(failure: &Failure) -> Refusal {
    let answer = failure.answer(&ErrorPlace::default());
    Refusal {
        code: answer.code,
        message: answer.message.into_owned(),
    }
}

/// A body that is all there.
struct OnePiece(Option<Bytes>);

impl BodySource for OnePiece {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready(self.0.take().map(Ok))
    }

    fn trailing_checksum(&self) -> Option<Vec<u8>> {
        None
    }
}
