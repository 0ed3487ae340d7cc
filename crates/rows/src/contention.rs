//! Optimistic concurrency: read, decide, commit, and do it again when somebody else was faster.

use std::time::Duration;

/// How often an operation is tried before the client is told to come back.
pub const ATTEMPTS: u32 = 64;

/// An error of a service that commits optimistically.
pub trait Contended {
    /// What a client is told after the last attempt.
    fn contention() -> Self;

    /// Whether it only says that somebody else was faster.
    fn is_contention(&self) -> bool;
}

/// Runs `attempt` until it is not beaten by a concurrent writer. An attempt reads everything anew.
///
/// Blocks between attempts: call from a worker thread.
///
/// # Errors
///
/// What `attempt` says; [`Contended::contention`] after the last attempt.
pub fn until_undisturbed<T, E: Contended>(
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for lost in 0..ATTEMPTS {
        back_off(lost);
        match attempt() {
            Err(error) if error.is_contention() => {}
            outcome => return outcome,
        }
    }
    Err(E::contention())
}

/// Waits before an attempt, after so many races were `lost`: not at all before the first; then the
/// winner is let finish, and from the fifth on up to 6 ms pass. Blocks the thread.
pub fn back_off(lost: u32) {
    match lost {
        0 => {}
        1..=4 => std::thread::yield_now(),
        _ => std::thread::sleep(Duration::from_micros(100).saturating_mul(lost.min(60))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Error {
        Contention,
        NoSpace,
    }

    impl Contended for Error {
        fn contention() -> Self {
            Self::Contention
        }

        fn is_contention(&self) -> bool {
            *self == Self::Contention
        }
    }

    #[test]
    fn conflicts_are_retried_and_other_errors_are_not() {
        let mut rounds = 0;
        let outcome = until_undisturbed(|| {
            rounds += 1;
            if rounds < 9 {
                Err(Error::Contention)
            } else {
                Ok(rounds)
            }
        });
        assert_eq!(outcome, Ok(9));
        let mut rounds = 0;
        let outcome: Result<(), _> = until_undisturbed(|| {
            rounds += 1;
            Err(Error::NoSpace)
        });
        assert_eq!((outcome, rounds), (Err(Error::NoSpace), 1));
        assert_eq!(
            until_undisturbed::<(), _>(|| Err(Error::Contention)),
            Err(Error::Contention)
        );
    }
}
