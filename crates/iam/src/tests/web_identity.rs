//! Web identities: what a token must be, and what it opens.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::{
    AssumeRoleWithWebIdentityInput, IssuerKeys, IssuerKeysError, KeySet, WebIdentitySession,
};

const ISSUER: &str = "https://issuer.example/tenant";
const URL: &str = "issuer.example/tenant";
const PROVIDER: &str = "arn:aws:iam::111122223333:oidc-provider/issuer.example/tenant";
const NOW: u64 = 1_800_000_000;

/// Every kind of key that an issuer may have.
struct Signer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Signer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed25519: Ed25519KeyPair::generate().unwrap(),
        }
    }

    fn keys(&self) -> Value {
        let point = |key: &[u8]| {
            let (x, y) = key[1..].split_at((key.len() - 1) / 2);
            (encode(x), encode(y))
        };
        let rsa = self.rsa.public_key();
        let (n, e) = (rsa.modulus(), rsa.exponent());
        let (p256, p384) = (
            point(self.p256.public_key().as_ref()),
            point(self.p384.public_key().as_ref()),
        );
        json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "use": "sig",
             "n": encode(n.big_endian_without_leading_zero()), "e": encode(e.big_endian_without_leading_zero())},
            {"kty": "EC", "kid": "p256", "crv": "P-256", "alg": "ES256", "x": p256.0, "y": p256.1},
            {"kty": "EC", "kid": "p384", "crv": "P-384", "x": p384.0, "y": p384.1},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encode(self.ed25519.public_key().as_ref())},
            // What is not known, weak or for other things is passed over.
            {"kty": "oct", "kid": "secret", "k": "AAAA"},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": "AAAA", "e": "AQAB"},
            {"kty": "EC", "kid": "short", "crv": "P-256", "x": "AA", "y": "AA"},
        ]})
    }

    fn token(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            let key = &self.rsa;
            key.sign(padding, &random, signed.as_bytes(), &mut signature)
                .unwrap();
            signature
        };
        let ec = |key: &EcdsaKeyPair| {
            let signature = key.sign(&random, signed.as_bytes()).unwrap();
            signature.as_ref().to_vec()
        };
        let signature = match algorithm {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "RS384" => rsa(&RSA_PKCS1_SHA384),
            "RS512" => rsa(&RSA_PKCS1_SHA512),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "PS384" => rsa(&RSA_PSS_SHA384),
            "PS512" => rsa(&RSA_PSS_SHA512),
            "ES256" => ec(&self.p256),
            "ES384" => ec(&self.p384),
            "EdDSA" => self.ed25519.sign(signed.as_bytes()).as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{signed}.{}", encode(&signature))
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "repo:acme/app", "aud": "sts", "iat": NOW, "exp": NOW + 300})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// One issuer whose keys may change, and that counts how often it is asked.
struct Keys {
    now: Mutex<Result<Arc<KeySet>, IssuerKeysError>>,
    newer: Mutex<Option<Arc<KeySet>>>,
    asked: AtomicU64,
}

impl IssuerKeys for Keys {
    fn keys(
        &self,
        account: AccountId,
        issuer: &str,
        thumbprints: &[String],
        newer: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, IssuerKeysError> {
        assert_eq!((issuer, thumbprints.len()), (ISSUER, 1));
        assert_eq!(account.as_str(), ACCOUNT);
        self.asked.fetch_add(1, Ordering::Relaxed);
        if newer.is_some()
            && let Some(keys) = self.newer.lock().clone()
        {
            return Ok(keys);
        }
        self.now.lock().clone()
    }
}

struct Federation {
    iam: IamService,
    signer: Signer,
    keys: Arc<Keys>,
    role: String,
}

fn trust_with(condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Federated":"{PROVIDER}"}},
        "Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{condition}}}]}}"#
    )
}

impl Federation {
    fn new(condition: &str) -> Self {
        let signer = Signer::new();
        let set = KeySet::parse(signer.keys().to_string().as_bytes()).unwrap();
        let keys = Arc::new(Keys {
            now: Mutex::new(Ok(Arc::new(set))),
            newer: Mutex::default(),
            asked: AtomicU64::new(0),
        });
        let iam = World::new().service().with_issuer_keys(keys.clone());
        let thumbprint = "AB".repeat(20);
        iam.create_oidc_provider(&root(), ISSUER, &["sts".to_owned()], &[thumbprint], &[])
            .unwrap();
        let input = CreateRoleInput {
            name: "deploy".to_owned(),
            trust: trust_with(condition),
            ..CreateRoleInput::default()
        };
        let role = iam.create_role(&root(), &input).unwrap().arn;
        Self {
            iam,
            signer,
            keys,
            role,
        }
    }

    fn assume(&self, token: &str) -> Result<WebIdentitySession, IamError> {
        let input = AssumeRoleWithWebIdentityInput {
            role_arn: self.role.clone(),
            session_name: "session".to_owned(),
            token: token.to_owned().into(),
            session: SessionInput::default(),
        };
        let stranger = caller(Principal::Anonymous);
        self.iam
            .assume_role_with_web_identity(&stranger, &input, &mut None)
    }

    fn signed(&self, claims: &Value) -> String {
        self.signer
            .token("ES256", &json!({"alg": "ES256", "kid": "p256"}), claims)
    }

    fn says(&self, token: &str) -> &'static str {
        match self.assume(token) {
            Ok(_) => "ok",
            Err(IamError::InvalidIdentityToken(_)) => "invalid",
            Err(IamError::ExpiredToken(_)) => "expired",
            Err(IamError::IdpRejectedClaim(_)) => "rejected",
            Err(IamError::IdpCommunication) => "unreachable",
            Err(IamError::AccessDenied(_)) => "denied",
            Err(IamError::Validation(_)) => "validation",
            Err(IamError::InvalidParameterValue(_) | IamError::InvalidInput(_)) => "input",
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_algorithm_opens_a_session_that_is_its_roles() {
    let it = Federation::new("{}");
    for (algorithm, key) in [
        ("RS256", "rsa"),
        ("RS384", "rsa"),
        ("RS512", "rsa"),
        ("PS256", "rsa"),
        ("PS384", "rsa"),
        ("PS512", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("EdDSA", "ed"),
    ] {
        for header in [
            json!({"alg": algorithm, "kid": key}),
            json!({"alg": algorithm, "typ": "JWT"}),
        ] {
            let token = it.signer.token(algorithm, &header, &claims());
            let made = it.assume(&token).unwrap();
            assert_eq!(made.subject, "repo:acme/app");
            assert_eq!(
                (made.provider.as_str(), made.audience.as_str()),
                (ISSUER, "sts")
            );
            let session = session(&it.iam, &made.assumed.credentials).unwrap();
            let identity = it.iam.get_caller_identity(&session).unwrap();
            assert!(identity.arn.ends_with(":assumed-role/deploy/session"));
            let provider = session.session.unwrap().federated_provider.clone();
            assert_eq!(provider.as_deref(), Some(PROVIDER));
        }
    }
}

#[test]
fn a_token_that_is_wrong_in_any_way_is_refused() {
    let it = Federation::new("{}");
    let es256 = json!({"alg": "ES256", "kid": "p256"});
    let good = it.signed(&claims());
    assert_eq!(it.says(&good), "ok");

    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let other = encode(with("sub", json!("admin")).to_string().as_bytes());
    for forged in [String::new(), "x".repeat(20_001)] {
        assert_eq!(it.says(&forged), "validation");
    }
    let header_of = |value: Value| encode(value.to_string().as_bytes());
    for forged in [
        "aaaa".to_owned(),
        "a.b.c".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{header}.{other}.{signature}"),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!(".{body}.{signature}"),
        // No signature, and one whose key would be public.
        format!("{}.{body}.", header_of(json!({"alg": "none"}))),
        format!(
            "{}.{body}.",
            header_of(json!({"alg": "None", "kid": "p256"}))
        ),
        format!(
            "{}.{body}.{signature}",
            header_of(json!({"alg": "HS256", "kid": "secret"}))
        ),
        format!(
            "{}.{body}.{signature}",
            header_of(json!({"alg": "HS256", "kid": "p256"}))
        ),
        format!(
            "{}.{body}.{signature}",
            header_of(json!({"alg": ["ES256"]}))
        ),
        format!("{}.{body}.{signature}", header_of(json!({"kid": "p256"}))),
        format!("{}.{body}.{signature}", header_of(json!([]))),
    ] {
        assert_eq!(it.says(&forged), "invalid", "{forged}");
    }
    // One key's signature under another's name, an algorithm that is not the key's, a key that was
    // sent along, and headers that would have to be understood.
    for (algorithm, header) in [
        ("ES256", json!({"alg": "ES256", "kid": "p384"})),
        ("ES384", json!({"alg": "ES384", "kid": "p256"})),
        ("RS256", json!({"alg": "ES256", "kid": "rsa"})),
        ("RS256", json!({"alg": "PS256", "kid": "rsa"})),
        ("RS384", json!({"alg": "RS256", "kid": "rsa"})),
        ("ES256", json!({"alg": "ES256", "kid": "unknown"})),
        ("ES256", json!({"alg": "ES256", "kid": 1})),
        (
            "ES256",
            json!({"alg": "ES256", "kid": "p256", "crit": ["x"]}),
        ),
        (
            "ES256",
            json!({"alg": "ES256", "kid": "p256", "b64": false}),
        ),
    ] {
        let token = it.signer.token(algorithm, &header, &claims());
        assert_eq!(it.says(&token), "invalid", "{header}");
    }
    let strangers = Signer::new();
    let jwk = strangers.keys()["keys"][1].clone();
    for header in [
        es256,
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "jwk": jwk}),
    ] {
        let token = strangers.token("ES256", &header, &claims());
        assert_eq!(it.says(&token), "invalid", "{header}");
    }
}

#[test]
fn every_claim_must_hold() {
    let it = Federation::new("{}");
    for (expected, claims) in [
        ("ok", with("exp", json!(NOW - 59))),
        ("expired", with("exp", json!(NOW - 60))),
        ("expired", with("exp", json!(0))),
        ("ok", with("exp", json!(1_800_000_000.5))),
        ("invalid", with("exp", json!("tomorrow"))),
        ("invalid", with("exp", json!(-1))),
        ("invalid", without("exp")),
        ("ok", with("iat", json!(NOW + 60))),
        ("rejected", with("iat", json!(NOW + 61))),
        ("invalid", without("iat")),
        ("ok", with("nbf", json!(NOW + 60))),
        ("rejected", with("nbf", json!(NOW + 61))),
        ("invalid", with("nbf", json!(true))),
        ("invalid", without("iss")),
        ("invalid", with("iss", json!("https://issuer.example"))),
        (
            "invalid",
            with("iss", json!("http://issuer.example/tenant")),
        ),
        ("invalid", with("iss", json!("https://evil.example/tenant"))),
        (
            "invalid",
            with("iss", json!(["https://issuer.example/tenant"])),
        ),
        ("invalid", without("aud")),
        ("invalid", with("aud", json!("other"))),
        ("invalid", with("aud", json!([]))),
        ("invalid", with("aud", json!(1))),
        ("ok", with("aud", json!(["sts"]))),
        ("invalid", with("aud", json!(["sts", "other"]))),
        ("invalid", with("azp", json!("other"))),
        ("ok", with("azp", json!("sts"))),
        ("invalid", with("azp", json!(1))),
        ("invalid", without("sub")),
        ("invalid", with("sub", json!(""))),
        ("invalid", with("sub", json!("s".repeat(256)))),
        ("invalid", with("sub", json!(7))),
        ("invalid", with("https://aws.amazon.com/tags", json!("x"))),
        (
            "invalid",
            with(
                "https://aws.amazon.com/tags",
                json!({"principal_tags": {"k": ["a", "b"]}}),
            ),
        ),
        (
            "input",
            with(
                "https://aws.amazon.com/tags",
                json!({"transitive_tag_keys": ["k"]}),
            ),
        ),
        (
            "validation",
            with("https://aws.amazon.com/source_identity", json!("a b")),
        ),
    ] {
        assert_eq!(it.says(&it.signed(&claims)), expected, "{claims}");
    }
    let several = {
        let mut claims = with("aud", json!(["other", "third"]));
        claims["azp"] = json!("sts");
        claims
    };
    assert_eq!(it.says(&it.signed(&several)), "ok");
}

#[test]
fn the_trust_policy_decides_by_the_claims() {
    let condition = format!(
        r#"{{"StringEquals":{{"{URL}:aud":"sts","{URL}:sub":"repo:acme/app"}},
            "ForAnyValue:StringEquals":{{"{URL}:amr":"mfa"}}}}"#
    );
    let it = Federation::new(&condition);
    let mfa = with("amr", json!(["pwd", "mfa"]));
    assert_eq!(it.says(&it.signed(&mfa)), "ok");
    assert_eq!(it.says(&it.signed(&claims())), "denied");
    let mut other = mfa.clone();
    other["sub"] = json!("repo:evil/app");
    assert_eq!(it.says(&it.signed(&other)), "denied");
    // A role that is not there is refused alike, and one that trusts nobody federated.
    let text = it.assume(&it.signed(&other)).unwrap_err().to_string();
    let iam = &it.iam;
    let refused = |role_arn: &str| {
        let input = AssumeRoleWithWebIdentityInput {
            role_arn: role_arn.to_owned(),
            session_name: "session".to_owned(),
            token: it.signed(&mfa).into(),
            session: SessionInput::default(),
        };
        let stranger = caller(Principal::Anonymous);
        let made = iam.assume_role_with_web_identity(&stranger, &input, &mut None);
        made.unwrap_err().to_string()
    };
    assert_eq!(
        text,
        "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    );
    assert_eq!(refused("arn:aws:iam::111122223333:role/missing"), text);
    assert_eq!(refused(&role(iam, "plain", ACCOUNT)), text);
    // Who signs besides gets nothing by it: the token alone says who asks.
    let signed_by_root = AssumeRoleWithWebIdentityInput {
        role_arn: it.role.clone(),
        session_name: "session".to_owned(),
        token: it.signed(&other).into(),
        session: SessionInput::default(),
    };
    assert!(
        iam.assume_role_with_web_identity(&root(), &signed_by_root, &mut None)
            .is_err()
    );
    // An account without the provider trusts nobody's word.
    let elsewhere = refused("arn:aws:iam::444455556666:role/deploy");
    assert!(
        elsewhere.starts_with("No OpenIDConnect provider found"),
        "{elsewhere}"
    );
    iam.delete_oidc_provider(&root(), PROVIDER).unwrap();
    assert_eq!(it.says(&it.signed(&mfa)), "invalid");
}

#[test]
fn tags_of_the_token_are_the_sessions() {
    let it = Federation::new(r#"{"StringEquals":{"aws:RequestTag/team":"blue"}}"#);
    let nested = json!({"principal_tags": {"team": ["blue"]}, "transitive_tag_keys": ["team"]});
    let mut flat = claims();
    flat["https://aws.amazon.com/tags/principal_tags/team"] = json!("blue");
    flat["https://aws.amazon.com/tags/transitive_tag_keys"] = json!(["team"]);
    for claims in [with("https://aws.amazon.com/tags", nested), flat] {
        let made = it.assume(&it.signed(&claims)).unwrap();
        let session = session(&it.iam, &made.assumed.credentials).unwrap();
        let session = session.session.unwrap();
        assert_eq!(session.tags, [("team".to_owned(), "blue".to_owned())]);
        assert_eq!(session.transitive_tag_keys, ["team"]);
    }
    assert_eq!(it.says(&it.signed(&claims())), "denied");
    let red = json!({"principal_tags": {"team": ["red"]}});
    let red = with("https://aws.amazon.com/tags", red);
    assert_eq!(it.says(&it.signed(&red)), "denied");
}

#[test]
fn an_issuer_is_asked_again_for_a_key_that_is_new_and_not_for_a_wrong_signature() {
    let it = Federation::new("{}");
    let asked = || it.keys.asked.swap(0, Ordering::Relaxed);
    assert_eq!(it.says(&it.signed(&claims())), "ok");
    assert_eq!(asked(), 1);
    let new = Signer::new();
    let header = json!({"alg": "ES256", "kid": "new"});
    let token = new.token("ES256", &header, &claims());
    assert_eq!(it.says(&token), "invalid");
    assert_eq!(asked(), 2);
    let mut set = new.keys();
    set["keys"][1]["kid"] = json!("new");
    let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
    *it.keys.newer.lock() = Some(Arc::new(set));
    assert_eq!(it.says(&token), "ok");
    asked();
    let forged = new.token("ES256", &json!({"alg": "ES256", "kid": "p256"}), &claims());
    assert_eq!(it.says(&forged), "invalid");
    assert_eq!(asked(), 1);
    *it.keys.now.lock() = Err(IssuerKeysError::Unreachable("gone".to_owned()));
    assert_eq!(it.says(&it.signed(&claims())), "unreachable");
    *it.keys.now.lock() = Err(IssuerKeysError::Unusable("odd".to_owned()));
    assert_eq!(it.says(&it.signed(&claims())), "invalid");
}

#[test]
fn key_sets_are_bounded_and_must_be_key_sets() {
    for bad in ["", "{}", "[]", r#"{"keys":{}}"#, "keys"] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let long = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(256 << 10));
    assert!(KeySet::parse(long.as_bytes()).is_err());
    assert!(KeySet::parse(br#"{"keys":[{}, 1, null, {"kty": "RSA"}]}"#).is_ok());
}

#[test]
fn providers_have_their_rules_and_outlive_the_process() {
    let world = World::new();
    let iam = world.service();
    let create = |url: &str, ids: &[&str], thumbprints: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        iam.create_oidc_provider(&root(), url, &owned(ids), &owned(thumbprints), &[])
    };
    for wrong in [
        "http://issuer.example",
        "issuer.example",
        "https://",
        "https:///path",
        "https://:443",
        "https://issuer.example?x=y",
        "https://issuer.example#x",
        "https://user@issuer.example",
        "https://issuer example",
    ] {
        assert!(
            matches!(create(wrong, &[], &[]), Err(IamError::Validation(_))),
            "{wrong}"
        );
    }
    assert!(create(ISSUER, &[""], &[]).is_err());
    assert!(create(ISSUER, &[], &["xyz"]).is_err());
    assert!(create(ISSUER, &[], &["ab"; 6]).is_err());
    assert_eq!(create(ISSUER, &["a", "a"], &[]).unwrap().client_ids, ["a"]);
    assert!(matches!(
        create(ISSUER, &[], &[]),
        Err(IamError::EntityAlreadyExists(_))
    ));
    iam.add_oidc_client_id(&root(), PROVIDER, "b").unwrap();
    iam.add_oidc_client_id(&root(), PROVIDER, "b").unwrap();
    iam.remove_oidc_client_id(&root(), PROVIDER, "a").unwrap();
    let upper = "AB".repeat(20);
    iam.set_oidc_thumbprints(&root(), PROVIDER, std::slice::from_ref(&upper))
        .unwrap();
    let restarted = world.service();
    let shown = restarted.get_oidc_provider(&root(), PROVIDER).unwrap();
    assert_eq!(shown.client_ids, ["b"]);
    assert_eq!(shown.thumbprints, [upper.to_ascii_lowercase()]);
    assert_eq!((shown.url.as_str(), shown.arn.as_str()), (URL, PROVIDER));
    assert_eq!(restarted.list_oidc_providers(&root()).unwrap(), [PROVIDER]);
    let alice = user(&iam, "alice");
    assert!(matches!(
        iam.get_oidc_provider(&alice, PROVIDER),
        Err(IamError::AccessDenied(_))
    ));
    assert!(matches!(
        iam.list_oidc_providers(&alice),
        Err(IamError::AccessDenied(_))
    ));
    iam.delete_oidc_provider(&root(), PROVIDER).unwrap();
    iam.delete_oidc_provider(&root(), PROVIDER).unwrap();
    assert!(matches!(
        iam.get_oidc_provider(&root(), PROVIDER),
        Err(IamError::NoSuchEntity(_))
    ));
}
