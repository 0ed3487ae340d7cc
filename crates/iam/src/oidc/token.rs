//! A web identity token: a signed JSON Web Token (RFC 7515, 7519; OpenID Connect Core, 2 and 3.1.3.7).
//! Nothing of it is believed before its signature; only its issuer and key id are read, to find the
//! key.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use strongroom_types::Timestamp;

use super::keys::{Algorithm, IssuerKeysError, KeySet};
use crate::{IamError, Tag};

/// Shortest and longest token, in characters (STS API Reference, `WebIdentityToken`).
const TOKEN_LEN: (usize, usize) = (4, 20_000);
/// How far the issuer's clock may differ from ours.
const SKEW_SECONDS: u64 = 60;
/// Longest `sub`, in characters (OpenID Connect Core, 2).
const SUBJECT_MAX: usize = 255;
/// Claims of AWS (IAM User Guide, "Pass session tags in AWS STS").
const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

/// A token whose form is right, and nothing more.
pub(super) struct Unverified<'a> {
    signed: &'a str,
    algorithm: (String, Algorithm),
    key_id: Option<String>,
    claims: Map<String, Value>,
    signature: Vec<u8>,
    /// `iss`, as it says.
    pub(super) issuer: String,
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) subject: String,
    /// For whom it was made: `azp` if it is there, else `aud`.
    pub(super) audiences: Vec<String>,
    /// `aud`, if that is another.
    pub(super) other_audiences: Vec<String>,
    pub(super) authorized_party: Option<String>,
    /// How the subject proved who it is.
    pub(super) methods: Vec<String>,
    pub(super) tags: Vec<Tag>,
    pub(super) transitive_tag_keys: Vec<String>,
    pub(super) source_identity: Option<String>,
}

fn invalid(text: &str) -> IamError {
    IamError::InvalidIdentityToken(text.to_owned())
}

fn malformed() -> IamError {
    invalid(
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
    )
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`IamError::InvalidIdentityToken`], also for algorithms that are no signatures.
    pub(super) fn parse(text: &'a str) -> Result<Self, IamError> {
        let (min, max) = TOKEN_LEN;
        if !(min..=max).contains(&text.len()) {
            return Err(IamError::constraint(
                "***",
                "webIdentityToken",
                "have length between 4 and 20000",
            ));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let object = |part: &str| -> Result<Map<String, Value>, IamError> {
            match serde_json::from_slice(&decode(part)?) {
                Ok(Value::Object(members)) => Ok(members),
                Ok(_) | Err(_) => Err(malformed()),
            }
        };
        let header = object(header)?;
        // What must be understood is not (RFC 7515, 4.1.11); an unencoded or encrypted body neither.
        if ["crit", "b64", "enc", "zip"]
            .iter()
            .any(|it| header.contains_key(*it))
        {
            return Err(malformed());
        }
        let name = header.get("alg").and_then(Value::as_str);
        let name = name.ok_or_else(malformed)?;
        let algorithm = Algorithm::parse(name)
            .ok_or_else(|| invalid("The signature algorithm of the token is not supported."))?;
        let key_id = match header.get("kid") {
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(malformed()),
            None => None,
        };
        let claims = object(claims)?;
        let issuer = claims.get("iss").and_then(Value::as_str);
        let issuer = issuer
            .ok_or_else(|| invalid("Missing a required claim: iss"))?
            .to_owned();
        Ok(Self {
            signed,
            algorithm: (name.to_owned(), algorithm),
            key_id,
            signature: decode(signature)?,
            claims,
            issuer,
        })
    }

    /// Checks the signature with the issuer's keys, then the claims.
    ///
    /// `find` gives the keys that are known; called again with them, those that the issuer has now.
    ///
    /// # Errors
    ///
    /// [`IamError::InvalidIdentityToken`], [`IamError::ExpiredToken`], [`IamError::IdpRejectedClaim`],
    /// [`IamError::IdpCommunication`].
    pub(super) fn verify(
        &self,
        find: &dyn Fn(Option<&Arc<KeySet>>) -> Result<Arc<KeySet>, IssuerKeysError>,
        client_ids: &[String],
        now: Timestamp,
    ) -> Result<Claims, IamError> {
        let find = |known: Option<&Arc<KeySet>>| find(known).map_err(no_keys);
        let verifies = |keys: &KeySet| {
            let (name, algorithm) = &self.algorithm;
            let (signed, signature) = (self.signed.as_bytes(), &self.signature);
            let id = self.key_id.as_deref();
            keys.verifies(id, (name, *algorithm), signed, signature)
        };
        let keys = find(None)?;
        let outcome = match verifies(&keys) {
            // The issuer may have a new key; a signature that a known one did not make is wrong.
            None => verifies(&*find(Some(&keys))?),
            known => known,
        };
        match outcome {
            Some(true) => self.claims(client_ids, now),
            Some(false) => Err(invalid("The signature of the token is not valid.")),
            None => Err(invalid(
                "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
            )),
        }
    }

    fn claims(&self, client_ids: &[String], now: Timestamp) -> Result<Claims, IamError> {
        let now = now.as_seconds();
        let required = |name: &str| {
            let seconds = self.seconds(name)?;
            seconds.ok_or_else(|| invalid(&format!("Missing a required claim: {name}")))
        };
        let expires = required("exp")?;
        if now >= expires.saturating_add(SKEW_SECONDS) {
            return Err(IamError::ExpiredToken(
                "Token expired: current date/time must be before the expiration date/time."
                    .to_owned(),
            ));
        }
        let latest = now.saturating_add(SKEW_SECONDS);
        let too_early = |name: &str| {
            IamError::IdpRejectedClaim(format!("The token is not valid yet: {name} is ahead."))
        };
        if required("iat")? > latest {
            return Err(too_early("iat"));
        }
        if self.seconds("nbf")?.is_some_and(|it| it > latest) {
            return Err(too_early("nbf"));
        }
        let subject = self.text("sub")?;
        let subject = subject.ok_or_else(|| invalid("Missing a required claim: sub"))?;
        if subject.is_empty() || subject.chars().count() > SUBJECT_MAX {
            return Err(invalid("Invalid claim: sub"));
        }
        let audiences = self.texts("aud")?;
        if audiences.is_empty() {
            return Err(invalid("Missing a required claim: aud"));
        }
        let authorized_party = self.text("azp")?;
        // With several audiences it must say which of them asked (OpenID Connect Core, 3.1.3.7).
        if audiences.len() > 1 && authorized_party.is_none() {
            return Err(invalid("Missing a required claim: azp"));
        }
        let (audiences, other_audiences) = match &authorized_party {
            Some(party) => (vec![party.clone()], audiences),
            None => (audiences, Vec::new()),
        };
        if !audiences.iter().all(|it| client_ids.contains(it)) {
            return Err(invalid("Incorrect token audience"));
        }
        let (tags, transitive_tag_keys) = self.tags()?;
        Ok(Claims {
            subject,
            audiences,
            other_audiences,
            authorized_party,
            methods: self.texts("amr")?,
            tags,
            transitive_tag_keys,
            source_identity: self.text(SOURCE_IDENTITY)?,
        })
    }

    /// `NumericDate`: seconds, which may have a fraction.
    fn seconds(&self, name: &str) -> Result<Option<u64>, IamError> {
        let Some(value) = self.claims.get(name) else {
            return Ok(None);
        };
        let whole = value.as_u64().or_else(|| {
            let text = value.as_f64().filter(|it| *it >= 0.0)?.trunc().to_string();
            text.parse().ok()
        });
        let whole = whole.ok_or_else(|| invalid(&format!("Invalid claim: {name}")))?;
        Ok(Some(whole))
    }

    fn text(&self, name: &str) -> Result<Option<String>, IamError> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(&format!("Invalid claim: {name}"))),
        }
    }

    /// One text, or several.
    fn texts(&self, name: &str) -> Result<Vec<String>, IamError> {
        self.claims.get(name).map_or(Ok(Vec::new()), |value| {
            strings(value).ok_or_else(|| invalid(&format!("Invalid claim: {name}")))
        })
    }

    /// Tags and the keys of those that go on: `{"principal_tags": {"k": ["v"]}, "transitive_tag_keys":
    /// ["k"]}`, or flat, `".../tags/principal_tags/k": "v"`.
    fn tags(&self) -> Result<(Vec<Tag>, Vec<String>), IamError> {
        let wrong = || invalid("The session tags of the token are not valid.");
        let flat = format!("{TAGS}/principal_tags/");
        let nested = match self.claims.get(TAGS) {
            None => None,
            Some(Value::Object(members)) => Some(members),
            Some(_) => return Err(wrong()),
        };
        let of_nested = match nested.and_then(|it| it.get("principal_tags")) {
            None => Vec::new(),
            Some(Value::Object(tags)) => tags.iter().map(|(k, v)| (k.as_str(), v)).collect(),
            Some(_) => return Err(wrong()),
        };
        let of_flat = self
            .claims
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(&flat)?, value)));
        let tag = |(key, value): (&str, &Value)| match strings(value).as_deref() {
            Some([value]) => Ok(Tag {
                key: key.to_owned(),
                value: value.clone(),
            }),
            Some(_) | None => Err(wrong()),
        };
        let tags: Result<Vec<Tag>, IamError> =
            of_nested.into_iter().chain(of_flat).map(tag).collect();
        let transitive = nested
            .and_then(|it| it.get("transitive_tag_keys"))
            .or_else(|| self.claims.get(&format!("{TAGS}/transitive_tag_keys")));
        let transitive = match transitive {
            None => Vec::new(),
            Some(value) => strings(value).ok_or_else(wrong)?,
        };
        Ok((tags?, transitive))
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items
            .iter()
            .map(|it| it.as_str().map(str::to_owned))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn no_keys(error: IssuerKeysError) -> IamError {
    tracing::warn!(%error, "keys of an issuer are not found");
    match error {
        IssuerKeysError::Unreachable(_) => IamError::IdpCommunication,
        IssuerKeysError::Unusable(_) => invalid(
            "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
        ),
    }
}
