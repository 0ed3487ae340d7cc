//! Which trails need a key, for who wants to know what depends on it.

use bytes::Bytes;
use strongroom_ports::Table;
use strongroom_rows::SealedRows;

use crate::TrailError;
use crate::trails::Trail;
use crate::trails::state::TrailState;
use crate::trails::store::{TRAIL, state_key_of};

/// Rows read at once.
const PAGE_ROWS: usize = 1000;

/// The trails of all accounts whose log files are encrypted with the key of that ARN, those that are
/// being deleted left out. Blocks.
///
/// # Errors
///
/// [`TrailError`].
pub fn trails_under_key(rows: &SealedRows, key_arn: &str) -> Result<Vec<Trail>, TrailError> {
    let table = Table::AUDIT_TRAILS;
    let mut start = Bytes::from_static(&[TRAIL]);
    let mut found = Vec::new();
    loop {
        let range = (start, Some(Bytes::from_static(&[TRAIL + 1])));
        let (page, more) = rows.scan::<Trail>(table, range, PAGE_ROWS)?;
        let last = page.last().map(|(row, _)| row.key.clone());
        for (row, trail) in page {
            if trail.kms_key_arn.as_deref() != Some(key_arn) {
                continue;
            }
            let state = rows.read::<TrailState>(table, &state_key_of(&row.key))?;
            if !state.is_some_and(|(state, _)| state.deleted) {
                found.push(trail);
            }
        }
        match last {
            Some(last) if more => start = [&last, [0].as_slice()].concat().into(),
            _ => return Ok(found),
        }
    }
}
