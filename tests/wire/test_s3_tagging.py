"""Tags of objects by their own operations."""

import pytest

from hostile import error_of, raw, refused  # noqa: F401

op = pytest.mark.op


def tags(s3, bucket, key, **more):
    return {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key=key, **more)["TagSet"]}


def tag_set(pairs):
    return {"TagSet": [{"Key": k, "Value": v} for k, v in pairs]}


@op("GetObjectTagging")
@op("PutObjectTagging")
@op("DeleteObjectTagging")
def test_tags_are_put_read_replaced_and_deleted(s3, bucket):
    before = s3.put_object(Bucket=bucket, Key="k", Body=b"data", Tagging="b=2&a=1")
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert tags(s3, bucket, "k") == {"a": "1", "b": "2"}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set([("c", ""), ("\u00fc x", "+-=._:/@")]))
    assert tags(s3, bucket, "k") == {"c": "", "\u00fc x": "+-=._:/@"}
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["ETag"], got["LastModified"], got["TagCount"]) == (b"data", before["ETag"], modified, 2)
    assert s3.delete_object_tagging(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(s3, bucket, "k") == {}


@op("GetObjectTagging")
@op("PutObjectTagging")
def test_tags_belong_to_a_version(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    two = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    r = s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=one, Tagging=tag_set([("v", "one")]))
    assert r["VersionId"] == one
    assert tags(s3, bucket, "k", VersionId=one) == {"v": "one"}
    assert tags(s3, bucket, "k") == {} == tags(s3, bucket, "k", VersionId=two)
    s3.delete_object(Bucket=bucket, Key="k")
    assert error_of(s3.get_object_tagging, Bucket=bucket, Key="k") == (404, "NoSuchKey")


@op("PutObjectTagging")
@pytest.mark.parametrize("pairs, code", [
    ([(f"k{i}", "v") for i in range(11)], "BadRequest"),
    ([("a", "1"), ("a", "2")], "InvalidTag"),
    ([("k" * 129, "v")], "InvalidTag"),
    ([("k", "v" * 257)], "InvalidTag"),
    ([("aws:k", "v")], "InvalidTag"),
])
def test_tags_that_are_refused(s3, bucket, pairs, code):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", Tagging="kept=yes")
    assert error_of(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=tag_set(pairs)) == (400, code)
    assert tags(s3, bucket, "k") == {"kept": "yes"}


@op("GetObjectTagging")
@op("PutObjectTagging")
@op("DeleteObjectTagging")
def test_tags_of_what_is_absent(s3, bucket):
    assert error_of(s3.get_object_tagging, Bucket=bucket, Key="no") == (404, "NoSuchKey")
    assert error_of(s3.put_object_tagging, Bucket=bucket, Key="no", Tagging=tag_set([("a", "b")])) == (404, "NoSuchKey")
    assert error_of(s3.delete_object_tagging, Bucket=bucket, Key="no") == (404, "NoSuchKey")


@op("PutObjectTagging")
def test_a_copy_source_beside_tagging_is_refused(raw, s3, bucket):  # noqa: F811
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    refused(raw.call("PUT", f"/{bucket}/k?tagging", headers={"x-amz-copy-source": f"/{bucket}/k"}), 400, "InvalidArgument")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
