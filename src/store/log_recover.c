/* What only recovery does with the log: learn whose it is, and begin it anew after damage. */
#include "store/log_int.h"
#include "base/assert.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>

struct identity {
    const char *dir;
    uint8_t store_id[16];
    uint64_t epoch;
    bool found;
};

static bool learn(void *arg, const char *name)
{
    struct identity *i = arg;
    struct log_segment_head h;
    char path[LOG_PATH_MAX];
    size_t n = strlen(name);
    if (n != 20 || strcmp(name + 16, ".log") != 0) return true;
    snprintf(path, sizeof path, "%s/log/%s", i->dir, name);
    unsigned char *block = log_alloc(LOG_ALIGN);
    int fd = block ? sys->open(path, O_RDONLY, 0) : -1;
    bool good = fd >= 0 && sys_read_full(fd, block, LOG_ALIGN, 0) == ERR_OK &&
                log_segment_decode(block, &h) == ERR_OK;
    if (fd >= 0) sys->close(fd);
    free(block);
    if (!good) return true;
    if (h.epoch > i->epoch || !i->found) {
        memcpy(i->store_id, h.store_id, 16);
        i->epoch = h.epoch;
    }
    i->found = true;
    return true;
}

err log_identity(const char *dir, uint8_t store_id[16], uint64_t *epoch)
{
    char path[LOG_PATH_MAX];
    struct identity i = {.dir = dir};
    snprintf(path, sizeof path, "%s/log", dir);
    int rc = sys->list(path, learn, &i);
    if (rc < 0 && rc != -ENOENT) return err_of_errno(-rc); /* what it did not list may be newer */
    if (!i.found) return ERR_NOT_FOUND;
    memcpy(store_id, i.store_id, 16);
    *epoch = i.epoch;
    return ERR_OK;
}
