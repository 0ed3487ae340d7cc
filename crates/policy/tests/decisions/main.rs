//! Decisions: by tables of AWS's rules, by what must always hold, and by a second evaluator.
#![cfg(test)]

mod acls;
mod cases;
mod oracle;
mod properties;
mod public;
mod random;
mod tables;
