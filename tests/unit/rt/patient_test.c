/* Patient fibers give way, and get their share: on each backend. */
#include "rt_matrix.h"

enum { MANY = 64, FEW = 8 };

static const struct rt_options one_loop = {.loops = 1};

static void spin(int64_t ns)
{
    for (int64_t until = rt_now() + ns; rt_now() < until;) continue;
}

/* ---- who is not patient goes first ---- */

static unsigned patient_done, patient_before, others_done;
static struct rt_sem all_done;

static void patient(void *arg)
{
    (void)arg;
    rt_set_patient(true);
    rt_yield();
    spin(RT_MS / 20);
    patient_done++;
    rt_sem_give(&all_done, 1);
}

static void other(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) rt_yield();
    if (++others_done == FEW) patient_before = patient_done;
    rt_sem_give(&all_done, 1);
}

static void first(struct rt *r)
{
    rt_sem_init(&all_done, 0);
    patient_done = others_done = 0;
    for (unsigned i = 0; i < MANY; i++) CHECK(rt_spawn(rt_loop_at(r, 0), "patient", patient, NULL));
    for (unsigned i = 0; i < FEW; i++) CHECK(rt_spawn(rt_loop_at(r, 0), "other", other, NULL));
    CHECK(rt_sem_take(&all_done, MANY + FEW, RT_FOREVER));
    CHECK(patient_done == MANY);
    CHECK(patient_before < MANY / 2); /* none, on a machine that does not stall */
}

static void test_others_go_first(void **state)
{
    (void)state;
    matrix_run(&one_loop, first);
}

/* ---- who is patient is not forgotten ---- */

/* Takes the loop for so long, again and again, until it is enough. */
struct user {
    bool patient;
    int64_t ns;
    unsigned turns;
};
static bool enough;

static void use(void *arg)
{
    struct user *u = arg;
    for (rt_set_patient(u->patient); !enough; rt_yield()) {
        spin(u->ns);
        u->turns++;
    }
    rt_sem_give(&all_done, 1);
}

static void users_start(struct rt *r, struct user *u, unsigned n)
{
    rt_sem_init(&all_done, 0);
    enough = false;
    for (unsigned i = 0; i < n; i++) CHECK(rt_spawn(rt_loop_at(r, 0), "user", use, u));
}

static void users_stop(unsigned n)
{
    enough = true;
    CHECK(rt_sem_take(&all_done, n, RT_FOREVER));
}

static void share(struct rt *r)
{
    struct user greedy = {.ns = RT_MS / 100};
    users_start(r, &greedy, FEW);
    CHECK(!rt_set_patient(true));
    int64_t from = rt_now(), had = 0;
    for (int i = 0; i < 100; i++) {
        int64_t turn = rt_now();
        spin(RT_MS / 10);
        had += rt_now() - turn;
        rt_yield();
    }
    int64_t took = rt_now() - from;
    CHECK(rt_set_patient(false));
    users_stop(FEW);
    CHECK(took < 8 * had); /* twice, on a machine that does not stall */
}

static void test_patient_has_its_share(void **state)
{
    (void)state;
    matrix_run(&one_loop, share);
}

/* ---- what becomes ready meanwhile need not wait for all that are patient ---- */

static void soon(struct rt *r)
{
    enum { NAPS = 100 };
    struct user patient_ones = {.patient = true, .ns = RT_MS / 10};
    users_start(r, &patient_ones, MANY);
    for (int i = 0; i < NAPS; i++) rt_sleep(RT_MS / 100);
    CHECK(patient_ones.turns < 10 * NAPS); /* two or three each; twenty if all had their turn first */
    users_stop(MANY);
}

static void test_others_are_noticed_soon(void **state)
{
    (void)state;
    matrix_run(&one_loop, soon);
}

/* ---- breathing ---- */

static void breath(struct rt *r)
{
    struct user between = {.ns = 0};
    unsigned breaths = 0;
    users_start(r, &between, 1);
    rt_set_patient(true);
    rt_yield();
    for (int i = 0; i < 200; i++) { /* 10 ms */
        unsigned was = between.turns;
        spin(RT_MS / 20);
        rt_breathe();
        breaths += between.turns != was;
    }
    CHECK(breaths >= 50); /* one in two or three; one in twenty if it were not patient */
    rt_set_patient(false);
    users_stop(1);
}

static void test_patient_breathes_often(void **state)
{
    (void)state;
    matrix_run(&one_loop, breath);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_go_first),
        cmocka_unit_test(test_patient_has_its_share),
        cmocka_unit_test(test_others_are_noticed_soon),
        cmocka_unit_test(test_patient_breathes_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
