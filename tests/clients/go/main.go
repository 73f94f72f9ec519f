// The main job of an S3 user by the AWS SDK for Go: argument 1 is the endpoint, credentials come from the environment.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var ctx = context.Background()

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

func expect(ok bool, what string) {
	if !ok {
		check(errors.New(what))
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, err := rand.Read(b)
	check(err)
	return b
}

func get(c *s3.Client, bucket, key, rng string) []byte {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if rng != "" {
		in.Range = &rng
	}
	out, err := c.GetObject(ctx, in)
	check(err)
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	check(err)
	return data
}

func main() {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"))
	check(err)
	c := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint = aws.String(os.Args[1]); o.UsePathStyle = true })
	bucket := "client-go"
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	check(err)

	// Objects of several sizes, with metadata and the SDK's default checksums, back identical.
	sizes := map[string]int{"empty": 0, "dir/small.txt": 11, "dir/ünï+ &=?.bin": 70000, "big": 6 << 20}
	var keys []string
	for key, n := range sizes {
		keys = append(keys, key)
		data := random(n)
		_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(key), Body: bytes.NewReader(data),
			ContentType: aws.String("application/x-test"), Metadata: map[string]string{"colour": "blue"}})
		check(err)
		expect(bytes.Equal(get(c, bucket, key, ""), data), "bytes differ: "+key)
		head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String(key)})
		check(err)
		expect(*head.ContentLength == int64(n) && *head.ContentType == "application/x-test" && head.Metadata["colour"] == "blue",
			"head of "+key)
		if n > 100 {
			expect(bytes.Equal(get(c, bucket, key, "bytes=10-19"), data[10:20]), "range of "+key)
		}
	}

	// Listing, by pages and by delimiter.
	sort.Strings(keys)
	var listed []string
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		check(err)
		for _, o := range page.Contents {
			listed = append(listed, *o.Key)
		}
	}
	expect(fmt.Sprint(listed) == fmt.Sprint(keys), fmt.Sprint("listing: ", listed))
	top, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Delimiter: aws.String("/")})
	check(err)
	expect(len(top.CommonPrefixes) == 1 && *top.CommonPrefixes[0].Prefix == "dir/" && len(top.Contents) == 2, "delimiter")

	// Multipart by the transfer manager, copy, presigned GET, errors.
	large := random(13 << 20)
	_, err = manager.NewUploader(c).Upload(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("large"), Body: bytes.NewReader(large)})
	check(err)
	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: aws.String("copy"), CopySource: aws.String(bucket + "/large")})
	check(err)
	expect(bytes.Equal(get(c, bucket, "copy", ""), large), "copied bytes differ")
	url, err := s3.NewPresignClient(c).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("copy")})
	check(err)
	resp, err := http.Get(url.URL)
	check(err)
	body, err := io.ReadAll(resp.Body)
	check(err)
	expect(resp.StatusCode == 200 && bytes.Equal(body, large), "presigned GET")
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("absent")})
	var missing *types.NoSuchKey
	expect(errors.As(err, &missing), fmt.Sprint("want NoSuchKey, got ", err))
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("copy"), Body: bytes.NewReader(nil), IfNoneMatch: aws.String("*")})
	expect(err != nil, "If-None-Match: * replaced an object")

	var ids []types.ObjectIdentifier
	for _, k := range append(keys, "large", "copy") {
		ids = append(ids, types.ObjectIdentifier{Key: aws.String(k)})
	}
	del, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &types.Delete{Objects: ids}})
	check(err)
	expect(len(del.Deleted) == len(ids) && len(del.Errors) == 0, "delete objects")
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
	check(err)
	fmt.Println("OK")
}
