//! temporary
/// Unseal key.
#[derive(Debug)]
pub struct UnsealKey(());
