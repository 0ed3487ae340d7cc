//! Walkthroughs W2 to W5 through the AWS SDK for Rust.
//!
//! Endpoint, region and credentials come from the variables that `strongroom env` exports.

use std::env::var;

use aws_credential_types::Credentials;
use aws_sdk_kms::Client as Kms;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_s3::Client as S3;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BODY: &[u8] = b"as the SDK for Rust sends it";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let credentials = Credentials::new(
        var("AWS_ACCESS_KEY_ID")?,
        var("AWS_SECRET_ACCESS_KEY")?,
        None,
        None,
        "test",
    );
    let (endpoint, region) = (var("AWS_ENDPOINT_URL")?, var("AWS_DEFAULT_REGION")?);
    let s3 = S3::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(credentials.clone())
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .build(),
    );
    let kms = Kms::from_conf(
        aws_sdk_kms::Config::builder()
            .behavior_version(aws_sdk_kms::config::BehaviorVersion::latest())
            .region(aws_sdk_kms::config::Region::new(region))
            .credentials_provider(credentials)
            .endpoint_url(&endpoint)
            .build(),
    );
    s3.create_bucket().bucket("sdk-rust").send().await?;
    managed_key(&s3, &kms).await?;
    let key = customer_key(&s3, &kms).await?;
    bucket_default(&s3, &key).await?;
    two_layers(&s3, &key).await?;
    data_keys(&kms, &key).await?;
    println!("W2 to W5 through the SDK for Rust: fine");
    Ok(())
}

/// W2.
async fn managed_key(s3: &S3, kms: &Kms) -> Outcome<()> {
    put(s3, "managed", ServerSideEncryption::AwsKms, None).await?;
    let head = s3
        .head_object()
        .bucket("sdk-rust")
        .key("managed")
        .send()
        .await?;
    let key = kms.describe_key().key_id("alias/aws/s3").send().await?;
    let metadata = key.key_metadata().ok_or("no metadata")?;
    assert_eq!(head.ssekms_key_id(), metadata.arn());
    assert_eq!(
        metadata.key_manager().map(|manager| manager.as_str()),
        Some("AWS")
    );
    let refused = kms.disable_key().key_id(metadata.key_id()).send().await;
    assert_eq!(code(refused), "AccessDeniedException");
    get(s3, "managed").await
}

/// W3.
async fn customer_key(s3: &S3, kms: &Kms) -> Outcome<String> {
    let created = kms.create_key().description("sdk").send().await?;
    let key = created
        .key_metadata()
        .ok_or("no metadata")?
        .key_id()
        .to_owned();
    put(s3, "cmk", ServerSideEncryption::AwsKms, Some(&key)).await?;
    get(s3, "cmk").await?;
    kms.disable_key().key_id(&key).send().await?;
    let read = s3.get_object().bucket("sdk-rust").key("cmk").send().await;
    assert_eq!(code(read), "KMS.DisabledException");
    let write = s3
        .put_object()
        .bucket("sdk-rust")
        .key("x")
        .ssekms_key_id(&key);
    let write = write
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .send()
        .await;
    assert_eq!(code(write), "KMS.DisabledException");
    kms.enable_key().key_id(&key).send().await?;
    kms.schedule_key_deletion()
        .key_id(&key)
        .pending_window_in_days(7)
        .send()
        .await?;
    let read = s3.get_object().bucket("sdk-rust").key("cmk").send().await;
    assert_eq!(code(read), "KMS.KMSInvalidStateException");
    kms.cancel_key_deletion().key_id(&key).send().await?;
    kms.enable_key().key_id(&key).send().await?;
    kms.enable_key_rotation().key_id(&key).send().await?;
    kms.rotate_key_on_demand().key_id(&key).send().await?;
    get(s3, "cmk").await?;
    multipart(s3, &key).await?;
    Ok(key)
}

async fn multipart(s3: &S3, key: &str) -> Outcome<()> {
    let created = s3
        .create_multipart_upload()
        .bucket("sdk-rust")
        .key("parts")
        .ssekms_key_id(key);
    let created = created
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .send()
        .await?;
    let upload = created.upload_id().ok_or("no upload id")?;
    let mut parts = Vec::new();
    for (number, body) in [(1, vec![7_u8; 5 << 20]), (2, BODY.to_vec())] {
        let part = s3
            .upload_part()
            .bucket("sdk-rust")
            .key("parts")
            .upload_id(upload);
        let part = part
            .part_number(number)
            .body(ByteStream::from(body))
            .send()
            .await?;
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag().map(str::to_owned))
                .set_checksum_crc32(part.checksum_crc32().map(str::to_owned))
                .build(),
        );
    }
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    let complete = s3
        .complete_multipart_upload()
        .bucket("sdk-rust")
        .key("parts");
    complete
        .upload_id(upload)
        .multipart_upload(parts)
        .send()
        .await?;
    let tail = s3
        .get_object()
        .bucket("sdk-rust")
        .key("parts")
        .range("bytes=5242880-");
    let tail = tail.send().await?.body.collect().await?.into_bytes();
    assert_eq!(tail, BODY);
    Ok(())
}

/// W4.
async fn bucket_default(s3: &S3, key: &str) -> Outcome<()> {
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(key)
        .build()?;
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(true)
        .build();
    let rules = ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()?;
    let change = s3.put_bucket_encryption().bucket("sdk-rust");
    change
        .server_side_encryption_configuration(rules)
        .send()
        .await?;
    let body = ByteStream::from_static(BODY);
    let put = s3
        .put_object()
        .bucket("sdk-rust")
        .key("default")
        .body(body)
        .send()
        .await?;
    assert_eq!(
        put.server_side_encryption(),
        Some(&ServerSideEncryption::AwsKms)
    );
    assert_eq!(put.bucket_key_enabled(), Some(true));
    get(s3, "default").await?;
    let body = ByteStream::from_static(BODY);
    let put = s3
        .put_object()
        .bucket("sdk-rust")
        .key("override")
        .body(body);
    let put = put
        .server_side_encryption(ServerSideEncryption::Aes256)
        .send()
        .await?;
    assert_eq!(
        put.server_side_encryption(),
        Some(&ServerSideEncryption::Aes256)
    );
    Ok(())
}

/// W5.
async fn two_layers(s3: &S3, key: &str) -> Outcome<()> {
    put(s3, "dsse", ServerSideEncryption::AwsKmsDsse, Some(key)).await?;
    let head = s3
        .head_object()
        .bucket("sdk-rust")
        .key("dsse")
        .send()
        .await?;
    assert_eq!(
        head.server_side_encryption(),
        Some(&ServerSideEncryption::AwsKmsDsse)
    );
    get(s3, "dsse").await
}

/// What applications do beside S3.
async fn data_keys(kms: &Kms, key: &str) -> Outcome<()> {
    let data_key = kms.generate_data_key().key_id(key).number_of_bytes(32);
    let data_key = data_key
        .encryption_context("purpose", "test")
        .send()
        .await?;
    let blob = data_key.ciphertext_blob().ok_or("no blob")?.clone();
    let opened = kms
        .decrypt()
        .ciphertext_blob(blob.clone())
        .encryption_context("purpose", "test")
        .send()
        .await?;
    assert_eq!(opened.plaintext(), data_key.plaintext());
    let wrong = kms
        .decrypt()
        .ciphertext_blob(blob)
        .encryption_context("purpose", "other")
        .send()
        .await;
    assert_eq!(code(wrong), "InvalidCiphertextException");
    let sealed = kms
        .encrypt()
        .key_id(key)
        .plaintext(Blob::new(BODY))
        .send()
        .await?;
    let opened = kms
        .decrypt()
        .set_ciphertext_blob(sealed.ciphertext_blob)
        .send()
        .await?;
    assert_eq!(opened.plaintext().map(Blob::as_ref), Some(BODY));
    Ok(())
}

async fn put(s3: &S3, name: &str, mode: ServerSideEncryption, key: Option<&str>) -> Outcome<()> {
    let put = s3
        .put_object()
        .bucket("sdk-rust")
        .key(name)
        .body(ByteStream::from_static(BODY));
    let put = put
        .server_side_encryption(mode.clone())
        .set_ssekms_key_id(key.map(str::to_owned));
    let answer = put.send().await?;
    assert_eq!(answer.server_side_encryption(), Some(&mode));
    assert!(
        answer
            .ssekms_key_id()
            .is_some_and(|arn| arn.starts_with("arn:aws:kms:"))
    );
    Ok(())
}

async fn get(s3: &S3, name: &str) -> Outcome<()> {
    let answer = s3.get_object().bucket("sdk-rust").key(name).send().await?;
    assert_eq!(answer.body.collect().await?.into_bytes(), BODY);
    Ok(())
}

/// The code of an answer that must be an error.
fn code<T, E: ProvideErrorMetadata, R>(outcome: Result<T, SdkError<E, R>>) -> String {
    match outcome {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}
