// The main job of an S3 user by the AWS SDK for JavaScript: argument 1 is the endpoint, credentials come from the environment.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import * as S3 from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const s3 = new S3.S3Client({ endpoint: process.argv[2], region: 'us-east-1', forcePathStyle: true });
const Bucket = 'client-js';
const get = async (Key, Range) =>
  Buffer.from(await (await s3.send(new S3.GetObjectCommand({ Bucket, Key, Range }))).Body.transformToByteArray());

await s3.send(new S3.CreateBucketCommand({ Bucket }));

// Objects of several sizes, with metadata and the SDK's default checksums, back identical.
const sizes = { empty: 0, 'dir/small.txt': 11, 'dir/ünï+ &=?.bin': 70000, big: 6 << 20 };
for (const [Key, n] of Object.entries(sizes)) {
  const data = randomBytes(n);
  await s3.send(new S3.PutObjectCommand({ Bucket, Key, Body: data, ContentType: 'application/x-test', Metadata: { colour: 'blue' } }));
  assert.ok((await get(Key)).equals(data), `bytes differ: ${Key}`);
  const head = await s3.send(new S3.HeadObjectCommand({ Bucket, Key }));
  assert.equal(head.ContentLength, n);
  assert.equal(head.ContentType, 'application/x-test');
  assert.deepEqual(head.Metadata, { colour: 'blue' });
  if (n > 100) assert.ok((await get(Key, 'bytes=10-19')).equals(data.subarray(10, 20)), `range of ${Key}`);
}

// Listing, by pages and by delimiter.
const listed = [];
for await (const page of S3.paginateListObjectsV2({ client: s3, pageSize: 1 }, { Bucket }))
  for (const o of page.Contents ?? []) listed.push(o.Key);
const keys = Object.keys(sizes).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
assert.deepEqual(listed, keys);
const top = await s3.send(new S3.ListObjectsV2Command({ Bucket, Delimiter: '/' }));
assert.deepEqual(top.CommonPrefixes.map((p) => p.Prefix), ['dir/']);
assert.deepEqual(top.Contents.map((o) => o.Key), ['big', 'empty']);

// Multipart by the upload manager, copy, presigned GET, errors.
const large = randomBytes(13 << 20);
await new Upload({ client: s3, params: { Bucket, Key: 'large', Body: large } }).done();
await s3.send(new S3.CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/large` }));
assert.ok((await get('copy')).equals(large), 'copied bytes differ');
const url = await getSignedUrl(s3, new S3.GetObjectCommand({ Bucket, Key: 'copy' }), { expiresIn: 60 });
const answer = await fetch(url);
assert.equal(answer.status, 200);
assert.ok(Buffer.from(await answer.arrayBuffer()).equals(large), 'presigned GET');
await assert.rejects(get('absent'), { name: 'NoSuchKey' });
await assert.rejects(s3.send(new S3.PutObjectCommand({ Bucket, Key: 'copy', Body: '', IfNoneMatch: '*' })), { name: 'PreconditionFailed' });

const Objects = [...keys, 'large', 'copy'].map((Key) => ({ Key }));
const del = await s3.send(new S3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
assert.equal(del.Deleted.length, Objects.length);
assert.equal(del.Errors, undefined);
await s3.send(new S3.DeleteBucketCommand({ Bucket }));
console.log('OK');
