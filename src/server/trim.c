/* After a burst, memory that was freed goes back to the machine. The allocator keeps it for reuse, page by
 * page between what still lives; we ask for it while little runs, for loops that allocate wait meanwhile. */
#include "server/server_impl.h"
#include "sys/sys.h"

#include <malloc.h>
#include <unistd.h>

#define LOOK_NS    (5 * RT_SEC)
#define CALM       8 /* requests running at most */
#define WORTH_MORE ((size_t)48 << 20)

static size_t resident(void)
{
    struct buf text;
    uint64_t pages = 0;
    buf_init(&text, 4096);
    if (sys_read_file("/proc/self/statm", 4095, &text) == ERR_OK) {
        struct str rest = buf_view(&text);
        str_cut(&rest, ' ');
        if (!str_to_u64(str_cut(&rest, ' '), &pages)) pages = 0;
    }
    buf_free(&text);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* On a worker, one at a time. */
static void trim(void *server)
{
    struct server *s = server;
    size_t now = resident();
    bool grown = s->trimmed_to > 0 && now > s->trimmed_to + WORTH_MORE;
    if (grown && mallinfo2().fordblks > WORTH_MORE) {
        malloc_trim(0);
        s->trimmed_to = resident();
    } else if (!grown) {
        s->trimmed_to = now;
    }
    atomic_store(&s->trimming, false);
}

static void on_look(void *server)
{
    struct server *s = server;
    struct http_stats st;
    http_get_stats(s->http, &st);
    if (st.requests_running <= CALM && !atomic_exchange(&s->trimming, true))
        if (!rt_work_async("trim", trim, s)) atomic_store(&s->trimming, false);
    rt_timer_set(&s->trim_timer, rt_now() + LOOK_NS, on_look, s);
}

void trim_start(struct server *s)
{
    on_look(s);
}
