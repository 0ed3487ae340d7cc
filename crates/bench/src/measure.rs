//! What all measurements do: load from many threads, and the middle of several rounds.

use anyhow::{Result, anyhow};

/// Does `work` on as many threads, each with its number from 0 on; what they came to, in that order,
/// or the first failure.
pub(crate) fn on_threads<T: Send>(
    threads: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        let done = workers.into_iter().map(|worker| {
            let joined = worker.join();
            joined.map_err(|_| anyhow!("a thread of the load panicked"))?
        });
        done.collect()
    })
}

/// The upper one of the two where there is no middle; 0 of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
