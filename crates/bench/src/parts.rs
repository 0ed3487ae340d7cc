//! The unavoidable parts of a request, each measured alone, as CPU time of this thread.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use md5::Digest as _;

/// CPU time of this thread so far.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Microseconds of CPU that one call of `work` takes, over at least 300 ms.
pub(crate) fn cost(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let (start, mut calls) = (thread_cpu(), 0_u32);
    while thread_cpu().saturating_sub(start) < Duration::from_millis(300) {
        work()?;
        calls += 1;
    }
    Ok(thread_cpu().saturating_sub(start).as_secs_f64() * 1e6 / f64::from(calls))
}

/// AES-256-GCM over `size` bytes in segments of 64 KiB.
pub(crate) fn aes_gcm(size: usize) -> Result<f64> {
    let key = LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| anyhow::anyhow!("key"))?,
    );
    let mut segment = vec![0_u8; size.clamp(1, 64 << 10)];
    cost(|| {
        for _ in 0..size.div_ceil(64 << 10).max(1) {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut segment);
            let _ = black_box(tag.map_err(|_| anyhow::anyhow!("seal"))?);
        }
        Ok(())
    })
}

/// MD5 over `size` bytes.
pub(crate) fn md5(size: usize) -> Result<f64> {
    let body = vec![7_u8; size];
    cost(|| {
        black_box(md5::Md5::digest(&body));
        Ok(())
    })
}

/// SHA-256 over `size` bytes.
pub(crate) fn sha256(size: usize) -> Result<f64> {
    let body = vec![7_u8; size];
    cost(|| {
        black_box(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body));
        Ok(())
    })
}

/// Writing a new file of `size` bytes and syncing it (what a large PUT cannot avoid).
pub(crate) fn file_write(directory: &Path, size: usize) -> Result<f64> {
    let body = vec![7_u8; size.min(256 << 10)];
    let path = directory.join("part");
    cost(|| {
        let mut file = File::create(&path)?;
        let mut left = size;
        while left > 0 {
            let piece = body.get(..left.min(body.len())).unwrap_or_default();
            file.write_all(piece)?;
            left -= piece.len();
        }
        file.sync_data()?;
        std::fs::remove_file(&path)?;
        Ok(())
    })
}

/// Reading a cached file of `size` bytes.
pub(crate) fn file_read(directory: &Path, size: usize) -> Result<f64> {
    let path = directory.join("part");
    std::fs::write(&path, vec![7_u8; size])?;
    let mut buffer = vec![0; size.min(256 << 10)];
    let result = cost(|| {
        let file = OpenOptions::new().read(true).open(&path)?;
        let mut offset = 0;
        while offset < size {
            let want = buffer.len().min(size - offset);
            file.read_exact_at(
                buffer.get_mut(..want).unwrap_or_default(),
                u64::try_from(offset)?,
            )?;
            offset += want;
        }
        Ok(())
    });
    std::fs::remove_file(&path)?;
    result
}
