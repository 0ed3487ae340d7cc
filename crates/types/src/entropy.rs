//! The port through which random bytes reach pure code.

/// A source of cryptographically secure random bytes.
///
/// Contract: `fill` fills all of `out` or does not return (an operating system that cannot give
/// random bytes must stop the process, never weaken a key). Implementations are shared between
/// threads. Tests supply a deterministic one, so that golden files stay golden.
pub trait Entropy: Send + Sync {
    /// Fills `out` completely.
    fn fill(&self, out: &mut [u8]);
}
