//! Optimistic concurrency: read, decide, commit, and do it again when somebody else was faster.

use std::time::Duration;

use crate::IamError;

/// How often an operation is tried before the client is told to come back.
pub(crate) const ATTEMPTS: u32 = 64;

/// Runs `attempt` until it is not beaten by a concurrent writer. An attempt reads everything anew.
///
/// Blocks between attempts: call from a worker thread.
///
/// # Errors
///
/// What `attempt` says; [`IamError::Contention`] after the last attempt.
pub(crate) fn until_undisturbed<T>(
    mut attempt: impl FnMut() -> Result<T, IamError>,
) -> Result<T, IamError> {
    for lost in 0..ATTEMPTS {
        back_off(lost);
        match attempt() {
            Err(IamError::Contention) => {}
            outcome => return outcome,
        }
    }
    Err(IamError::Contention)
}

/// Waits before an attempt, after so many races were `lost`: not at all before the first; then the
/// winner is let finish, and from the fifth on up to 6 ms pass. Blocks the thread.
pub(crate) fn back_off(lost: u32) {
    match lost {
        0 => {}
        1..=4 => std::thread::yield_now(),
        _ => std::thread::sleep(Duration::from_micros(100).saturating_mul(lost.min(60))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_retried_and_other_errors_are_not() {
        let mut rounds = 0;
        let outcome = until_undisturbed(|| {
            rounds += 1;
            if rounds < 9 {
                Err(IamError::Contention)
            } else {
                Ok(rounds)
            }
        });
        assert_eq!(outcome, Ok(9));
        let mut rounds = 0;
        let outcome: Result<(), _> = until_undisturbed(|| {
            rounds += 1;
            Err(IamError::Unavailable)
        });
        assert_eq!((outcome, rounds), (Err(IamError::Unavailable), 1));
        assert_eq!(
            until_undisturbed::<()>(|| Err(IamError::Contention)),
            Err(IamError::Contention)
        );
    }
}
