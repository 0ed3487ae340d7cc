//! TagResource, UntagResource, ListResourceTags.

use std::collections::BTreeSet;

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;

use crate::access::Ask;
use crate::markers::page_size;
use crate::operation::Operation;
use crate::trail;
use crate::{
    KeyService, KmsError, ListResourceTagsInput, Page, Tag, TagResourceInput, UntagResourceInput,
};

/// Tags of a key (Developer Guide, "Quotas").
pub(crate) const TAGS_MAX: usize = 50;

impl KeyService {
    /// TagResource: sets tags; those of the same key get the new value.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn tag_resource(
        &self,
        caller: &RequestContext,
        input: TagResourceInput,
    ) -> Result<(), KmsError> {
        check(&input.tags)?;
        let ask = Ask {
            conditions: with_tags(Conditions::default(), &input.tags),
            ..Ask::plain(Operation::TagResource)
        };
        let params = trail::tags(trail::key_id(&input.key_id), &input.tags);
        self.change_admitted(caller, &input.key_id, &ask, &params, |key| {
            for tag in &input.tags {
                match key.tags.iter_mut().find(|it| it.key == tag.key) {
                    Some(present) => present.value.clone_from(&tag.value),
                    None => key.tags.push(tag.clone()),
                }
            }
            if key.tags.len() > TAGS_MAX {
                return Err(too_many());
            }
            Ok(())
        })?;
        Ok(())
    }

    /// UntagResource: removes tags; those that are not there are no error.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn untag_resource(
        &self,
        caller: &RequestContext,
        input: UntagResourceInput,
    ) -> Result<(), KmsError> {
        let UntagResourceInput { key_id, tag_keys } = input;
        let ask = Ask {
            conditions: Conditions::default().with_all("aws:TagKeys", tag_keys.iter().cloned()),
            ..Ask::plain(Operation::UntagResource)
        };
        let params = trail::key_id(&key_id).list("tagKeys", &tag_keys);
        self.change_admitted(caller, &key_id, &ask, &params, |key| {
            key.tags.retain(|tag| !tag_keys.contains(&tag.key));
            Ok(())
        })?;
        Ok(())
    }

    /// ListResourceTags, in the order in which the keys were first set.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn list_resource_tags(
        &self,
        caller: &RequestContext,
        input: ListResourceTagsInput,
    ) -> Result<Page<Tag>, KmsError> {
        let ask = Ask::plain(Operation::ListResourceTags);
        let opened = self.admit(caller, &input.key_id, &ask)?;
        let listing = [b"ListResourceTags".as_slice(), opened.key.arn.id.as_bytes()].concat();
        let last = self
            .shared
            .markers
            .open(&listing, input.marker.as_deref())?;
        let tags = &opened.key.tags;
        // Behind the last one shown; from the start if it has gone since.
        let from = last.map_or(0, |last| {
            tags.iter()
                .position(|tag| tag.key.as_bytes() == last)
                .map_or(0, |index| index + 1)
        });
        let limit = page_size(input.limit, 50, 50);
        let entries: Vec<Tag> = tags.iter().skip(from).take(limit).cloned().collect();
        let more = from + entries.len() < tags.len();
        let next_marker = entries
            .last()
            .filter(|_| more)
            .map(|tag| self.shared.markers.seal(&listing, tag.key.as_bytes()));
        Ok(Page {
            entries,
            next_marker,
        })
    }
}

/// Whether these tags can be set together.
///
/// # Errors
///
/// [`KmsError::Tag`].
pub(crate) fn check(tags: &[Tag]) -> Result<(), KmsError> {
    let mut seen = BTreeSet::new();
    for tag in tags {
        if tag
            .key
            .get(..4)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
        {
            return Err(KmsError::Tag(
                "Tags beginning with aws: are reserved".to_owned(),
            ));
        }
        if !seen.insert(&tag.key) {
            return Err(KmsError::Tag("Duplicate tag keys".to_owned()));
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(too_many());
    }
    Ok(())
}

/// Adds the condition keys of tags that a request sets.
pub(crate) fn with_tags(conditions: Conditions, tags: &[Tag]) -> Conditions {
    if tags.is_empty() {
        return conditions;
    }
    let names = tags.iter().map(|tag| tag.key.clone());
    tags.iter().fold(
        conditions.with_all("aws:TagKeys", names),
        |conditions, tag| {
            conditions.with_one_more(&format!("aws:RequestTag/{}", tag.key), &tag.value)
        },
    )
}

fn too_many() -> KmsError {
    KmsError::Tag("Too many tags".to_owned())
}
