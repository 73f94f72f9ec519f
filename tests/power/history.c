#include "power/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    unsigned words; /* after the kind */
} kinds[] = {
    [OP_BUCKET] = {"bucket", 0},   [OP_PUT] = {"put", 1},     [OP_DELETE] = {"delete", 0},
    [OP_VPUT] = {"vput", 2},       [OP_VMARK] = {"vmark", 1}, [OP_VDEL] = {"vdel", 1},
    [OP_UCREATE] = {"ucreate", 1}, [OP_UPART] = {"upart", 2}, [OP_UEND] = {"uend", 1},
};

static char *copy(const char *word)
{
    char *p = strdup(strcmp(word, "-") == 0 ? "" : word);
    if (!p) abort();
    return p;
}

static int parse_kind(struct op *o, const char *word, unsigned words)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].word, word) == 0) {
            o->kind = (enum op_kind)i;
            return kinds[i].words == words ? 0 : -1;
        }
    return -1;
}

static int parse(struct op *o, char *line)
{
    char *words[7], *save = NULL;
    unsigned n = 0;
    for (char *w = strtok_r(line, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
        if (n == 7) return -1;
        words[n++] = w;
    }
    if (n < 5 || parse_kind(o, words[4], n - 5)) return -1;
    o->start = strtoull(words[0], NULL, 10);
    o->end = strcmp(words[1], "-") == 0 ? HISTORY_NEVER : strtoull(words[1], NULL, 10);
    o->bucket = copy(words[2]);
    o->key = copy(words[3]);
    /* A put's only word is its digest. */
    o->name = copy(n > 5 && o->kind != OP_PUT ? words[5] : "-");
    o->value = copy(o->kind == OP_PUT ? words[5] : n > 6 ? words[6] : "-");
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const struct op *x = a, *y = b;
    int c = strcmp(x->bucket, y->bucket);
    if (c == 0) c = strcmp(x->key, y->key);
    return c ? c : x->line < y->line ? -1 : x->line > y->line;
}

int history_load(const char *path, struct history *h)
{
    char line[8192];
    size_t cap = 0;
    FILE *f = fopen(path, "re");
    *h = (struct history){0};
    while (f && fgets(line, sizeof line, f)) {
        if (h->n == cap) {
            cap = cap ? 2 * cap : 1024;
            h->v = realloc(h->v, cap * sizeof *h->v);
            if (!h->v) abort();
        }
        struct op *o = &h->v[h->n];
        *o = (struct op){.line = h->n + 1};
        if (parse(o, line)) {
            fprintf(stderr, "%s, line %zu: not an operation\n", path, h->n + 1);
            fclose(f);
            return -1;
        }
        h->n++;
    }
    if (f) fclose(f);
    if (!h->n) {
        fprintf(stderr, "the history %s cannot be read or is empty\n", path);
        return -1;
    }
    qsort(h->v, h->n, sizeof *h->v, by_key);
    return 0;
}

size_t history_key_end(const struct history *h, size_t from)
{
    size_t i = from;
    while (i < h->n && strcmp(h->v[i].key, h->v[from].key) == 0 &&
           strcmp(h->v[i].bucket, h->v[from].bucket) == 0)
        i++;
    return i;
}

enum op_state history_at(const struct op *o, uint64_t cut)
{
    return o->end <= cut ? OP_DONE : o->start < cut ? OP_MAYBE : OP_NOT;
}
