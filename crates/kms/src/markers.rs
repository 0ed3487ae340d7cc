//! Markers of listings: opaque, and good only for the listing that gave them.

use std::sync::Arc;

use bytes::Bytes;
use strongroom_crypto::ROW_OVERHEAD_BYTES;
use strongroom_ports::Entropy;
use strongroom_rows::Custody;

use crate::service::KeyServicePorts;
use crate::{KmsError, keys};

/// No table has this number: a marker opens as no row, and no row as a marker.
const NO_TABLE: u8 = 0;

/// Seals and opens markers.
pub(crate) struct Markers {
    custody: Arc<Custody>,
    entropy: Arc<dyn Entropy>,
}

impl Markers {
    pub(crate) fn new(ports: &KeyServicePorts) -> Self {
        Self {
            custody: Arc::clone(&ports.rows.custody),
            entropy: Arc::clone(&ports.entropy),
        }
    }

    /// The marker for what follows `position` in the listing `listing`, which names operation, account
    /// and whatever else the listing is of.
    pub(crate) fn seal(&self, listing: &[u8], position: &[u8]) -> String {
        let rows = self.custody.rows();
        hex::encode(rows.seal(NO_TABLE, listing, position, &*self.entropy))
    }

    /// The position in a marker, if there is a marker.
    ///
    /// # Errors
    ///
    /// [`KmsError::InvalidMarker`] unless [`Markers::seal`] made it for this listing.
    pub(crate) fn open(
        &self,
        listing: &[u8],
        marker: Option<&str>,
    ) -> Result<Option<Bytes>, KmsError> {
        let Some(marker) = marker else {
            return Ok(None);
        };
        hex::decode(marker)
            .ok()
            .filter(|sealed| sealed.len() >= ROW_OVERHEAD_BYTES)
            .and_then(|sealed| self.custody.rows().open(NO_TABLE, listing, &sealed).ok())
            .map(|position| Some(position.into()))
            .ok_or_else(|| KmsError::InvalidMarker("Could not deserialize marker.".to_owned()))
    }

    /// The range that is left of `range` behind the marker.
    ///
    /// # Errors
    ///
    /// [`KmsError::InvalidMarker`].
    pub(crate) fn resume(
        &self,
        listing: &[u8],
        marker: Option<&str>,
        range: keys::Range,
    ) -> Result<keys::Range, KmsError> {
        let (start, end) = range;
        Ok(match self.open(listing, marker)? {
            Some(last) => (keys::behind(&last).max(start), end),
            None => (start, end),
        })
    }
}

/// What a page may hold at most: the limit asked for, or the operation's own.
pub(crate) fn page_size(limit: Option<u32>, default: u32, max: u32) -> usize {
    usize::try_from(limit.unwrap_or(default).clamp(1, max)).unwrap_or(1)
}
