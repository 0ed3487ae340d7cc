//! `If-Match` and its kin (RFC 9110, 13).

use strongroom_types::{ETag, ObjectKey, Timestamp, VersionId};

use crate::lookup::FoundVersion;
use crate::{ETagCondition, ReadConditions, S3Error, WriteConditions};

impl ETagCondition {
    /// Whether it holds for a version with this tag.
    pub(crate) fn matches(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag.as_str() == etag),
        }
    }
}

impl ReadConditions {
    /// Evaluates the conditions of a read in RFC 9110's order (13.2.2): a date counts only where its
    /// tag twin was not sent.
    ///
    /// # Errors
    ///
    /// [`S3Error::PreconditionFailed`], [`S3Error::NotModified`].
    pub(crate) fn check(
        &self,
        etag: &ETag,
        last_modified: Timestamp,
        version: Option<VersionId>,
    ) -> Result<(), S3Error> {
        match self.failing(etag.as_str(), last_modified) {
            None => Ok(()),
            Some("If-None-Match" | "If-Modified-Since") => Err(S3Error::NotModified {
                etag: etag.clone(),
                last_modified,
                version,
            }),
            Some(condition) => Err(S3Error::PreconditionFailed { condition }),
        }
    }

    /// Evaluates the conditions on a copy's source: each failure is a 412 (API reference,
    /// CopyObject).
    ///
    /// # Errors
    ///
    /// [`S3Error::PreconditionFailed`].
    pub(crate) fn check_copy_source(
        &self,
        etag: &ETag,
        last_modified: Timestamp,
    ) -> Result<(), S3Error> {
        let condition = match self.failing(etag.as_str(), last_modified) {
            None => return Ok(()),
            Some("If-Match") => "x-amz-copy-source-If-Match",
            Some("If-None-Match") => "x-amz-copy-source-If-None-Match",
            Some("If-Modified-Since") => "x-amz-copy-source-If-Modified-Since",
            Some(_) => "x-amz-copy-source-If-Unmodified-Since",
        };
        Err(S3Error::PreconditionFailed { condition })
    }

    /// The first condition that does not hold. HTTP dates know whole seconds only.
    fn failing(&self, etag: &str, last_modified: Timestamp) -> Option<&'static str> {
        let Self {
            if_match,
            if_none_match,
            if_modified_since,
            if_unmodified_since,
        } = self;
        let modified = last_modified.as_seconds();
        match (if_match, if_unmodified_since) {
            (Some(condition), _) if !condition.matches(etag) => return Some("If-Match"),
            (None, Some(since)) if modified > since.as_seconds() => {
                return Some("If-Unmodified-Since");
            }
            (Some(_) | None, _) => {}
        }
        match (if_none_match, if_modified_since) {
            (Some(condition), _) if condition.matches(etag) => Some("If-None-Match"),
            (None, Some(since)) if modified <= since.as_seconds() => Some("If-Modified-Since"),
            (Some(_) | None, _) => None,
        }
    }
}

impl WriteConditions {
    /// Evaluates the conditions of a write against the newest version or delete marker.
    ///
    /// # Errors
    ///
    /// [`S3Error::PreconditionFailed`]; [`S3Error::NoSuchKey`] where `If-Match` finds nothing.
    pub(crate) fn check(
        &self,
        key: &ObjectKey,
        latest: Option<&FoundVersion>,
    ) -> Result<(), S3Error> {
        let Self {
            if_match,
            if_none_match,
        } = self;
        let object = latest.and_then(|latest| latest.row.object.as_ref());
        if *if_none_match && object.is_some() {
            return Err(S3Error::PreconditionFailed {
                condition: "If-None-Match",
            });
        }
        match (if_match, object) {
            (None, _) => Ok(()),
            (Some(condition), Some(object)) if condition.matches(&object.etag) => Ok(()),
            (Some(_), Some(_)) => Err(S3Error::PreconditionFailed {
                condition: "If-Match",
            }),
            (Some(_), None) => {
                let delete_marker = latest.map(|marker| marker.row.version_id(marker.sequence));
                Err(S3Error::NoSuchKey {
                    key: key.clone(),
                    delete_marker,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp::from_millis(10_500);

    fn tags(tag: &str) -> Option<ETagCondition> {
        Some(ETagCondition::Tags(vec![
            ETag::from_stored("other"),
            ETag::from_stored(tag),
        ]))
    }

    fn outcome(conditions: &ReadConditions) -> Option<&'static str> {
        match conditions.check(&ETag::from_stored("a"), T, None) {
            Ok(()) => None,
            Err(S3Error::NotModified { .. }) => Some("304"),
            Err(S3Error::PreconditionFailed { condition }) => Some(condition),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_tag_outranks_its_date() {
        let at = |seconds| Some(Timestamp::from_seconds(seconds));
        let none = ReadConditions::default();
        let cases = [
            (none.clone(), None),
            (
                ReadConditions {
                    if_match: tags("a"),
                    if_unmodified_since: at(1),
                    ..none.clone()
                },
                None,
            ),
            (
                ReadConditions {
                    if_match: tags("b"),
                    ..none.clone()
                },
                Some("If-Match"),
            ),
            (
                ReadConditions {
                    if_match: Some(ETagCondition::Any),
                    ..none.clone()
                },
                None,
            ),
            (
                ReadConditions {
                    if_unmodified_since: at(9),
                    ..none.clone()
                },
                Some("If-Unmodified-Since"),
            ),
            (
                ReadConditions {
                    if_unmodified_since: at(10),
                    ..none.clone()
                },
                None,
            ),
            (
                ReadConditions {
                    if_none_match: tags("a"),
                    ..none.clone()
                },
                Some("304"),
            ),
            (
                ReadConditions {
                    if_none_match: tags("b"),
                    if_modified_since: at(99),
                    ..none.clone()
                },
                None,
            ),
            (
                ReadConditions {
                    if_modified_since: at(10),
                    ..none.clone()
                },
                Some("304"),
            ),
            (
                ReadConditions {
                    if_modified_since: at(9),
                    ..none.clone()
                },
                None,
            ),
            (
                ReadConditions {
                    if_match: tags("b"),
                    if_none_match: tags("a"),
                    ..none.clone()
                },
                Some("If-Match"),
            ),
        ];
        for (conditions, expected) in cases {
            assert_eq!(outcome(&conditions), expected, "{conditions:?}");
        }
    }

    #[test]
    fn copy_sources_fail_with_412_only() {
        let conditions = ReadConditions {
            if_none_match: tags("a"),
            ..ReadConditions::default()
        };
        let got = conditions.check_copy_source(&ETag::from_stored("a"), T);
        assert_eq!(
            got,
            Err(S3Error::PreconditionFailed {
                condition: "x-amz-copy-source-If-None-Match"
            })
        );
    }
}
