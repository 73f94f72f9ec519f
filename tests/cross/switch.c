/* The switch between stacks alone, without the runtime: for processors that the rest is not built for here.
 * Two fibers and the thread pass control around; each holds more live values over the switch than a call may
 * clobber, so a register that is not kept, or a stack that is not aligned, shows. Prints "ok" and leaves with
 * 0. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIBERS = 2, ROUNDS = 20000, STACK = 64 * 1024 };

struct rt_fiber {
    unsigned number;
    void *sp;
    uint64_t sum;
    _Alignas(64) unsigned char stack[STACK];
};

/* src/rt/switch.S */
void rt_switch(void **save, void *to);
void *fiber_prepare(void *top, struct rt_fiber *f);
_Noreturn void fiber_main(struct rt_fiber *f);

static struct rt_fiber fibers[FIBERS];
static void *thread_sp;

static void check(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "FAILED: %s\n", what);
    exit(1);
}

#if defined(__aarch64__)
#define ANY_DOUBLE "w"
#else
#define ANY_DOUBLE "x"
#endif
/* From here on the compiler knows nothing of the value, so it must keep it over the call. */
#define INTEGER(name, value)                                                                                 \
    uint64_t name = (value);                                                                                 \
    __asm__ volatile("" : "+r"(name))
#define DOUBLE(name, value)                                                                                  \
    double name = (value);                                                                                   \
    __asm__ volatile("" : "+" ANY_DOUBLE(name))

/* Ten integers and eight doubles live over the call: as many as any ABI here keeps in registers. */
__attribute__((noinline)) static uint64_t hold(void **save, void **to, uint64_t seed)
{
    INTEGER(a, seed);
    INTEGER(b, seed + 1);
    INTEGER(c, seed + 2);
    INTEGER(d, seed + 3);
    INTEGER(e, seed + 4);
    INTEGER(f, seed + 5);
    INTEGER(g, seed + 6);
    INTEGER(h, seed + 7);
    INTEGER(i, seed + 8);
    INTEGER(j, seed + 9);
    DOUBLE(m, (double)(seed % 1000));
    DOUBLE(n, m + 1);
    DOUBLE(o, m + 2);
    DOUBLE(p, m + 3);
    DOUBLE(q, m + 4);
    DOUBLE(r, m + 5);
    DOUBLE(s, m + 6);
    DOUBLE(t, m + 7);
    rt_switch(save, *to);
    check(b == a + 1 && c == a + 2 && d == a + 3 && e == a + 4 && f == a + 5 && g == a + 6 && h == a + 7 &&
              i == a + 8 && j == a + 9,
          "integers over a switch");
    check(n == m + 1 && o == m + 2 && p == m + 3 && q == m + 4 && r == m + 5 && s == m + 6 && t == m + 7,
          "doubles over a switch");
    return a ^ j;
}

/* Deeper on one fiber than on the other, so that the frames differ. */
__attribute__((noinline)) static uint64_t nest(struct rt_fiber *f, void **to, unsigned depth, uint64_t seed)
{
    volatile unsigned char frame[96];
    memset((void *)frame, (int)depth, sizeof frame);
    uint64_t x = depth ? nest(f, to, depth - 1, seed) : hold(&f->sp, to, seed);
    for (unsigned i = 0; i < sizeof frame; i++)
        check(frame[i] == (unsigned char)depth, "a frame over a switch");
    return x;
}

_Noreturn void fiber_main(struct rt_fiber *f)
{
    _Alignas(16) char local[16];
    check((uintptr_t)local % 16 == 0 && (uintptr_t)__builtin_frame_address(0) % 16 == 0,
          "the stack's alignment");
    check((unsigned char *)local > f->stack && (unsigned char *)local < f->stack + STACK,
          "the fiber's own stack");
    for (uint64_t i = 0;; i++) {
        void **to = f->number + 1 < FIBERS ? &fibers[f->number + 1].sp : &thread_sp;
        f->sum += nest(f, to, f->number * 7 + (unsigned)(i % 5), i * 2654435761u + f->number);
    }
}

int main(void)
{
    for (unsigned i = 0; i < FIBERS; i++) {
        fibers[i].number = i;
        fibers[i].sp = fiber_prepare(fibers[i].stack + STACK, &fibers[i]);
    }
    uint64_t sum = 0;
    for (uint64_t i = 0; i < ROUNDS; i++) sum += hold(&thread_sp, &fibers[0].sp, i);
    for (unsigned i = 0; i < FIBERS; i++) check(fibers[i].sum != 0, "every fiber ran");
    printf("ok %llu\n", (unsigned long long)(sum & 1));
    return 0;
}
