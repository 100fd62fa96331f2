/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's parts, private to keyturnd: one thread, one poll loop (supervisor_main.c), which each part tells
 * what to wait for and until when. It holds no keys and reads no bytes of strangers; it has no system-call filter,
 * because it must start programs and change identities, and its children's filters would have to fit inside its own.
 */
#pragma once

#include "base/spawn.h"
#include "kmsplugin/counters.h"

#include <poll.h>

#define KT_SUPERVISOR_OPENERS 4u
#define KT_SUPERVISOR_POLL    32u
#define KT_DRAIN_FRONT_MS     5000u
#define KT_DRAIN_REST_MS      2000u
#define KT_NS_PER_MS          UINT64_C(1000000)
#define KT_NS_PER_S           UINT64_C(1000000000)
#define KT_NEVER              UINT64_MAX

struct kt_child {
    enum kt_role role;
    bool wanted;
    bool ready; /* said so */
    char program[4096];
    struct kt_account account;
    pid_t pid; /* 0: not running */
    int pidfd;
    int lifeline;
    unsigned failures; /* ends in a row, each after less than a minute */
    uint64_t started_ns;
    uint64_t restart_ns; /* KT_NEVER: no restart is due */
    uint64_t kill_ns;    /* KT_NEVER: not draining */
};

enum kt_listener_kind { KT_LISTENER_KMS, KT_LISTENER_CONTROL, KT_LISTENER_METRICS, KT_LISTENER_COUNT };
struct kt_listener {
    int fd;                 /* -1: none */
    char path[KT_PATH_MAX]; /* that we made and remove at the end; "": inherited, or no path */
    dev_t dev;
    ino_t ino;
};

struct kt_opener_child {
    pid_t pid; /* 0: free */
    int pidfd;
    uint64_t deadline_ns;
    bool killed;
};

enum kt_phase { KT_PHASE_RUN, KT_PHASE_DRAIN_FRONT, KT_PHASE_DRAIN_REST, KT_PHASE_END };

struct kt_supervisor {
    struct kt_config *config;
    bool single_uid;
    enum kt_phase phase;
    bool failed;    /* ends with exit status 1 */
    bool announced; /* READY=1 was sent */
    int signal_fd;
    struct kt_child children[KT_ROLE_COUNT]; /* front, keeper, exporter are used */
    uint64_t introduced_ns;                  /* when front and keeper got their last pair */
    uint64_t introduce_ns;                   /* when to try again to give them one; KT_NEVER */
    struct kt_listener listeners[KT_LISTENER_COUNT];
    char opener_program[4096];
    struct kt_account opener_account;
    struct kt_opener_child openers[KT_SUPERVISOR_OPENERS];
    int pages_rw[KT_PAGE_COUNT];
    int pages_ro[KT_PAGE_COUNT];
    struct kt_supervisor_page *page;
    const struct kt_keeper_page *keeper_page;
    uint64_t watchdog_ns; /* between two pings; 0: off */
    uint64_t next_ping_ns;
    char complaint[KT_HEALTHZ_MAX];  /* why the last reload was refused */
    char status[2 * KT_HEALTHZ_MAX]; /* last told to the service manager */
};

/* supervisor_sockets.c: taken from the service manager by name (kms, control, metrics), else made. A metrics socket
 * that cannot be made is a warning. */
bool kt_listeners_open(struct kt_supervisor *s, struct kt_error *err) KT_MUST_CHECK;
/* Closes all, removes the files that we made. */
void kt_listeners_close(struct kt_supervisor *s);

/* supervisor_children.c */
bool kt_children_init(struct kt_supervisor *s, struct kt_error *err) KT_MUST_CHECK;
void kt_children_start(struct kt_supervisor *s);
void kt_children_tick(struct kt_supervisor *s, uint64_t now);
uint64_t kt_children_next(const struct kt_supervisor *s);
size_t kt_children_poll(const struct kt_supervisor *s, struct pollfd *ret);
void kt_children_event(struct kt_supervisor *s, const struct pollfd *event);
void kt_child_drain(struct kt_supervisor *s, enum kt_role role, unsigned ms);
bool kt_child_tell(struct kt_child *child, enum kt_lifeline_type type, struct kt_slice body, const int *fds,
                   size_t n_fds);
void kt_children_configure(struct kt_supervisor *s);

/* supervisor_opener.c */
void kt_openers_start(struct kt_supervisor *s);
void kt_openers_tick(struct kt_supervisor *s, uint64_t now);
uint64_t kt_openers_next(const struct kt_supervisor *s);
size_t kt_openers_poll(const struct kt_supervisor *s, struct pollfd *ret);
void kt_openers_event(struct kt_supervisor *s, const struct pollfd *event);
void kt_openers_kill(struct kt_supervisor *s);

/* supervisor_notify.c: nothing happens where no service manager listens. */
void kt_notify_init(struct kt_supervisor *s);
void kt_notify_ready(struct kt_supervisor *s);
void kt_notify_reloading(void);
void kt_notify_stopping(void);
void kt_notify_status(struct kt_supervisor *s);
void kt_notify_tick(struct kt_supervisor *s, uint64_t now);
uint64_t kt_notify_next(const struct kt_supervisor *s);

/* supervisor_reload.c: reads the configuration again. What cannot change while it runs keeps its old value, with a
 * warning. */
void kt_supervisor_reload(struct kt_supervisor *s);

/* supervisor_check.c: `keyturnd --check`. Returns the exit status. */
int kt_supervisor_check(const char *path);
