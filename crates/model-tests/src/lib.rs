//! The services together, on one durable store, against the reference model. There are only tests
//! here: see `tests/`.
