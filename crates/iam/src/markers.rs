//! Markers of listings: opaque, and good only for the listing that gave them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_crypto::ROW_OVERHEAD_BYTES;

use crate::limits::PAGE;
use crate::{IamError, IamService, Page, PageInput};

/// No table has this number: a marker opens as no row, and no row as a marker.
const NO_TABLE: u8 = 253;

impl IamService {
    /// The page of `items`, which are sorted by their keys.
    ///
    /// `listing` names the operation, the account and whatever else the listing is of.
    ///
    /// # Errors
    ///
    /// [`IamError::Validation`] for a marker of another listing, and a size out of bounds.
    pub(crate) fn page<T>(
        &self,
        listing: &[&str],
        input: &PageInput,
        items: impl IntoIterator<Item = (String, T)>,
    ) -> Result<Page<T>, IamError> {
        let (default, most) = PAGE;
        let limit = input.max_items.unwrap_or(default);
        if !(1..=most).contains(&limit) {
            return Err(IamError::constraint(
                &limit.to_string(),
                "maxItems",
                "have value between 1 and 1000",
            ));
        }
        let listing = listing.join("\0");
        let last = match input.marker.as_deref() {
            Some(marker) => Some(self.open_marker(&listing, marker)?),
            None => None,
        };
        let mut behind = items
            .into_iter()
            .filter(|(key, _)| last.as_ref().is_none_or(|last| key > last));
        let mut entries = Vec::new();
        let mut end = String::new();
        let limit = usize::try_from(limit).unwrap_or(1);
        for (key, item) in behind.by_ref().take(limit) {
            entries.push(item);
            end = key;
        }
        let more = behind.next().is_some();
        Ok(Page {
            entries,
            next_marker: more.then(|| self.seal_marker(&listing, &end)),
        })
    }

    fn seal_marker(&self, listing: &str, position: &str) -> String {
        let sealed = self.ports.rows.custody.rows().seal(
            NO_TABLE,
            listing.as_bytes(),
            position.as_bytes(),
            &*self.ports.entropy,
        );
        URL_SAFE_NO_PAD.encode(sealed)
    }

    fn open_marker(&self, listing: &str, marker: &str) -> Result<String, IamError> {
        URL_SAFE_NO_PAD
            .decode(marker)
            .ok()
            .filter(|sealed| sealed.len() >= ROW_OVERHEAD_BYTES)
            .and_then(|sealed| {
                let rows = self.ports.rows.custody.rows();
                rows.open(NO_TABLE, listing.as_bytes(), &sealed).ok()
            })
            .and_then(|position| String::from_utf8(position).ok())
            .ok_or_else(|| IamError::Validation("Invalid Marker".to_owned()))
    }
}
