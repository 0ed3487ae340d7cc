//! Conformance suites: public functions that every adapter of a port runs in its tests.
//!
//! They panic with a message that names the clause of the contract that is broken.
