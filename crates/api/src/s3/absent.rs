//! AWS's operations that are not here: their names, for the records of those who ask for them.

use http::Method;

use super::route::{Level, Seen};

/// The name in records of the operation that a request asks for and that this server does not have;
/// none where AWS has none either.
pub(crate) fn event_name(seen: &Seen<'_>) -> Option<&'static str> {
    let is_asked = |it: &&Absent| {
        let Absent(method, level, subresource, _) = it;
        method == seen.method && *level == seen.level && seen.query.has(subresource)
    };
    let Absent(_, _, _, name) = ABSENT.iter().find(is_asked)?;
    Some(name)
}

/// Method, level, sub-resource, name.
struct Absent(Method, Level, &'static str, &'static str);

use Level::{Bucket, Object};

/// Names are those of the S3 User Guide, "Amazon S3 CloudTrail events", where it has them, and else
/// the operations' own.
#[rustfmt::skip]
const ABSENT: &[Absent] = &[
    Absent(Method::PUT, Bucket, "accelerate", "PutBucketAccelerateConfiguration"),
    Absent(Method::PUT, Bucket, "analytics", "PutBucketAnalyticsConfiguration"),
    Absent(Method::DELETE, Bucket, "analytics", "DeleteBucketAnalyticsConfiguration"),
    Absent(Method::PUT, Bucket, "cors", "PutBucketCors"),
    Absent(Method::PUT, Bucket, "intelligent-tiering", "PutBucketIntelligentTieringConfiguration"),
    Absent(Method::DELETE, Bucket, "intelligent-tiering", "DeleteBucketIntelligentTieringConfiguration"),
    Absent(Method::PUT, Bucket, "inventory", "PutBucketInventoryConfiguration"),
    Absent(Method::DELETE, Bucket, "inventory", "DeleteBucketInventoryConfiguration"),
    Absent(Method::PUT, Bucket, "lifecycle", "PutBucketLifecycle"),
    Absent(Method::POST, Bucket, "metadataConfiguration", "CreateBucketMetadataConfiguration"),
    Absent(Method::GET, Bucket, "metadataConfiguration", "GetBucketMetadataConfiguration"),
    Absent(Method::DELETE, Bucket, "metadataConfiguration", "DeleteBucketMetadataConfiguration"),
    Absent(Method::POST, Bucket, "metadataTable", "CreateBucketMetadataTableConfiguration"),
    Absent(Method::GET, Bucket, "metadataTable", "GetBucketMetadataTableConfiguration"),
    Absent(Method::DELETE, Bucket, "metadataTable", "DeleteBucketMetadataTableConfiguration"),
    Absent(Method::PUT, Bucket, "metadataInventoryTable", "UpdateBucketMetadataInventoryTableConfiguration"),
    Absent(Method::PUT, Bucket, "metadataJournalTable", "UpdateBucketMetadataJournalTableConfiguration"),
    Absent(Method::PUT, Bucket, "metrics", "PutBucketMetricsConfiguration"),
    Absent(Method::DELETE, Bucket, "metrics", "DeleteBucketMetricsConfiguration"),
    Absent(Method::PUT, Bucket, "notification", "PutBucketNotification"),
    Absent(Method::PUT, Bucket, "object-lock", "PutBucketObjectLockConfiguration"),
    Absent(Method::PUT, Bucket, "replication", "PutBucketReplication"),
    Absent(Method::PUT, Bucket, "requestPayment", "PutBucketRequestPayment"),
    Absent(Method::GET, Bucket, "session", "CreateSession"),
    Absent(Method::PUT, Bucket, "website", "PutBucketWebsite"),
    Absent(Method::GET, Object, "torrent", "GetObjectTorrent"),
    Absent(Method::PUT, Object, "legal-hold", "PutObjectLegalHold"),
    Absent(Method::PUT, Object, "renameObject", "RenameObject"),
    Absent(Method::POST, Object, "restore", "RestoreObject"),
    Absent(Method::PUT, Object, "retention", "PutObjectRetention"),
    Absent(Method::POST, Object, "select", "SelectObjectContent"),
];

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::error::RequestError;
    use crate::s3::route::{Route, select};
    use crate::sigv4::uri::Query;

    #[test]
    fn what_is_absent_is_not_in_the_table_and_is_answered_as_not_implemented() {
        for Absent(method, level, subresource, name) in ABSENT {
            let query = Query::parse(subresource).unwrap();
            let seen = Seen {
                method,
                level: *level,
                query: &query,
                headers: &HeaderMap::new(),
            };
            assert!(
                matches!(select(&seen), Err(RequestError::NotImplemented { .. })),
                "{name}"
            );
            assert_eq!(event_name(&seen), Some(*name));
            assert!(Route::is_subresource(subresource), "{name}");
        }
    }
}
