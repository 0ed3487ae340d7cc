//! What answers requests: the protocols in front of their services.

use std::sync::Arc;

use strongroom_api::Front;
use strongroom_api::kms::{KmsApi, KmsApiOptions};
use strongroom_api::s3::{S3Api, S3ApiOptions};
use strongroom_api::sigv4::Verifier;

use super::Parts;
use crate::config::Settings;

/// The handler of all requests.
pub(super) fn handler(settings: &Settings, parts: &Parts) -> Arc<Front> {
    let region = parts.account.region.clone();
    let verifier = || {
        Verifier::new(
            region.clone(),
            parts.clock.clone(),
            parts.credentials.clone(),
        )
    };
    let (clock, entropy) = (&parts.clock, &parts.entropy);
    let mut options = S3ApiOptions::new(region.clone());
    if !settings.domains.is_empty() {
        options.domains.clone_from(&settings.domains);
    }
    let s3 = S3Api::new(
        parts.s3.clone(),
        verifier(),
        options,
        clock.clone(),
        entropy.clone(),
    );
    let options = KmsApiOptions {
        region: region.clone(),
        danger_keys_over_plain_http: settings.danger_keys_over_plain_http,
    };
    let kms = KmsApi::new(
        parts.kms.clone(),
        verifier(),
        options,
        clock.clone(),
        entropy.clone(),
    );
    Arc::new(Front::new(s3, kms))
}
