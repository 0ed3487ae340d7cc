#!/usr/bin/env python3
"""What a client of KMS does with keys, signatures and ciphertexts, by other means.

Reads from stdin what the crate made, and checks it. Writes to stdout what it made itself, for the
crate to check. Needs the PyPI package `cryptography` 50 or later; Ed25519ph, which that has not, is
written out here from RFC 8032.
"""

import hashlib
import json
import os
import sys

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa, utils

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {
    "ECC_NIST_P256": ec.SECP256R1,
    "ECC_NIST_P384": ec.SECP384R1,
    "ECC_NIST_P521": ec.SECP521R1,
    "ECC_SECG_P256K1": ec.SECP256K1,
}
ML_DSA = {
    "ML_DSA_44": mldsa.MLDSA44PrivateKey,
    "ML_DSA_65": mldsa.MLDSA65PrivateKey,
    "ML_DSA_87": mldsa.MLDSA87PrivateKey,
}

# Ed25519ph, RFC 8032, 5.1. Slow and not in constant time: a test's.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def add(one, two):
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def times(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def sha512_int(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def ed25519ph(seed, message):
    half = hashlib.sha512(seed).digest()
    secret = int.from_bytes(half[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public = encode(times(secret, BASE))
    domain = b"SigEd25519 no Ed25519 collisions" + b"\x01\x00"
    hashed = hashlib.sha512(message).digest()
    nonce = sha512_int(domain, half[32:], hashed) % L
    point = encode(times(nonce, BASE))
    challenge = sha512_int(domain, point, public, hashed) % L
    return point + ((nonce + challenge * secret) % L).to_bytes(32, "little")


def oaep(algorithm):
    function = hashes.SHA1() if algorithm.endswith("SHA_1") else hashes.SHA256()
    return padding.OAEP(padding.MGF1(function), function, None)


def how(algorithm, message_type):
    """The arguments between message and signature, or of sign after the message."""
    function = HASHES[algorithm[-3:]]()
    given = utils.Prehashed(function) if message_type == "DIGEST" else function
    if algorithm.startswith("ECDSA"):
        return [ec.ECDSA(given)]
    if "PKCS1" in algorithm:
        return [padding.PKCS1v15(), given]
    return [padding.PSS(padding.MGF1(function), padding.PSS.DIGEST_LENGTH), given]


def check(key):
    private = serialization.load_der_private_key(bytes.fromhex(key["pkcs8"]), None)
    public = serialization.load_der_public_key(bytes.fromhex(key["spki"]))
    assert public == private.public_key(), key["spec"]
    for case in key["signatures"]:
        algorithm, kind = case["algorithm"], case["message_type"]
        message, signature = (bytes.fromhex(case[name]) for name in ("message", "signature"))
        if algorithm == "ED25519_PH_SHA_512":
            assert signature == ed25519ph(private.private_bytes_raw(), message)
        elif algorithm == "ED25519_SHA_512":
            public.verify(signature, message)
        elif kind == "EXTERNAL_MU":
            public.verify_mu(signature, message)
        elif algorithm == "ML_DSA_SHAKE_256":
            public.verify(signature, message)
        else:
            public.verify(signature, message, *how(algorithm, kind))
    for case in key["ciphertexts"]:
        plaintext = private.decrypt(bytes.fromhex(case["ciphertext"]), oaep(case["algorithm"]))
        assert plaintext == bytes.fromhex(case["plaintext"])


def make(key, peers):
    spec = key["spec"]
    if spec.startswith("RSA"):
        private = rsa.generate_private_key(65537, int(spec[-4:]))
    elif spec in CURVES:
        private = ec.generate_private_key(CURVES[spec]())
    elif spec in ML_DSA:
        private = ML_DSA[spec].generate()
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key()
    made = {
        "spec": spec,
        "pkcs8": private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).hex(),
        "spki": public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ).hex(),
        "signatures": [],
        "ciphertexts": [],
    }
    for case in key["signatures"]:
        algorithm, kind = case["algorithm"], case["message_type"]
        message = bytes.fromhex(case["message"])
        if kind == "EXTERNAL_MU":
            # mu, from the definition; the signature is one over the message.
            hashed = hashlib.shake_256(public.public_bytes_raw()).digest(64)
            mu = hashlib.shake_256(hashed + b"\0\0" + message).digest(64)
            signature, message = private.sign(message), mu
        elif algorithm == "ED25519_PH_SHA_512":
            signature = ed25519ph(private.private_bytes_raw(), message)
        elif algorithm in ("ED25519_SHA_512", "ML_DSA_SHAKE_256"):
            signature = private.sign(message)
        else:
            signature = private.sign(message, *how(algorithm, kind))
        made["signatures"].append(
            dict(case, message=message.hex(), signature=signature.hex())
        )
    for case in key["ciphertexts"]:
        sealed = public.encrypt(bytes.fromhex(case["plaintext"]), oaep(case["algorithm"]))
        made["ciphertexts"].append(dict(case, ciphertext=sealed.hex()))
    if spec in peers:
        peer = serialization.load_der_public_key(bytes.fromhex(peers[spec]))
        made["shared_secret"] = private.exchange(ec.ECDH(), peer).hex()
    return made


def wrap(spki, material):
    public = serialization.load_der_public_key(bytes.fromhex(spki))
    wrapped = {}
    for short in ("SHA_1", "SHA_256"):
        wrapped["RSAES_OAEP_" + short] = public.encrypt(material, oaep(short)).hex()
        aes_key = os.urandom(32)
        wrapped["RSA_AES_KEY_WRAP_" + short] = (
            public.encrypt(aes_key, oaep(short))
            + keywrap.aes_key_wrap_with_padding(aes_key, material)
        ).hex()
    return wrapped


def main():
    given = json.load(sys.stdin)
    for key in given["keys"]:
        check(key)
    peers = {key["spec"]: key["spki"] for key in given["keys"] if "NIST_P" in key["spec"]}
    material = bytes.fromhex(given["material"])
    json.dump(
        {
            "keys": [make(key, peers) for key in given["keys"]],
            "wrapped": wrap(given["wrapping_spki"], material),
        },
        sys.stdout,
    )


main()
