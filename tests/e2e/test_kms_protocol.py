"""The JSON protocol of the key service: what is signed, how large, how written, and what each mistake is told."""

import json
import uuid

import pytest

from conftest import Clients, metric, refused
from test_kms_shapes import LATER

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def told(answer):
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert uuid.UUID(answer.headers["x-amzn-RequestId"])
    return answer.status, answer.code, answer.message


def test_an_empty_body_is_an_empty_object(kms_raw):
    for body in (b"", b"{}", b" {} "):
        answer = kms_raw.send("ListKeys", body)
        assert answer.status == 200 and "Keys" in answer.json and answer.json["Truncated"] in (True, False)


@pytest.mark.parametrize("body", [b"{", b"null", b"[]", b'"x"', b"1", b"\xff", b"{}{}", b'{"Limit":"1"}',
                                  b'{"Limit":1.5}', b'{"Marker":1}', b"[" * 100_000])
def test_wrong_json_is_a_serialization_error(kms_raw, body):
    status, code, _ = told(kms_raw.send("ListKeys", body))
    assert (status, code) == (400, "SerializationException")


def test_unknown_members_are_ignored(kms_raw):
    assert kms_raw.send("ListKeys", {"Nobody": {"knows": [1]}, "Limit": None}).status == 200


@pytest.mark.parametrize("ask", [
    dict(operation="NoSuchOperation"), dict(operation="listKeys"), dict(operation=None),
    dict(operation=None, target="TrentService"), dict(operation=None, target="secretsmanager.ListSecrets"),
    dict(operation="ListKeys", method="GET"), dict(operation="ListKeys", method="PUT"),
    dict(operation="ListKeys", path="/kms"),
])
def test_what_is_no_operation_is_unknown(kms_raw, ask):
    assert told(kms_raw.send(**ask)) == (400, "UnknownOperationException", None)


def test_operations_that_we_do_not_have_say_so(kms_raw):
    for operation in sorted(LATER):
        status, code, message = told(kms_raw.send(operation, {"KeyId": KEY}))
        assert (status, code) == (400, "UnsupportedOperationException") and message


def test_unsigned_requests_are_refused(kms_raw):
    assert told(kms_raw.send("ListKeys", sign=False)) == \
        (400, "MissingAuthenticationTokenException", "Request is missing Authentication Token")


def change(**headers):
    def tamper(sent):
        for name, value in headers.items():
            sent.headers[name.replace("_", "-")] = value
    return tamper


def test_every_flaw_of_a_signature_is_refused(kms_raw):
    def body(sent):
        sent.body = b'{"Limit":1}'
    flaws = [
        (dict(secret="wrong"), "InvalidSignatureException", "The request signature we calculated does not match"),
        (dict(key="AKIAIOSFODNN7EXAMPLE"), "UnrecognizedClientException",
         "The security token included in the request is invalid."),
        (dict(region="xx-wrong-9"), "InvalidSignatureException", "Credential should be scoped to a valid region."),
        (dict(service="s3"), None, ""),
        (dict(tamper=body), "InvalidSignatureException", "The request signature we calculated does not match"),
        (dict(tamper=change(X_Amz_Target="TrentService.ListAliases")), "InvalidSignatureException",
         "The request signature we calculated does not match"),
        (dict(tamper=change(X_Amz_Other="unsigned")), "InvalidSignatureException", "There were headers present"),
        (dict(tamper=change(Authorization="AWS4-HMAC-SHA256 nonsense")), "IncompleteSignatureException", ""),
        (dict(tamper=change(X_Amz_Date="20200101T000000Z")), None, ""),
    ]
    for ask, expected, text in flaws:
        status, code, message = told(kms_raw.send("ListKeys", **ask))
        assert status == 400 and code == (expected or code) and code.endswith("SignatureException" if not expected
                                                                               else "Exception"), (ask, code)
        assert text in message, (ask, message)


def test_scope_and_target_must_agree(kms_raw):
    status, code, _ = told(kms_raw.send("ListKeys", service="s3"))
    assert status == 400 and code.endswith("SignatureException")
    assert kms_raw.send("ListKeys", service="iam").status == 400


def test_a_signature_in_the_query_counts_too(kms_raw):
    assert kms_raw.send("ListKeys", presign=True).status in (200, 400)
    status, code, _ = told(kms_raw.send("ListKeys", presign=True, secret="wrong"))
    assert (status, code) == (400, "InvalidSignatureException")


def test_the_size_is_bounded_before_anything_is_believed(kms_raw):
    large = b'{"Marker":"' + b"m" * (256 << 10) + b'"}'
    for ask in (dict(), dict(secret="wrong")):
        status, code, _ = told(kms_raw.send("ListKeys", large, **ask))
        assert (status, code) == (413, "RequestEntityTooLargeException")
    fits = b'{"Unknown":"' + b"m" * (250 << 10) + b'"}'
    assert kms_raw.send("ListKeys", fits).status == 200


def test_s3_answers_as_before(clients, kms, s3):
    assert s3.list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert clients.raw().send("GET", "/").status == 200


def test_requests_are_counted_and_no_body_is_logged(make_server):
    server = make_server()
    kms = Clients(server.access()).boto(service="kms")
    key = kms.create_key(Description="CANARY-description")["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"CANARY-plaintext", EncryptionContext={"CANARY": "x"})["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob, EncryptionContext={"CANARY": "x"})
    refused(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"CANARY": "y"})
    server.stop()
    log = server.log.read_text()
    assert "operation=\"Decrypt\"" in log or '"operation":"Decrypt"' in log or "operation=Decrypt" in log, log[-2000:]
    for canary in ("CANARY", "Q0FOQVJZ", key):
        assert canary not in log


def test_metrics_name_the_operation(kms_raw, shared):
    before = metric(shared, "strongroom_requests_total")
    kms_raw.send("ListKeys")
    assert metric(shared, "strongroom_requests_total") > before


TEXTS = [
    ("GenerateRandom", {"NumberOfBytes": 0}, "1 validation error detected: Value '0' at 'numberOfBytes' failed to "
     "satisfy constraint: Member must have value greater than or equal to 1"),
    ("GenerateRandom", {"NumberOfBytes": 1025}, "1 validation error detected: Value '1025' at 'numberOfBytes' failed "
     "to satisfy constraint: Member must have value less than or equal to 1024"),
    ("Encrypt", {"KeyId": KEY, "Plaintext": "A" * 5468}, "1 validation error detected: Value at 'plaintext' failed to "
     "satisfy constraint: Member must have length less than or equal to 4096"),
    ("GenerateDataKeyPair", {"KeyId": KEY, "KeyPairSpec": "RSA_1"}, "1 validation error detected: Value 'RSA_1' at "
     "'keyPairSpec' failed to satisfy constraint: Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, "
     "ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1, SM2, ECC_NIST_EDWARDS25519]"),
    ("TagResource", {"KeyId": KEY, "Tags": [{"TagKey": "k" * 129, "TagValue": "v"}]}, "1 validation error detected: "
     f"Value '{'k' * 129}' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length less than "
     "or equal to 128"),
    ("CreateAlias", {"AliasName": "alias/a b"}, "2 validation errors detected: Value 'alias/a b' at 'aliasName' failed "
     "to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$; Value null at "
     "'targetKeyId' failed to satisfy constraint: Member must not be null"),
]


@pytest.mark.parametrize("operation,members,text", TEXTS, ids=lambda value: value if isinstance(value, str) else "")
def test_validation_has_the_texts_of_aws(kms_raw, operation, members, text):
    assert told(kms_raw.send(operation, members)) == (400, "ValidationException", text)


def test_contexts_take_texts_only(kms_raw):
    for value in (1, True, None, ["a"], {"a": "b"}):
        members = {"KeyId": KEY, "Plaintext": "AAAA", "EncryptionContext": {"a": value}}
        assert told(kms_raw.send("Encrypt", members))[:2] == (400, "SerializationException")


def test_attested_recipients_are_refused_and_never_answered_in_clear(kms_raw, key):
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": "AAAA"}
    for operation, members in (("GenerateRandom", {"NumberOfBytes": 8}),
                               ("GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256"}),
                               ("GenerateDataKeyPair", {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}),
                               ("Decrypt", {"CiphertextBlob": "AAAA"})):
        answer = kms_raw.send(operation, {**members, "Recipient": recipient})
        assert told(answer)[:2] == (400, "UnsupportedOperationException") and "Plaintext" not in answer.json


def test_errors_without_a_text_have_none(kms_raw):
    answer = kms_raw.send("Decrypt", {"CiphertextBlob": "AAAA"})
    assert json.loads(answer.content) == {"__type": "InvalidCiphertextException"}
