"""ListObjects, ListObjectsV2: order, prefixes, delimiters, pages, odd keys."""

import pytest

from conftest import refused

TREE = ["a", "a/1", "a/2", "a/b/1", "a/b/2", "a0", "b", "b/", "b/1", "c//d", "c//d/e", "z"]
ODD = ["//", "/lead", "a//b", "a/../b", "..", "../../up", "./x", "trail/", " ", "a b", "a+b", "a%20b", "a%2Fb", "%",
       "a&b<c>\"d'", "\u00fc", "u\u0308", "\u65e5\u672c\u8a9e", "\U0001f600", "tab\there", "nl\nx", "cr\rx", "\x01\x1f", "\x7f",
       "x" * 1024, "\u00e9" * 512, "?q=1", "#frag", "a;b=c", "~-_.", "\\back", "*", "key?versionId=1"]


def fill(s3, bucket, keys):
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def walk(call, bucket, token_in, token_out, **more):
    """All pages; each but the last is full."""
    keys, prefixes, token = [], [], {}
    while True:
        page = call(Bucket=bucket, **more, **token)
        found = [c["Key"] for c in page.get("Contents", [])], [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        keys, prefixes = keys + found[0], prefixes + found[1]
        if not page["IsTruncated"]:
            return keys, prefixes
        assert len(found[0]) + len(found[1]) == more.get("MaxKeys", 1000)
        token = {token_in: page[token_out]}


@pytest.fixture(scope="module")
def tree(s3):
    from conftest import new_bucket
    bucket = new_bucket(s3)
    fill(s3, bucket, TREE)
    return bucket


CASES = [(p, d) for p in ("", "a", "a/", "a/b", "b/", "c/", "c//", "none", "z") for d in ("", "/", "/1", "//")]


def expected(prefix, delimiter, after=""):
    keys, prefixes = [], []
    for key in sorted(TREE, key=str.encode):
        if not key.startswith(prefix) or key <= after:
            continue
        rest = key[len(prefix):]
        if delimiter and delimiter in rest:
            group = prefix + rest[:rest.index(delimiter) + len(delimiter)]
            if group not in prefixes:
                prefixes.append(group)
        else:
            keys.append(key)
    return keys, prefixes


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("prefix, delimiter", CASES)
def test_pages_of_any_size_give_the_same_keys_and_prefixes(s3, tree, prefix, delimiter, size):
    more = {"Prefix": prefix, "Delimiter": delimiter, "MaxKeys": size}
    want = expected(prefix, delimiter)
    assert walk(s3.list_objects_v2, tree, "ContinuationToken", "NextContinuationToken", **more) == want
    if delimiter:
        assert walk(s3.list_objects, tree, "Marker", "NextMarker", **more) == want


@pytest.mark.parametrize("after", ["", "a", "a/1", "a/zzz", "b/", "zz"])
def test_a_listing_starts_behind_start_after_or_marker(s3, tree, after):
    for found in (s3.list_objects_v2(Bucket=tree, StartAfter=after), s3.list_objects(Bucket=tree, Marker=after)):
        assert [c["Key"] for c in found.get("Contents", [])] == expected("", "", after)[0]


def test_a_listing_says_what_it_lists(s3, tree):
    page = s3.list_objects_v2(Bucket=tree, Prefix="a", Delimiter="/", MaxKeys=2, FetchOwner=True)
    assert (page["Name"], page["Prefix"], page["Delimiter"], page["MaxKeys"], page["KeyCount"]) == (
        tree, "a", "/", 2, 2)
    entry = page["Contents"][0]
    head = s3.head_object(Bucket=tree, Key="a")
    assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (1, head["ETag"], "STANDARD")
    assert entry["LastModified"].replace(microsecond=0) == head["LastModified"]
    assert entry["Owner"]["ID"] == s3.list_buckets()["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=tree)["Contents"][0]
    assert "Owner" in s3.list_objects(Bucket=tree)["Contents"][0]
    empty = s3.list_objects_v2(Bucket=tree, MaxKeys=0)
    assert (empty["KeyCount"], empty["IsTruncated"], "Contents" in empty) == (0, False, False)


@pytest.mark.parametrize("query, message", [
    ([("max-keys", "-1")], "Argument maxKeys must be an integer between 0 and 2147483647"),
    ([("max-keys", "ten")], "Provided max-keys not an integer or within integer range"),
    ([("list-type", "2"), ("continuation-token", "forged")], "The continuation token provided is incorrect"),
    ([("encoding-type", "rot13")], "Invalid Encoding Method specified in Request"),
])
def test_a_listing_with_bad_arguments_is_refused(raw, tree, query, message):
    reply = raw.send("GET", f"/{tree}", query)
    assert (reply.status, reply.code, reply.message) == (400, "InvalidArgument", message)


def test_odd_keys_round_trip_and_list_in_the_order_of_their_bytes(s3, bucket):
    fill(s3, bucket, ODD)
    for key in ODD:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode(), repr(key)
    want = sorted(ODD, key=str.encode)
    assert walk(s3.list_objects_v2, bucket, "ContinuationToken", "NextContinuationToken", MaxKeys=4) == (want, [])
    assert walk(s3.list_objects, bucket, "Marker", "NextMarker", MaxKeys=1000) == (want, [])
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in ODD if k not in (
        "\x01\x1f", "cr\rx")]})  # XML 1.0 cannot carry these two in a request.
    assert "Errors" not in deleted
    for key in ("\x01\x1f", "cr\rx"):
        s3.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_url_encoding_is_done_when_asked_and_only_then(raw, bucket):
    key = "a b/+\u00fc%"
    raw.send("PUT", f"/{bucket}/{key}", body=b"x")
    more = [("list-type", "2"), ("prefix", "a "), ("delimiter", "+")]
    plain = raw.send("GET", f"/{bucket}", [("list-type", "2")])
    assert plain.field("Key") == key and plain.field("EncodingType") is None
    coded = raw.send("GET", f"/{bucket}", [("list-type", "2"), ("encoding-type", "url")])
    # A space as S3 writes it, or as RFC 3986 does: every client decodes both.
    assert coded.field("Key") in ("a+b/%2B%C3%BC%25", "a%20b/%2B%C3%BC%25") and coded.field("EncodingType") == "url"
    coded = raw.send("GET", f"/{bucket}", [*more, ("encoding-type", "url")])
    assert b"b/%2B</Prefix></CommonPrefixes>" in coded.body
    assert coded.field("Prefix") in ("a+", "a%20") and coded.field("Delimiter") == "%2B"


@pytest.mark.parametrize("key", ["k" * 1025, "\u00e9" * 513])
def test_a_key_beyond_1024_bytes_is_refused(raw, bucket, key):
    for method in ("PUT", "GET"):
        reply = raw.send(method, f"/{bucket}/{key}", body=b"x" if method == "PUT" else b"")
        assert (reply.status, reply.code, reply.message) == (400, "KeyTooLongError", "Your key is too long")
        assert reply.field("MaxSizeAllowed") == "1024"


def test_a_key_that_is_not_utf8_is_refused(raw, bucket):
    def tamper(request):
        request.target = f"/{bucket}/%ff%fe"
    reply = raw.send("PUT", f"/{bucket}/k", body=b"x", tamper=tamper)
    assert reply.status in (400, 403)  # 400 InvalidURI; the signature is over another path.


def test_a_listing_of_a_bucket_that_is_missing_is_refused(s3):
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_object_versions, s3.list_multipart_uploads):
        answer = refused(call, Bucket="e2e-no-such-bucket")
        assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_more_than_a_thousand_keys_come_in_pages_of_a_thousand(clients, bucket):
    from concurrent.futures import ThreadPoolExecutor
    s3 = clients.boto()
    keys = [f"{i:05}" for i in range(1203)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: s3.put_object(Bucket=bucket, Key=k, Body=b""), keys))
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert (page["MaxKeys"], page["KeyCount"], page["IsTruncated"]) == (1000, 1000, True)
    assert walk(s3.list_objects_v2, bucket, "ContinuationToken", "NextContinuationToken")[0] == keys
