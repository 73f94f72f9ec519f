/* Regression 12: the live bytes of extent files that a batch writes into the view were read after the next
 * leader had changed them already. When the view kept the one batch and a crash lost the next, replay counted
 * that one again. Here two leaders write before the first applies: what the view then says is the first
 * batch's. The committer's own steps are needed in this order, so its source is part of this program. */
#include "conformance/store_engine.h"
#include "store/committer.c"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define FILE_NUMBER 7u
#define BYTES       8192u

struct one {
    struct extent_place place;
    struct log_op op;
    struct commit_req req;
    struct batch *batch;
};

static void lead_until_written(struct engine *e, struct one *o, uint64_t blob)
{
    o->place = (struct extent_place){
        .file = FILE_NUMBER, .offset = blob * BYTES, .disk_len = BYTES, .data_len = 1000};
    o->op = (struct log_op){.kind = TXN_PUBLISH,
                            .blob = blob,
                            .size = 1000,
                            .where = LOG_BODY_EXTENTS,
                            .places = &o->place,
                            .nplaces = 1};
    o->req = (struct commit_req){.ops = &o->op, .nops = 1, .bound = log_op_bound(&o->op) + COUNT_BYTES};
    o->batch = batch_get(e);
    ASSERT(o->batch);
    list_append(&o->batch->reqs, &o->req.link);
    write_batch(e, o->batch, o->req.bound);
    assert_int_equal(o->batch->e, ERR_OK);
    pass_the_lead(e, o->batch);
}

static void apply_now(struct engine *e, struct one *o)
{
    wait_for_turn(e, o->batch->ticket);
    apply_batch(e, o->batch);
    end_turn(e);
    list_remove(&o->req.link);
    batch_put(e, o->batch);
}

static uint64_t live_in_view(struct engine *e)
{
    char key[INNER_KEY_MAX];
    struct view_pin pin;
    assert_int_equal(view_get(e->view, inner_key(key, INNER_FILE, FILE_NUMBER), &pin), ERR_OK);
    uint64_t live = get_le64(pin.value.p);
    view_unpin(&pin);
    return live;
}

static void a_batch_writes_its_own_counts(void **state)
{
    (void)state;
    struct store s;
    struct one first, second;
    engine_dir_make();
    engine_dir_open(&s, NULL);
    struct engine *e = engine_of(&s);
    lead_until_written(e, &first, 100);
    lead_until_written(e, &second, 101);
    apply_now(e, &first);
    assert_int_equal(live_in_view(e), BYTES);
    apply_now(e, &second);
    assert_int_equal(live_in_view(e), 2 * BYTES);
    engine_close(&s);
    engine_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_batch_writes_its_own_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
