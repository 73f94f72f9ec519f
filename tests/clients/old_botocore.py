"""Run by Debian's Python with awscli's own botocore: uploads in an order that has shown an answer mixed up with the next
one of its connection. Arguments: endpoint, access key, secret key, rounds. Prints one line an upload: status and ETag."""

import io
import sys

import awscli  # noqa: F401 (puts its botocore on the path)
import botocore.config
import botocore.exceptions
from botocore.session import Session

endpoint, access, secret, rounds = sys.argv[1:]
client = Session().create_client(
    "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=access, aws_secret_access_key=secret,
    config=botocore.config.Config(max_pool_connections=1, retries={"max_attempts": 1}, s3={"addressing_style": "path"}))
client.create_bucket(Bucket="box")
upload = client.create_multipart_upload(Bucket="box", Key="parts")["UploadId"]


def show(operation, **arguments):
    try:
        answer = getattr(client, operation)(**arguments)
        print(operation, answer["ResponseMetadata"]["HTTPStatusCode"], answer.get("ETag"))
    except botocore.exceptions.ClientError as e:
        print(operation, e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"])


for i in range(int(rounds)):
    show("put_object", Bucket="box", Key="empty", Body=io.BytesIO(b""))
    show("upload_part", Bucket="box", Key="parts", UploadId=upload, PartNumber=1, Body=io.BytesIO(b"part"))
    show("put_object", Bucket="no-box", Key="k", Body=io.BytesIO(b"refused"))
    show("put_object", Bucket="box", Key="full", Body=io.BytesIO(b"stored"))
