#!/usr/bin/env bash
# Installs what the tests need on a bare Debian that has Rust, a C compiler, Python 3 and apt: the clients that the
# end-to-end tests drive, and a Python environment in .venv. Safe to run again; quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup-tests: need root or sudo to run: $*" >&2
        exit 1
    fi
}

# Debian packages, each by a program it brings. openssl and ip are what walkthroughs W6 and W12 type, curl what
# the HOWTOs type; systemd-analyze reads the unit files.
missing=()
while read -r program package; do
    command -v "$program" >/dev/null || missing+=("$package")
done <<'LIST'
rclone rclone
s3cmd s3cmd
restic restic
openssl openssl
ip iproute2
hostname hostname
faketime faketime
softhsm2-util softhsm2
curl curl
swtpm swtpm
systemd-analyze systemd
LIST
# Debian splits the venv module off; its absence only shows in ensurepip.
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# The Python environment, rebuilt when the pinned list or the interpreter changed.
stamp=.venv/.requirements
wanted="$(python3 --version; cat tests/e2e/requirements.txt)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/e2e/requirements.txt
    printf '%s\n' "$wanted" >"$stamp"
fi

# rustfmt and clippy come with rustup's default profile, but not with its minimal one.
for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done

# cargo-nextest is used when it is there; without it the tests run under plain `cargo test`. Compiling it takes longer
# than it saves, so it is installed only on request.
if [ "${1:-}" = --with-nextest ] && ! cargo nextest --version >/dev/null 2>&1; then
    cargo install --locked cargo-nextest
fi
