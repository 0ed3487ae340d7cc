//! What answers requests: the S3 protocol in front of the S3 service.

use std::sync::Arc;

use strongroom_api::s3::{S3Api, S3ApiOptions};
use strongroom_api::server::Handler;
use strongroom_api::sigv4::Verifier;

use super::Parts;
use crate::config::Settings;

/// The handler of all requests.
pub(super) fn handler(settings: &Settings, parts: &Parts) -> Arc<impl Handler> {
    let region = parts.account.region.clone();
    let mut options = S3ApiOptions::new(region.clone());
    if !settings.domains.is_empty() {
        options.domains.clone_from(&settings.domains);
    }
    let verifier = Verifier::new(region, parts.credentials.clone());
    Arc::new(S3Api::new(parts.s3.clone(), verifier, options, parts.clock.clone(), parts.entropy.clone()))
}
