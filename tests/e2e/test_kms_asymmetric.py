"""Signatures, codes and key agreement, verified with another library."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from conftest import refused

MESSAGE = b"message to sign"
HASH = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def make(kms, spec, usage):
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]


def check(public, algorithm, signature):
    key, hash_of = load_der_public_key(public), HASH.get(algorithm[-3:])
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.verify(signature, MESSAGE)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.verify(signature, MESSAGE, ec.ECDSA(hash_of()))
    pad = padding.PSS(padding.MGF1(hash_of()), hash_of.digest_size) if "PSS" in algorithm else padding.PKCS1v15()
    assert isinstance(key, rsa.RSAPublicKey)
    return key.verify(signature, MESSAGE, pad, hash_of())


@pytest.mark.parametrize("spec,algorithms", [
    ("RSA_2048", ["RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
                  "RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512"]),
    ("ECC_NIST_P256", ["ECDSA_SHA_256"]), ("ECC_NIST_P384", ["ECDSA_SHA_384"]), ("ECC_NIST_P521", ["ECDSA_SHA_512"]),
    ("ECC_SECG_P256K1", ["ECDSA_SHA_256"]), ("ECC_NIST_EDWARDS25519", ["ED25519_SHA_512"]),
    ("ML_DSA_44", ["ML_DSA_SHAKE_256"]), ("ML_DSA_65", ["ML_DSA_SHAKE_256"]), ("ML_DSA_87", ["ML_DSA_SHAKE_256"]),
])
def test_signatures_verify_here_and_elsewhere(kms, spec, algorithms):
    key = make(kms, spec, "SIGN_VERIFY")
    public = kms.get_public_key(KeyId=key)
    assert (public["KeyId"], public["KeySpec"], public["KeyUsage"]) == (key, spec, "SIGN_VERIFY")
    assert set(algorithms) <= set(public["SigningAlgorithms"]) and "EncryptionAlgorithms" not in public
    for algorithm in algorithms:
        signed = kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm=algorithm)
        assert (signed["KeyId"], signed["SigningAlgorithm"]) == (key, algorithm)
        answer = kms.verify(KeyId=key, Message=MESSAGE, Signature=signed["Signature"], SigningAlgorithm=algorithm)
        assert (answer["KeyId"], answer["SignatureValid"], answer["SigningAlgorithm"]) == (key, True, algorithm)
        if not spec.startswith("ML_DSA"):
            check(public["PublicKey"], algorithm, signed["Signature"])
        error = refused(kms.verify, KeyId=key, Message=b"other", Signature=signed["Signature"],
                        SigningAlgorithm=algorithm)
        assert (error.status, error.code, error.message) == (400, "KMSInvalidSignatureException", "")


def test_digests_are_signed_as_their_messages(kms):
    key = make(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    digest = hashlib.sha256(MESSAGE).digest()
    signed = kms.sign(KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    assert kms.verify(KeyId=key, Message=MESSAGE, Signature=signed, SigningAlgorithm="ECDSA_SHA_256")["SignatureValid"]
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    public.verify(signed, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    error = refused(kms.sign, KeyId=key, Message=b"short", MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    assert (error.code, error.message) == (
        "ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256.")


@pytest.mark.parametrize("algorithm,most", [("RSAES_OAEP_SHA_1", 214), ("RSAES_OAEP_SHA_256", 190)])
def test_rsa_encrypts_up_to_its_size(kms, algorithm, most):
    key = make(kms, "RSA_2048", "ENCRYPT_DECRYPT")
    public = kms.get_public_key(KeyId=key)
    assert set(public["EncryptionAlgorithms"]) == {"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"p" * most, EncryptionAlgorithm=algorithm)
    assert sealed["EncryptionAlgorithm"] == algorithm and len(sealed["CiphertextBlob"]) == 256
    opened = kms.decrypt(KeyId=key, CiphertextBlob=sealed["CiphertextBlob"], EncryptionAlgorithm=algorithm)
    assert opened["Plaintext"] == b"p" * most
    error = refused(kms.encrypt, KeyId=key, Plaintext=b"p" * (most + 1), EncryptionAlgorithm=algorithm)
    assert (error.code, error.message) == (
        "ValidationException", f"Algorithm {algorithm} and key spec RSA_2048 cannot encrypt data larger than {most} bytes.")
    hash_of = hashes.SHA1 if algorithm.endswith("SHA_1") else hashes.SHA256
    outside = load_der_public_key(public["PublicKey"]).encrypt(
        b"from outside", padding.OAEP(padding.MGF1(hash_of()), hash_of(), None))
    assert kms.decrypt(KeyId=key, CiphertextBlob=outside, EncryptionAlgorithm=algorithm)["Plaintext"] == b"from outside"


@pytest.mark.parametrize("bits", ["224", "256", "384", "512"])
def test_codes_are_those_of_hmac(kms, bits):
    key, algorithm = make(kms, f"HMAC_{bits}", "GENERATE_VERIFY_MAC"), f"HMAC_SHA_{bits}"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["MacAlgorithms"] == [algorithm]
    made = kms.generate_mac(KeyId=key, Message=MESSAGE, MacAlgorithm=algorithm)
    assert (made["KeyId"], made["MacAlgorithm"]) == (key, algorithm)
    assert len(made["Mac"]) == hmac.new(b"", b"", f"sha{bits}").digest_size
    answer = kms.verify_mac(KeyId=key, Message=MESSAGE, MacAlgorithm=algorithm, Mac=made["Mac"])
    assert (answer["KeyId"], answer["MacValid"], answer["MacAlgorithm"]) == (key, True, algorithm)
    error = refused(kms.verify_mac, KeyId=key, Message=b"other", MacAlgorithm=algorithm, Mac=made["Mac"])
    assert (error.status, error.code, error.message) == (400, "KMSInvalidMacException", "")


def test_a_code_of_another_length_does_not_fit(kms):
    key = make(kms, "HMAC_224", "GENERATE_VERIFY_MAC")
    error = refused(kms.generate_mac, KeyId=key, Message=MESSAGE, MacAlgorithm="HMAC_SHA_256")
    assert (error.code, error.message) == (
        "InvalidKeyUsageException", "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224.")


@pytest.mark.parametrize("spec,curve", [("ECC_NIST_P256", ec.SECP256R1), ("ECC_NIST_P384", ec.SECP384R1),
                                        ("ECC_NIST_P521", ec.SECP521R1)])
def test_both_sides_derive_one_secret(kms, spec, curve):
    key = make(kms, spec, "KEY_AGREEMENT")
    public = kms.get_public_key(KeyId=key)
    assert public["KeyAgreementAlgorithms"] == ["ECDH"]
    own = ec.generate_private_key(curve())
    mine = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    got = kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=mine)
    assert got["SharedSecret"] == own.exchange(ec.ECDH(), load_der_public_key(public["PublicKey"]))
    assert (got["KeyId"], got["KeyAgreementAlgorithm"], got["KeyOrigin"]) == (key, "ECDH", "AWS_KMS")


def test_keys_do_only_what_they_are_for(kms, key):
    signer = make(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    error = refused(kms.encrypt, KeyId=signer, Plaintext=b"x")
    assert (error.status, error.code, error.message) == (
        400, "InvalidKeyUsageException", f"{signer} key usage is SIGN_VERIFY which is not valid for Encrypt.")
    error = refused(kms.sign, KeyId=key, Message=MESSAGE, SigningAlgorithm="ECDSA_SHA_256")
    assert (error.code, error.message) == (
        "InvalidKeyUsageException", f"{key} key usage is ENCRYPT_DECRYPT which is not valid for Sign.")
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert refused(kms.decrypt, KeyId=signer, CiphertextBlob=blob).code == "IncorrectKeyException"
    assert refused(kms.get_public_key, KeyId=key).code == "UnsupportedOperationException"


def test_dry_runs_of_signatures_and_codes(kms):
    signer, mac = make(kms, "ECC_NIST_P256", "SIGN_VERIFY"), make(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    signature = kms.sign(KeyId=signer, Message=MESSAGE, SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    code = kms.generate_mac(KeyId=mac, Message=MESSAGE, MacAlgorithm="HMAC_SHA_256")["Mac"]
    for call, members in [
        (kms.sign, dict(KeyId=signer, SigningAlgorithm="ECDSA_SHA_256")),
        (kms.verify, dict(KeyId=signer, SigningAlgorithm="ECDSA_SHA_256", Signature=signature)),
        (kms.generate_mac, dict(KeyId=mac, MacAlgorithm="HMAC_SHA_256")),
        (kms.verify_mac, dict(KeyId=mac, MacAlgorithm="HMAC_SHA_256", Mac=code)),
    ]:
        assert refused(call, Message=MESSAGE, DryRun=True, **members).code == "DryRunOperationException", call
