/* Check and recovery that end in the middle: whatever they had done, the next one finishes it. */
#include "dying.h"
#include "plant.h"

/* ---- recovery ---- */

static void recover_and_die(uint64_t k)
{
    struct recover_options o = {.dir = engine_dir, .entry = objects_check_entry};
    struct recover_report r;
    char why[512];
    dying_after(k);
    engine_recover(&o, &r, why);
    _exit(DYING_ENDED);
}

static void recovers_all(void)
{
    recovers_without_loss();
    ASSERT(shop_kept() == SHOP_ROUNDS);
    check_clean();
}

/* plant: NULL, or damage that recovery mends. */
static void crashes_everywhere(void (*plant)(void), uint64_t step)
{
    struct buf before;
    index_read(&before);
    if (plant) plant();
    dying_everywhere("die", step, recovers_all);
    recovers_without_loss();
    if (!plant) index_same(&before);
    buf_free(&before);
}

static void test_crashes(void **state)
{
    (void)state;
    crashes_everywhere(NULL, 1);
}

static void drop_archive(void)
{
    dir_drop("archive");
}

static void test_crashes_with_damaged_archive(void **state)
{
    (void)state;
    crashes_everywhere(drop_archive, 2);
}

static void test_crashes_with_damaged_log(void **state)
{
    (void)state;
    crashes_everywhere(flip_old_segment, 3);
}

/* ---- repair ---- */

static void repair_and_die(uint64_t k)
{
    struct check_options o = {.dir = engine_dir, .repair = true, .entry = objects_check_entry};
    struct check_report r;
    char why[512];
    dying_after(k);
    engine_check(&o, &r, why);
    _exit(DYING_ENDED);
}

/* As found: a repair again, or a recovery without the index and then a repair, makes it clean. */
static void repairs_all(void)
{
    static unsigned turn;
    if (turn++ % 2) {
        dir_drop("index");
        struct recover_report r = recover_run();
        ASSERT(r.lost_records == 0);
        buf_free(&r.lines);
    }
    struct check_report r = check_run(true, false);
    buf_free(&r.lines);
    check_clean();
    ASSERT(shop_kept() == SHOP_ROUNDS);
}

static void test_crashes_of_repair(void **state)
{
    (void)state;
    leak(500000);
    leak(5000);
    add_counter(shard_of("plain"), 2, -1234567);
    dying_everywhere("repair", 1, repairs_all);
    plant_refs(is_shared, -1);
    plant_refs(in_extents, 5);
    dying_everywhere("repair", 1, repairs_all);
}

int main(int argc, char **argv)
{
    uint64_t number;
    log_setup(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT, -1);
    if (is_role(argc, argv, "die", &number)) recover_and_die(number);
    if (is_role(argc, argv, "repair", &number)) repair_and_die(number);
    const struct CMUnitTest tests[] = {
        TEST(test_crashes),
        TEST(test_crashes_with_damaged_archive),
        TEST(test_crashes_with_damaged_log),
        TEST(test_crashes_of_repair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
