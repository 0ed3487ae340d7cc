//! The credential scope: `20130524/us-east-1/s3/aws4_request`.

use std::fmt;

use strongroom_types::Region;

/// A service that shares the port. The scope of a signed request decides to which one it belongs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Service {
    /// S3, and everything that is not signed for another service.
    S3,
    /// Key Management Service.
    Kms,
    /// Identity and Access Management.
    Iam,
    /// Security Token Service.
    Sts,
    /// Secrets Manager.
    SecretsManager,
    /// CloudTrail.
    CloudTrail,
    /// CloudFormation.
    CloudFormation,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 7] = [
        Self::S3,
        Self::Kms,
        Self::Iam,
        Self::Sts,
        Self::SecretsManager,
        Self::CloudTrail,
        Self::CloudFormation,
    ];

    /// Parses the service's signing name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The name under which clients sign.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Kms => "kms",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::SecretsManager => "secretsmanager",
            Self::CloudTrail => "cloudtrail",
            Self::CloudFormation => "cloudformation",
        }
    }

    /// Whether clients sign for `us-east-1` wherever they are: the service is global, or has a
    /// global endpoint.
    pub(super) const fn is_global(self) -> bool {
        match self {
            Self::Iam | Self::Sts => true,
            Self::S3
            | Self::Kms
            | Self::SecretsManager
            | Self::CloudTrail
            | Self::CloudFormation => false,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The verified scope of a signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    /// The day, `yyyymmdd`.
    pub date: [u8; 8],
    /// The region: the server's own, or `us-east-1` for a global service.
    pub region: Region,
    /// The service.
    pub service: Service,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = std::str::from_utf8(&self.date).unwrap_or_default();
        write!(f, "{date}/{}/{}/aws4_request", self.region, self.service)
    }
}
