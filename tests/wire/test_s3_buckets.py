"""Buckets: create, list, head, delete, location, versioning."""

import datetime
import json

import boto3
import botocore.config
import pytest

from hostile import error_of, raw, refused  # noqa: F401
from rawsign import Raw

op = pytest.mark.op


@pytest.mark.smoke
@op("CreateBucket")
@op("HeadBucket")
@op("DeleteBucket")
def test_life_of_a_bucket(s3, bucket_name):
    r = s3.create_bucket(Bucket=bucket_name)
    assert r["Location"] == "/" + bucket_name
    head = s3.head_bucket(Bucket=bucket_name)
    assert head["BucketRegion"] == "us-east-1"
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"")
    assert error_of(s3.delete_bucket, Bucket=bucket_name) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket_name, Key="k")
    assert s3.delete_bucket(Bucket=bucket_name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error_of(s3.head_bucket, Bucket=bucket_name) == (404, "404")
    assert error_of(s3.delete_bucket, Bucket=bucket_name) == (404, "NoSuchBucket")


@op("CreateBucket")
def test_create_again_by_the_owner(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.create_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    s3.head_object(Bucket=bucket, Key="k")


@op("CreateBucket")
@op("GetBucketLocation")
def test_regions(start_server):
    server = start_server(region="eu-west-1")
    s3 = boto3.client("s3", endpoint_url=server.endpoint, region_name="eu-west-1", aws_access_key_id=server.access_key,
                      aws_secret_access_key=server.secret_key,
                      config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}))
    s3.create_bucket(Bucket="here", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.create_bucket(Bucket="old", CreateBucketConfiguration={"LocationConstraint": "EU"})
    assert s3.get_bucket_location(Bucket="here")["LocationConstraint"] == "eu-west-1"
    other = {"LocationConstraint": "ap-south-1"}
    assert error_of(s3.create_bucket, Bucket="there", CreateBucketConfiguration=other) == (
        400, "IllegalLocationConstraintException")
    nowhere = {"LocationConstraint": "nowhere"}
    assert error_of(s3.create_bucket, Bucket="there", CreateBucketConfiguration=nowhere) == (400, "InvalidLocationConstraint")
    again = {"LocationConstraint": "eu-west-1"}
    assert error_of(s3.create_bucket, Bucket="here", CreateBucketConfiguration=again) == (409, "BucketAlreadyOwnedByYou")
    assert error_of(s3.head_bucket, Bucket="there")[0] == 404


@op("GetBucketLocation")
def test_location(s3, raw, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>' in raw.call(
        "GET", f"/{bucket}?location").body
    assert error_of(s3.get_bucket_location, Bucket=bucket + "-none") == (404, "NoSuchBucket")


@op("CreateBucket")
@pytest.mark.parametrize("name,value", [("x-amz-acl", "public-read"), ("x-amz-grant-read", 'id="a"'),
                                        ("x-amz-bucket-object-lock-enabled", "true"),
                                        ("x-amz-object-ownership", "ObjectWriter")])
def test_create_asks_for_what_is_not_there(raw, s3, bucket_name, name, value):
    r = raw.call("PUT", f"/{bucket_name}", {name: value})
    refused(r, 501, "NotImplemented")
    assert r.field("Header") == name
    assert error_of(s3.head_bucket, Bucket=bucket_name)[0] == 404
    for good in ({"x-amz-acl": "private"}, {"x-amz-object-ownership": "BucketOwnerEnforced"},
                 {"x-amz-bucket-object-lock-enabled": "false"}):
        assert raw.call("PUT", f"/{bucket_name}", good).status == 200


@pytest.mark.smoke
@op("ListBuckets")
def test_list_buckets(s3, bucket_name):
    names = [f"{bucket_name}-{c}" for c in "abcde"]
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    for n in names:
        s3.create_bucket(Bucket=n)
    r = s3.list_buckets(Prefix=bucket_name + "-")
    assert [b["Name"] for b in r["Buckets"]] == names
    assert r["Prefix"] == bucket_name + "-"
    assert len(r["Owner"]["ID"]) == 64 and r["Owner"]["DisplayName"]
    assert all(before <= b["CreationDate"] and b["BucketRegion"] == "us-east-1" for b in r["Buckets"])
    assert set(names) <= {b["Name"] for b in s3.list_buckets()["Buckets"]}
    got, token = [], None
    for _ in range(3):
        more = {"ContinuationToken": token} if token else {}
        r = s3.list_buckets(Prefix=bucket_name + "-", MaxBuckets=2, **more)
        got += [b["Name"] for b in r["Buckets"]]
        token = r.get("ContinuationToken")
        assert bool(token) == (len(got) < 5)
    assert got == names and not token
    assert s3.list_buckets(Prefix=bucket_name + "-", BucketRegion="us-east-1")["Buckets"]
    assert not s3.list_buckets(Prefix=bucket_name + "-", BucketRegion="eu-west-1").get("Buckets")


@op("ListBuckets")
def test_list_buckets_bad_arguments(raw):
    for query in ("max-buckets=0", "max-buckets=10001", "max-buckets=x", "max-buckets=-1", "continuation-token=x",
                  "continuation-token=AAAAAAAAAAAA"):
        refused(raw.call("GET", f"/?{query}"), 400, "InvalidArgument")


@op("GetBucketVersioning")
@op("PutBucketVersioning")
def test_versioning_states(s3, raw, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Enabled", "Suspended", "Enabled"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status
    for body, code in (("<VersioningConfiguration/>", "IllegalVersioningConfigurationException"),
                       ("<VersioningConfiguration><Status>On</Status></VersioningConfiguration>", "MalformedXML"),
                       ("<Other><Status>Enabled</Status></Other>", "MalformedXML")):
        refused(raw.call("PUT", f"/{bucket}?versioning", body=body.encode()), 400, code)
    body = b"<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"
    refused(raw.call("PUT", f"/{bucket}?versioning", body=body), 501, "NotImplemented")
    assert error_of(s3.get_bucket_versioning, Bucket=bucket + "-none") == (404, "NoSuchBucket")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_expected_owner(s3, raw, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner="000000000001")
    assert error_of(s3.get_object, Bucket=bucket, Key="k", ExpectedBucketOwner="111111111111") == (403, "AccessDenied")
    assert error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"y", ExpectedBucketOwner="111111111111")[0] == 403
    source = {"Bucket": bucket, "Key": "k"}
    assert error_of(s3.copy_object, Bucket=bucket, Key="c", CopySource=source,
                    ExpectedSourceBucketOwner="111111111111") == (403, "AccessDenied")
    assert error_of(s3.head_object, Bucket=bucket, Key="c")[0] == 404


def test_accounts_are_strangers_to_each_other(start_server, tmp_path):
    accounts = tmp_path / "accounts.json"
    accounts.write_text(json.dumps([{"access-key": "OTHERACCOUNT", "secret-key": "secret-of-the-other-account",
                                     "canonical-id": "b" * 64, "display-name": "other", "account": "000000000002"}]))
    accounts.chmod(0o600)
    server = start_server(test_accounts=accounts)
    ours, theirs = server.client(), server.client("OTHERACCOUNT", "secret-of-the-other-account")
    ours.create_bucket(Bucket="ours")
    ours.put_object(Bucket="ours", Key="k", Body=b"secret")
    theirs.create_bucket(Bucket="theirs")
    for call in (lambda: theirs.get_object(Bucket="ours", Key="k"), lambda: theirs.list_objects_v2(Bucket="ours"),
                 lambda: theirs.put_object(Bucket="ours", Key="k", Body=b"x"), lambda: theirs.delete_bucket(Bucket="ours"),
                 lambda: theirs.delete_objects(Bucket="ours", Delete={"Objects": [{"Key": "k"}]}),
                 lambda: theirs.copy_object(Bucket="theirs", Key="k", CopySource={"Bucket": "ours", "Key": "k"}),
                 lambda: ours.copy_object(Bucket="theirs", Key="k", CopySource={"Bucket": "ours", "Key": "k"})):
        assert error_of(call) == (403, "AccessDenied")
    assert error_of(theirs.create_bucket, Bucket="ours") == (409, "BucketAlreadyExists")
    assert [b["Name"] for b in theirs.list_buckets()["Buckets"]] == ["theirs"]
    assert ours.get_object(Bucket="ours", Key="k")["Body"].read() == b"secret"


def test_every_answer_has_its_ids(raw, bucket):
    ids = set()
    for r in (raw.call("GET", f"/{bucket}"), raw.call("GET", f"/{bucket}-none"), raw.call("GET", "/", sign=False),
              raw.call("HEAD", f"/{bucket}/none")):
        assert len(r.headers["x-amz-request-id"]) == 16 and r.headers["x-amz-id-2"]
        if r.field("RequestId"):
            assert r.field("RequestId") == r.headers["x-amz-request-id"]
            assert r.field("HostId") == r.headers["x-amz-id-2"]
        ids.add(r.headers["x-amz-request-id"])
    assert len(ids) == 4


def test_virtual_hosts(start_server):
    server = start_server(domain=["s3.test", "other.test"])
    raw = Raw(server)
    assert raw.call("PUT", "/", {"host": "vhost.s3.test"}).status == 200
    assert raw.call("PUT", "/a/b", {"host": "vhost.other.test:80"}, b"data").status == 200
    assert raw.call("GET", "/vhost/a/b").body == b"data"
    assert raw.call("GET", "/a/b", {"host": "VHOST.s3.test"}).body == b"data"
    assert raw.call("GET", "/", {"host": "s3.test"}).field("Name") == "vhost"
    r = raw.call("GET", "/a/b", {"host": "vhost.evil.test"})
    refused(r, 400, "InvalidBucketName")  # path style: a bucket "a"
