// The main job of an S3 user by the AWS SDK for Java: argument 1 is the endpoint, credentials come from the environment.
package ingot;

import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.*;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

public final class Main {
    private static final String BUCKET = "client-java";
    private static final Random RANDOM = new Random(7);
    private static S3Client s3;

    private static void expect(boolean ok, String what) {
        if (!ok) throw new AssertionError(what);
    }

    private static byte[] random(int n) {
        byte[] b = new byte[n];
        RANDOM.nextBytes(b);
        return b;
    }

    private static byte[] get(String key, String range) {
        return s3.getObjectAsBytes(r -> r.bucket(BUCKET).key(key).range(range)).asByteArray();
    }

    private static byte[] multipart(String key) {
        byte[] data = random(13 << 20);
        String id = s3.createMultipartUpload(r -> r.bucket(BUCKET).key(key)).uploadId();
        List<CompletedPart> parts = new ArrayList<>();
        for (int from = 0, number = 1; from < data.length; from += 5 << 20, number++) {
            byte[] part = Arrays.copyOfRange(data, from, Math.min(data.length, from + (5 << 20)));
            int n = number;
            String tag = s3.uploadPart(r -> r.bucket(BUCKET).key(key).uploadId(id).partNumber(n), RequestBody.fromBytes(part)).eTag();
            parts.add(CompletedPart.builder().partNumber(n).eTag(tag).build());
        }
        s3.completeMultipartUpload(r -> r.bucket(BUCKET).key(key).uploadId(id).multipartUpload(m -> m.parts(parts)));
        return data;
    }

    private static void objects(Map<String, Integer> sizes) {
        sizes.forEach((key, n) -> {
            byte[] data = random(n);
            s3.putObject(r -> r.bucket(BUCKET).key(key).contentType("application/x-test").metadata(Map.of("colour", "blue")),
                    RequestBody.fromBytes(data));
            expect(Arrays.equals(get(key, null), data), "bytes differ: " + key);
            HeadObjectResponse head = s3.headObject(r -> r.bucket(BUCKET).key(key));
            expect(head.contentLength() == n.longValue() && head.contentType().equals("application/x-test")
                    && "blue".equals(head.metadata().get("colour")), "head of " + key);
            if (n > 100) expect(Arrays.equals(get(key, "bytes=10-19"), Arrays.copyOfRange(data, 10, 20)), "range of " + key);
        });
    }

    private static void presigned(String endpoint, byte[] want) throws Exception {
        try (S3Presigner p = S3Presigner.builder().region(Region.US_EAST_1).endpointOverride(URI.create(endpoint))
                .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build()).build()) {
            URL url = p.presignGetObject(r -> r.signatureDuration(Duration.ofMinutes(1)).getObjectRequest(g -> g.bucket(BUCKET).key("copy"))).url();
            HttpURLConnection c = (HttpURLConnection) url.openConnection();
            expect(c.getResponseCode() == 200 && Arrays.equals(c.getInputStream().readAllBytes(), want), "presigned GET");
        }
    }

    public static void main(String[] args) throws Exception {
        s3 = S3Client.builder().region(Region.US_EAST_1).endpointOverride(URI.create(args[0])).forcePathStyle(true).build();
        s3.createBucket(r -> r.bucket(BUCKET));
        Map<String, Integer> sizes = new TreeMap<>(Map.of("empty", 0, "dir/small.txt", 11, "dir/ünï+ &=?.bin", 70000, "big", 6 << 20));
        objects(sizes);

        List<String> listed = new ArrayList<>();
        s3.listObjectsV2Paginator(r -> r.bucket(BUCKET).maxKeys(1)).contents().forEach(o -> listed.add(o.key()));
        expect(listed.equals(new ArrayList<>(sizes.keySet())), "listing: " + listed);
        ListObjectsV2Response top = s3.listObjectsV2(r -> r.bucket(BUCKET).delimiter("/"));
        expect(top.commonPrefixes().size() == 1 && top.contents().size() == 2, "delimiter");

        byte[] large = multipart("large");
        s3.copyObject(r -> r.sourceBucket(BUCKET).sourceKey("large").destinationBucket(BUCKET).destinationKey("copy"));
        expect(Arrays.equals(get("copy", null), large), "copied bytes differ");
        presigned(args[0], large);
        try {
            get("absent", null);
            expect(false, "want NoSuchKey");
        } catch (NoSuchKeyException e) {
            expect(e.statusCode() == 404, "status of NoSuchKey");
        }
        try {
            s3.putObject(r -> r.bucket(BUCKET).key("copy").ifNoneMatch("*"), RequestBody.empty());
            expect(false, "If-None-Match: * replaced an object");
        } catch (S3Exception e) {
            expect(e.statusCode() == 412, "status of a failed precondition: " + e.statusCode());
        }

        List<ObjectIdentifier> ids = new ArrayList<>();
        for (String k : sizes.keySet()) ids.add(ObjectIdentifier.builder().key(k).build());
        for (String k : List.of("large", "copy")) ids.add(ObjectIdentifier.builder().key(k).build());
        DeleteObjectsResponse del = s3.deleteObjects(r -> r.bucket(BUCKET).delete(d -> d.objects(ids)));
        expect(del.deleted().size() == ids.size() && !del.hasErrors(), "delete objects");
        s3.deleteBucket(r -> r.bucket(BUCKET));
        System.out.println("OK");
    }
}
