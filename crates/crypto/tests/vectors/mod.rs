//! Writing and reading of golden vectors.

mod generate;
mod read;

pub(crate) use generate::generate;
pub(crate) use read::{plaintext, read};
