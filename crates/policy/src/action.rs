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

/// The actions that operations demand. Source: Service Authorization Reference, "Actions, resources,
/// and condition keys for Amazon S3".
pub mod actions {
    use super::Action;

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

    actions! {
        AbortMultipartUpload = "s3:AbortMultipartUpload";
        CreateBucket = "s3:CreateBucket";
        DeleteBucket = "s3:DeleteBucket";
        DeleteObject = "s3:DeleteObject";
        DeleteObjectTagging = "s3:DeleteObjectTagging";
        DeleteObjectVersion = "s3:DeleteObjectVersion";
        GetBucketLocation = "s3:GetBucketLocation";
        GetBucketTagging = "s3:GetBucketTagging";
        GetBucketVersioning = "s3:GetBucketVersioning";
        GetEncryptionConfiguration = "s3:GetEncryptionConfiguration";
        GetObject = "s3:GetObject";
        GetObjectAttributes = "s3:GetObjectAttributes";
        GetObjectTagging = "s3:GetObjectTagging";
        GetObjectVersion = "s3:GetObjectVersion";
        ListAllMyBuckets = "s3:ListAllMyBuckets";
        ListBucket = "s3:ListBucket";
        ListBucketMultipartUploads = "s3:ListBucketMultipartUploads";
        ListBucketVersions = "s3:ListBucketVersions";
        ListMultipartUploadParts = "s3:ListMultipartUploadParts";
        PutBucketTagging = "s3:PutBucketTagging";
        PutBucketVersioning = "s3:PutBucketVersioning";
        PutEncryptionConfiguration = "s3:PutEncryptionConfiguration";
        PutObject = "s3:PutObject";
        PutObjectTagging = "s3:PutObjectTagging";
        UpdateObjectEncryption = "s3:UpdateObjectEncryption";
        ReadBucketSettings = "s3:GetBucketPolicy";
        WriteBucketSettings = "s3:PutBucketPolicy";
    }
}
