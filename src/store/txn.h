/* txn: what idx_txn_* collect and implementations of the index walk. Below the seam; not for the layers
 * above.
 *
 * Everything lives in the caller's arena and stays valid until idx_commit returns. A failure while building
 * (arena full, a bound passed) latches in `bad`, so that callers check once, at the commit. */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include "store/blob.h"
#include "store/index.h"

/* The shard that implementations keep for themselves; no transaction and no scan of a caller reaches it. */
#define IDX_SHARD_INTERNAL UINT64_MAX

/* Also the tags of the operations in log records (docs/format/log.md): never renumber. */
enum txn_kind { TXN_PUT = 1, TXN_DEL = 2, TXN_ADD = 3, TXN_PUBLISH = 4, TXN_REF = 5, TXN_UNREF = 6 };

struct txn_op {
    struct txn_op *next;
    enum txn_kind kind;
    unsigned n;                 /* TXN_ADD: numbers */
    struct str key, value;      /* TXN_PUT, TXN_DEL, TXN_ADD (key) */
    const int64_t *delta;       /* TXN_ADD */
    uint64_t blob;              /* TXN_PUBLISH, TXN_REF, TXN_UNREF */
    struct blob_writer *writer; /* TXN_PUBLISH */
};

struct txn_check {
    struct txn_check *next;
    struct str key;
    int zero; /* >= 0: counter number that must be zero; -1: unchanged since read_seq */
};

#define IDX_TXN_MAGIC 0x74786e31u
struct idx_txn {
    unsigned magic;
    struct arena *arena;
    uint64_t shard, read_seq;
    struct txn_op *ops, **ops_end;
    struct txn_check *checks;
    unsigned n_ops, n_checks;
    size_t bytes;     /* keys, values and a little for each operation: what IDX_TXN_MAX bounds */
    bool takes_space; /* puts or publishes: refused on a full disk */
    bool hides;       /* lets go of no bytes: refused once half of the reserve is gone */
    err bad;
};

#endif
