#!/usr/bin/env bash
# The one test command: sets up, checks formatting and lints, runs the Rust tests, doctests and fuzz corpus, then
# builds the server and drives it with real clients.
#
#   tools/test.sh             everything
#   tools/test.sh --fast      Rust only: format, lints, tests
#   tools/test.sh --no-setup  do not install anything
set -euo pipefail
cd "$(dirname "$0")/.."

fast=false setup=true
for option in "$@"; do
    case "$option" in
        --fast) fast=true ;;
        --no-setup) setup=false ;;
        *) echo "usage: tools/test.sh [--fast] [--no-setup]" >&2; exit 2 ;;
    esac
done

step() { printf '\n== %s\n' "$*"; }

# `--fast` drives no client, so it needs none installed.
if $setup && ! $fast; then
    step "setup"
    tools/setup-tests.sh
fi

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "tests"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --profile ci
    step "doctests"
    cargo test --workspace --doc --locked
else
    cargo test --workspace --locked # Doctests included.
fi

if [ -f fuzz/Cargo.toml ]; then
    step "fuzz corpus"
    cargo test --manifest-path fuzz/Cargo.toml --locked
fi

if ! $fast; then
    step "end to end"
    cargo build --release --locked --bin strongroom
    # Gone when all passed; what a failure left behind stays to be looked at.
    homes="$(mktemp -d "${TMPDIR:-/tmp}/strongroom-e2e.XXXXXX")"
    STRONGROOM_BIN="${CARGO_TARGET_DIR:-target}/release/strongroom" \
        .venv/bin/pytest tests/e2e -n 2 --dist loadgroup --basetemp "$homes/pytest"
    rm -rf "$homes"
fi
