//! Blob files without keys: header, checksums of segments, footer.

use std::io;
use std::sync::Arc;

use strongroom_crypto::{HEADER_MAX_BYTES, Layers, StreamLayout, parse_footer, stream_uids};
use strongroom_recover::manifest;

use crate::blobs::stream_ends;
use crate::findings::{Findings, Subject, Whereabouts};
use crate::pace::Pace;
use crate::pool::Pool;
use crate::report::Kind;
use crate::stream::{Fault, Source, Stream};
use crate::tally::{Tally, add};
use crate::text::{hex, to_usize};
use crate::walk::{Counters, mode_of};

const PART_LIST_MAGIC: &[u8] = b"SRM1";

/// A pass over blob files without keys.
pub(crate) struct Keyless<'a> {
    pub(crate) pace: &'a Pace<'a>,
    pub(crate) pool: Option<(&'a Pool, usize)>,
    pub(crate) findings: Arc<Findings>,
    pub(crate) tally: &'a Tally,
    pub(crate) counters: &'a Counters,
}

impl Keyless<'_> {
    /// Looks at one blob file.
    pub(crate) fn blob(&self, id: [u8; 16], path: &std::path::Path, shown: String) {
        let at = Whereabouts {
            file: Some(shown),
            ..Whereabouts::default()
        };
        let subject = Subject::Blob(id);
        let tell = |what: &str, why: &str, offset: u64| {
            let finding = at.finding(what, why).at(offset);
            self.findings.add(subject.clone(), finding);
        };
        if let Err(error) = self.look(path, &subject, &at, &tell)
            && error.kind() != io::ErrorKind::NotFound
        {
            tell("unreadable", &error.to_string(), 0);
        }
    }

    fn look(
        &self,
        path: &std::path::Path,
        subject: &Subject,
        at: &Whereabouts,
        tell: &dyn Fn(&str, &str, u64),
    ) -> io::Result<()> {
        let source = Source::File(Arc::new(self.pace.open(path)?));
        let header = source.read(self.pace, 0, HEADER_MAX_BYTES)?;
        if header.starts_with(PART_LIST_MAGIC) {
            return self.part_list(&source, tell);
        }
        if !header.starts_with(b"SRB1") {
            let why = "it is neither a sealed stream nor a part list";
            let finding = at.finding("foreign", why).of_kind(Kind::Foreign);
            self.findings.add(subject.clone(), finding.at(0));
            return Ok(());
        }
        let (Ok(layout), Ok((bucket, _, _))) = (StreamLayout::parse(&header), stream_uids(&header))
        else {
            tell("header", "the header of the stored stream is damaged", 0);
            return Ok(());
        };
        let ends = stream_ends(&source, self.pace)?;
        let len = source.len_bytes()?;
        // From the end: the stream ends where the first footer behind it begins.
        let found = ends
            .iter()
            .rev()
            .find_map(|(from, _)| Some((*from, layout.plaintext_len_bytes(*from).ok()?)));
        let Some((end, size_bytes)) = found else {
            tell("footer", "there is no footer that can be read", len);
            self.segments_before(&source, layout, len, tell)?;
            return Ok(());
        };
        let last = ends.first().map_or(len, |(_, last)| *last);
        let behind = source.read(self.pace, last, to_usize(len - last))?;
        let begun = behind.iter().position(|byte| *byte != 0);
        let begun = begun.and_then(|at| behind.get(at..)).unwrap_or_default();
        if !begun.is_empty() && !begun.starts_with(b"SRF1") {
            tell(
                "footer",
                "there is more than its footer behind the stream",
                last,
            );
        } else if ends.len() > 1 || last != len {
            let why = "its footer was being replaced: the next start completes that";
            let finding = at.finding("footer", why).of_kind(Kind::Leftover);
            self.findings.add(subject.clone(), finding.at(end));
        }
        let footer = source.read(self.pace, end, to_usize(len - end))?;
        let mode = match parse_footer(&footer) {
            Ok((footer, _)) => mode_of(&footer.wrapped_key),
            Err(_) if layout.layers() == Layers::Two => "aws:kms:dsse",
            Err(_) => "unknown",
        };
        let bucket = self
            .tally
            .bucket(&format!("uid-{}", hex(bucket.as_bytes())));
        let tally = bucket.mode(mode);
        add(&tally.streams, 1);
        add(&tally.bytes, size_bytes);
        let findings = Arc::clone(&self.findings);
        let (own, at) = (subject.clone(), at.clone());
        let stream = Arc::new(Stream::new(
            source,
            (layout, None),
            size_bytes,
            tally,
            Box::new(move |Fault { what, why, offset }| {
                findings.add(own.clone(), at.finding(what, why).at(offset));
            }),
        ));
        if let Some((pool, workers)) = self.pool {
            let others = to_usize(stream.pieces());
            pool.ask_for_help(&stream, others.min(workers).saturating_sub(1));
        }
        stream.verify(self.pace);
        Ok(())
    }

    /// Where a file without footer breaks off or is damaged: whole segments before its end.
    fn segments_before(
        &self,
        source: &Source,
        layout: StreamLayout,
        len: u64,
        tell: &dyn Fn(&str, &str, u64),
    ) -> io::Result<()> {
        let stored = layout.stored_segment_len_bytes();
        let mut at = u64::try_from(layout.header_len_bytes()).unwrap_or(u64::MAX);
        while at.saturating_add(u64::try_from(stored).unwrap_or(u64::MAX)) <= len {
            let segment = source.read(self.pace, at, stored)?;
            if !strongroom_crypto::segment_checksum_ok(&segment) {
                tell(
                    "segment",
                    "the first segment that is not whole begins here",
                    at,
                );
                break;
            }
            at += u64::try_from(stored).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    fn part_list(&self, source: &Source, tell: &dyn Fn(&str, &str, u64)) -> io::Result<()> {
        add(&self.counters.part_lists, 1);
        let preamble = source.read(self.pace, 0, 56)?;
        let count = preamble.last_chunk::<4>().map(|it| u32::from_be_bytes(*it));
        let expected = count.and_then(manifest::len_max_bytes);
        let len = source.len_bytes()?;
        if preamble.len() < 56 || expected.is_none_or(|it| crate::text::to_u64(it) != len) {
            tell(
                "part-list",
                "the part list is not as long as its beginning says",
                0,
            );
        }
        Ok(())
    }
}
