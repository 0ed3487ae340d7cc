"""Versioning: enable, suspend, null versions, delete markers, listings, copies by version."""

import pytest

from conftest import refused


def put(s3, bucket, body, key="k", **more):
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more).get("VersionId")


def read(s3, bucket, version=None, key="k"):
    return s3.get_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))["Body"].read()


def suspend(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def enable(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def versions(s3, bucket, **more):
    """(key, version id, is latest, is marker), in the order of the listing."""
    page = s3.list_object_versions(Bucket=bucket, **more)
    rows = [(v, False) for v in page.get("Versions", [])] + [(m, True) for m in page.get("DeleteMarkers", [])]
    return [(v["Key"], v["VersionId"], v["IsLatest"], marker) for v, marker in rows]


def test_versions_stay_readable_and_the_newest_is_current(s3, versioned):
    assert s3.get_bucket_versioning(Bucket=versioned)["Status"] == "Enabled"
    ids = [put(s3, versioned, body) for body in (b"1", b"22", b"333")]
    assert len(set(ids)) == 3 and all(ids) and "null" not in ids
    assert read(s3, versioned) == b"333"
    for version, body in zip(ids, (b"1", b"22", b"333")):
        found = s3.get_object(Bucket=versioned, Key="k", VersionId=version)
        assert (found["Body"].read(), found["VersionId"]) == (body, version)
        assert s3.head_object(Bucket=versioned, Key="k", VersionId=version)["ContentLength"] == len(body)
    assert versions(s3, versioned) == [("k", v, v == ids[-1], False) for v in reversed(ids)]
    assert [c["Size"] for c in s3.list_objects_v2(Bucket=versioned)["Contents"]] == [3]


def test_a_delete_marker_hides_and_its_removal_restores(s3, versioned):
    first = put(s3, versioned, b"1")
    gone = s3.delete_object(Bucket=versioned, Key="k")
    marker = gone["VersionId"]
    assert gone["DeleteMarker"] is True and marker != first
    answer = refused(s3.get_object, Bucket=versioned, Key="k")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert (answer.headers["x-amz-delete-marker"], answer.headers["x-amz-version-id"]) == ("true", marker)
    for call in (s3.get_object, s3.head_object):
        answer = refused(call, Bucket=versioned, Key="k", VersionId=marker)
        assert answer.status == 405 and answer.headers["x-amz-delete-marker"] == "true"
        assert answer.headers["allow"] == "DELETE" and "last-modified" in answer.headers
    assert refused(s3.get_object, Bucket=versioned, Key="k", VersionId=marker).code == "MethodNotAllowed"
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert read(s3, versioned, first) == b"1"
    again = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]  # Markers stack.
    assert sorted(versions(s3, versioned)) == sorted(
        [("k", again, True, True), ("k", marker, False, True), ("k", first, False, False)])
    for version in (again, marker):
        removed = s3.delete_object(Bucket=versioned, Key="k", VersionId=version)
        assert (removed["DeleteMarker"], removed["VersionId"]) == (True, version)
    assert read(s3, versioned) == b"1"


def test_deleting_a_version_is_final_and_reveals_the_one_before(s3, versioned):
    one, two = put(s3, versioned, b"1"), put(s3, versioned, b"2")
    gone = s3.delete_object(Bucket=versioned, Key="k", VersionId=two)
    assert (gone["VersionId"], "DeleteMarker" in gone) == (two, False)
    assert read(s3, versioned) == b"1"
    answer = refused(read, s3, versioned, two)
    assert (answer.status, answer.code, answer.message) == (
        404, "NoSuchVersion", "The specified version does not exist.")
    assert s3.delete_object(Bucket=versioned, Key="k", VersionId=two)["ResponseMetadata"]["HTTPStatusCode"] == 204
    answer = refused(read, s3, versioned, "not-an-id")
    assert (answer.status, answer.code, answer.message) == (400, "InvalidArgument", "Invalid version id specified")
    s3.delete_object(Bucket=versioned, Key="k", VersionId=one)
    assert refused(read, s3, versioned).code == "NoSuchKey"


def test_null_versions_before_and_after_versioning(s3, bucket):
    put(s3, bucket, b"before")
    assert versions(s3, bucket) == [("k", "null", True, False)]
    enable(s3, bucket)
    assert read(s3, bucket, "null") == b"before"
    kept = put(s3, bucket, b"kept")
    assert versions(s3, bucket) == [("k", kept, True, False), ("k", "null", False, False)]
    suspend(s3, bucket)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    put(s3, bucket, b"null two")  # Replaces the null version, wherever it stands.
    assert versions(s3, bucket) == [("k", "null", True, False), ("k", kept, False, False)]
    assert (read(s3, bucket), read(s3, bucket, "null"), read(s3, bucket, kept)) == (b"null two", b"null two", b"kept")
    gone = s3.delete_object(Bucket=bucket, Key="k")  # Replaces it again, with a null delete marker.
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
    assert sorted(versions(s3, bucket)) == sorted([("k", "null", True, True), ("k", kept, False, False)])
    answer = refused(read, s3, bucket, "null")
    assert answer.status == 405
    enable(s3, bucket)
    newest = put(s3, bucket, b"newest")
    assert (read(s3, bucket), len(versions(s3, bucket))) == (b"newest", 3)
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert versions(s3, bucket) == [("k", newest, True, False), ("k", kept, False, False)]


def test_deleting_without_versioning_leaves_no_marker(s3, bucket):
    put(s3, bucket, b"1")
    answer = s3.delete_object(Bucket=bucket, Key="k")
    assert "DeleteMarker" not in answer and "VersionId" not in answer
    assert versions(s3, bucket) == []


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_version_listings_page_by_key_and_version(s3, versioned, size):
    want = []
    for key in ("a", "a/1", "a/2", "b"):
        ids = [put(s3, versioned, key.encode() * i, key) for i in range(3)]
        rows = [(key, v, False) for v in ids] + [(key, s3.delete_object(Bucket=versioned, Key=key)["VersionId"], True)]
        want += reversed(rows)
    found, markers = [], {}
    while True:
        page = s3.list_object_versions(Bucket=versioned, MaxKeys=size, **markers)
        rows = [(v["Key"], v["VersionId"], False) for v in page.get("Versions", [])]
        rows += [(m["Key"], m["VersionId"], True) for m in page.get("DeleteMarkers", [])]
        order = {row: i for i, row in enumerate(want)}
        found += sorted(rows, key=order.get)  # boto3 splits one list in two.
        if not page["IsTruncated"]:
            break
        assert len(rows) == size
        markers = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert found == want
    grouped = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [p["Prefix"] for p in grouped["CommonPrefixes"]] == ["a/"]
    assert {v["Key"] for v in grouped["Versions"]} == {"a", "b"}
    assert {key for key, *_ in versions(s3, versioned, Prefix="a/")} == {"a/1", "a/2"}


def test_a_version_marker_without_a_key_marker_is_refused(raw, versioned):
    reply = raw.send("GET", f"/{versioned}", ["versions", ("version-id-marker", "x")])
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert reply.message == "A version-id marker cannot be specified without a key marker."


def test_copies_name_their_source_version(s3, versioned):
    one, two = put(s3, versioned, b"1"), put(s3, versioned, b"2")
    def copy(version, key):
        return s3.copy_object(Bucket=versioned, Key=key, CopySource={
            "Bucket": versioned, "Key": "k", **({"VersionId": version} if version else {})})
    answer = copy(one, "copy")
    assert (answer["CopySourceVersionId"], read(s3, versioned, key="copy")) == (one, b"1")
    assert answer["VersionId"] not in (one, two)
    assert copy(None, "copy")["CopySourceVersionId"] == two
    copy(one, "k")  # The old version becomes the newest: a restore.
    assert read(s3, versioned) == b"1" and len(versions(s3, versioned, Prefix="k")) == 3
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    assert refused(copy, None, "x").code == "NoSuchKey"
    answer = refused(copy, marker, "x")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert answer.message == "The source of a copy request may not specifically refer to a delete marker by version id."


def test_tags_belong_to_the_version(s3, versioned):
    one = put(s3, versioned, b"1", Tagging="v=1")
    put(s3, versioned, b"2", Tagging="v=2")
    def tags(**version):
        answer = s3.get_object_tagging(Bucket=versioned, Key="k", **version)
        return {t["Key"]: t["Value"] for t in answer["TagSet"]}
    assert (tags(VersionId=one), tags()) == ({"v": "1"}, {"v": "2"})
    s3.delete_object_tagging(Bucket=versioned, Key="k")
    assert (tags(VersionId=one), tags()) == ({"v": "1"}, {})


def test_delete_objects_makes_markers_and_removes_versions(s3, versioned):
    one = put(s3, versioned, b"1", "a")
    put(s3, versioned, b"2", "b")
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "a", "VersionId": one}, {"Key": "b"}]})
    rows = {d["Key"]: d for d in answer["Deleted"]}
    assert rows["a"]["VersionId"] == one and "DeleteMarker" not in rows["a"]
    assert rows["b"]["DeleteMarker"] is True and rows["b"]["DeleteMarkerVersionId"]
    assert {(key, marker) for key, _, _, marker in versions(s3, versioned)} == {("b", False), ("b", True)}


def test_a_bucket_with_versions_left_is_not_deleted(s3, versioned):
    version = put(s3, versioned, b"1")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    assert refused(s3.delete_bucket, Bucket=versioned).code == "BucketNotEmpty"
    for each in (version, marker):
        s3.delete_object(Bucket=versioned, Key="k", VersionId=each)
    s3.delete_bucket(Bucket=versioned)


@pytest.mark.parametrize("status", ["On", "enabled"])
def test_a_versioning_status_that_is_none_is_refused(raw, bucket, status):
    xml = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()
    reply = raw.send("PUT", f"/{bucket}", ["versioning"], body=xml)
    assert (reply.status, reply.code) == (400, "MalformedXML")
