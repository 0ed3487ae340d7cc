//! Reading the claim: the `Authorization` header, or the parameters of a presigned URL.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, header};
use strongroom_types::{AccessKeyId, Region, Timestamp};

use super::error::ScopePlace;
use super::uri::decode_component;
use super::{AuthError, Service};
use crate::limits::{PRESIGNED_EXPIRES_MAX_SECONDS, SIGNED_HEADERS_MAX};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const CREDENTIAL_FORM: &str =
    "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";

/// What a request claims about its signature, well-formed but not verified.
pub struct Authorization<'a> {
    /// The credential, `AKID/date/region/service/aws4_request`.
    pub(super) credential: CredentialClaim<'a>,
    /// The signed headers: lower case, ascending, joined by `;`.
    pub(super) signed_headers: Cow<'a, str>,
    /// The signature as sent.
    pub(super) signature: Cow<'a, str>,
    /// The time of signing, and its text in the string to sign.
    pub(super) time: Timestamp,
    pub(super) amz_date: String,
    /// Only for presigned URLs.
    pub(super) presigned: Option<Presigned<'a>>,
}

/// What only a presigned URL claims.
pub(super) struct Presigned<'a> {
    pub(super) expires_seconds: u64,
    pub(super) security_token: Option<Cow<'a, str>>,
    pub(super) content_sha256: Option<Cow<'a, str>>,
}

/// A credential with its scope.
pub(super) struct CredentialClaim<'a> {
    /// The whole text, which is the signing key's name.
    pub(super) text: Cow<'a, str>,
    pub(super) access_key_id_len: usize,
    pub(super) date: [u8; 8],
    pub(super) region: String,
    pub(super) service: Service,
    pub(super) place: ScopePlace,
}

impl Authorization<'_> {
    /// The service to which the scope sends the request.
    pub fn service(&self) -> Service {
        self.credential.service
    }

    /// The access key that is claimed to have signed.
    pub fn access_key_id(&self) -> &str {
        self.credential.access_key_id()
    }

    /// The signature's value: that of 64 lower-case hexadecimal digits. Any other text is a
    /// signature that matches nothing, and AWS says so; it is not called malformed.
    pub(super) fn signature(&self) -> Option<[u8; 32]> {
        parse_digest(&self.signature)
    }

    /// Whether the signature is in the query.
    pub fn is_presigned(&self) -> bool {
        self.presigned.is_some()
    }
}

/// The service for which a request is signed, before anything is verified; `None` when it is not
/// signed. Routing needs it to choose the protocol of an error.
///
/// # Errors
///
/// Every error of form that [`parse_authorization`] has.
pub fn peek_service(parts: &Parts) -> Result<Option<Service>, AuthError> {
    parse_authorization(parts).map(|claim| claim.map(|claim| claim.service()))
}

/// Reads what a request claims about its signature; `None` when it claims nothing. Pure.
///
/// # Errors
///
/// [`AuthError`] for a claim that is not well-formed, is there twice, or uses another mechanism.
pub fn parse_authorization(parts: &Parts) -> Result<Option<Authorization<'_>>, AuthError> {
    let query = parts.uri.query().unwrap_or_default();
    let signed_query = QueryClaim::read(query)?;
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return match signed_query {
            QueryClaim::None => Ok(None),
            QueryClaim::V2 => Err(AuthError::UnsupportedMechanism),
            QueryClaim::V4(fields) => fields.parse().map(Some),
        };
    }
    let text = single(&parts.headers, header::AUTHORIZATION.as_str())?
        .ok_or(AuthError::UnsupportedAuthorizationType)?;
    if !matches!(signed_query, QueryClaim::None) {
        return Err(AuthError::AmbiguousMechanism);
    }
    parse_header(text, &parts.headers).map(Some)
}

/// The only value of a header. A header that decides about authentication must not be repeated:
/// the signature would cover the values joined, the decision only one of them.
///
/// # Errors
///
/// [`AuthError::AmbiguousMechanism`] when it is repeated or not visible ASCII.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(AuthError::AmbiguousMechanism);
    }
    first
        .map(|value| {
            value
                .to_str()
                .map(str::trim)
                .map_err(|_| AuthError::AmbiguousMechanism)
        })
        .transpose()
}

fn parse_header<'a>(text: &'a str, headers: &'a HeaderMap) -> Result<Authorization<'a>, AuthError> {
    let (algorithm, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    if algorithm != ALGORITHM {
        return Err(match algorithm {
            "AWS" | "AWS4-ECDSA-P256-SHA256" => AuthError::UnsupportedMechanism,
            _ => AuthError::UnsupportedAuthorizationType,
        });
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for component in rest.split(',').map(str::trim) {
        let malformed = || {
            AuthError::HeaderMalformed(
                format!("the authorization component \"{component}\" is malformed.").into(),
            )
        };
        let (name, value) = component.split_once('=').ok_or_else(malformed)?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(malformed()),
        };
        if slot.replace(value).is_some() {
            return Err(malformed());
        }
    }
    let (Some(credential), Some(signed_headers), Some(signature)) =
        (credential, signed_headers, signature)
    else {
        return Err(AuthError::HeaderMalformed(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature.".into(),
        ));
    };
    let time = match single(headers, "x-amz-date").map_err(|_| AuthError::InvalidDate)? {
        Some(text) => parse_time(text),
        None => single(headers, "date")
            .map_err(|_| AuthError::InvalidDate)?
            .and_then(|text| parse_time(text).or_else(|| parse_http_time(text))),
    };
    let (time, amz_date) = time.ok_or(AuthError::InvalidDate)?;
    let credential = CredentialClaim::parse(Cow::Borrowed(credential), ScopePlace::Header)?;
    credential.check_day(&amz_date)?;
    check_signed_headers(signed_headers, ScopePlace::Header)?;
    Ok(Authorization {
        credential,
        signed_headers: Cow::Borrowed(signed_headers),
        signature: Cow::Borrowed(signature),
        time,
        amz_date,
        presigned: None,
    })
}

enum QueryClaim<'a> {
    None,
    V2,
    V4(QueryFields<'a>),
}

#[derive(Default)]
struct QueryFields<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    security_token: Option<Cow<'a, str>>,
    content_sha256: Option<Cow<'a, str>>,
}

impl<'a> QueryClaim<'a> {
    fn read(query: &'a str) -> Result<Self, AuthError> {
        let mut fields = QueryFields::default();
        let (mut v2_signature, mut v2_key) = (false, false);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "Signature" => {
                    v2_signature = true;
                    continue;
                }
                "AWSAccessKeyId" => {
                    v2_key = true;
                    continue;
                }
                "X-Amz-Algorithm" => &mut fields.algorithm,
                "X-Amz-Credential" => &mut fields.credential,
                "X-Amz-Date" => &mut fields.date,
                "X-Amz-Expires" => &mut fields.expires,
                "X-Amz-SignedHeaders" => &mut fields.signed_headers,
                "X-Amz-Signature" => &mut fields.signature,
                "X-Amz-Security-Token" => &mut fields.security_token,
                name if name.eq_ignore_ascii_case("x-amz-content-sha256") => {
                    &mut fields.content_sha256
                }
                _ => continue,
            };
            let value = if value.contains(['%', '+']) {
                let value = String::from_utf8(decode_component(value)?);
                Cow::Owned(value.map_err(|_| AuthError::InvalidUri)?)
            } else {
                Cow::Borrowed(value)
            };
            // A parameter that decides about authentication must not be there twice.
            if slot.replace(value).is_some() {
                return Err(AuthError::AmbiguousMechanism);
            }
        }
        let is_v4 =
            fields.algorithm.is_some() || fields.credential.is_some() || fields.signature.is_some();
        Ok(match (is_v4, v2_signature || v2_key) {
            (true, true) => return Err(AuthError::AmbiguousMechanism),
            (true, false) => Self::V4(fields),
            (false, true) => Self::V2,
            (false, false) => Self::None,
        })
    }
}

impl<'a> QueryFields<'a> {
    fn parse(self) -> Result<Authorization<'a>, AuthError> {
        let malformed = |text: &'static str| AuthError::QueryMalformed(text.into());
        let (
            Some(algorithm),
            Some(credential),
            Some(date),
            Some(expires),
            Some(signed_headers),
            Some(signature),
        ) = (
            self.algorithm,
            self.credential,
            self.date,
            self.expires,
            self.signed_headers,
            self.signature,
        )
        else {
            return Err(malformed(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            ));
        };
        if algorithm != ALGORITHM {
            return Err(malformed(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"",
            ));
        }
        let (time, amz_date) = parse_time(&date).ok_or_else(|| {
            malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        })?;
        let expires_seconds = parse_expires(&expires).map_err(malformed)?;
        let credential = CredentialClaim::parse(credential, ScopePlace::Query)?;
        credential.check_day(&amz_date)?;
        check_signed_headers(&signed_headers, ScopePlace::Query)?;
        Ok(Authorization {
            credential,
            signed_headers,
            signature,
            time,
            amz_date,
            presigned: Some(Presigned {
                expires_seconds,
                security_token: self.security_token,
                content_sha256: self.content_sha256,
            }),
        })
    }
}

impl<'a> CredentialClaim<'a> {
    /// Parses a credential with its scope. The region is checked by the verifier, which knows its own.
    pub(super) fn parse(text: Cow<'a, str>, place: ScopePlace) -> Result<Self, AuthError> {
        let malformed = |text: Cow<'static, str>| place.malformed(text);
        let mut pieces = text.rsplitn(5, '/');
        let (Some(terminal), Some(service), Some(region), Some(date), Some(id)) = (
            pieces.next(),
            pieces.next(),
            pieces.next(),
            pieces.next(),
            pieces.next(),
        ) else {
            return Err(malformed(CREDENTIAL_FORM.into()));
        };
        if id.is_empty() {
            return Err(malformed(
                "a non-empty Access Key (AKID) must be provided in the credential.".into(),
            ));
        }
        let day: Option<[u8; 8]> = date.as_bytes().try_into().ok();
        let Some(day) = day.filter(|day| day.iter().all(u8::is_ascii_digit)) else {
            return Err(malformed(
                format!("incorrect date format \"{date}\". This date in the credential must be in the format \"yyyyMMdd\".").into(),
            ));
        };
        if terminal != "aws4_request" {
            return Err(malformed(
                format!("incorrect terminal \"{terminal}\". This endpoint uses \"aws4_request\".")
                    .into(),
            ));
        }
        let Some(service) = Service::parse(service) else {
            return Err(malformed(
                format!("incorrect service \"{service}\". This endpoint belongs to \"s3\".").into(),
            ));
        };
        Ok(Self {
            access_key_id_len: id.len(),
            date: day,
            region: region.to_owned(),
            service,
            place,
            text,
        })
    }

    pub(super) fn access_key_id(&self) -> &str {
        self.text.get(..self.access_key_id_len).unwrap_or_default()
    }

    /// `date/region/service/aws4_request`.
    pub(super) fn scope(&self) -> &str {
        self.text
            .get(self.access_key_id_len.saturating_add(1)..)
            .unwrap_or_default()
    }

    pub(super) fn date(&self) -> &str {
        std::str::from_utf8(&self.date).unwrap_or_default()
    }

    /// An id that is no access key id is one that nobody has.
    pub(super) fn parse_id(&self) -> Result<AccessKeyId, AuthError> {
        AccessKeyId::parse(self.access_key_id())
            .map_err(|_| AuthError::InvalidAccessKeyId(self.access_key_id().to_owned()))
    }

    /// A scope is good for the day on which the request was signed, and no other.
    pub(super) fn check_day(&self, amz_date: &str) -> Result<(), AuthError> {
        if amz_date.as_bytes().first_chunk::<8>() == Some(&self.date) {
            return Ok(());
        }
        let (date, signed) = (self.date(), amz_date.get(..8).unwrap_or_default());
        Err(self.place.malformed(
            format!("Invalid credential date \"{date}\". This date is not the same as X-Amz-Date: \"{signed}\".").into(),
        ))
    }

    pub(super) fn check_region(&self, own: &Region) -> Result<Region, AuthError> {
        if self.region == own.as_str() {
            return Ok(own.clone());
        }
        if self.service.is_global()
            && self.region == "us-east-1"
            && let Ok(region) = Region::parse("us-east-1")
        {
            return Ok(region);
        }
        Err(AuthError::WrongRegion {
            place: self.place,
            sent: self.region.clone(),
            expected: own.clone(),
        })
    }
}

impl ScopePlace {
    pub(super) fn malformed(self, text: Cow<'static, str>) -> AuthError {
        match self {
            Self::Header => AuthError::HeaderMalformed(text),
            Self::Query => AuthError::QueryMalformed(
                format!("Error parsing the X-Amz-Credential parameter; {text}").into(),
            ),
            Self::Form => AuthError::InvalidPolicyDocument(
                format!("Error parsing the X-Amz-Credential parameter; {text}").into(),
            ),
        }
    }
}

/// Parses `yyyymmddThhmmssZ`; gives the time and its text.
pub(super) fn parse_time(text: &str) -> Option<(Timestamp, String)> {
    let time = Timestamp::parse_amz_date(text).ok()?;
    // One time has one text: what is signed and what is compared are the same.
    (text.len() == 16 && text.is_ascii()).then(|| (time, text.to_owned()))
}

fn parse_http_time(text: &str) -> Option<(Timestamp, String)> {
    let time = Timestamp::parse_http_date(text).ok()?;
    Some((time, time.to_amz_date()))
}

/// Parses 64 lower-case hexadecimal digits.
pub(super) fn parse_digest(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || text.bytes().any(|c| c.is_ascii_uppercase()) {
        return None;
    }
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok()?;
    Some(digest)
}

fn parse_expires(text: &str) -> Result<u64, &'static str> {
    let seconds: i128 = text
        .parse()
        .map_err(|_| "X-Amz-Expires should be a number")?;
    let seconds = u64::try_from(seconds).map_err(|_| "X-Amz-Expires must be non-negative")?;
    if seconds > PRESIGNED_EXPIRES_MAX_SECONDS {
        return Err(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        );
    }
    Ok(seconds)
}

/// The list must be in its canonical form, name every header once, and name the host: otherwise one
/// signature could be read in two ways, or be sent to another server.
fn check_signed_headers(list: &str, place: ScopePlace) -> Result<(), AuthError> {
    let malformed = |text: &'static str| match place {
        ScopePlace::Header => AuthError::HeaderMalformed(text.into()),
        ScopePlace::Query | ScopePlace::Form => AuthError::QueryMalformed(text.into()),
    };
    let mut previous = "";
    let (mut count, mut has_host) = (0_usize, false);
    for name in list.split(';') {
        let is_token = |c: u8| c.is_ascii_graphic() && !c.is_ascii_uppercase() && c != b':';
        if name.is_empty() || !name.bytes().all(is_token) || name <= previous {
            return Err(malformed("the SignedHeaders are mal-formed."));
        }
        has_host |= name == "host";
        previous = name;
        count = count.saturating_add(1);
    }
    if count > SIGNED_HEADERS_MAX {
        return Err(malformed("the SignedHeaders are mal-formed."));
    }
    if !has_host {
        return Err(AuthError::HeadersNotSigned("host".to_owned()));
    }
    Ok(())
}
