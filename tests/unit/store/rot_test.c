/* Bit rot: bytes are damaged in each kind of file that a store is made of. Whatever is hit, every answer is
 * the true one or an error, never other bytes and never "no such key"; check finds what no answer showed;
 * recovery succeeds, and when the damage was not in the bytes of objects themselves, everything is back.
 *
 * Short: INGOT_ROT_FLIPS samples (48) from INGOT_ROT_SEED. Long: INGOT_ROT_REGION=N damages one byte in each
 * N bytes of every file; where a page is all objects' data, one in the page, and of pages of zeros one in 16.
 * INGOT_ROT_JOBS (1) processes share the work. */
#include "catalog.h"

#include <sys/mman.h>

/* ---- the store ---- */

static struct engine_options small(void)
{
    return (struct engine_options){.segment_bytes = 64 << 10, .log_bytes = 128 << 10, .inline_max = 16 << 10};
}

/* false: refused; why says it. */
static bool try_open(struct shop *w, char why[512])
{
    struct engine_options o = small();
    o.dir = engine_dir;
    if (engine_open(&o, &w->s, why) != ERR_OK) return false;
    struct objects_options oo = {.store = &w->s, .min_part_size = 100};
    err e = objects_new(&oo, &w->o);
    if (e) {
        snprintf(why, 512, "the system shard cannot be read: %s", err_name(e));
        engine_close(&w->s);
        return false;
    }
    w->a = arena_new((size_t)1 << 30);
    ASSERT(w->a);
    return true;
}

static void open_small(struct shop *w)
{
    char why[512];
    bool opened = try_open(w, why);
    if (!opened) fprintf(stderr, "%s\n", why);
    ASSERT(opened);
}

static void put_with_all(struct shop *w, const char *key)
{
    struct obj_pair user[] = {{STR("color"), STR("blue")}, {STR("size"), STR("xl")}};
    struct obj_pair tags[] = {{STR("team"), STR("one")}, {STR("use"), STR("test")}};
    struct obj_put_in in = {.bucket = STR("plain"), .key = str_c(key), .owner = STR("me"), .size = 30000};
    struct obj_info out;
    in.meta = (struct obj_meta){.content_type = STR("text/plain"), .user = user, .nuser = 2};
    ASSERT(obj_put(w->o, w->a, &in, body_of_bytes(w->a, shop_bytes(w->a, 9, 30000)), &out) == ERR_OK);
    ASSERT(obj_set_tags(w->o, w->a, STR("plain"), str_c(key), STR(""), tags, 2, &out) == ERR_OK);
}

static void fill_round(struct shop *w, unsigned i)
{
    static const size_t sizes[] = {0, 100, 5000, 14000, 20000, 40000};
    char key[64], to[64];
    snprintf(key, sizeof key, "keep/%u", i);
    shop_put(w, "plain", key, i, sizes[i % 6]);
    snprintf(to, sizeof to, "copy/%u", i);
    if (i % 6 == 2) shop_copy(w, key, to);
    shop_put(w, "plain", "again", 100 + i, sizes[(i + 2) % 6]);
    shop_put(w, "versioned", i % 2 ? "v" : "w", 200 + i, sizes[(i + 3) % 6] / 2);
    if (i % 7 == 3) shop_delete(w, "versioned", "v");
    snprintf(key, sizeof key, "gone/%u", i);
    shop_put(w, "plain", key, i, sizes[(i + 1) % 6]);
    snprintf(to, sizeof to, "multi/%u", i);
    if (i % 6 == 1) shop_multi(w, to, 300 + i, i % 12 == 1 ? 3000 : 20000, i % 4 == 1);
    if (i % 3) shop_delete(w, "plain", key);
}

/* The log is collected, the archive has a snapshot and records after it, the index has several tables. */
static void fill(void)
{
    struct shop w;
    open_small(&w);
    ASSERT(bucket_create(w.o, w.a, STR("plain"), STR("me"), STR("here")) == ERR_OK);
    ASSERT(bucket_create(w.o, w.a, STR("versioned"), STR("me"), STR("here")) == ERR_OK);
    ASSERT(bucket_set_versioning(w.o, w.a, STR("versioned"), VERSIONING_ENABLED) == ERR_OK);
    ASSERT(bucket_set_config(w.o, w.a, STR("plain"), "policy", STR("{\"policy\":1}")) == ERR_OK);
    for (unsigned i = 0; i < 12; i++) fill_round(&w, i);
    put_with_all(&w, "all");
    struct engine *e = engine_of(&w.s);
    ASSERT(archive_snapshot(e->archive, e->view) == ERR_OK && view_flush(e->view) == ERR_OK);
    for (unsigned i = 12; i < 36; i++) fill_round(&w, i);
    shop_close(&w);
}

static void cat_path(const char *suffix, char out[128])
{
    snprintf(out, 128, "%.60s%s", engine_dir, suffix);
    char *copy = strstr(out, "-copy");
    if (copy) memmove(copy, copy + strcspn(copy, "."), strlen(copy + strcspn(copy, ".")) + 1);
}

static void write_file(const char *path, struct str s)
{
    FILE *f = fopen(path, "w");
    ASSERT(f && fwrite(s.p, 1, s.n, f) == s.n && fclose(f) == 0);
}

/* Two lists: what can be asked, and what uploads in progress give when they are completed. */
static void write_catalogs(void)
{
    char original[64], path[128];
    struct shop w;
    struct buf cat;
    open_small(&w);
    catalog_write(&w, &cat, false);
    shop_close(&w);
    cat_path(".cat", path);
    write_file(path, buf_view(&cat));
    buf_free(&cat);
    snprintf(original, sizeof original, "%s", engine_dir);
    snprintf(engine_dir, sizeof engine_dir, "%.50s-copy", original);
    dir_copy(original, engine_dir);
    open_small(&w);
    catalog_write(&w, &cat, true);
    shop_close(&w);
    cat_path(".fin", path);
    write_file(path, buf_view(&cat));
    buf_free(&cat);
    engine_dir_remove();
    snprintf(engine_dir, sizeof engine_dir, "%s", original);
}

/* ---- one damaged copy, judged in a process of its own ---- */

enum verdict { HARMLESS = 10, CHECKED, ANSWERED, REFUSED, VIOLATED = 50 };
enum { LOSES_BYTES = 1, LOSES_COMMITS = 2, SERVE_FIRST = 4 };

static struct str load_catalog(const char *suffix, struct buf *b)
{
    char path[128];
    cat_path(suffix, path);
    buf_init(b, (size_t)64 << 20);
    ASSERT(sys_read_file(path, (size_t)32 << 20, b) == ERR_OK);
    return buf_view(b);
}

static struct catalog_result ask_all(const char *suffix)
{
    struct shop w;
    struct buf b;
    open_small(&w);
    struct catalog_result r = catalog_compare(&w, load_catalog(suffix, &b));
    shop_close(&w);
    buf_free(&b);
    return r;
}

static void violated(const char *what)
{
    fprintf(stderr, "violated: %s\n", what);
    fflush(NULL);
    _exit(VIOLATED);
}

static enum verdict serve(void)
{
    struct shop w;
    struct buf b;
    char why[512] = "";
    if (!try_open(&w, why)) {
        if (!why[0]) violated("refused without a reason");
        return REFUSED;
    }
    struct catalog_result r = catalog_compare(&w, load_catalog(".cat", &b));
    shop_close(&w);
    buf_free(&b);
    if (r.absent || r.other || r.wrong) violated("an answer that is not true");
    return r.errors ? ANSWERED : HARMLESS;
}

static enum verdict checked(void)
{
    struct check_options o = {.dir = engine_dir, .deep = true, .entry = objects_check_entry};
    struct check_report r;
    char why[512] = "";
    err e = engine_check(&o, &r, why);
    if (e && !why[0]) violated("check refused without a reason");
    bool clean = !e && check_is_clean(&r);
    buf_free(&r.lines);
    return e ? REFUSED : clean ? HARMLESS : CHECKED;
}

/* After recovery: what is not bytes of an object agrees, and the bytes do too where they were not hit. */
static void check_recovered(bool all)
{
    struct check_report r = check_run(false, true);
    bool agrees = !(r.bad_records || r.wrong_counters || r.log_errors || r.wrong_refcounts);
    bool whole = !(r.missing_blobs || r.corrupt_blobs);
    if (!agrees || (all && !whole)) {
        fprintf(stderr, "%.*s", STR_FMT(buf_view(&r.lines)));
        violated("recovery left a store that does not agree with itself");
    }
    buf_free(&r.lines);
}

static void judge(uint64_t flags)
{
    alarm(600);
    enum verdict served = flags & SERVE_FIRST ? serve() : HARMLESS, found = checked();
    if (served == HARMLESS) served = found;
    struct recover_options o = {
        .dir = engine_dir, .entry = objects_check_entry, .mend = objects_mend, .beside = objects_beside};
    struct recover_report r;
    char why[512];
    if (engine_recover(&o, &r, why) != ERR_OK) violated(why);
    bool all = !(flags & LOSES_BYTES) || served == HARMLESS;
    bool lost = flags & LOSES_COMMITS && r.lost_records > 0 && r.lines.n > 0;
    struct catalog_result now = ask_all(".cat");
    if (now.wrong || (!lost && (now.absent || now.other)) || (all && !lost && now.errors)) {
        fprintf(stderr, "%.*s", STR_FMT(buf_view(&r.lines)));
        violated("recovery did not bring everything back");
    }
    check_recovered(all && !lost);
    now = ask_all(".fin");
    if (!lost && (now.absent || now.other || (all && now.errors))) violated("an upload did not come back");
    buf_free(&r.lines);
    fflush(NULL);
    _exit(served);
}

/* ---- where to hit ---- */

struct target {
    char name[96];
    uint64_t size;
    const char *kind;
};
static struct target targets[512];
static unsigned ntargets;

static const char *kind_of(const char *folder, const char *name)
{
    static const char *const kinds[][2] = {{".sst", "index table"},      {"MANIFEST", "index manifest"},
                                           {"CURRENT", "index current"}, {".log", "index log"},
                                           {"OPTIONS", "index options"}, {"", "index other"}};
    if (strcmp(folder, "log") == 0) return strncmp(name, "free-", 5) == 0 ? "log spare" : "log segment";
    if (strcmp(folder, "archive") == 0) return strstr(name, ".snap") ? "archive snapshot" : "archive records";
    if (strcmp(folder, "extents") == 0) return "extents";
    for (unsigned i = 0; strcmp(folder, "index") == 0; i++)
        if (strstr(name, kinds[i][0])) return kinds[i][1];
    return strcmp(name, "ingot.super") == 0 ? "superblock" : strcmp(name, "ingot.lock") == 0 ? "lock" : NULL;
}

static void find_targets(void)
{
    static const char *const folders[] = {".", "log", "archive", "extents", "index"};
    ntargets = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct names_of f = names_in(folders[i], "");
        for (unsigned k = 0; k < f.n; k++) {
            struct target *t = &targets[ntargets];
            char path[256];
            t->kind = kind_of(folders[i], f.name[k]);
            snprintf(t->name, sizeof t->name, "%s/%.63s", folders[i], f.name[k]);
            dir_path(t->name, path);
            if (!t->kind || f.name[k][0] == '.') continue;
            t->size = size_of(path);
            ASSERT(ntargets++ < 511);
        }
    }
}

enum how { BIT, BYTE, SECTOR, GONE, CUT, HOWS };
static const char *const how_names[] = {"bit", "byte", "sector", "gone", "cut"};

static bool damage(const struct target *t, uint64_t at, enum how how)
{
    char path[256], b[512] = {0}, was[512];
    dir_path(t->name, path);
    if (how == GONE) return unlink(path) == 0;
    if (how == CUT) return t->size > 0 && truncate(path, (off_t)at) == 0;
    int fd = open(path, O_RDWR);
    uint64_t from = how == SECTOR ? at / 512 * 512 : at;
    size_t n = how == SECTOR ? (t->size - from < 512 ? (size_t)(t->size - from) : 512) : 1;
    ASSERT(fd >= 0 && pread(fd, was, n, (off_t)from) == (ssize_t)n);
    if (how != SECTOR) b[0] = (char)(was[0] ^ (how == BIT ? 1 << at % 8 : 0xff));
    ASSERT(pwrite(fd, b, n, (off_t)from) == (ssize_t)n);
    close(fd);
    return memcmp(was, b, n) != 0;
}

/* ---- counting ---- */

enum { KINDS_MAX = 32, JOBS_MAX = 16 };

struct figures {
    const char *kind;
    unsigned n, verdicts[4];
};
struct job { /* in memory that all processes share; each writes its own */
    struct figures figures[KINDS_MAX];
    unsigned violations;
};
static struct job *jobs;
static unsigned njobs, me;

static void count(struct job *j, const char *kind, int verdict)
{
    struct figures *f = j->figures;
    while (f->kind && strcmp(f->kind, kind) != 0) f++;
    ASSERT(f < j->figures + KINDS_MAX - 1);
    f->kind = kind;
    f->n++;
    if (verdict >= HARMLESS && verdict <= REFUSED)
        f->verdicts[verdict - HARMLESS]++;
    else
        j->violations++;
}

static void add_up(struct job *sum)
{
    *sum = (struct job){0};
    for (unsigned i = 0; i < njobs; i++) {
        sum->violations += jobs[i].violations;
        for (const struct figures *f = jobs[i].figures; f->kind; f++) {
            struct figures *to = sum->figures;
            while (to->kind && strcmp(to->kind, f->kind) != 0) to++;
            to->kind = f->kind;
            to->n += f->n;
            for (unsigned k = 0; k < 4; k++) to->verdicts[k] += f->verdicts[k];
        }
    }
}

static void print_figures(const char *title, const struct job *all)
{
    struct figures sum = {.kind = "all"};
    print_message("%-18s %7s %9s %9s %9s %9s\n", title, "damaged", "refused", "errors", "by check",
                  "harmless");
    for (const struct figures *f = all->figures; f->kind; f++) {
        print_message("%-18s %7u %9u %9u %9u %9u\n", f->kind, f->n, f->verdicts[3], f->verdicts[2],
                      f->verdicts[1], f->verdicts[0]);
        sum.n += f->n;
        for (unsigned i = 0; i < 4; i++) sum.verdicts[i] += f->verdicts[i];
    }
    print_message("%-18s %7u %9u %9u %9u %9u; wrong: %u\n", sum.kind, sum.n, sum.verdicts[3], sum.verdicts[2],
                  sum.verdicts[1], sum.verdicts[0], all->violations);
}

static bool is_kind(const struct target *t, const char *prefix)
{
    return strncmp(t->kind, prefix, strlen(prefix)) == 0;
}

/* Every process draws the same hits, and does each njobs-th of them. */
static void hit(const char *original, const struct target *t, uint64_t at, enum how how, bool crashed,
                unsigned number)
{
    char copy[64];
    if (number % njobs != me) return;
    if (number && number % 500 < njobs) fprintf(stderr, "hit %u: %s\n", number, t->name);
    snprintf(copy, sizeof copy, "%.50s-copy%u", original, me);
    dir_copy(original, copy);
    snprintf(engine_dir, sizeof engine_dir, "%s", copy);
    if (damage(t, at, how)) {
        bool log = is_kind(t, "log seg"), bytes = log || is_kind(t, "extents");
        uint64_t flags = (bytes ? LOSES_BYTES : 0) | (log && crashed ? LOSES_COMMITS : 0) |
                         (number / 12 % 3 ? SERVE_FIRST : 0);
        int verdict = in_process("judge", flags);
        count(&jobs[me], t->kind, verdict);
        if (verdict < HARMLESS || verdict > REFUSED)
            fprintf(stderr, "^ %s, %s, byte %llu of %llu, store %s, flags %llu: code %d\n\n", t->name,
                    how_names[how], (unsigned long long)at, (unsigned long long)t->size,
                    crashed ? "crashed" : "closed", (unsigned long long)flags, verdict);
    }
    engine_dir_remove();
    snprintf(engine_dir, sizeof engine_dir, "%s", original);
}

static uint64_t knob(const char *name, uint64_t otherwise)
{
    uint64_t v;
    const char *s = getenv(name);
    return s && str_to_u64(str_c(s), &v) ? v : otherwise;
}

static uint64_t next_random(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

/* Each kind of file as often as any other; half of the hits near the beginning, where headers are. */
static void sample(const char *original, bool crashed, uint64_t n, uint64_t *seed)
{
    for (uint64_t i = 0; i < n; i++) {
        const struct target *t;
        static const char *const kinds[] = {"superblock",      "log segment",   "archive snapshot",
                                            "archive records", "extents",       "index table",
                                            "index manifest",  "index current", "lock",
                                            "log segment",     "extents",       "index table"};
        const char *kind = kinds[i % 12];
        do t = &targets[next_random(seed) % ntargets];
        while (strcmp(t->kind, kind) != 0);
        uint64_t near = t->size < 8192 ? t->size : 8192, r = next_random(seed);
        uint64_t at = t->size ? (r % 2 ? next_random(seed) % near : next_random(seed) % t->size) : 0;
        enum how how = t->size == 0 ? GONE : r % 16 < 12 ? (enum how)(r / 16 % 2) : (enum how)(r / 16 % HOWS);
        hit(original, t, at, how, crashed, (unsigned)i);
    }
}

#define PAGE 4096u

static bool all_zero(const char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* From a hit at `at` to the next: a region, or more where bytes are all of one kind. */
static uint64_t stride(const struct target *t, const char *p, uint64_t at, uint64_t region)
{
    if (t->size / 32 < region) return t->size / 32 + 1;
    size_t page = at % PAGE ? 0 : t->size - at < PAGE ? (size_t)(t->size - at) : PAGE;
    if (page && all_zero(p + at, page)) {
        uint64_t n = PAGE;
        while (n < 16 * PAGE && at + n + PAGE <= t->size && all_zero(p + at + n, PAGE)) n += PAGE;
        return n;
    }
    if (page && is_kind(t, "extents") && memcmp(p + at, "INGOTEX", 7) != 0) return page;
    uint64_t left = (at / PAGE + 1) * PAGE < t->size ? (at / PAGE + 1) * PAGE - at : t->size - at;
    return all_zero(p + at, left) || left < region ? left : region;
}

static void everywhere(const char *original, bool crashed, uint64_t region, uint64_t *seed)
{
    unsigned number = 0;
    for (unsigned i = 0; i < ntargets; i++) {
        const struct target *t = &targets[i];
        struct buf bytes;
        char path[256];
        buf_init(&bytes, (size_t)64 << 20);
        snprintf(path, sizeof path, "%.63s/%.95s", engine_dir, t->name);
        ASSERT(sys_read_file(path, (size_t)64 << 20, &bytes) == ERR_OK && bytes.n == t->size);
        hit(original, t, 0, GONE, crashed, number++);
        if (t->size) hit(original, t, next_random(seed) % t->size, CUT, crashed, number++);
        for (uint64_t at = 0, width; at < t->size; at += width, number++) {
            width = stride(t, bytes.p, at, region);
            uint64_t room = t->size - at < width ? t->size - at : width;
            enum how how = number % 8 == 7 ? SECTOR : number % 8 == 3 ? BYTE : BIT;
            hit(original, t, at + next_random(seed) % room, how, crashed, number);
        }
        buf_free(&bytes);
    }
}

static void one_job(const char *original, bool crashed)
{
    uint64_t seed = knob("INGOT_ROT_SEED", 1), region = knob("INGOT_ROT_REGION", 0);
    if (region)
        everywhere(original, crashed, region, &seed);
    else
        sample(original, crashed, knob("INGOT_ROT_FLIPS", 48 / FEWER), &seed);
}

static void all_jobs(const char *original, bool crashed)
{
    pid_t pid[JOBS_MAX];
    for (me = 1; me < njobs; me++) {
        fflush(NULL);
        pid[me] = fork();
        ASSERT(pid[me] >= 0);
        if (pid[me] == 0) {
            one_job(original, crashed);
            _exit(0);
        }
    }
    me = 0;
    one_job(original, crashed);
    for (unsigned i = 1; i < njobs; i++) {
        int status;
        ASSERT(waitpid(pid[i], &status, 0) == pid[i]);
        if (status != 0) jobs[i].violations++;
    }
}

static void rot(bool crashed)
{
    char original[64], path[128];
    struct job all;
    njobs = (unsigned)knob("INGOT_ROT_JOBS", 1);
    ASSERT(njobs > 0 && njobs <= JOBS_MAX);
    jobs = mmap(NULL, njobs * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(jobs != MAP_FAILED);
    snprintf(original, sizeof original, "%s", engine_dir);
    find_targets();
    all_jobs(original, crashed);
    add_up(&all);
    munmap(jobs, njobs * sizeof *jobs);
    print_figures(crashed ? "after a crash" : "closed in order", &all);
    cat_path(".cat", path);
    unlink(path);
    cat_path(".fin", path);
    unlink(path);
    engine_dir_remove();
    assert_int_equal(all.violations, 0);
}

static void test_closed_store(void **state)
{
    (void)state;
    dir_make();
    fill();
    write_catalogs();
    rot(false);
}

/* Commits that the index has not seen on disk. The last one is of no account: rot of the very last record
 * cannot be told from a write that the crash cut. */
static void crash_after_load(void)
{
    struct shop w;
    open_small(&w);
    for (unsigned i = 36; i < 44; i++) fill_round(&w, i);
    ASSERT(bucket_set_config(w.o, w.a, STR("versioned"), "policy", STR("{\"policy\":2}")) == ERR_OK);
    struct buf cat;
    char path[128];
    catalog_write(&w, &cat, false);
    cat_path(".cat", path);
    write_file(path, buf_view(&cat));
    ASSERT(bucket_set_config(w.o, w.a, STR("versioned"), "other", STR("last")) == ERR_OK);
    fflush(NULL);
    _exit(0);
}

static void test_crashed_store(void **state)
{
    (void)state;
    dir_make();
    fill();
    char path[128];
    assert_int_equal(in_process("load", 0), 0);
    cat_path(".fin", path);
    write_file(path, STR(""));
    rot(true);
}

int main(int argc, char **argv)
{
    uint64_t flags;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    if (is_role(argc, argv, "judge", &flags)) judge(flags);
    if (is_role(argc, argv, "load", &flags)) crash_after_load();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_store),
        cmocka_unit_test(test_crashed_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
