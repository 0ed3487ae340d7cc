//! The verifier: from a request's head to a credential.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use http::request::Parts;
use strongroom_ports::Clock;
use strongroom_types::{Region, Timestamp};
use subtle::ConstantTimeEq;

use super::authorization::{
    Authorization, CredentialClaim, parse_authorization, parse_digest, single,
};
use super::canonical::{self, Disclosure, PathForm};
use super::error::{Expired, Mismatch, Skew};
use super::signing_key::{self, SigningKeys};
use super::{
    AuthError, ChunkVerifier, Credential, CredentialSource, Scope, Service, TemporaryError,
};
use crate::limits::CLOCK_SKEW_MAX;

/// Verifies signatures for one region.
pub struct Verifier {
    pub(super) region: Region,
    pub(super) clock: Arc<dyn Clock>,
    credentials: Arc<dyn CredentialSource>,
    keys: SigningKeys,
}

/// A request whose signature is good, or that carries none.
#[derive(Debug)]
pub struct Verified {
    /// Who signed; `None` when nobody did.
    pub credential: Option<Arc<Credential>>,
    /// For what it was signed; `None` when nobody did.
    pub scope: Option<Scope>,
    /// When it was signed; `None` when nobody did.
    pub signed: Option<Timestamp>,
    /// What the body must turn out to be.
    pub payload: Payload,
    /// Whether the signature was in the URL.
    pub is_presigned: bool,
}

/// What the head says about the body. The one who reads the body keeps it to that.
#[derive(Clone)]
pub enum Payload {
    /// The signature does not cover the body.
    Unsigned,
    /// The body's SHA-256.
    Sha256([u8; 32]),
    /// `aws-chunked`, each chunk signed.
    ChunkedSigned(ChunkVerifier),
    /// `aws-chunked`, each chunk and the trailers signed.
    ChunkedSignedTrailer(ChunkVerifier),
    /// `aws-chunked` with trailers, nothing signed.
    ChunkedUnsignedTrailer,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => "Unsigned",
            Self::Sha256(_) => "Sha256",
            Self::ChunkedSigned(_) => "ChunkedSigned",
            Self::ChunkedSignedTrailer(_) => "ChunkedSignedTrailer",
            Self::ChunkedUnsignedTrailer => "ChunkedUnsignedTrailer",
        })
    }
}

impl Verifier {
    /// Makes a verifier. Its signing keys are cached, so one is made for the life of the server.
    pub fn new(
        region: Region,
        clock: Arc<dyn Clock>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Self {
        Self {
            region,
            clock,
            credentials,
            keys: SigningKeys::default(),
        }
    }

    /// Verifies a request to S3. The body is still to be checked against [`Verified::payload`].
    ///
    /// # Errors
    ///
    /// [`AuthError`], also when the request is signed for another service.
    pub fn verify(&self, parts: &Parts) -> Result<Verified, AuthError> {
        let Some(claim) = parse_authorization(parts)? else {
            return anonymous(parts);
        };
        if claim.service() != Service::S3 {
            return Err(wrong_service(&claim.credential, Service::S3));
        }
        let declared = match &claim.presigned {
            Some(presigned) => match single(&parts.headers, "x-amz-content-sha256")? {
                Some(value) => value,
                None => presigned
                    .content_sha256
                    .as_deref()
                    .unwrap_or(UNSIGNED_PAYLOAD),
            },
            None => single(&parts.headers, "x-amz-content-sha256")?
                .ok_or(AuthError::MissingContentSha256)?,
        };
        let declared_payload = DeclaredPayload::parse(declared)?;
        let Authenticated {
            credential,
            scope,
            key,
            signature,
        } = self.authenticate(parts, &claim, declared)?;
        let chain = || {
            ChunkVerifier::new(
                key.clone(),
                &claim.amz_date,
                claim.credential.scope(),
                signature,
            )
        };
        let payload = match declared_payload {
            DeclaredPayload::Unsigned => Payload::Unsigned,
            DeclaredPayload::Sha256(digest) => Payload::Sha256(digest),
            DeclaredPayload::ChunkedSigned => Payload::ChunkedSigned(chain()),
            DeclaredPayload::ChunkedSignedTrailer => Payload::ChunkedSignedTrailer(chain()),
            DeclaredPayload::ChunkedUnsignedTrailer => Payload::ChunkedUnsignedTrailer,
        };
        Ok(Verified {
            credential: Some(credential),
            scope: Some(scope),
            signed: Some(claim.time),
            payload,
            is_presigned: claim.is_presigned(),
        })
    }

    /// Verifies a request to a service other than S3, whose signature always covers the hash of
    /// the body. The caller has capped and hashed the body; `service` is the one that the target or
    /// action of the request names, and the scope must agree.
    ///
    /// # Errors
    ///
    /// [`AuthError`]; an unsigned request is [`AuthError::MissingAuthenticationToken`].
    pub fn verify_with_body_hash(
        &self,
        parts: &Parts,
        service: Service,
        body_sha256: &[u8; 32],
    ) -> Result<Verified, AuthError> {
        let claim = parse_authorization(parts)?.ok_or(AuthError::MissingAuthenticationToken)?;
        if claim.service() != service {
            return Err(wrong_service(&claim.credential, service));
        }
        let hash = hex::encode(body_sha256);
        // Some clients send the hash as well; it must be the body's, or it is not one.
        if let Some(declared) = single(&parts.headers, "x-amz-content-sha256")?
            && declared != hash
        {
            return Err(AuthError::ContentSha256Mismatch);
        }
        let Authenticated {
            credential, scope, ..
        } = self.authenticate(parts, &claim, &hash)?;
        Ok(Verified {
            credential: Some(credential),
            scope: Some(scope),
            signed: Some(claim.time),
            payload: Payload::Sha256(*body_sha256),
            is_presigned: claim.is_presigned(),
        })
    }

    fn authenticate(
        &self,
        parts: &Parts,
        claim: &Authorization<'_>,
        payload_hash: &str,
    ) -> Result<Authenticated, AuthError> {
        let region = claim.credential.check_region(&self.region)?;
        let now = self.clock.now();
        check_time(claim, now)?;
        if let Some(names) = canonical::unsigned_amz_headers(&parts.headers, &claim.signed_headers)
        {
            return Err(AuthError::HeadersNotSigned(names));
        }
        let token = match single(&parts.headers, "x-amz-security-token")? {
            Some(token) => Some(token),
            None => claim
                .presigned
                .as_ref()
                .and_then(|presigned| presigned.security_token.as_deref()),
        };
        let credential = self.find(&claim.credential, token, now)?;
        let (key, is_fresh) = self.signing_key(&credential, &claim.credential);

        let sent = claim.signature();
        let mut request = Vec::with_capacity(1024);
        let mut try_form = |form| -> Result<bool, AuthError> {
            request.clear();
            canonical::write_request(
                &mut request,
                parts,
                &claim.signed_headers,
                payload_hash,
                form,
                Disclosure::Full,
            )?;
            let text = string_to_sign(claim, &request);
            let expected = hmac::sign(&key, text.as_bytes());
            Ok(sent.is_some_and(|sent| expected.as_ref().ct_eq(&sent).into()))
        };
        let form = canonical::path_form(claim.service());
        let matches = try_form(form)? || (form == PathForm::AsSent && try_form(PathForm::Recoded)?);
        let (true, Some(signature)) = (matches, sent) else {
            return Err(mismatch(parts, claim, payload_hash, form));
        };
        if is_fresh {
            self.keys
                .insert(&credential, &claim.credential.text, key.clone());
        }
        let scope = Scope {
            date: claim.credential.date,
            region,
            service: claim.service(),
        };
        self.credentials.used(&credential, &scope, now);
        Ok(Authenticated {
            credential,
            scope,
            key,
            signature,
        })
    }

    /// Finds the credential and holds the session token against it.
    pub(super) fn find(
        &self,
        claim: &CredentialClaim<'_>,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Credential>, AuthError> {
        let id = claim.parse_id()?;
        let unknown = || AuthError::InvalidAccessKeyId(id.to_string());
        let credential = match (self.credentials.credential(&id), token) {
            (Some(credential), _) => credential,
            (None, None) => return Err(unknown()),
            (None, Some(token)) => {
                let temporary = self.credentials.temporary(&id, token, now);
                temporary.map_err(|error| match error {
                    TemporaryError::Unknown => unknown(),
                    TemporaryError::Invalid => AuthError::InvalidToken,
                    TemporaryError::Expired => AuthError::ExpiredToken,
                })?
            }
        };
        match (&credential.session_token, token) {
            (None, None) => Ok(credential),
            // A temporary key without its token is, to AWS, a key that nobody has.
            (Some(_), None) => Err(unknown()),
            (None, Some(_)) => Err(AuthError::InvalidToken),
            (Some(own), Some(sent)) => {
                if !own.matches(sent.as_bytes()) {
                    Err(AuthError::InvalidToken)
                } else if own.is_expired(now) {
                    Err(AuthError::ExpiredToken)
                } else {
                    Ok(credential)
                }
            }
        }
    }

    /// The signing key, and whether it is not in the cache yet.
    pub(super) fn signing_key(
        &self,
        credential: &Arc<Credential>,
        claim: &CredentialClaim<'_>,
    ) -> (hmac::Key, bool) {
        match self.keys.find(credential, &claim.text) {
            Some(key) => (key, false),
            None => (signing_key::derive(credential, claim), true),
        }
    }
}

/// What a good signature proves, and what the signatures of chunks go on from.
struct Authenticated {
    credential: Arc<Credential>,
    scope: Scope,
    key: hmac::Key,
    signature: [u8; 32],
}

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

enum DeclaredPayload {
    Unsigned,
    Sha256([u8; 32]),
    ChunkedSigned,
    ChunkedSignedTrailer,
    ChunkedUnsignedTrailer,
}

impl DeclaredPayload {
    fn parse(value: &str) -> Result<Self, AuthError> {
        match value {
            UNSIGNED_PAYLOAD => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::ChunkedSigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(Self::ChunkedSignedTrailer),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::ChunkedUnsignedTrailer),
            _ => parse_digest(value)
                .map(Self::Sha256)
                .ok_or(AuthError::InvalidContentSha256),
        }
    }
}

/// Nobody signed. What the head says of the body still binds it, except that a chain of chunk
/// signatures has nothing to hang on.
fn anonymous(parts: &Parts) -> Result<Verified, AuthError> {
    let payload = match single(&parts.headers, "x-amz-content-sha256")? {
        None => Payload::Unsigned,
        Some(value) => match DeclaredPayload::parse(value)? {
            DeclaredPayload::Unsigned => Payload::Unsigned,
            DeclaredPayload::Sha256(digest) => Payload::Sha256(digest),
            DeclaredPayload::ChunkedUnsignedTrailer => Payload::ChunkedUnsignedTrailer,
            DeclaredPayload::ChunkedSigned | DeclaredPayload::ChunkedSignedTrailer => {
                return Err(AuthError::InvalidContentSha256);
            }
        },
    };
    Ok(Verified {
        credential: None,
        scope: None,
        signed: None,
        payload,
        is_presigned: false,
    })
}

fn wrong_service(claim: &CredentialClaim<'_>, expected: Service) -> AuthError {
    let sent = claim.service;
    claim.place.malformed(
        format!("incorrect service \"{sent}\". This endpoint belongs to \"{expected}\".").into(),
    )
}

fn check_time(claim: &Authorization<'_>, now: Timestamp) -> Result<(), AuthError> {
    let skew_millis = u64::try_from(CLOCK_SKEW_MAX.as_millis()).unwrap_or(u64::MAX);
    let (signed, now_millis) = (claim.time.as_millis(), now.as_millis());
    let Some(presigned) = &claim.presigned else {
        return if signed.abs_diff(now_millis) <= skew_millis {
            Ok(())
        } else {
            Err(AuthError::RequestTimeTooSkewed(Box::new(Skew {
                request_time: claim.time,
                server_time: now,
            })))
        };
    };
    if signed > now_millis.saturating_add(skew_millis) {
        return Err(AuthError::NotYetValid);
    }
    let expires = signed.saturating_add(presigned.expires_seconds.saturating_mul(1000));
    // A validity of zero seconds is over before it began, also within the skew.
    if now_millis > expires || presigned.expires_seconds == 0 {
        return Err(AuthError::Expired(Box::new(Expired {
            expires_seconds: presigned.expires_seconds,
            expires: Timestamp::from_millis(expires),
            server_time: now,
        })));
    }
    Ok(())
}

/// `"AWS4-HMAC-SHA256" LF date-time LF scope LF hex(SHA-256(canonical request))`.
fn string_to_sign(claim: &Authorization<'_>, canonical_request: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, canonical_request);
    let mut digits = [0; 64];
    let hash = match hex::encode_to_slice(hash.as_ref(), &mut digits) {
        Ok(()) => std::str::from_utf8(&digits).unwrap_or_default(),
        Err(_) => "",
    };
    let scope = claim.credential.scope();
    let mut text = String::with_capacity(scope.len().saturating_add(100));
    for piece in [
        "AWS4-HMAC-SHA256\n",
        &claim.amz_date,
        "\n",
        scope,
        "\n",
        hash,
    ] {
        text.push_str(piece);
    }
    text
}

/// Shows the client what was hashed, so that it can find its mistake, with key values masked.
fn mismatch(
    parts: &Parts,
    claim: &Authorization<'_>,
    payload_hash: &str,
    form: PathForm,
) -> AuthError {
    let write = |disclosure| {
        let mut out = Vec::new();
        canonical::write_request(
            &mut out,
            parts,
            &claim.signed_headers,
            payload_hash,
            form,
            disclosure,
        )
        .map(|()| out)
    };
    match (write(Disclosure::Full), write(Disclosure::Masked)) {
        (Ok(full), Ok(masked)) => AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
            access_key_id: claim.access_key_id().to_owned(),
            signature_provided: claim.signature.to_string(),
            string_to_sign: string_to_sign(claim, &full),
            canonical_request: String::from_utf8_lossy(&masked).into_owned(),
        })),
        (Err(error), _) | (_, Err(error)) => error,
    }
}
