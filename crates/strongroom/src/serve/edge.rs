//! What answers requests: the protocols in front of their services.

use std::sync::Arc;

use strongroom_api::cloudtrail::CloudTrailApi;
use strongroom_api::iam::{IamApi, IamCredentials};
use strongroom_api::kms::KmsApi;
use strongroom_api::s3::{S3Api, S3ApiOptions};
use strongroom_api::sigv4::Verifier;
use strongroom_api::sts::StsApi;
use strongroom_api::{EdgeOptions, EdgePorts, Explainer, Front, TrustedProxies};

use super::Parts;
use crate::config::Settings;

/// The handler of all requests.
pub(super) fn handler(settings: &Settings, parts: &Parts) -> Arc<Front> {
    let region = parts.account.region.clone();
    let identities = Arc::clone(parts.iam.identities());
    let credentials = Arc::new(IamCredentials::new(parts.credentials.clone(), identities));
    let edge_ports = || EdgePorts {
        verifier: Verifier::new(region.clone(), parts.clock.clone(), credentials.clone()),
        clock: parts.clock.clone(),
        entropy: parts.entropy.clone(),
        recorder: Arc::clone(&parts.recorder),
    };
    let mut options = S3ApiOptions::new(region.clone());
    if !settings.domains.is_empty() {
        options.domains.clone_from(&settings.domains);
    }
    let access_log = Arc::clone(&parts.access_logs.log);
    let s3 = S3Api::new(parts.s3.clone(), edge_ports(), options).logging(access_log);
    let options = EdgeOptions {
        region: region.clone(),
        danger_keys_over_plain_http: settings.danger_keys_over_plain_http,
    };
    let kms = KmsApi::new(parts.kms.clone(), edge_ports(), options.clone());
    let iam = IamApi::new(parts.iam.clone(), edge_ports(), options.clone());
    let sts = StsApi::new(parts.iam.clone(), edge_ports(), options);
    let cloudtrail = CloudTrailApi::new(parts.cloudtrail.clone(), edge_ports(), region.clone());
    let explainer = Explainer::new(
        parts.denials.clone(),
        Arc::clone(parts.iam.identities()),
        parts.entropy.clone(),
    );
    let front = Front::new(s3, kms, iam, sts, cloudtrail)
        .behind(TrustedProxies::new(settings.trusted_proxies.clone()))
        .explaining(explainer);
    Arc::new(front)
}
