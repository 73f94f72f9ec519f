#include "store/super.h"
#include "base/bytes.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#define MAGIC   "INGOTSUP"
#define VERSION 1u
#define SIZE    4096u
#define SUM_AT  88u /* XXH3-64 of what is before; the rest is zero */

/* 0 magic, 8 version, 12 zero, 16 store id, 32 compatible, 40 read-only, 48 incompatible, 56 epoch, 64 clean
 * sequence, 72 created, 80 zero, 88 checksum. */
static void encode(const struct super *s, char out[SIZE])
{
    memset(out, 0, SIZE);
    memcpy(out, MAGIC, 8);
    put_le32(out + 8, VERSION);
    memcpy(out + 16, s->store_id, 16);
    put_le64(out + 32, s->compatible);
    put_le64(out + 40, s->read_only);
    put_le64(out + 48, s->incompatible);
    put_le64(out + 56, s->epoch);
    put_le64(out + 64, s->clean_seq);
    put_le64(out + 72, (uint64_t)s->created_ms);
    put_le64(out + SUM_AT, XXH3_64bits(out, SUM_AT));
}

static err decode(struct str b, struct super *s)
{
    if (b.n != SIZE || memcmp(b.p, MAGIC, 8) != 0) return ERR_CORRUPT;
    if (get_le64(b.p + SUM_AT) != XXH3_64bits(b.p, SUM_AT)) return ERR_CORRUPT;
    if (get_le32(b.p + 8) != VERSION) return ERR_UNSUPPORTED_FORMAT;
    memcpy(s->store_id, b.p + 16, 16);
    s->compatible = get_le64(b.p + 32);
    s->read_only = get_le64(b.p + 40);
    s->incompatible = get_le64(b.p + 48);
    s->epoch = get_le64(b.p + 56);
    s->clean_seq = get_le64(b.p + 64);
    s->created_ms = (int64_t)get_le64(b.p + 72);
    return ERR_OK;
}

static bool path_of(const char *dir, const char *name, char out[4096], char why[512])
{
    int n = snprintf(out, 4096, "%s/%s", dir, name);
    if (n > 0 && n < 4096) return true;
    snprintf(why, 512, "the path of the data directory is too long");
    return false;
}

static err check_features(const struct super *s, const char *path, bool for_writing, char why[512])
{
    uint64_t unknown = s->incompatible & ~(uint64_t)SUPER_INCOMPATIBLE;
    if (unknown) {
        snprintf(why, 512,
                 "%.300s needs features that this version does not know (incompatible flags %llx); use a "
                 "newer Ingot",
                 path, (unsigned long long)unknown);
        return ERR_UNSUPPORTED_FORMAT;
    }
    unknown = s->read_only & ~(uint64_t)SUPER_READ_ONLY;
    if (unknown && for_writing) {
        snprintf(
            why, 512,
            "%.300s can be read but not written by this version (read-only flags %llx); use a newer Ingot",
            path, (unsigned long long)unknown);
        return ERR_UNSUPPORTED_FORMAT;
    }
    return ERR_OK;
}

err super_load(const char *dir, bool for_writing, struct super *out, char why[512])
{
    char path[4096];
    if (!path_of(dir, "ingot.super", path, why)) return ERR_INVALID_SETTING;
    struct buf b;
    buf_init(&b, SIZE + 1);
    err e = sys_read_file(path, SIZE, &b);
    if (!e) e = decode(buf_view(&b), out);
    buf_free(&b);
    if (!e) return check_features(out, path, for_writing, why);
    if (e == ERR_CORRUPT)
        snprintf(why, 512, "%.300s is damaged; run: ingot recover --data %.100s", path, dir);
    else if (e == ERR_UNSUPPORTED_FORMAT)
        snprintf(why, 512, "%.300s was written by a newer version of Ingot", path);
    else if (e != ERR_NOT_FOUND)
        snprintf(why, 512, "%.300s cannot be read: %s", path, err_name(e));
    return e;
}

err super_save(const char *dir, const struct super *s, char why[512])
{
    char path[4096], bytes[SIZE];
    if (!path_of(dir, "ingot.super", path, why)) return ERR_INVALID_SETTING;
    encode(s, bytes);
    err e = sys_replace_file(path, str_of(bytes, SIZE), 0600);
    if (e) snprintf(why, 512, "%.300s cannot be written: %s", path, err_name(e));
    return e;
}

err super_lock(const char *dir, int *fd, char why[512])
{
    char path[4096], pid[32] = "";
    if (!path_of(dir, "ingot.lock", path, why)) return ERR_INVALID_SETTING;
    int f = sys->open(path, O_RDWR | O_CREAT, 0600);
    if (f < 0) {
        snprintf(why, 512, "%.300s cannot be opened: %s", path, strerror(-f));
        return err_of_errno(-f);
    }
    int rc = sys->lock(f);
    if (rc == -EWOULDBLOCK) {
        ssize_t n = sys->pread(f, pid, sizeof pid - 1, 0);
        uint64_t number = 0;
        struct str text = str_of(pid, n > 0 ? (size_t)n : 0);
        if (str_to_u64(str_cut(&text, '\n'), &number))
            snprintf(why, 512,
                     "data directory %.300s is in use by process %llu; stop it or choose another --data", dir,
                     (unsigned long long)number);
        else
            snprintf(why, 512,
                     "data directory %.300s is in use by another process; stop it or choose another --data",
                     dir);
        sys->close(f);
        return ERR_SERVICE_UNAVAILABLE;
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (rc >= 0) rc = sys->ftruncate(f, 0);
    err e = rc < 0 ? err_of_errno(-rc) : sys_write_full(f, pid, (size_t)n, 0);
    /* The lock is held; a disk too full to note the process id is no reason to refuse. */
    if (e == ERR_NO_SPACE) e = ERR_OK;
    if (e) {
        snprintf(why, 512, "%.300s cannot be locked: %s", path, err_name(e));
        sys->close(f);
        return e;
    }
    *fd = f;
    return ERR_OK;
}

void super_unlock(int fd)
{
    if (fd >= 0) sys->close(fd);
}
