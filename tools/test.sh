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

# Said before anything is built, not by a compiler or a server half an hour later.
target="${CARGO_TARGET_DIR:-target}" temporary="${TMPDIR:-/tmp}"
needs_room() { # directory, GiB, for what, how else
    local free
    free="$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')"
    if [ "$free" -lt "$2" ]; then
        printf 'tools/test.sh: %s GiB are free at %s, and %s need %s GiB.\n' "$free" "$1" "$3" "$2" >&2
        printf 'Make room there (cargo clean removes what was built here), or %s.\n' "$4" >&2
        exit 1
    fi
}
build=6 homes=4
if [ -d "$target/release" ]; then build=2; fi # The most of it is there already.
if $fast; then homes=1; fi
mkdir -p "$target"
if [ "$(stat -c %d "$target")" = "$(stat -c %d "$temporary")" ]; then
    needs_room "$temporary" $((build + homes)) "the builds and the tests' servers" \
        "name a larger disk in CARGO_TARGET_DIR and TMPDIR"
else
    needs_room "$target" "$build" "the builds" "name another place in CARGO_TARGET_DIR"
    needs_room "$temporary" "$homes" "the tests' servers" "name another place in TMPDIR"
fi

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
    # A workspace of its own, but what it depends on has been built by now.
    cargo test --manifest-path fuzz/Cargo.toml --locked --target-dir "$target"
fi

if ! $fast; then
    step "end to end"
    cargo build --release --locked --bin strongroom
    # Gone when all passed; what a failure left behind stays to be looked at.
    home="$(mktemp -d "$temporary/strongroom-e2e.XXXXXX")"
    STRONGROOM_BIN="$target/release/strongroom" .venv/bin/pytest tests/e2e -n 2 --basetemp "$home/pytest"
    rm -rf "$home"
fi
