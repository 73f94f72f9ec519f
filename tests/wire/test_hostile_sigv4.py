"""Hostile inputs, rows 11 to 20 and 52 to 56: SigV4 in header and query."""

import datetime
import time

import pytest

from hostile import absent, raw, refused  # noqa: F401
from rawsign import EMPTY, amz_date, now, sha256


@pytest.mark.parametrize("value", ["garbage", "Basic dXNlcjpwYXNz", "AWS4-HMAC-SHA512 Credential=a", "Bearer x"])
def test_row_11_garbage_authorization(raw, bucket, value):
    refused(raw.call("GET", f"/{bucket}", {"authorization": value}, sign=False), 400, "InvalidArgument")


@pytest.mark.parametrize("part", ["Credential", "SignedHeaders", "Signature"])
def test_row_12_missing_component(raw, bucket, part):
    h = raw.signed_headers("GET", f"/{bucket}")
    scheme, _, rest = h["authorization"].partition(" ")
    h["authorization"] = scheme + " " + ", ".join(p for p in rest.split(", ") if not p.startswith(part + "="))
    refused(raw.call("GET", f"/{bucket}", h, sign=False), 400, "AuthorizationHeaderMalformed")


def test_row_12_wrong_region(raw, bucket):
    raw.region = "eu-west-3"
    r = raw.call("GET", f"/{bucket}")
    refused(r, 400, "AuthorizationHeaderMalformed")
    assert r.field("Region") == "us-east-1"


def test_row_13_sigv2(raw, bucket):
    r = raw.call("GET", f"/{bucket}", {"authorization": f"AWS {raw.access}:c2lnbmF0dXJl"}, sign=False)
    refused(r, 400, "InvalidRequest")
    r = raw.get_url(f"/{bucket}?AWSAccessKeyId={raw.access}&Expires=2000000000&Signature=abc")
    refused(r, 400, "InvalidRequest")


def test_row_14_wrong_secret(raw, bucket):
    refused(raw.call("GET", f"/{bucket}", secret="not the secret"), 403, "SignatureDoesNotMatch")


def test_row_15_unknown_key(raw, bucket):
    refused(raw.call("GET", f"/{bucket}", access="AKIANOBODY"), 403, "InvalidAccessKeyId")


@pytest.mark.parametrize("minutes", [-16, 16])
def test_row_16_skew(raw, bucket, minutes):
    r = raw.call("GET", f"/{bucket}", when=now() + datetime.timedelta(minutes=minutes))
    if r.code == "AuthorizationHeaderMalformed":
        pytest.fail("the day of the scope is the day of the date")
    refused(r, 403, "RequestTimeTooSkewed")
    assert raw.call("GET", f"/{bucket}", when=now() + datetime.timedelta(minutes=minutes * 13 / 16)).status == 200


def test_row_17_no_date(raw, bucket):
    h = raw.signed_headers("GET", f"/{bucket}")
    for value in (None, "", "yesterday"):
        h["x-amz-date"] = value
        refused(raw.call("GET", f"/{bucket}", h, sign=False), 403, "AccessDenied")


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y",
                                  "%Y%m%dT%H%M%SZ"])
def test_row_17_the_date_header_will_do(raw, bucket, form):
    when = now()
    h = {"date": when.strftime(form), "host": raw.host, "x-amz-content-sha256": EMPTY}
    s = raw.signature("GET", f"/{bucket}", h, sorted(h), EMPTY, amz_date(when))
    h["authorization"] = (f"AWS4-HMAC-SHA256 Credential={raw.access}/{raw.scope(amz_date(when))}, "
                          f"SignedHeaders={';'.join(sorted(h))}, Signature={s}")
    assert raw.call("GET", f"/{bucket}", h, sign=False).status == 200


@pytest.mark.parametrize("name,value", [("x-amz-acl", "private"), ("x-amz-meta-a", "b"), ("x-amz-tagging", "a=b"),
                                        ("x-amz-copy-source", "/other/key"), ("x-amz-storage-class", "STANDARD_IA")])
def test_row_18_unsigned_amz_header(raw, s3, bucket, name, value):
    r = raw.call("PUT", f"/{bucket}/k", {name: value}, b"x", leave_out=(name,))
    refused(r, 403, "AccessDenied")
    assert r.field("HeadersNotSigned") == name
    absent(s3, bucket, "k")


def test_row_18_presigned_put_with_an_unsigned_copy_source(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    url = raw.presign("PUT", f"/{bucket}/k")
    r = raw.get_url(url, "PUT", {"x-amz-copy-source": f"/{bucket}/secret"})
    refused(r, 403, "AccessDenied")
    absent(s3, bucket, "k")


def test_row_18_unsigned_host(raw, bucket):
    refused(raw.call("GET", f"/{bucket}", leave_out=("host",)), 403, "AccessDenied")


def test_row_19_header_and_query(raw, bucket):
    url = raw.presign("GET", f"/{bucket}")
    h = raw.signed_headers("GET", f"/{bucket}")
    refused(raw.get_url(url, headers={"authorization": h["authorization"]}), 400, "InvalidArgument")


@pytest.mark.op("PutObject")
def test_row_20_wrong_body_hash(raw, s3, bucket):
    r = raw.call("PUT", f"/{bucket}/k", body=b"hello", sha=sha256(b"other"))
    refused(r, 400, "XAmzContentSHA256Mismatch")
    absent(s3, bucket, "k")
    big = b"x" * (3 << 20)
    r = raw.call("PUT", f"/{bucket}/k", body=big, sha=sha256(big[1:]))
    refused(r, 400, "XAmzContentSHA256Mismatch")
    absent(s3, bucket, "k")


def test_row_20_body_hash_must_be_named(raw, bucket):
    h = raw.signed_headers("GET", f"/{bucket}")
    h["x-amz-content-sha256"] = None
    refused(raw.call("GET", f"/{bucket}", h, sign=False), 400, "InvalidRequest")
    refused(raw.call("GET", f"/{bucket}", sha="NOT-A-PAYLOAD"), 400, "InvalidArgument")


# ---- presigned ----

def test_row_52_header_injection(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = raw.presign("GET", f"/{bucket}/k?response-content-disposition=%0d%0aX-Injected:y")
    r = raw.get_url(url)
    refused(r, 400, "InvalidArgument")
    assert "x-injected" not in r.headers
    url = raw.presign("PUT", f"/{bucket}/j?x-amz-meta-a=%0d%0aX-Injected:y")
    refused(raw.get_url(url, "PUT", body=b"x"), 400, "InvalidArgument")
    absent(s3, bucket, "j")


@pytest.mark.parametrize("name", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
                                  "X-Amz-SignedHeaders", "X-Amz-Signature"])
def test_row_54_missing_parameter(raw, bucket, name):
    refused(raw.get_url(raw.presign("GET", f"/{bucket}", drop=(name,))), 400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize("expires", ["604801", "-1", "soon", "1.5", "", "99999999999999999999"])
def test_row_54_bad_expires(raw, bucket, expires):
    refused(raw.get_url(raw.presign("GET", f"/{bucket}", expires)), 400, "AuthorizationQueryParametersError")


def test_row_54_other_parameters(raw, bucket):
    for replace in ({"X-Amz-Algorithm": "AWS4-HMAC-SHA1"}, {"X-Amz-Date": "2024-01-01"}, {"X-Amz-Credential": "a/b/c"}):
        r = raw.get_url(raw.presign("GET", f"/{bucket}", replace=replace))
        refused(r, 400, "AuthorizationQueryParametersError")


def test_row_55_expired(raw, bucket):
    assert raw.get_url(raw.presign("GET", f"/{bucket}", 604800)).status == 200
    r = raw.get_url(raw.presign("GET", f"/{bucket}", 60, when=now() - datetime.timedelta(seconds=61)))
    refused(r, 403, "AccessDenied")
    refused(raw.get_url(raw.presign("GET", f"/{bucket}", 0)), 403, "AccessDenied")


def test_row_56_url_of_another_method(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    url = raw.presign("GET", f"/{bucket}/k")
    assert raw.get_url(url).body == b"data"
    refused(raw.get_url(url, "PUT", body=b"other"), 403, "SignatureDoesNotMatch")
    refused(raw.get_url(url, "DELETE"), 403, "SignatureDoesNotMatch")
    assert raw.get_url(url).body == b"data"


def test_row_60_anonymous_overrides(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    r = raw.call("GET", f"/{bucket}/k?response-content-type=text/html", sign=False)
    refused(r, 400, "InvalidRequest")
    refused(raw.call("GET", f"/{bucket}/k", sign=False), 403, "AccessDenied")


def test_session_tokens_are_refused(raw, bucket):
    refused(raw.call("GET", f"/{bucket}", {"x-amz-security-token": "token"}), 400, "InvalidToken")
    url = raw.presign("GET", f"/{bucket}", replace={"X-Amz-Security-Token": "token"})
    refused(raw.get_url(url), 400, "InvalidToken")


def test_secrets_are_not_logged(raw, server, bucket):
    url = raw.presign("GET", f"/{bucket}/canary")
    raw.get_url(url)
    signature = url.rsplit("Signature=", 1)[1]
    h = raw.signed_headers("GET", f"/{bucket}")
    raw.call("GET", f"/{bucket}", h, sign=False)
    raw.call("GET", f"/{bucket}", secret="wrong")
    deadline = time.monotonic() + 10  # lines are written some at once
    while server.output().count(bucket) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    log = server.output()
    assert log.count(bucket) >= 4
    for secret in (raw.secret, signature, h["authorization"].rsplit("=", 1)[1]):
        assert secret not in log
