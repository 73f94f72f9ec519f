/* Round trips, places, freeing, removal, scans, ceilings. */
#include "unit/store/extents_util.h"

static void test_sizes(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0,       1,       4095,    4096,    4097,    16383,
                                     16384,   16385,   65535,   65536,   1048575, 1048576,
                                     1048577, 2097152, 3000001, 8388608, 8388609, 20 << 20};
    struct extents *x = open_with((struct extents_options){0});
    struct kept kept[2 * sizeof sizes / sizeof *sizes];
    size_t n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(put_kept(x, n + 1, sizes[i], (int64_t)sizes[i], 70001, &kept[n]), ERR_OK);
        assert_int_equal(kept[n].n, 1); /* the size was known: one extent */
        n++;
        assert_int_equal(put_kept(x, n + 1, sizes[i], -1, 1 << 20, &kept[n]), ERR_OK);
        n++;
    }
    for (size_t i = 0; i < n; i++) assert_reads(x, &kept[i], i % 2 ? 1 << 20 : 33333);
    extents_close(x);
    x = open_with((struct extents_options){.read_only = true});
    for (size_t i = 0; i < n; i++) assert_reads(x, &kept[i], 100000);
    for (size_t i = 0; i < n; i++) kept_free(&kept[i]);
    extents_close(x);
}

static void test_ranges(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k;
    uint64_t size = 200001;
    assert_int_equal(put_kept(x, 9, size, (int64_t)size, 5000, &k), ERR_OK);
    struct extent_table *t = NULL;
    char *buf = malloc(size + 2 * EXTENT_BLOCK_MAX);
    uint64_t r = 12345;
    for (int i = 0; i < 500; i++) {
        r = r * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t off = (r >> 33) % size, n = 1 + (r >> 20) % (size - off);
        struct str view;
        assert_int_equal(extent_read(x, &k.places[0], 9, &t, off, n, buf, n + 2 * EXTENT_BLOCK_MAX, &view),
                         ERR_OK);
        assert_int_equal(view.n, n);
        assert_true(is_pattern(9, off, view));
    }
    extent_table_free(t);
    free(buf);
    kept_free(&k);
    extents_close(x);
}

/* A wrong hint costs nothing but a second extent; ceilings split a blob; all of it describes itself. */
static void test_many_extents(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct kept k[4];
    assert_int_equal(put_kept(x, 1, 300000, 300000, 9999, &k[0]), ERR_OK);
    assert_int_equal(k[0].n, 5);
    assert_int_equal(put_kept(x, 2, 70000, 100, 70000, &k[1]), ERR_OK);
    assert_int_equal(put_kept(x, 3, 100, 70000, 100, &k[2]), ERR_OK);
    assert_int_equal(put_kept(x, 4, 2000000, -1, 65536, &k[3]), ERR_OK);
    for (int i = 0; i < 4; i++) assert_reads(x, &k[i], 20000);
    struct seen *s = scan(x, false);
    assert_int_equal(s->bad + s->open, 0);
    uint64_t sum[5] = {0}, parts[5] = {0}, last[5] = {0};
    for (size_t i = 0; i < s->n; i++) {
        uint64_t id = s->v[i].blob_id;
        sum[id] += s->v[i].place.data_len;
        parts[id]++;
        if (!s->v[i].last) continue;
        last[id]++;
        assert_int_equal(s->v[i].blob_size, k[id - 1].size);
        assert_int_equal(s->v[i].part + 1, k[id - 1].n);
        char owner[64];
        snprintf(owner, sizeof owner, "owner of %d", (int)id);
        assert_string_equal(s->owner[i], owner);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sum[i + 1], k[i].size);
        assert_int_equal(parts[i + 1], k[i].n);
        assert_int_equal(last[i + 1], 1);
        kept_free(&k[i]);
    }
    free(s);
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_true(st.files > 4 && st.live > 2370000 && st.writer_memory == 0);
    extents_close(x);
}

static void test_owner_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 3839, 3840, 3841, 4096, 65536};
    struct extents *x = open_with((struct extents_options){0});
    char *owner = malloc(65536);
    memset(owner, 'o', 65536);
    for (uint64_t i = 0; i < 14; i++) {
        struct extent_writer *w;
        const struct extent_place *p;
        size_t n;
        uint64_t size = i < 7 ? 20000 : 3 << 20;
        assert_int_equal(
            put_bytes(x, i + 1, size, (int64_t)size, 8192, str_of(owner, sizes[i % 7]), &w, &p, &n), ERR_OK);
        bool wrong = false;
        assert_int_equal(read_extent(x, p, i + 1, 0, 65536, &wrong), ERR_OK);
        assert_false(wrong);
        extent_writer_keep(w);
    }
    free(owner);
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 14);
    for (size_t i = 0; i < 14; i++) assert_int_equal(s->v[i].owner.n, sizes[(s->v[i].blob_id - 1) % 7]);
    free(s);
    extents_close(x);
}

static void test_write_many(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct extent_small v[100];
    char *data = malloc(EXTENT_SMALL_MAX);
    for (uint64_t i = 0; i < 100; i++) {
        size_t n = i == 50 ? EXTENT_SMALL_MAX : i * 997;
        char *p = malloc(n + 1);
        fill_pattern(i + 1, 0, p, n);
        v[i] = (struct extent_small){.blob_id = i + 1, .data = str_of(p, n), .owner = STR("me")};
    }
    assert_int_equal(extents_write_many(x, v, 100), ERR_OK);
    extents_small_keep(v, 100);
    assert_int_equal(extents_write_many(x, v, 0), ERR_OK);
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.flushes, 1);
    uint64_t live = 0;
    for (uint64_t i = 0; i < 100; i++) {
        bool wrong = false;
        assert_int_equal(read_extent(x, &v[i].place, i + 1, 0, 1 << 20, &wrong), ERR_OK);
        assert_false(wrong);
        live += v[i].place.disk_len;
        free((char *)(uintptr_t)v[i].data.p);
    }
    assert_int_equal(extents_get_live(x, v[0].place.file), live);
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 100);
    free(s);
    free(data);
    extents_close(x);
}

static void flip(const struct extent_place *p, uint64_t at)
{
    char path[128], byte;
    file_path(p->file, path);
    int fd = open(path, O_RDWR);
    ASSERT(fd >= 0 && pread(fd, &byte, 1, (off_t)(p->offset + at)) == 1);
    byte ^= 4;
    ASSERT(pwrite(fd, &byte, 1, (off_t)(p->offset + at)) == 1);
    close(fd);
}

/* A blob that fits into its head's page takes that page alone; one byte more takes two. What a bit flip
 * anywhere in it hits is found, or was nothing. */
static void test_one_page(void **state)
{
    (void)state;
    enum { MOST = EXT_META_ROOM - 8 - 5 };
    const size_t sizes[] = {1, 1000, MOST, MOST + 1};
    struct extents *x = open_with((struct extents_options){0});
    struct extent_small v[4];
    static char data[4][4096];
    for (size_t i = 0; i < 4; i++) {
        fill_pattern(i + 1, 0, data[i], sizes[i]);
        v[i] =
            (struct extent_small){.blob_id = i + 1, .data = str_of(data[i], sizes[i]), .owner = STR("owner")};
    }
    assert_int_equal(extents_write_many(x, v, 4), ERR_OK);
    extents_small_keep(v, 4);
    char buf[4096 + 2 * EXTENT_BLOCK_MAX];
    struct str view;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(v[i].place.disk_len, i < 3 ? 4096 : 8192);
        struct extent_table *t = NULL;
        for (int again = 0; again < 2; again++) { /* with the table, and from it */
            assert_int_equal(extent_read(x, &v[i].place, i + 1, &t, 0, sizes[i], buf, sizeof buf, &view),
                             ERR_OK);
            assert_true(view.n == sizes[i] && is_pattern(i + 1, 0, view));
        }
        extent_table_free(t);
        t = NULL;
        assert_int_equal(extent_read(x, &v[i].place, i + 1, &t, sizes[i] - 1, 1, buf, sizeof buf, &view),
                         ERR_OK);
        assert_true(is_pattern(i + 1, sizes[i] - 1, view));
        extent_table_free(t);
    }
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 4);
    free(s);
    extents_close(x);
    for (uint64_t at = 0; at < EXT_HEADER + 8 + 5 + 1000; at += 7) {
        flip(&v[1].place, at);
        x = open_with((struct extents_options){0});
        struct extent_table *t = NULL;
        assert_int_equal(extent_read(x, &v[1].place, 2, &t, 0, 1000, buf, sizeof buf, &view), ERR_CORRUPT);
        extent_table_free(t);
        extents_close(x);
        flip(&v[1].place, at);
    }
}

/* Bytes at the wrong place, or asked for by the wrong name, are never returned. */
static void test_misdirected(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept a, b;
    assert_int_equal(put_kept(x, 1, 50000, 50000, 50000, &a), ERR_OK);
    assert_int_equal(put_kept(x, 2, 50000, 50000, 50000, &b), ERR_OK);
    bool wrong = false;
    assert_int_equal(read_extent(x, &a.places[0], 2, 0, 50000, &wrong), ERR_CORRUPT);
    struct extent_place other = b.places[0];
    other.data_len--;
    assert_int_equal(read_extent(x, &other, 2, 0, 50000, &wrong), ERR_CORRUPT);
    other = b.places[0];
    other.offset += 4096;
    assert_int_equal(read_extent(x, &other, 2, 0, 50000, &wrong), ERR_CORRUPT);
    other = b.places[0];
    other.file = 77;
    assert_int_equal(read_extent(x, &other, 2, 0, 50000, &wrong), ERR_CORRUPT);
    other = b.places[0];
    other.offset += 100 << 20;
    assert_int_equal(read_extent(x, &other, 2, 0, 50000, &wrong), ERR_CORRUPT);

    char path[128];
    file_path(a.places[0].file, path);
    int fd = open(path, O_RDWR);
    char *raw = malloc(a.places[0].disk_len);
    ASSERT(pread(fd, raw, a.places[0].disk_len, (off_t)a.places[0].offset) == (ssize_t)a.places[0].disk_len);
    /* One block of a over the same block of b; then all of a over b. */
    ASSERT(pwrite(fd, raw + 4096 + 16384, 16384, (off_t)b.places[0].offset + 4096 + 16384) == 16384);
    assert_int_equal(read_extent(x, &b.places[0], 2, 0, 50000, &wrong), ERR_CORRUPT);
    ASSERT(pwrite(fd, raw, a.places[0].disk_len, (off_t)b.places[0].offset) == (ssize_t)a.places[0].disk_len);
    assert_int_equal(read_extent(x, &b.places[0], 2, 0, 50000, &wrong), ERR_CORRUPT);
    assert_int_equal(read_extent(x, &b.places[0], 1, 0, 50000, &wrong), ERR_CORRUPT);
    assert_false(wrong);
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 1);
    assert_int_equal(s->bad, 1);
    assert_int_equal(s->bad_at[0], b.places[0].offset);
    free(s);
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.corrupt, 8);
    assert_reads(x, &a, 50000);
    free(raw);
    close(fd);
    kept_free(&a);
    kept_free(&b);
    extents_close(x);
}

static void test_freeing(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k[20];
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(put_kept(x, i + 1, 100000, 100000, 50000, &k[i]), ERR_OK);
    uint32_t file = k[0].places[0].file;
    uint64_t full = disk_bytes(file), each = k[0].places[0].disk_len;
    assert_int_equal(extents_get_live(x, file), 20 * each);
    for (int i = 5; i < 15; i++) extents_free_place(x, &k[i].places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_in_range(full - disk_bytes(file), 10 * each - SLACK, 10 * each + SLACK);
    assert_int_equal(extents_get_live(x, file), 10 * each);
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.freed_bytes, 10 * each);
    assert_int_equal(st.punches, 1); /* neighbours: one hole */
    assert_int_equal(st.frees_queued, 0);
    extents_free_unknown(x, &k[7].places[0]); /* replayed */
    struct extent_place gone = {.file = 4711, .offset = 8192, .disk_len = 4096};
    extents_free_place(x, &gone);
    gone = (struct extent_place){.file = file, .offset = 0, .disk_len = 8192};
    extents_free_place(x, &gone); /* never the file header */
    gone = (struct extent_place){.file = file, .offset = 8192, .disk_len = 1ull << 40};
    extents_free_place(x, &gone);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 10);
    assert_int_equal(s->bad, 0);
    free(s);
    for (int i = 0; i < 20; i++) {
        bool wrong = false;
        err e = read_kept(x, &k[i], 100000, &wrong);
        assert_int_equal(e, i >= 5 && i < 15 ? ERR_CORRUPT : ERR_OK);
        assert_false(wrong);
        kept_free(&k[i]);
    }
    extents_close(x);
}

/* Dead files go, but never the newest, nor one whose count was not told, nor one that holds anything. */
static void test_dead_files(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct kept k[40];
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(put_kept(x, i + 1, 60000, 60000, 60000, &k[i]), ERR_OK);
    uint32_t first = k[0].places[0].file, second = k[8].places[0].file, newest = k[39].places[0].file;
    assert_true(first < second && second < newest);
    for (int i = 0; i < 40; i++)
        if (k[i].places[0].file == first) extents_free_place(x, &k[i].places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_false(file_exists(first));
    assert_true(file_exists(second));
    extents_close(x);

    x = open_with((struct extents_options){SMALL_LIMITS});
    extents_set_live(x, second, 1); /* too low: it holds much more */
    extents_free_place(x, &k[8].places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_true(file_exists(second));
    for (int i = 0; i < 40; i++)
        if (k[i].places[0].file != first) extents_free_place(x, &k[i].places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_true(file_exists(second)); /* counts unknown */
    uint32_t files[64];
    size_t n = extents_files(x, files, 64);
    assert_true(n > 2 && n < 64 && files[0] == second && files[n - 1] == newest);
    for (size_t i = 0; i < n; i++) extents_set_live(x, files[i], 0);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_int_equal(extents_files(x, files, 64), 1);
    assert_true(file_exists(newest));
    extents_close(x);

    /* Full, dead and the newest: kept, or its number would be used again. */
    x = open_with((struct extents_options){.file_max = 300 << 10, .extent_max = 64 << 10});
    extents_set_live(x, newest, 0);
    extents_free_unknown(x, &k[39].places[0]);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_true(file_exists(newest));
    struct kept more;
    assert_int_equal(put_kept(x, 100, 100, 100, 100, &more), ERR_OK);
    assert_int_equal(more.places[0].file, newest + 1);
    extents_set_live(x, newest, 0);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_false(file_exists(newest));
    kept_free(&more);
    extents_close(x);
    for (int i = 0; i < 40; i++) kept_free(&k[i]);
}

static void test_abandon(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k;
    assert_int_equal(put_kept(x, 1, 5000, 5000, 5000, &k), ERR_OK);
    struct extent_writer *w;
    const struct extent_place *p;
    size_t n;
    uint32_t large;
    assert_int_equal(put_bytes(x, 2, 9 << 20, 9 << 20, 1 << 20, STR_NONE, &w, &p, &n), ERR_OK);
    large = p->file;
    extent_writer_abandon(w); /* sealed */
    assert_int_equal(put_bytes(x, 3, 30000, 30000, 1 << 20, STR_NONE, &w, &p, &n), ERR_OK);
    extent_writer_abandon(w);
    assert_int_equal(extent_writer_new(x, 4, 40 << 20, &w), ERR_OK);
    char *mib = calloc(1, 1 << 20);
    for (int i = 0; i < 5; i++) assert_int_equal(extent_write(w, mib, 1 << 20), ERR_OK);
    assert_true(disk_bytes(large) > 40 << 20);
    extent_writer_abandon(w); /* in the middle */
    assert_int_equal(extent_writer_new(x, 5, -1, &w), ERR_OK);
    extent_writer_abandon(w); /* before the first byte */
    extent_writer_abandon(NULL);
    free(mib);
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_true(disk_bytes(large) <= EXT_START + SLACK);
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 1);
    assert_int_equal(s->bad, 0);
    free(s);
    struct extents_stats st;
    extents_get_stats(x, &st);
    assert_int_equal(st.live, k.places[0].disk_len);
    assert_int_equal(st.writer_memory, 0);
    kept_free(&k);
    extents_close(x);
}

/* Deleted at once: the free of a published blob may overtake its writer. */
static void test_free_before_keep(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS});
    struct extent_writer *w;
    const struct extent_place *p;
    size_t n;
    assert_int_equal(put_bytes(x, 1, 60000, 60000, 60000, STR_NONE, &w, &p, &n), ERR_OK);
    extents_free_place(x, p);
    assert_int_equal(extents_get_live(x, 1), 0);
    extent_writer_keep(w);
    assert_int_equal(extents_get_live(x, 1), 0);
    struct kept k[8];
    for (uint64_t i = 0; i < 8; i++) assert_int_equal(put_kept(x, 2 + i, 60000, 60000, 60000, &k[i]), ERR_OK);
    assert_int_equal(extents_get_live(x, 1), 6 * k[0].places[0].disk_len);
    for (int i = 0; i < 8; i++) {
        extents_free_place(x, &k[i].places[0]);
        kept_free(&k[i]);
    }
    assert_int_equal(extents_settle_frees(x), ERR_OK);
    assert_false(file_exists(1));
    extents_close(x);
}

/* A blob of unknown size took more than it needed: the rest comes back, and the next extent follows closely.
 */
static void test_give_back(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept a, b;
    assert_int_equal(put_kept(x, 1, 3 << 20, -1, 1 << 20, &a), ERR_OK);
    assert_int_equal(put_kept(x, 2, 3 << 20, 200 << 20, 1 << 20, &b), ERR_OK);
    assert_int_equal(b.places[0].offset, a.places[0].offset + a.places[0].disk_len);
    extents_close(x);
    assert_true(disk_bytes(a.places[0].file) < (7 << 20));
    x = open_with((struct extents_options){0});
    assert_reads(x, &a, 1 << 20);
    assert_reads(x, &b, 1 << 20);
    struct kept c;
    assert_int_equal(put_kept(x, 3, 3 << 20, 3 << 20, 1 << 20, &c), ERR_OK);
    assert_int_equal(c.places[0].file, a.places[0].file); /* goes on where the former run ended */
    assert_int_equal(c.places[0].offset, b.places[0].offset + b.places[0].disk_len);
    kept_free(&a);
    kept_free(&b);
    kept_free(&c);
    extents_close(x);
}

static void test_fd_bound(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){SMALL_LIMITS, .fds = 4});
    struct kept k[80];
    for (uint64_t i = 0; i < 80; i++)
        assert_int_equal(put_kept(x, i + 1, 60000, 60000, 60000, &k[i]), ERR_OK);
    struct extents_stats st;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 80; i++) {
            assert_reads(x, &k[(i * 13) % 80], 60000);
            extents_get_stats(x, &st);
            assert_true(st.fds <= 4);
        }
    assert_true(st.files >= 10);
    for (int i = 0; i < 80; i++) kept_free(&k[i]);
    extents_close(x);
}

static void test_buffered(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){.buffered = true});
    struct kept a, b;
    assert_int_equal(put_kept(x, 1, 3000000, -1, 1 << 20, &a), ERR_OK);
    assert_int_equal(put_kept(x, 2, 3000, 3000, 1 << 20, &b), ERR_OK);
    assert_reads(x, &a, 1 << 20);
    assert_reads(x, &b, 1 << 20);
    kept_free(&a);
    kept_free(&b);
    extents_close(x);
}

static void test_reclaim(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){0});
    struct kept k[10];
    struct extent_place keep[10];
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(put_kept(x, i + 1, 100000, 100000, 50000, &k[i]), ERR_OK);
        keep[i] = k[i].places[0];
    }
    uint64_t freed;
    struct extent_place swapped[2] = {keep[1], keep[0]};
    assert_int_equal(extents_reclaim(x, keep[0].file, swapped, 2, &freed), ERR_CORRUPT);
    assert_int_equal(freed, 0);
    for (int i = 0; i < 10; i++) assert_reads(x, &k[i], 100000);
    assert_int_equal(extents_reclaim(x, keep[0].file, keep + 3, 5, &freed), ERR_OK);
    assert_in_range(freed, 5 * keep[0].disk_len - SLACK, 5 * keep[0].disk_len + SLACK);
    for (int i = 3; i < 8; i++) assert_reads(x, &k[i], 100000);
    struct seen *s = scan(x, false);
    assert_int_equal(s->n, 5);
    free(s);
    for (int i = 0; i < 10; i++) kept_free(&k[i]);
    extents_close(x);
}

static void test_memory_ceiling(void **state)
{
    (void)state;
    struct extents *x = open_with((struct extents_options){.memory_max = 4 << 20});
    struct extent_writer *w[8] = {0};
    struct extents_stats st;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(extent_writer_new(x, (uint64_t)i + 1, -1, &w[i]), ERR_OK);
        extents_get_stats(x, &st);
        assert_true(st.writer_memory <= 4 << 20);
    }
    for (int i = 0; i < 7; i++) extent_writer_abandon(w[i]);
    extents_get_stats(x, &st);
    assert_int_equal(st.writer_memory, 0);
    extents_close(x);
}

int main(void)
{
    quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_extents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misdirected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freeing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_before_keep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_give_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fd_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buffered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reclaim, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_ceiling, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
