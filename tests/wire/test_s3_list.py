"""Listings: V1, V2, versions of a bucket that has some."""

import pytest

from hostile import error_of, raw, refused  # noqa: F401
from rawsign import quote

op = pytest.mark.op

KEYS = ["a", "a/1", "a/2/x", "a/2/y", "b", "c/", "c/1", "c/2", "d//x", "e e", "f+g", "ü"]


@pytest.fixture(scope="module")
def filled(server):
    s3 = server.client()
    name = "listings-of-many-kinds"
    s3.create_bucket(Bucket=name)
    for k in KEYS:
        s3.put_object(Bucket=name, Key=k, Body=k.encode())
    return name


def names(page):
    return [o["Key"] for o in page.get("Contents", [])], [p["Prefix"] for p in page.get("CommonPrefixes", [])]


@pytest.mark.smoke
@op("ListObjects")
@op("ListObjectsV2")
def test_all(s3, filled):
    for call in (s3.list_objects, s3.list_objects_v2):
        r = call(Bucket=filled)
        assert names(r) == (KEYS, []) and not r["IsTruncated"]
        assert (r["Name"], r["Prefix"], r["MaxKeys"]) == (filled, "", 1000)
        o = r["Contents"][1]
        head = s3.head_object(Bucket=filled, Key="a/1", ChecksumMode="ENABLED")
        assert (o["Size"], o["ETag"], o["StorageClass"]) == (3, head["ETag"], "STANDARD")
        assert o["LastModified"] == head["LastModified"]
        assert o["ChecksumAlgorithm"] == ["CRC32"] and o["ChecksumType"] == "FULL_OBJECT"
    assert r["KeyCount"] == len(KEYS) and "Owner" not in o
    assert "Owner" in s3.list_objects(Bucket=filled)["Contents"][0]
    assert len(s3.list_objects_v2(Bucket=filled, FetchOwner=True)["Contents"][0]["Owner"]["ID"]) == 64


@op("ListObjects")
@op("ListObjectsV2")
@pytest.mark.parametrize("prefix,delimiter,keys,prefixes", [
    ("", "/", ["a", "b", "e e", "f+g", "ü"], ["a/", "c/", "d/"]),
    ("a/", "/", ["a/1"], ["a/2/"]),
    ("a", "", ["a", "a/1", "a/2/x", "a/2/y"], []),
    ("c/", "/", ["c/", "c/1", "c/2"], []),
    ("c", "/", [], ["c/"]),
    ("d/", "/", [], ["d//"]),
    ("d//", "/", ["d//x"], []),
    ("none", "/", [], []),
    ("", "2/", [k for k in KEYS if "2/" not in k], ["a/2/"]),
    ("a", "a", ["a", "a/1", "a/2/x", "a/2/y"], []),
])
def test_delimiters(s3, filled, prefix, delimiter, keys, prefixes):
    for call in (s3.list_objects, s3.list_objects_v2):
        r = call(Bucket=filled, Prefix=prefix, Delimiter=delimiter)
        assert names(r) == (keys, prefixes)
        # And page by page, at every size: nothing twice, nothing left out.
        for size in (1, 2, 3):
            got_keys, got_prefixes, more, n = [], [], {}, 0
            while True:
                p = call(Bucket=filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size, **more)
                k, c = names(p)
                assert len(k) + len(c) <= size
                got_keys += k
                got_prefixes += c
                n += 1
                assert n < 30
                if not p["IsTruncated"]:
                    break
                assert len(k) + len(c) == size
                if call == s3.list_objects_v2:
                    more = {"ContinuationToken": p["NextContinuationToken"]}
                elif delimiter:
                    more = {"Marker": p["NextMarker"]}
                else:
                    assert "NextMarker" not in p
                    more = {"Marker": k[-1]}
            assert (got_keys, got_prefixes) == (keys, prefixes)


@op("ListObjectsV2")
def test_start_after_and_tokens(s3, raw, filled):
    r = s3.list_objects_v2(Bucket=filled, StartAfter="b")
    assert names(r)[0] == KEYS[5:] and r["StartAfter"] == "b"
    assert names(s3.list_objects_v2(Bucket=filled, StartAfter="zzz"))[0] == ["ü"]
    assert names(s3.list_objects_v2(Bucket=filled, StartAfter="a/1", MaxKeys=1))[0] == ["a/2/x"]
    r = s3.list_objects_v2(Bucket=filled, StartAfter="a", MaxKeys=2)
    r = s3.list_objects_v2(Bucket=filled, StartAfter="a", ContinuationToken=r["NextContinuationToken"])
    assert names(r)[0] == KEYS[3:]  # the token wins
    r = raw.call("GET", f"/{filled}?list-type=2&continuation-token=")
    assert r.status == 200 and b"<ContinuationToken></ContinuationToken>" in r.body
    good = s3.list_objects_v2(Bucket=filled, MaxKeys=2)["NextContinuationToken"]
    for bad in ("x", good[:-1], good + "A", "B" + good[1:], "../../etc/passwd", "A" * 5000):
        refused(raw.call("GET", f"/{filled}?list-type=2&continuation-token={bad}"), 400, "InvalidArgument")


@op("ListObjects")
@op("ListObjectsV2")
def test_page_sizes(s3, raw, filled):
    for query in ("", "list-type=2&"):
        r = raw.call("GET", f"/{filled}?{query}max-keys=0")
        assert r.status == 200 and r.field("IsTruncated") == "false" and b"<Contents>" not in r.body
        assert raw.call("GET", f"/{filled}?{query}max-keys=5000").field("MaxKeys") == "1000"
        assert raw.call("GET", f"/{filled}?{query}max-keys=").field("MaxKeys") == "1000"
        for bad in ("-1", "x", "1.5", "99999999999"):
            r = raw.call("GET", f"/{filled}?{query}max-keys={bad}")
            refused(r, 400, "InvalidArgument")
            assert r.field("ArgumentName") == "max-keys"
        refused(raw.call("GET", f"/{filled}?{query}encoding-type=base64"), 400, "InvalidArgument")
    refused(raw.call("GET", f"/{filled}?list-type=3"), 400, "InvalidArgument")
    refused(raw.call("GET", f"/{filled}?list-type=1"), 400, "InvalidArgument")


@op("ListObjects")
def test_encoding_of_names(raw, filled):
    r = raw.call("GET", f"/{filled}?encoding-type=url&prefix=e%20&delimiter=%20")
    assert b"<Prefix>e%20</Prefix>" in r.body and b"<Delimiter>%20</Delimiter>" in r.body and r.field("EncodingType") == "url"
    r = raw.call("GET", f"/{filled}?encoding-type=url&marker=f")
    assert b"<Key>f%2Bg</Key>" in r.body and b"<Key>%C3%BC</Key>" in r.body
    r = raw.call("GET", f"/{filled}?marker=f")
    assert b"<Key>f+g</Key>" in r.body and "<Key>ü</Key>".encode() in r.body


@op("ListObjects")
def test_no_such_bucket(s3):
    assert error_of(s3.list_objects, Bucket="never-made") == (404, "NoSuchBucket")
    assert error_of(s3.list_objects_v2, Bucket="never-made") == (404, "NoSuchBucket")
    assert error_of(s3.list_object_versions, Bucket="never-made") == (404, "NoSuchBucket")


@op("ListObjectsV2")
def test_more_than_a_thousand(s3, bucket):
    from concurrent.futures import ThreadPoolExecutor
    keys = [f"{i:05}" for i in range(1203)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda k: s3.put_object(Bucket=bucket, Key=k, Body=b""), keys))
    got = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for o in page["Contents"]]
    assert got == keys
    got = [o["Key"] for page in s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 100})
           for o in page["Contents"]]
    assert got == keys


# ---- versions ----

@op("ListObjectVersions")
def test_versions_of_an_unversioned_bucket(s3, filled):
    r = s3.list_object_versions(Bucket=filled)
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in r["Versions"]] == [(k, "null", True) for k in KEYS]
    r = s3.list_object_versions(Bucket=filled, Delimiter="/")
    assert [p["Prefix"] for p in r["CommonPrefixes"]] == ["a/", "c/", "d/"]


@pytest.mark.smoke
@op("ListObjectVersions")
@op("DeleteObject")
@op("GetObject")
def test_life_of_versions(s3, raw, bucket):
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"null version")
    assert "VersionId" not in first
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    v1 = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    v2 = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    get = lambda v=None: s3.get_object(Bucket=bucket, Key="k", **({"VersionId": v} if v else {}))  # noqa: E731
    assert get()["Body"].read() == b"two" and get()["VersionId"] == v2
    assert get(v1)["Body"].read() == b"one" and get("null")["Body"].read() == b"null version"
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] and gone["VersionId"] not in (v1, v2)
    r = raw.call("GET", f"/{bucket}/k")
    refused(r, 404, "NoSuchKey")
    assert r.headers["x-amz-delete-marker"] == "true" and r.headers["x-amz-version-id"] == gone["VersionId"]
    r = raw.call("GET", f"/{bucket}/k?versionId={gone['VersionId']}")
    refused(r, 405, "MethodNotAllowed")
    assert r.headers["x-amz-delete-marker"] == "true" and r.headers["allow"] == "DELETE"
    page = s3.list_object_versions(Bucket=bucket)
    assert [v["VersionId"] for v in page["Versions"]] == [v2, v1, "null"]
    assert [(m["VersionId"], m["IsLatest"]) for m in page["DeleteMarkers"]] == [(gone["VersionId"], True)]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    # Page by page.
    got, more = [], {}
    while True:
        page = s3.list_object_versions(Bucket=bucket, MaxKeys=1, **more)
        got += [v["VersionId"] for v in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        assert len(got) < 10
    assert got == [gone["VersionId"], v2, v1, "null"]
    # Removing the marker brings the object back; removing versions is for good.
    r = s3.delete_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])
    assert r["DeleteMarker"] and r["VersionId"] == gone["VersionId"]
    assert get()["Body"].read() == b"two"
    r = s3.delete_object(Bucket=bucket, Key="k", VersionId=v2)
    assert "DeleteMarker" not in r and r["VersionId"] == v2
    assert get()["Body"].read() == b"one"
    refused(raw.call("GET", f"/{bucket}/k?versionId={v2}"), 404, "NoSuchVersion")
    refused(raw.call("GET", f"/{bucket}/k?versionId=nonsense"), 400, "InvalidArgument")
    refused(raw.call("GET", f"/{bucket}/k?versionId="), 400, "InvalidArgument")


@op("DeleteObjects")
@op("ListObjectVersions")
def test_delete_many_versions(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % i)["VersionId"] for i in range(3)]
    r = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
    marker = r["Deleted"][0]
    assert marker["DeleteMarker"] and marker["DeleteMarkerVersionId"] and "VersionId" not in marker
    r = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": v} for v in versions[:2]] + [
        {"Key": "k", "VersionId": marker["DeleteMarkerVersionId"]}]})
    assert len(r["Deleted"]) == 3 and "Errors" not in r
    last = [d for d in r["Deleted"] if d.get("DeleteMarker")][0]
    assert last["VersionId"] == last["DeleteMarkerVersionId"] == marker["DeleteMarkerVersionId"]
    assert [v["VersionId"] for v in s3.list_object_versions(Bucket=bucket)["Versions"]] == [versions[2]]


@op("PutBucketVersioning")
def test_suspended_versions_replace_each_other(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    v = s3.put_object(Bucket=bucket, Key="k", Body=b"kept")["VersionId"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    for data in (b"one", b"two"):
        assert "VersionId" not in s3.put_object(Bucket=bucket, Key="k", Body=data)
        assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    assert [x["VersionId"] for x in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["null", v]
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] and gone["VersionId"] == "null"
    page = s3.list_object_versions(Bucket=bucket)
    assert [x["VersionId"] for x in page["Versions"]] == [v]
    assert [x["VersionId"] for x in page["DeleteMarkers"]] == ["null"]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=v)["Body"].read() == b"kept"


@op("ListObjectVersions")
def test_version_markers(raw, bucket):
    refused(raw.call("GET", f"/{bucket}?versions&version-id-marker=abc"), 400, "InvalidArgument")
    refused(raw.call("GET", f"/{bucket}?versions&key-marker=k&version-id-marker="), 400, "InvalidArgument")
    refused(raw.call("GET", f"/{bucket}?versions&key-marker=k&version-id-marker=" + "v" * 100), 400, "InvalidArgument")
    assert raw.call("GET", f"/{bucket}?versions&key-marker=k").status == 200


@op("ListObjectVersions")
@pytest.mark.parametrize("prefix,delimiter", [("", ""), ("", "/"), ("d/", "/"), ("", "ab"), ("e", "e")])
def test_pages_of_versions(s3, bucket, prefix, delimiter):
    """Every page size gives the same entries, each once, with markers that are sent back as they came."""
    s3.put_object(Bucket=bucket, Key="d/null", Body=b"x")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "d/1", "d/2", "d/null", "e", "e", "e e+\u00fc", "xab1", "xab2", "z"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    for key in ("d/1", "e", "z"):
        s3.delete_object(Bucket=bucket, Key=key)

    def entries(page):
        both = page.get("Versions", []) + page.get("DeleteMarkers", [])
        return [(v["Key"], v["VersionId"]) for v in both] + [(p["Prefix"], None) for p in page.get("CommonPrefixes", [])]

    how = {"Bucket": bucket, "Prefix": prefix, **({"Delimiter": delimiter} if delimiter else {})}
    whole = s3.list_object_versions(**how)
    assert not whole["IsTruncated"] and "NextKeyMarker" not in whole
    want = entries(whole)
    assert len(set(want)) == len(want)
    for size in (1, 2, 3, 1000):
        got, more, keys = [], {}, []
        while True:
            page = s3.list_object_versions(MaxKeys=size, **how, **more)
            now = entries(page)
            assert len(now) <= size and page["MaxKeys"] == size
            got += now
            keys += [k for k, _ in now]
            if not page["IsTruncated"]:
                break
            assert len(now) == size and len(got) < 50
            more = {"KeyMarker": page["NextKeyMarker"]}
            if "NextVersionIdMarker" in page:  # none behind a common prefix
                more["VersionIdMarker"] = page["NextVersionIdMarker"]
        assert sorted(got, key=str) == sorted(want, key=str)
        if size == 1:
            assert keys == sorted(keys)
    # A key marker alone passes all versions of that key.
    after = s3.list_object_versions(KeyMarker="e", **how)
    assert all(k > "e" for k, _ in entries(after)) and ("z", None) not in entries(after)


@op("ListObjectVersions")
@op("ListMultipartUploads")
@op("ListParts")
def test_sizes_of_other_pages(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    up = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=up, PartNumber=1, Body=b"x")
    for target, name, element, entry in ((f"/{bucket}?versions&", "max-keys", "MaxKeys", b"<Version>"),
                                         (f"/{bucket}?uploads&", "max-uploads", "MaxUploads", b"<Upload>"),
                                         (f"/{bucket}/k?uploadId={up}&", "max-parts", "MaxParts", b"<Part>")):
        r = raw.call("GET", f"{target}{name}=0")
        assert r.status == 200 and r.field(element) == "0" and entry not in r.body, r
        if name != "max-parts":
            assert r.field("IsTruncated") == "false"
        assert raw.call("GET", f"{target}{name}=4000").field(element) == "1000"
        assert raw.call("GET", f"{target}{name}=").field(element) == "1000"
        for bad, text in (("-1", f"Argument {name} must be an integer between 0 and 2147483647"),
                          ("x", f"Provided {name} not an integer or within integer range"),
                          ("2147483648", f"Provided {name} not an integer or within integer range")):
            r = raw.call("GET", f"{target}{name}={bad}")
            refused(r, 400, "InvalidArgument")
            assert (r.field("Message"), r.field("ArgumentName"), r.field("ArgumentValue")) == (text, name, bad)


@op("ListObjectsV2")
@op("ListObjectVersions")
@op("ListMultipartUploads")
def test_encoding_of_names_everywhere(raw, s3, bucket):
    for key in ("a b/\u00fc", "a b/\u00fc2", "a+1", "a\x01"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        # not by boto3, which cannot read an answer that names a control character
        assert raw.call("POST", f"/{bucket}/{quote(key)}?uploads").status == 200
    common = "encoding-type=url&prefix=a&delimiter=%2F"
    r = raw.call("GET", f"/{bucket}?list-type=2&{common}&start-after=a%20")
    assert b"<StartAfter>a%20</StartAfter>" in r.body and b"<Prefix>a%20b/</Prefix>" in r.body
    for query in (f"list-type=2&{common}", f"versions&{common}", f"uploads&{common}", common):
        r = raw.call("GET", f"/{bucket}?{query}")
        assert r.field("EncodingType") == "url" and b"<Delimiter>/</Delimiter>" in r.body, r
        assert b"<Prefix>a</Prefix>" in r.body and b"<Prefix>a%20b/</Prefix>" in r.body, r
        assert b"<Key>a%2B1</Key>" in r.body and b"<Key>a%01</Key>" in r.body, r
    for query, marker in (("versions&key-marker=a%20b%2F", "KeyMarker"), ("uploads&key-marker=a%20b%2F", "KeyMarker"),
                          ("marker=a%20b%2F", "Marker")):
        r = raw.call("GET", f"/{bucket}?{query}&encoding-type=url&max-keys=1&max-uploads=1&delimiter=2")
        assert r.field(marker) == "a%20b/", r
        assert r.field("NextMarker" if marker == "Marker" else "NextKeyMarker") == "a%20b/%C3%BC", r


@op("ListObjects")
@op("ListObjectsV2")
def test_delimiters_of_several_characters(s3, bucket):
    for key in ("a::1", "a::2", "a:b", "::c", "x::::y", "d:"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    for call in (s3.list_objects, s3.list_objects_v2):
        assert names(call(Bucket=bucket, Delimiter="::")) == (["a:b", "d:"], ["::", "a::", "x::"])
        assert names(call(Bucket=bucket, Delimiter="::", Prefix="::")) == (["::c"], [])
        assert names(call(Bucket=bucket, Delimiter="::", Prefix="x::")) == ([], ["x::::"])
        assert names(call(Bucket=bucket, Delimiter="::", Prefix=":")) == (["::c"], [])  # ":c" behind the prefix: no delimiter
        assert names(call(Bucket=bucket, Delimiter="not in any")) == (sorted(["a::1", "a::2", "a:b", "::c", "x::::y", "d:"]), [])
