//! The actions of IAM, one type each, so that a proof names the action that it is for.

/// An action that a policy can allow.
pub trait Action: Send + Sync + 'static {
    /// The IAM action name, such as `s3:GetObject`.
    const NAME: &'static str;
}

/// What can be done for any action, once it is known which: for who has it by name.
pub trait ForAction {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run<A: Action>(self) -> Self::Output;
}

/// An action on objects that has another name where the request names a version.
pub trait ActionOnVersion: Action {
    /// The action on a named version, such as `s3:GetObjectVersion`.
    type OnVersion: Action;
    /// Whether it is decided with the tags that the object has (`s3:ExistingObjectTag/KEY`).
    const SEES_TAGS: bool;
}

/// The actions that operations demand. Source: Service Authorization Reference, "Actions, resources,
/// and condition keys for Amazon S3".
pub mod actions {
    use super::{Action, ActionOnVersion};

    macro_rules! actions {
        ($($type:ident = $name:literal;)*) => {
            $(
                #[doc = concat!("`", $name, "`")]
                #[derive(Debug)]
                #[non_exhaustive]
                pub struct $type;

                impl Action for $type {
                    const NAME: &'static str = $name;
                }
            )*

            /// The names of all of them.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Does `work` for the action of that name, in any case; `None` if there is none.
            pub fn for_name<W: super::ForAction>(name: &str, work: W) -> Option<W::Output> {
                $(
                    if name.eq_ignore_ascii_case($name) {
                        return Some(work.run::<$type>());
                    }
                )*
                None
            }
        };
    }

    macro_rules! on_version {
        ($($type:ident => $version:ident, $sees_tags:literal;)*) => {$(
            impl ActionOnVersion for $type {
                type OnVersion = $version;
                const SEES_TAGS: bool = $sees_tags;
            }
        )*};
    }

    on_version! {
        DeleteObject => DeleteObjectVersion, false;
        DeleteObjectTagging => DeleteObjectVersionTagging, true;
        GetObject => GetObjectVersion, true;
        GetObjectAcl => GetObjectVersionAcl, true;
        GetObjectAttributes => GetObjectVersionAttributes, true;
        GetObjectTagging => GetObjectVersionTagging, true;
        PutObjectAcl => PutObjectVersionAcl, true;
        PutObjectTagging => PutObjectVersionTagging, true;
        GetObjectLegalHold => GetObjectLegalHold, true;
        GetObjectRetention => GetObjectRetention, true;
        UpdateObjectEncryption => UpdateObjectEncryption, false;
    }

    actions! {
        AbortMultipartUpload = "s3:AbortMultipartUpload";
        CreateBucket = "s3:CreateBucket";
        DeleteBucket = "s3:DeleteBucket";
        DeleteBucketPolicy = "s3:DeleteBucketPolicy";
        DeleteBucketWebsite = "s3:DeleteBucketWebsite";
        DeleteObject = "s3:DeleteObject";
        DeleteObjectTagging = "s3:DeleteObjectTagging";
        DeleteObjectVersion = "s3:DeleteObjectVersion";
        DeleteObjectVersionTagging = "s3:DeleteObjectVersionTagging";
        GetAccelerateConfiguration = "s3:GetAccelerateConfiguration";
        GetAnalyticsConfiguration = "s3:GetAnalyticsConfiguration";
        GetBucketAcl = "s3:GetBucketAcl";
        GetBucketCors = "s3:GetBucketCORS";
        GetBucketLocation = "s3:GetBucketLocation";
        GetBucketLogging = "s3:GetBucketLogging";
        GetBucketNotification = "s3:GetBucketNotification";
        GetBucketObjectLockConfiguration = "s3:GetBucketObjectLockConfiguration";
        GetBucketOwnershipControls = "s3:GetBucketOwnershipControls";
        GetBucketPolicy = "s3:GetBucketPolicy";
        GetBucketPolicyStatus = "s3:GetBucketPolicyStatus";
        GetBucketPublicAccessBlock = "s3:GetBucketPublicAccessBlock";
        GetBucketRequestPayment = "s3:GetBucketRequestPayment";
        GetBucketTagging = "s3:GetBucketTagging";
        GetBucketVersioning = "s3:GetBucketVersioning";
        GetBucketWebsite = "s3:GetBucketWebsite";
        GetEncryptionConfiguration = "s3:GetEncryptionConfiguration";
        GetIntelligentTieringConfiguration = "s3:GetIntelligentTieringConfiguration";
        GetInventoryConfiguration = "s3:GetInventoryConfiguration";
        GetLifecycleConfiguration = "s3:GetLifecycleConfiguration";
        GetMetricsConfiguration = "s3:GetMetricsConfiguration";
        GetObject = "s3:GetObject";
        GetObjectAcl = "s3:GetObjectAcl";
        GetObjectAttributes = "s3:GetObjectAttributes";
        GetObjectLegalHold = "s3:GetObjectLegalHold";
        GetObjectRetention = "s3:GetObjectRetention";
        GetObjectTagging = "s3:GetObjectTagging";
        GetObjectVersion = "s3:GetObjectVersion";
        GetObjectVersionAcl = "s3:GetObjectVersionAcl";
        GetObjectVersionAttributes = "s3:GetObjectVersionAttributes";
        GetObjectVersionTagging = "s3:GetObjectVersionTagging";
        GetReplicationConfiguration = "s3:GetReplicationConfiguration";
        ListAllMyBuckets = "s3:ListAllMyBuckets";
        ListBucket = "s3:ListBucket";
        ListBucketMultipartUploads = "s3:ListBucketMultipartUploads";
        ListBucketVersions = "s3:ListBucketVersions";
        ListMultipartUploadParts = "s3:ListMultipartUploadParts";
        PutBucketAcl = "s3:PutBucketAcl";
        PutBucketCors = "s3:PutBucketCORS";
        PutBucketLogging = "s3:PutBucketLogging";
        PutBucketOwnershipControls = "s3:PutBucketOwnershipControls";
        PutBucketPolicy = "s3:PutBucketPolicy";
        PutBucketPublicAccessBlock = "s3:PutBucketPublicAccessBlock";
        PutBucketTagging = "s3:PutBucketTagging";
        PutBucketVersioning = "s3:PutBucketVersioning";
        PutEncryptionConfiguration = "s3:PutEncryptionConfiguration";
        PutLifecycleConfiguration = "s3:PutLifecycleConfiguration";
        PutObject = "s3:PutObject";
        PutObjectAcl = "s3:PutObjectAcl";
        PutObjectTagging = "s3:PutObjectTagging";
        PutObjectVersionAcl = "s3:PutObjectVersionAcl";
        PutObjectVersionTagging = "s3:PutObjectVersionTagging";
        PutReplicationConfiguration = "s3:PutReplicationConfiguration";
        TagResource = "s3:TagResource";
        UpdateObjectEncryption = "s3:UpdateObjectEncryption";
    }
}
