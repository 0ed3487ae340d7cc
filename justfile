# Recipes for daily work. `tools/test.sh` does the whole of it without just.

# What must pass before a change is merged.
ci: check test doc

# Formatting and lints; warnings are errors.
check:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Unit and integration tests, and the examples in the documentation.
test:
    cargo nextest run --workspace --locked
    cargo test --workspace --doc --locked

# The documentation, without dead links.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, advisories, sources. Needs cargo-deny and the advisory database.
deny:
    cargo deny check

# A server on the side, in a temporary directory.
try:
    cargo run -- serve --data "$(mktemp -d)" --listen 127.0.0.1:0 --listen-tls 127.0.0.1:0
