//! Entry points for fuzz targets.

use strongroom_rows::Record as _;

use crate::chain;
use crate::event::Event;
use crate::records::{BatchRow, HeadRow, Lane, PostingRow};

/// Decodes `data` as every record of the trail, and unpacks it as a batch. What decodes must encode to
/// what decodes to the same.
pub fn records(data: &[u8]) {
    if let Some(event) = Event::decode(data) {
        assert_eq!(Event::decode(&event.encode()), Some(event));
    }
    if let Some(batch) = BatchRow::decode(data) {
        assert_eq!(BatchRow::decode(&batch.encode()).as_ref(), Some(&batch));
        for lane in Lane::ALL {
            drop(chain::unpack(lane, &batch));
        }
    }
    if let Some(head) = HeadRow::decode(data) {
        assert_eq!(HeadRow::decode(&head.encode()), Some(head));
    }
    if let Some(posting) = PostingRow::decode(data) {
        assert_eq!(PostingRow::decode(&posting.encode()), Some(posting));
    }
}
