/* Process signals as calls on loop 0, by a signalfd. */
#include "base/log.h"
#include "rt/rt_int.h"
#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

void rt_on_signal(struct rt *r, int signo, void (*fn)(void *arg, int signo), void *arg)
{
    CHECK_MAGIC(r, RT_MAGIC);
    ASSERT(r->nsignals < SIGNALS_MAX && !r->running);
    r->signals[r->nsignals++] = (struct signal_row){signo, fn, arg};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void signal_event(struct source *src, unsigned ev)
{
    (void)ev;
    struct rt *r = the_rt;
    struct signalfd_siginfo si;
    while (read(src->fd, &si, sizeof si) == sizeof si)
        for (unsigned i = 0; i < r->nsignals; i++)
            if (r->signals[i].signo == (int)si.ssi_signo)
                r->signals[i].fn(r->signals[i].arg, (int)si.ssi_signo);
}

static void signal_gone(struct source *src)
{
    (void)src;
}

/* On loop 0's thread, before its first iteration. */
err signals_start(struct rt *r)
{
    if (r->nsignals == 0) return ERR_OK;
    sigset_t set;
    sigemptyset(&set);
    for (unsigned i = 0; i < r->nsignals; i++) sigaddset(&set, r->signals[i].signo);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) return err_of_errno(errno);
    r->signal_source = (struct source){.fd = fd, .on_event = signal_event, .on_gone = signal_gone};
    list_init(&r->signal_source.gone);
    int rc = r->backend->source_add(r->loops[0], &r->signal_source);
    return rc < 0 ? err_of_errno(-rc) : ERR_OK;
}

void signals_stop(struct rt *r)
{
    if (r->signal_source.fd >= 0) close(r->signal_source.fd);
    r->signal_source.fd = -1;
}
