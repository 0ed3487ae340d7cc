#!/usr/bin/env python3
"""A second reader of escrows, written from FORMAT.md (section 21) alone: a copy of the key ring, for whom has the recipient's secret.

Usage: escrow.py ESCROW --identity FILE [--ring-out FILE]
`store.py` and `backup.py` take an escrow in the place of a seal: --escrow ESCROW --identity FILE.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402

import mlkem  # noqa: E402
from formats import ZERO_NONCE, Fields, Refused, be, crc64, derive, equal, need, open_ring, sha512  # noqa: E402

SECRET = mlkem.DECAPSULATION_KEY + 32
COMBINED = bytes.fromhex("5c2e2f2f5e5c")


def key_of_text(text, what, length):
    """The key of a recipient's or an identity's text."""
    lines = text.splitlines()
    need(lines and lines[0] == f"# strongroom escrow {what} 1", f"{what}'s text")
    key = base64.b64decode("".join(line for line in lines if not line.startswith("#")), validate=True)
    need(len(key) == length, f"{what}'s key")
    return key


def open_escrow(data, identity):
    """What is in an escrow: unseal key, the ring's file, and what its header says. `identity` is the secret key."""
    need(data[:4] == b"SRE1", "magic")
    need(crc64(data[:-8]) == data[-8:], "damaged")
    fields = Fields(data[:-8])
    fields.take(4)
    need(fields.take(4) == b"\x01\x01\0\0", "version or suite")
    need(fields.number(4) == len(data) <= 1 << 20, "length")
    ring_id, generation, made = fields.take(16), fields.number(8), fields.number(8)
    fingerprint, salt = fields.take(32), fields.take(32)
    ct_m, ct_x, commitment = fields.take(mlkem.CIPHERTEXT), fields.take(32), fields.take(32)
    prefix, sealed = data[:fields.at], fields.rest()
    decapsulation, exchange = identity[:mlkem.DECAPSULATION_KEY], X25519PrivateKey.from_private_bytes(identity[mlkem.DECAPSULATION_KEY:])
    pk_x = exchange.public_key().public_bytes_raw()
    public = decapsulation[384 * mlkem.K:768 * mlkem.K + 32] + pk_x
    need(equal(hashlib.sha256(public).digest(), fingerprint), "another recipient's")
    try:
        ss_x = exchange.exchange(X25519PublicKey.from_public_bytes(ct_x))
    except ValueError as error:
        raise Refused("a public key of small order") from error
    secret = hashlib.sha3_256(mlkem.decapsulate(decapsulation, ct_m) + ss_x + ct_x + pk_x + COMBINED).digest()
    keys = derive(salt, secret, "strongroom/1 escrow", sha512(data[:1228] + public), 64)
    need(equal(keys[32:], commitment), "commitment")
    opened = AESGCM(keys[:32]).decrypt(ZERO_NONCE, sealed, prefix)
    unseal_key, stored = opened[:32], opened[32:]
    ring = open_ring(stored, unseal_key)
    need(ring["id"] == ring_id and ring["generation"] == generation, "another ring than the header says")
    return {"unseal_key": unseal_key, "ring": stored, "ring_id": ring_id, "generation": generation, "made_millis": made,
            "fingerprint": fingerprint}


def open_files(escrow, identity):
    return open_escrow(pathlib.Path(escrow).read_bytes(), key_of_text(pathlib.Path(identity).read_text(), "identity", SECRET))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("escrow", type=pathlib.Path)
    parser.add_argument("--identity", type=pathlib.Path, required=True)
    parser.add_argument("--ring-out", type=pathlib.Path, help="write the ring's file there, sealed as it is")
    args = parser.parse_args()
    opened = open_files(args.escrow, args.identity)
    if args.ring_out:
        args.ring_out.write_bytes(opened["ring"])
    told = {name: opened[name] for name in ("generation", "made_millis")}
    print(json.dumps(told | {name: opened[name].hex() for name in ("ring_id", "fingerprint")}))


if __name__ == "__main__":
    main()
