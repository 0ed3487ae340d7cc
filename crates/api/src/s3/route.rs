//! The table of operations. To add one: write its handler, add its row, and the table's test will
//! ask for a request that reaches it.

use std::future::Future;
use std::pin::Pin;

use http::{Method, Response};
use strongroom_policy::{Action, actions};

use super::call::Call;
use super::unconfigured::Answer;
use super::{
    ResponseBody, handle_acl, handle_attributes, handle_bucket, handle_bucket_config,
    handle_bucket_policy, handle_copy, handle_delete, handle_list, handle_logging,
    handle_multipart, handle_object, handle_object_config, handle_post, handle_tagging,
    unconfigured,
};
use crate::error::{Failure, RequestError};
use crate::recording::Recorded;

/// What a handler gives back.
pub(crate) type Reply = Result<Response<ResponseBody>, Failure>;
/// A handler at work.
pub(crate) type ReplyFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What an operation is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// No bucket in the address.
    Service,
    /// A bucket and no key.
    Bucket,
    /// A bucket and a key.
    Object,
}

/// What selects a row beside method and level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selector {
    /// Nothing: the row for requests without any sub-resource.
    Plain,
    /// A query parameter.
    Query(&'static str),
    /// Two query parameters.
    Both(&'static str, &'static str),
    /// A query parameter with this value.
    Value(&'static str, &'static str),
    /// A header, and no sub-resource.
    Header(&'static str),
    /// A header beside query parameters.
    BothAndHeader(&'static str, &'static str, &'static str),
    /// `Content-Type: multipart/form-data`.
    Form,
}

/// One operation.
pub(crate) struct Route {
    /// The method.
    pub(crate) method: Method,
    /// What it is done to.
    pub(crate) level: Level,
    /// What selects it.
    pub(crate) selector: Selector,
    /// AWS's name of it.
    pub(crate) name: &'static str,
    /// The IAM action that it demands.
    pub(crate) action: &'static str,
    /// Who answers.
    pub(crate) handler: fn(Call) -> ReplyFuture,
}

impl Route {
    /// Whether its calls are data events: those on objects, and listings of them.
    pub(crate) fn is_data(&self) -> bool {
        const LISTINGS: [&str; 6] = [
            "ListObjects",
            "ListObjectsV2",
            "ListObjectVersions",
            "ListMultipartUploads",
            "DeleteObjects",
            "PostObject",
        ];
        self.level == Level::Object || LISTINGS.contains(&self.name)
    }

    /// Who records its successes: changes of buckets travel with their records, in the service's
    /// transaction.
    pub(crate) fn recorded(&self) -> Recorded {
        let changes = self.method == Method::PUT || self.method == Method::DELETE;
        if changes && !self.is_data() {
            Recorded::InTransaction
        } else {
            Recorded::AtEdge
        }
    }

    /// Whether it changes objects.
    pub(crate) fn changes_object(&self) -> bool {
        self.is_data() && self.method != Method::GET && self.method != Method::HEAD
    }

    /// Whether the answer may begin before its end is known.
    pub(crate) fn may_end_late(&self) -> bool {
        matches!(
            self.name,
            "CompleteMultipartUpload" | "CopyObject" | "UploadPartCopy"
        )
    }

    /// Its name in records, which is older than its name in the API for some (S3 User Guide, "Amazon
    /// S3 CloudTrail events").
    pub(crate) fn event_name(&self) -> &'static str {
        match self.name {
            "ListObjectsV2" => "ListObjects",
            "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
            "PutPublicAccessBlock" => "PutBucketPublicAccessBlock",
            "DeletePublicAccessBlock" => "DeleteBucketPublicAccessBlock",
            "GetBucketLifecycleConfiguration" => "GetBucketLifecycle",
            "GetBucketNotificationConfiguration" => "GetBucketNotification",
            "GetObjectLockConfiguration" => "GetBucketObjectLockConfiguration",
            name => name,
        }
    }

    /// Whether a parameter of the query names a part of a bucket or an object.
    pub(crate) fn is_subresource(name: &str) -> bool {
        SUBRESOURCES.contains(&name)
    }
}

macro_rules! routes {
    ($($method:ident $level:ident $selector:expr, $name:literal, $action:ident => $kind:ident $target:expr;)*) => {
        &[$(Route {
            method: Method::$method,
            level: Level::$level,
            selector: $selector,
            name: $name,
            action: <actions::$action as Action>::NAME,
            handler: routes!(@$kind $level $action $target),
        }),*]
    };
    (@run $level:ident $action:ident $target:expr) => { |call| Box::pin($target(call)) };
    (@unset Bucket $action:ident $target:expr) => {
        |call| Box::pin(unconfigured::of_bucket::<actions::$action>(call, $target))
    };
    (@unset Object $action:ident $target:expr) => {
        |call| Box::pin(unconfigured::of_object::<actions::$action>(call, $target))
    };
}

use Selector::{Both, BothAndHeader, Form, Header, Plain, Query, Value};

/// Every operation, the more specific rows first: the first that matches is taken.
#[rustfmt::skip]
pub(crate) const ROUTES: &[Route] = routes! {
    GET    Service Plain, "ListBuckets", ListAllMyBuckets => run handle_bucket::list_buckets;

    PUT    Bucket Plain, "CreateBucket", CreateBucket => run handle_bucket::create_bucket;
    HEAD   Bucket Plain, "HeadBucket", ListBucket => run handle_bucket::head_bucket;
    DELETE Bucket Plain, "DeleteBucket", DeleteBucket => run handle_bucket::delete_bucket;
    GET    Bucket Query("location"), "GetBucketLocation", GetBucketLocation => run handle_bucket::get_bucket_location;
    GET    Bucket Query("versioning"), "GetBucketVersioning", GetBucketVersioning => run handle_bucket_config::get_bucket_versioning;
    PUT    Bucket Query("versioning"), "PutBucketVersioning", PutBucketVersioning => run handle_bucket_config::put_bucket_versioning;
    GET    Bucket Query("encryption"), "GetBucketEncryption", GetEncryptionConfiguration => run handle_bucket_config::get_bucket_encryption;
    PUT    Bucket Query("encryption"), "PutBucketEncryption", PutEncryptionConfiguration => run handle_bucket_config::put_bucket_encryption;
    DELETE Bucket Query("encryption"), "DeleteBucketEncryption", PutEncryptionConfiguration => run handle_bucket_config::delete_bucket_encryption;
    GET    Bucket Query("tagging"), "GetBucketTagging", GetBucketTagging => run handle_tagging::get_bucket_tagging;
    PUT    Bucket Query("tagging"), "PutBucketTagging", PutBucketTagging => run handle_tagging::put_bucket_tagging;
    DELETE Bucket Query("tagging"), "DeleteBucketTagging", PutBucketTagging => run handle_tagging::delete_bucket_tagging;
    PUT    Bucket Query("acl"), "PutBucketAcl", PutBucketAcl => run handle_acl::put_bucket_acl;
    GET    Bucket Query("acl"), "GetBucketAcl", GetBucketAcl => run handle_acl::get_bucket_acl;
    GET    Bucket Query("ownershipControls"), "GetBucketOwnershipControls", GetBucketOwnershipControls => run handle_acl::get_bucket_ownership_controls;
    PUT    Bucket Query("ownershipControls"), "PutBucketOwnershipControls", PutBucketOwnershipControls => run handle_acl::put_bucket_ownership_controls;
    DELETE Bucket Query("ownershipControls"), "DeleteBucketOwnershipControls", PutBucketOwnershipControls => run handle_acl::delete_bucket_ownership_controls;

    GET    Bucket Query("policy"), "GetBucketPolicy", GetBucketPolicy => run handle_bucket_policy::get_bucket_policy;
    PUT    Bucket Query("policy"), "PutBucketPolicy", PutBucketPolicy => run handle_bucket_policy::put_bucket_policy;
    DELETE Bucket Query("policy"), "DeleteBucketPolicy", DeleteBucketPolicy => run handle_bucket_policy::delete_bucket_policy;
    GET    Bucket Query("policyStatus"), "GetBucketPolicyStatus", GetBucketPolicyStatus => run handle_bucket_policy::get_bucket_policy_status;
    GET    Bucket Query("cors"), "GetBucketCors", GetBucketCors => unset Answer::Missing(crate::error::Unconfigured::Cors);
    GET    Bucket Query("website"), "GetBucketWebsite", GetBucketWebsite => unset Answer::Missing(crate::error::Unconfigured::Website);
    GET    Bucket Query("lifecycle"), "GetBucketLifecycleConfiguration", GetLifecycleConfiguration => unset Answer::Missing(crate::error::Unconfigured::Lifecycle);
    GET    Bucket Query("replication"), "GetBucketReplication", GetReplicationConfiguration => unset Answer::Missing(crate::error::Unconfigured::Replication);
    GET    Bucket Query("object-lock"), "GetObjectLockConfiguration", GetBucketObjectLockConfiguration => unset Answer::Missing(crate::error::Unconfigured::ObjectLock);
    GET    Bucket Query("logging"), "GetBucketLogging", GetBucketLogging => run handle_logging::get_bucket_logging;
    PUT    Bucket Query("logging"), "PutBucketLogging", PutBucketLogging => run handle_logging::put_bucket_logging;
    GET    Bucket Query("accelerate"), "GetBucketAccelerateConfiguration", GetAccelerateConfiguration => unset Answer::Empty("AccelerateConfiguration");
    GET    Bucket Query("notification"), "GetBucketNotificationConfiguration", GetBucketNotification => unset Answer::Empty("NotificationConfiguration");
    GET    Bucket Query("requestPayment"), "GetBucketRequestPayment", GetBucketRequestPayment => unset Answer::RequestPayment;
    GET    Bucket Query("publicAccessBlock"), "GetPublicAccessBlock", GetBucketPublicAccessBlock => run handle_bucket_policy::get_public_access_block;
    PUT    Bucket Query("publicAccessBlock"), "PutPublicAccessBlock", PutBucketPublicAccessBlock => run handle_bucket_policy::put_public_access_block;
    DELETE Bucket Query("publicAccessBlock"), "DeletePublicAccessBlock", PutBucketPublicAccessBlock => run handle_bucket_policy::delete_public_access_block;
    GET    Bucket Both("inventory", "id"), "GetBucketInventoryConfiguration", GetInventoryConfiguration => unset Answer::Missing(crate::error::Unconfigured::ById);
    GET    Bucket Query("inventory"), "ListBucketInventoryConfigurations", GetInventoryConfiguration => unset Answer::EmptyList("ListInventoryConfigurationsResult");
    GET    Bucket Both("analytics", "id"), "GetBucketAnalyticsConfiguration", GetAnalyticsConfiguration => unset Answer::Missing(crate::error::Unconfigured::ById);
    GET    Bucket Query("analytics"), "ListBucketAnalyticsConfigurations", GetAnalyticsConfiguration => unset Answer::EmptyList("ListBucketAnalyticsConfigurationsResult");
    GET    Bucket Both("metrics", "id"), "GetBucketMetricsConfiguration", GetMetricsConfiguration => unset Answer::Missing(crate::error::Unconfigured::ById);
    GET    Bucket Query("metrics"), "ListBucketMetricsConfigurations", GetMetricsConfiguration => unset Answer::EmptyList("ListMetricsConfigurationsResult");
    GET    Bucket Both("intelligent-tiering", "id"), "GetBucketIntelligentTieringConfiguration", GetIntelligentTieringConfiguration => unset Answer::Missing(crate::error::Unconfigured::ById);
    GET    Bucket Query("intelligent-tiering"), "ListBucketIntelligentTieringConfigurations", GetIntelligentTieringConfiguration => unset Answer::EmptyList("ListBucketIntelligentTieringConfigurationsOutput");
    DELETE Bucket Query("cors"), "DeleteBucketCors", PutBucketCors => unset Answer::NothingToDelete;
    DELETE Bucket Query("website"), "DeleteBucketWebsite", DeleteBucketWebsite => unset Answer::NothingToDelete;
    DELETE Bucket Query("lifecycle"), "DeleteBucketLifecycle", PutLifecycleConfiguration => unset Answer::NothingToDelete;
    DELETE Bucket Query("replication"), "DeleteBucketReplication", PutReplicationConfiguration => unset Answer::NothingToDelete;

    GET    Bucket Query("versions"), "ListObjectVersions", ListBucketVersions => run handle_list::list_object_versions;
    GET    Bucket Query("uploads"), "ListMultipartUploads", ListBucketMultipartUploads => run handle_list::list_multipart_uploads;
    GET    Bucket Value("list-type", "2"), "ListObjectsV2", ListBucket => run handle_list::list_objects_v2;
    GET    Bucket Plain, "ListObjects", ListBucket => run handle_list::list_objects;
    POST   Bucket Query("delete"), "DeleteObjects", DeleteObject => run handle_delete::delete_objects;
    POST   Bucket Form, "PostObject", PutObject => run handle_post::post_object;

    POST   Object Query("uploads"), "CreateMultipartUpload", PutObject => run handle_multipart::create_multipart_upload;
    PUT    Object BothAndHeader("partNumber", "uploadId", "x-amz-copy-source"), "UploadPartCopy", PutObject => run handle_copy::upload_part_copy;
    PUT    Object Both("partNumber", "uploadId"), "UploadPart", PutObject => run handle_multipart::upload_part;
    POST   Object Query("uploadId"), "CompleteMultipartUpload", PutObject => run handle_multipart::complete_multipart_upload;
    DELETE Object Query("uploadId"), "AbortMultipartUpload", AbortMultipartUpload => run handle_multipart::abort_multipart_upload;
    GET    Object Query("uploadId"), "ListParts", ListMultipartUploadParts => run handle_multipart::list_parts;
    GET    Object Query("attributes"), "GetObjectAttributes", GetObjectAttributes => run handle_attributes::get_object_attributes;
    GET    Object Query("tagging"), "GetObjectTagging", GetObjectTagging => run handle_tagging::get_object_tagging;
    PUT    Object Query("encryption"), "UpdateObjectEncryption", UpdateObjectEncryption => run handle_object_config::update_object_encryption;
    PUT    Object Query("tagging"), "PutObjectTagging", PutObjectTagging => run handle_tagging::put_object_tagging;
    DELETE Object Query("tagging"), "DeleteObjectTagging", DeleteObjectTagging => run handle_tagging::delete_object_tagging;
    GET    Object Query("acl"), "GetObjectAcl", GetObjectAcl => run handle_acl::get_object_acl;
    PUT    Object Query("acl"), "PutObjectAcl", PutObjectAcl => run handle_acl::put_object_acl;
    GET    Object Query("legal-hold"), "GetObjectLegalHold", GetObjectLegalHold => unset Answer::Missing(crate::error::Unconfigured::ObjectRetention);
    GET    Object Query("retention"), "GetObjectRetention", GetObjectRetention => unset Answer::Missing(crate::error::Unconfigured::ObjectRetention);
    PUT    Object Header("x-amz-copy-source"), "CopyObject", PutObject => run handle_copy::copy_object;
    PUT    Object Plain, "PutObject", PutObject => run handle_object::put_object;
    GET    Object Plain, "GetObject", GetObject => run handle_object::get_object;
    HEAD   Object Plain, "HeadObject", GetObject => run handle_object::head_object;
    DELETE Object Plain, "DeleteObject", DeleteObject => run handle_delete::delete_object;
};

/// Every sub-resource of S3 that is not just a parameter: a request that names one and matches no
/// row asks for something that we do not have, and must not be taken for a plain PUT or DELETE.
const SUBRESOURCES: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "annotations",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
];

/// What a request shows to the table.
pub(crate) struct Seen<'a> {
    /// The method.
    pub(crate) method: &'a Method,
    /// What it is addressed to.
    pub(crate) level: Level,
    /// Its query.
    pub(crate) query: &'a crate::sigv4::uri::Query,
    /// Its headers.
    pub(crate) headers: &'a http::HeaderMap,
}

/// Finds the operation that a request asks for.
///
/// # Errors
///
/// `MethodNotAllowed` for a sub-resource or level that other methods know, `NotImplemented` for
/// one that S3 has and we do not.
pub(crate) fn select(seen: &Seen<'_>) -> Result<&'static Route, RequestError> {
    let subresource = SUBRESOURCES
        .iter()
        .copied()
        .find(|name| seen.query.has(name));
    let at_level = || ROUTES.iter().filter(|route| route.level == seen.level);
    let found = at_level()
        .find(|route| route.method == *seen.method && matches(route.selector, seen, subresource));
    if let Some(route) = found {
        return Ok(route);
    }
    let method_not_allowed = |resource_type: &str| RequestError::MethodNotAllowed {
        method: seen.method.to_string(),
        resource_type: resource_type.to_owned(),
    };
    match subresource {
        // S3 knows these methods for configurations; for any other it has its own answer.
        Some(name)
            if [Method::GET, Method::PUT, Method::POST, Method::DELETE].contains(seen.method) =>
        {
            Err(RequestError::NotImplemented {
                header: name.to_owned(),
            })
        }
        Some(name) => Err(method_not_allowed(&name.to_ascii_uppercase())),
        None => Err(method_not_allowed(match seen.level {
            Level::Service => "SERVICE",
            Level::Bucket => "BUCKET",
            Level::Object => "OBJECT",
        })),
    }
}

fn matches(selector: Selector, seen: &Seen<'_>, subresource: Option<&str>) -> bool {
    let has = |name| seen.query.has(name);
    match selector {
        Plain => subresource.is_none(),
        Query(name) => has(name),
        Both(first, second) => has(first) && has(second),
        Value(name, value) => subresource.is_none() && seen.query.get_str(name) == Some(value),
        Header(name) => subresource.is_none() && seen.headers.contains_key(name),
        BothAndHeader(first, second, header) => {
            has(first) && has(second) && seen.headers.contains_key(header)
        }
        Form => {
            let kind = seen
                .headers
                .get(http::header::CONTENT_TYPE)
                .map(http::HeaderValue::as_bytes);
            subresource.is_none()
                && kind.is_some_and(|kind| {
                    kind.get(..19)
                        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/form-data"))
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(
        method: &str,
        level: Level,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> String {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let query = crate::sigv4::uri::Query::parse(query).unwrap();
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        match select(&Seen {
            method: &method,
            level,
            query: &query,
            headers: &map,
        }) {
            Ok(route) => route.name.to_owned(),
            Err(RequestError::NotImplemented { header }) => format!("501 {header}"),
            Err(RequestError::MethodNotAllowed { resource_type, .. }) => {
                format!("405 {resource_type}")
            }
            Err(other) => format!("{other:?}"),
        }
    }

    /// The query and headers that ask for a row.
    fn request_for(route: &Route) -> (String, Vec<(&'static str, &'static str)>) {
        match route.selector {
            Plain => (String::new(), vec![]),
            Query(name) => (name.to_owned(), vec![]),
            Both(first, second) => (format!("{first}=1&{second}=1"), vec![]),
            Value(name, value) => (format!("{name}={value}"), vec![]),
            Header(name) => (String::new(), vec![(name, "/b/k")]),
            BothAndHeader(first, second, header) => {
                (format!("{first}=1&{second}=1"), vec![(header, "/b/k")])
            }
            Form => (
                String::new(),
                vec![("content-type", "multipart/form-data; boundary=x")],
            ),
        }
    }

    #[test]
    fn every_row_is_reached_by_the_request_it_describes() {
        for route in ROUTES {
            let (query, headers) = request_for(route);
            assert_eq!(
                name_of(route.method.as_str(), route.level, &query, &headers),
                route.name
            );
            assert!(route.action.starts_with("s3:"));
        }
    }

    #[test]
    fn operations_that_we_do_not_have_are_never_taken_for_plain_ones() {
        for name in [
            "website",
            "torrent",
            "restore",
            "object-lock",
            "replication",
        ] {
            assert_eq!(
                name_of("PUT", Level::Bucket, name, &[]),
                format!("501 {name}")
            );
            assert_eq!(
                name_of("POST", Level::Object, name, &[]),
                format!("501 {name}")
            );
        }
        assert_eq!(
            name_of("GET", Level::Object, "encryption", &[]),
            "501 encryption"
        );
        assert_eq!(
            name_of("DELETE", Level::Bucket, "inventory", &[]),
            "501 inventory"
        );
        assert_eq!(name_of("POST", Level::Bucket, "", &[]), "405 BUCKET");
        assert_eq!(name_of("PATCH", Level::Object, "", &[]), "405 OBJECT");
        assert_eq!(name_of("PUT", Level::Service, "", &[]), "405 SERVICE");
        assert_eq!(name_of("HEAD", Level::Bucket, "acl", &[]), "405 ACL");
    }

    #[test]
    fn parameters_do_not_change_the_operation() {
        assert_eq!(
            name_of("GET", Level::Object, "versionId=x&partNumber=1", &[]),
            "GetObject"
        );
        assert_eq!(
            name_of("GET", Level::Bucket, "prefix=a&list-type=1", &[]),
            "ListObjects"
        );
        assert_eq!(
            name_of("PUT", Level::Object, "x-id=PutObject", &[]),
            "PutObject"
        );
    }
}
