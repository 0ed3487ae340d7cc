//! Blob files without keys: header, checksums of segments, footer.

use std::io;
use std::sync::{Arc, PoisonError};

use strongroom_crypto::{
    Footer, HEADER_MAX_BYTES, Layers, StreamLayout, WrapMode, keyless_checksum, parse_footer,
    stream_uids,
};
use strongroom_recover::manifest::{self, Checksum};

use crate::blobs::stream_ends;
use crate::findings::{Findings, Subject, Whereabouts};
use crate::pace::Pace;
use crate::pool::Pool;
use crate::report::Kind;
use crate::stream::{Fault, Source, Stream};
use crate::tally::{Tally, add};
use crate::text::{hex, to_u64, to_usize};
use crate::walk::{Counters, mode_of};

const PART_LIST_MAGIC: &[u8] = b"SRM1";

/// A pass over blob files without keys.
pub(crate) struct Keyless<'a> {
    pub(crate) pace: &'a Pace<'a>,
    pub(crate) pool: Option<(&'a Pool, usize)>,
    pub(crate) findings: Arc<Findings>,
    pub(crate) tally: &'a Tally,
    pub(crate) counters: &'a Counters,
    /// The ids of the store's ring; none if no copy of it is sound.
    pub(crate) ring_ids: &'a [[u8; 16]],
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
        if let Err(error) = self.look(path, id, (&subject, &at), &tell)
            && error.kind() != io::ErrorKind::NotFound
        {
            tell("unreadable", &error.to_string(), 0);
        }
    }

    fn look(
        &self,
        path: &std::path::Path,
        id: [u8; 16],
        (subject, at): (&Subject, &Whereabouts),
        tell: &dyn Fn(&str, &str, u64),
    ) -> io::Result<()> {
        let source = Source::File(Arc::new(self.pace.open(path)?));
        let header = source.read(self.pace, 0, HEADER_MAX_BYTES)?;
        if header.starts_with(PART_LIST_MAGIC) {
            return self.part_list(&source, id, tell);
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
        let own = footer.get(..to_usize(last - end)).unwrap_or_default();
        let parsed = parse_footer(own);
        let own_header = header.get(..layout.header_len_bytes()).unwrap_or_default();
        match parsed.as_ref().map(|(footer, _)| footer.header_checksum) {
            Ok(Some(sum)) if sum != keyless_checksum(own_header) => {
                tell("header", "the header of the stored stream is damaged", 0);
            }
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => add(&self.counters.unchecked_headers, 1),
        }
        if let Ok((footer, _)) = &parsed {
            self.belongs(footer, id, &|what, why| tell(what, why, end));
        }
        let mode = match parsed {
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

    /// Whether a blob file says of itself that it is this one, of this store.
    fn belongs(&self, footer: &Footer, id: [u8; 16], tell: &dyn Fn(&str, &str)) {
        match footer.blob_id {
            Some(own) if own != id => {
                let own = hex(&own);
                let why = format!(
                    "it is the file of blob {own}: files were exchanged, or copied under another name"
                );
                tell("name", &why);
            }
            Some(_) => {}
            None => add(&self.counters.nameless_blobs, 1),
        }
        let (ring_id, version) = match footer.wrapped_key.mode() {
            WrapMode::RootRing { ring_id, version } | WrapMode::TwoLayers { ring_id, version } => {
                (ring_id, version)
            }
            WrapMode::Kms | WrapMode::CustomerKey => return,
        };
        let versions = self.counters.root_versions.lock();
        let mut versions = versions.unwrap_or_else(PoisonError::into_inner);
        *versions.entry(version).or_default() += 1;
        if !self.ring_ids.is_empty() && !self.ring_ids.contains(&ring_id) {
            tell(
                "footer",
                "its key is wrapped under the ring of another store",
            );
        }
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

    fn part_list(
        &self,
        source: &Source,
        id: [u8; 16],
        tell: &dyn Fn(&str, &str, u64),
    ) -> io::Result<()> {
        add(&self.counters.part_lists, 1);
        let preamble = source.read(self.pace, 0, 56)?;
        let count = preamble.last_chunk::<4>().map(|it| u32::from_be_bytes(*it));
        let count = count.filter(|_| preamble.len() == 56);
        let len = count.and_then(manifest::len_max_bytes);
        let (Some(count), Some(len)) = (count, len) else {
            tell("part-list", "the beginning of the part list is damaged", 0);
            return Ok(());
        };
        let stored = source.read(self.pace, 0, len + manifest::CHECKSUM_LEN_BYTES + 1)?;
        match manifest::checksum(&stored, count, &id) {
            Checksum::Sound => {}
            Checksum::Nameless => add(&self.counters.nameless_blobs, 1),
            Checksum::Absent => add(&self.counters.unchecked_part_lists, 1),
            Checksum::Wrong if stored.len() < len => tell(
                "part-list",
                "the part list is cut short",
                to_u64(stored.len()),
            ),
            Checksum::Wrong => tell(
                "part-list",
                "the part list is damaged, or that of another blob",
                0,
            ),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

    use strongroom_crypto::{
        Attribute, BodyKeys, DataKey, Footer, Keyring, ObjectIdentity, OuterKey, encode_footer,
        seal_whole,
    };
    use strongroom_types::{BucketUid, Entropy, ObjectKey, Timestamp, VersionUid};

    use super::*;

    struct Steps(AtomicU8);

    impl Entropy for Steps {
        fn fill(&self, out: &mut [u8]) {
            out.fill_with(|| self.0.fetch_add(7, Ordering::Relaxed));
        }
    }

    /// A blob file as the server writes it.
    fn blob(two_layers: bool) -> Vec<u8> {
        let entropy = Steps(AtomicU8::new(1));
        let object = ObjectIdentity {
            bucket: BucketUid::random(&entropy),
            key: ObjectKey::parse("a/key").unwrap(),
            version: VersionUid::random(&entropy),
        };
        let (ring, _) = Keyring::create(Timestamp::from_seconds(1), &entropy);
        let data_key = DataKey::random(&entropy);
        let wrapped_key = ring.wrap_data_key(&data_key, &object, &entropy);
        let record = data_key.seal_attribute(Attribute::FooterRecord, &object, b"r", &entropy);
        let keys = if two_layers {
            BodyKeys::two_layers(data_key, OuterKey::random(&entropy))
        } else {
            BodyKeys::single(data_key)
        };
        let stream = seal_whole(&keys, &object, None, &entropy, &vec![9; 70_000]);
        let layout = StreamLayout::parse(&stream).unwrap();
        let footer = encode_footer(&Footer {
            wrapped_key,
            record,
            encryption: None,
            header_checksum: Some(keyless_checksum(&stream[..layout.header_len_bytes()])),
            blob_id: Some(ID),
        });
        [stream, footer].concat()
    }

    const ID: [u8; 16] = [0; 16];

    fn findings(stored: &[u8]) -> Vec<(Kind, String)> {
        findings_as(ID, &[], stored)
    }

    /// The same under a name, in the store of a ring.
    fn findings_as(id: [u8; 16], ring_ids: &[[u8; 16]], stored: &[u8]) -> Vec<(Kind, String)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blob");
        std::fs::write(&path, stored).unwrap();
        let never = AtomicBool::new(false);
        let pace = Pace::new(None, &never, false);
        let (tally, counters) = (Tally::default(), Counters::default());
        let findings = Arc::new(Findings::default());
        let keyless = Keyless {
            pace: &pace,
            pool: None,
            findings: Arc::clone(&findings),
            tally: &tally,
            counters: &counters,
            ring_ids,
        };
        keyless.blob(id, &path, "blob".to_owned());
        let found = findings.take().into_iter();
        found
            .map(|(_, finding)| (finding.kind, finding.what))
            .collect()
    }

    #[test]
    fn every_byte_of_a_blob_is_under_a_checksum() {
        for two_layers in [false, true] {
            let good = blob(two_layers);
            assert_eq!(findings(&good), []);
            // All of header and footer, and samples of the segments between.
            let footer = good.len() - 400;
            let samples = (0..500).chain((500..footer).step_by(3001));
            for at in samples.chain(footer..good.len()) {
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                assert!(!findings(&bad).is_empty(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_blob_under_another_name_or_of_another_store_is_found() {
        for two_layers in [false, true] {
            let good = blob(two_layers);
            let found = findings_as([1; 16], &[], &good);
            assert_eq!(found, [(Kind::Damage, "name".to_owned())]);
            let (footer, _) = parse_footer(&good).unwrap();
            if let WrapMode::RootRing { ring_id, .. } | WrapMode::TwoLayers { ring_id, .. } =
                footer.wrapped_key.mode()
            {
                assert_eq!(findings_as(ID, &[[3; 16], ring_id], &good), []);
                let found = findings_as(ID, &[[3; 16]], &good);
                assert_eq!(found, [(Kind::Damage, "footer".to_owned())]);
            }
        }
    }

    #[test]
    fn a_part_list_under_another_name_is_found() {
        let len = manifest::len_max_bytes(3).unwrap();
        let mut list = [&b"SRM1"[..], &[7; 48], &[0, 0, 0, 3]].concat();
        list.resize(len, 9);
        let of = |more: &[u8]| keyless_checksum(&[&list, more].concat()).to_vec();
        let named = [&list[..], &of(&ID)].concat();
        assert_eq!(findings(&named), []);
        let wrong = [(Kind::Damage, "part-list".to_owned())];
        assert_eq!(findings_as([1; 16], &[], &named), wrong);
        // From before names were in it, and from before there was a checksum.
        assert_eq!(findings(&[&list[..], &of(&[])].concat()), []);
        assert_eq!(findings(&list), []);
        for at in 0..named.len() {
            let mut bad = named.clone();
            bad[at] ^= 1;
            assert!(!findings(&bad).is_empty(), "byte {at}");
        }
        for len in (0..named.len()).filter(|it| *it != list.len()) {
            assert!(!findings(&named[..len]).is_empty(), "{len}");
        }
    }

    #[test]
    fn every_truncation_and_extension_of_a_blob_is_found() {
        let good = blob(false);
        for len in (0..good.len()).step_by(997) {
            assert!(!findings(&good[..len]).is_empty(), "{len}");
        }
        for more in [&b"x"[..], b"SRF0", &[1; 5000]] {
            let found = findings(&[&good, more].concat());
            assert_eq!(found, [(Kind::Damage, "footer".to_owned())]);
        }
    }

    #[test]
    fn a_footer_that_is_being_replaced_is_no_damage() {
        let good = blob(false);
        let footer_len = u32::from_be_bytes(*good[..good.len() - 12].last_chunk().unwrap());
        let footer = good[good.len() - usize::try_from(footer_len).unwrap()..].to_vec();
        // The states of FORMAT.md, 7.
        for behind in [
            footer.clone(),
            [&[0; 30][..], &footer].concat(),
            vec![0; 30],
            [&[0; 30][..], &footer[..40]].concat(),
        ] {
            let found = findings(&[good.clone(), behind].concat());
            assert_eq!(found, [(Kind::Leftover, "footer".to_owned())]);
        }
    }
}
