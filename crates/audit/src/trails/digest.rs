//! Digest files: their names, their bytes, and what is signed (CloudTrail User Guide, "Custom
//! implementations of CloudTrail log file integrity validation").

use strongroom_types::Timestamp;

use crate::identity::whole_second;
use crate::json::Json;
use crate::trails::Trail;
use crate::trails::log_file::{day, sha256};
use crate::trails::state::Window;

/// `digestSignatureAlgorithm`: RSASSA-PKCS1-v1_5 with SHA-256.
pub const DIGEST_ALGORITHM: &str = "SHA256withRSA";
const HASH_ALGORITHM: &str = "SHA-256";

/// `[prefix/]AWSLogs/ACCOUNT/CloudTrail-Digest/REGION/YYYY/MM/DD/
/// ACCOUNT_CloudTrail-Digest_REGION_TRAIL_REGION_YYYYMMDDTHHMMSSZ.json.gz`, with the digest's end.
pub(crate) fn digest_key(trail: &Trail, end: Timestamp) -> String {
    let (root, account, region) = (trail.root(), &trail.account, &trail.region);
    let (name, day, stamp) = (&trail.name, day(end), end.to_amz_date());
    format!(
        "{root}CloudTrail-Digest/{region}/{day}/\
         {account}_CloudTrail-Digest_{region}_{name}_{region}_{stamp}.json.gz"
    )
}

/// A digest of a window.
pub(crate) struct Digest<'a> {
    pub trail: &'a Trail,
    pub window: &'a Window,
    pub end: Timestamp,
    pub bucket: &'a str,
    pub key: &'a str,
    pub fingerprint: &'a str,
}

impl Digest<'_> {
    /// The file, before compression. These very bytes are hashed and stored.
    pub(crate) fn json(&self) -> Vec<u8> {
        let Self {
            trail,
            window,
            end,
            bucket,
            key,
            fingerprint,
        } = self;
        let second = |millis: u64| whole_second(Timestamp::from_millis(millis));
        let mut json = Json::new();
        let nullable = |json: &mut Json, name: &str, value: Option<&str>| match value {
            Some(value) => json.text(name, value),
            None => json.member(name, "null"),
        };
        json.open();
        json.text("awsAccountId", &trail.account);
        json.text("digestStartTime", &second(window.start_millis));
        json.text("digestEndTime", &whole_second(*end));
        json.text("digestS3Bucket", bucket);
        json.text("digestS3Object", key);
        json.text("digestPublicKeyFingerprint", fingerprint);
        json.text("digestSignatureAlgorithm", DIGEST_ALGORITHM);
        let newest = window.files.iter().map(|file| file.newest_millis).max();
        let oldest = window.files.iter().map(|file| file.oldest_millis).min();
        nullable(&mut json, "newestEventTime", newest.map(second).as_deref());
        nullable(&mut json, "oldestEventTime", oldest.map(second).as_deref());
        let previous = window.previous.as_ref();
        let bucket = previous.map(|it| it.bucket.as_str());
        nullable(&mut json, "previousDigestS3Bucket", bucket);
        nullable(
            &mut json,
            "previousDigestS3Object",
            previous.map(|it| it.key.as_str()),
        );
        let hash = previous.map(|it| hex::encode(it.hash));
        nullable(&mut json, "previousDigestHashValue", hash.as_deref());
        nullable(
            &mut json,
            "previousDigestHashAlgorithm",
            previous.map(|_| HASH_ALGORITHM),
        );
        let signature = previous.map(|it| hex::encode(&it.signature));
        nullable(&mut json, "previousDigestSignature", signature.as_deref());
        json.name("logFiles");
        json.open_list();
        for file in &window.files {
            json.next();
            json.open();
            json.text("s3Bucket", &file.bucket);
            json.text("s3Object", &file.key);
            json.text("hashValue", &hex::encode(file.hash));
            json.text("hashAlgorithm", HASH_ALGORITHM);
            json.text("newestEventTime", &second(file.newest_millis));
            json.text("oldestEventTime", &second(file.oldest_millis));
            json.close();
        }
        json.close_list();
        json.close();
        json.into_string().into_bytes()
    }

    /// What is signed for the file `json`.
    pub(crate) fn signing_text(&self, json: &[u8]) -> String {
        let previous = self.window.previous.as_ref();
        let previous = previous.map(|it| it.signature.as_slice());
        signing_text(self.end, self.bucket, self.key, &sha256(json), previous)
    }
}

/// ```text
/// digestEndTime LF bucket/key LF hex(SHA-256 of the file before compression) LF
/// hex(signature of the digest before) or null
/// ```
pub fn signing_text(
    end: Timestamp,
    bucket: &str,
    key: &str,
    hash: &[u8; 32],
    previous_signature: Option<&[u8]>,
) -> String {
    let previous = previous_signature.map_or_else(|| "null".to_owned(), hex::encode);
    format!(
        "{}\n{bucket}/{key}\n{}\n{previous}",
        whole_second(end),
        hex::encode(hash)
    )
}
