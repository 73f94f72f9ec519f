"""What the tests of hostile inputs share."""

import botocore.exceptions
import pytest

from rawsign import Raw


@pytest.fixture
def raw(server):
    return Raw(server)


def refused(reply, status, code):
    assert (reply.status, reply.code) == (status, code), reply


def error_of(call, *args, **kwargs):
    """(status, code) of the error that a boto3 call raises."""
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(*args, **kwargs)
    r = e.value.response
    return r["ResponseMetadata"]["HTTPStatusCode"], r["Error"]["Code"]


def absent(s3, bucket, key):
    """Nothing was stored."""
    assert error_of(s3.head_object, Bucket=bucket, Key=key)[0] == 404
    return True
