//! Writing and reading of golden vectors.

mod generate;
mod read;
mod service;

pub(crate) use generate::generate;
pub(crate) use read::{plaintext, read};
