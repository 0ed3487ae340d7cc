//! What answers requests: the protocols in front of their services.

use std::sync::Arc;

use strongroom_api::cloudtrail::CloudTrailApi;
use strongroom_api::iam::{IamApi, IamApiOptions, IamCredentials};
use strongroom_api::kms::{KmsApi, KmsApiOptions};
use strongroom_api::s3::{S3Api, S3ApiOptions};
use strongroom_api::sigv4::Verifier;
use strongroom_api::sts::StsApi;
use strongroom_api::{Explainer, Front, TrustedProxies};

use super::Parts;
use crate::config::Settings;

/// The handler of all requests.
pub(super) fn handler(settings: &Settings, parts: &Parts) -> Arc<Front> {
    let region = parts.account.region.clone();
    let identities = Arc::clone(parts.iam.identities());
    let credentials = Arc::new(IamCredentials::new(parts.credentials.clone(), identities));
    let verifier = || Verifier::new(region.clone(), parts.clock.clone(), credentials.clone());
    let recorder = || Arc::clone(&parts.recorder);
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
        recorder(),
    )
    .logging(Arc::clone(&parts.access_logs.log));
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
        recorder(),
    );
    let options = IamApiOptions {
        region: region.clone(),
        danger_keys_over_plain_http: settings.danger_keys_over_plain_http,
    };
    let iam = IamApi::new(
        parts.iam.clone(),
        verifier(),
        options.clone(),
        clock.clone(),
        entropy.clone(),
        recorder(),
    );
    let sts = StsApi::new(
        parts.iam.clone(),
        verifier(),
        options,
        clock.clone(),
        entropy.clone(),
        recorder(),
    );
    let explainer = Explainer::new(
        parts.denials.clone(),
        Arc::clone(parts.iam.identities()),
        entropy.clone(),
    );
    let cloudtrail = CloudTrailApi::new(
        parts.cloudtrail.clone(),
        verifier(),
        region.clone(),
        clock.clone(),
        entropy.clone(),
        recorder(),
    );
    let front = Front::new(s3, kms, iam, sts, cloudtrail)
        .behind(TrustedProxies::new(settings.trusted_proxies.clone()))
        .explaining(explainer);
    Arc::new(front)
}
