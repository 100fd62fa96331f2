/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's parts, private to keyturn-keeper: one thread, one poll loop (keeper_main.c), nothing blocks. It parses
 * neither YAML nor protobuf; what a keyring says comes from an opener (keeper_install.c).
 */
#pragma once

#include "base/harden.h"
#include "base/locked.h"
#include "keystore/state_dir.h"
#include "kmsplugin/counters.h"
#include "kmsplugin/keeper_keys.h"
#include "kmsplugin/keeper_usage.h"
#include "kmsplugin/refusals.h"
#include "proto/control.h"

#include <poll.h>

#define KT_CLIENTS_MAX      16u
#define KT_CLIENT_TIMEOUT_S 10u
#define KT_NS_PER_S         UINT64_C(1000000000)
#define KT_NEVER            UINT64_MAX
#define KT_POLL_MAX         (KT_CLIENTS_MAX + 4u)

/* keeper_serve.c. Requests and answers hold DEK seeds: locked memory, wiped after each batch. */
struct kt_batch;

/* One connection of the control socket. */
enum kt_client_phase { KT_CLIENT_FREE, KT_CLIENT_HEAD, KT_CLIENT_BODY, KT_CLIENT_WAIT, KT_CLIENT_REPLY };
struct kt_client {
    enum kt_client_phase phase;
    int fd;
    uint32_t serial; /* names it for a job that outlives it */
    bool may_reload;
    uint64_t deadline_ns;
    uint8_t head[4];
    size_t done;
    struct kt_bytes body;
    struct kt_bytes reply; /* framed */
};

/* What needs an opener; one at a time. */
enum kt_job_kind { KT_JOB_NONE, KT_JOB_START, KT_JOB_RELOAD, KT_JOB_OFFER, KT_JOB_DISK, KT_JOB_COUNT };
struct kt_job {
    enum kt_job_kind kind;
    uint32_t client; /* serial; 0: nobody waits */
    struct kt_bytes offered;
    struct kt_state state;
    struct kt_opener_call *call; /* NULL: still waiting for the opener */
};

struct kt_keeper {
    struct kt_batch *batch;
    const struct kt_supervisor_page *supervisor_page; /* NULL until they came */
    struct kt_keeper_page *page;                      /* never NULL */
    struct kt_state_dir *dir;                         /* NULL: not opened yet; dir_error says why */
    struct kt_keyset *keys;                           /* NULL: none; load_error says why */
    struct kt_bytes document;                         /* the keyring that keys came from */

    uint64_t hold_ns;      /* CLOCK_MONOTONIC: the front waits until the first attempt, but not longer than this */
    uint64_t want_peer_ns; /* when to ask for a fresh end of the pair; KT_NEVER: there is one, or was none yet */
    uint64_t drain_ns;     /* until when, while draining */
    uint64_t start_ns;     /* when to try the keyring again, if want_start */
    uint64_t disk_ns;      /* when to open the keyring on disk again */
    uint64_t selftest_ns;  /* when to try the keys again */
    uint64_t publish_ns;   /* when to publish, if dirty */
    uint64_t disk_time;    /* seconds since the epoch: of the last such test; 0: none */
    uint64_t selftest_time;

    struct kt_error dir_error;
    struct kt_error load_error;
    struct kt_error superseded_error; /* why a superseded keyring could not be read; KT_OK */
    struct kt_error reload_error;     /* why the keyring on disk was not taken in; KT_OK */
    struct kt_error floor_error;      /* why the floor of what is served is not on the disk; KT_OK */
    struct kt_error audit_error;      /* why audit.log lacks lines of what is served; KT_OK */
    struct kt_error test_error;       /* why the active key is not fit; KT_OK */
    struct kt_job job;
    struct kt_job next; /* a client's, behind a running one that nobody waits for */
    struct kt_client clients[KT_CLIENTS_MAX];
    struct kt_refusals refusals; /* of the control socket */
    struct kt_usage usage;
    struct kt_child_config config;
    struct kt_keeper_answer prepared; /* STATUS and STATE */

    enum kt_memory_lock memory;
    int peer;    /* the front; -1 */
    int control; /* the listening socket; -1 */
    unsigned start_failures;
    unsigned disk_failures; /* of the opener in that test, since the last that said something */
    uint32_t last_serial;
    uint32_t told_serial; /* of the configuration for which KT_LIFE_JUDGED was sent */
    bool configured;
    bool draining;
    bool kept_at_end;
    bool attempted; /* the keyring was tried once */
    bool announced; /* KT_LIFE_READY was sent */
    bool want_start;
    bool want_reload;
    bool want_disk;
    bool disk_tested;
    bool disk_ok;
    bool dirty;
    char healthz[KT_HEALTHZ_MAX];
    char disk_message[512];
};

/* keeper_serve.c: the front's requests. */
struct kt_batch *kt_batch_new(struct kt_error *err) KT_MUST_CHECK;
/* A fresh end; the old one and what was on its way are dropped. */
void kt_keeper_peer_set(struct kt_keeper *k, int fd);
short kt_keeper_peer_events(const struct kt_keeper *k, uint64_t now);
void kt_keeper_peer_event(struct kt_keeper *k);
void kt_keeper_peer_tick(struct kt_keeper *k, uint64_t now);
uint64_t kt_keeper_peer_next(const struct kt_keeper *k, uint64_t now);
bool kt_keeper_peer_idle(const struct kt_keeper *k);

/* keeper_install.c: everything that an opener is needed for. */
void kt_keeper_install_tick(struct kt_keeper *k, uint64_t now);
uint64_t kt_keeper_install_next(const struct kt_keeper *k);
/* fd: an opener that waits for its request; -1: it could not be started. */
void kt_keeper_opener(struct kt_keeper *k, int fd);
void kt_keeper_call_event(struct kt_keeper *k);
/* For a client; false (KT_E_BUSY) while another client's runs or waits. Takes the document. */
bool kt_keeper_offer(struct kt_keeper *k, uint32_t client, struct kt_bytes *document,
                     struct kt_error *err) KT_MUST_CHECK;
bool kt_keeper_reload(struct kt_keeper *k, uint32_t client, struct kt_error *err) KT_MUST_CHECK;
void kt_keeper_client_gone(struct kt_keeper *k, uint32_t client);

/* keeper_swap.c: judges what an opener opened and puts it in force. Takes the document out of the job. */
bool kt_keeper_swap(struct kt_keeper *k, struct kt_job *job, struct kt_opener_answer *answer, bool *ret_changed,
                    struct kt_error *err) KT_MUST_CHECK;

/* keeper_audit.c: after an install, whatever became of it. */
void kt_keeper_tell_audit(struct kt_keeper *k, const struct kt_opener_answer *answer);

/* keeper_selftest.c: seals samples with a new set; later unwraps them all. */
bool kt_keyset_test(struct kt_keyset *set, struct kt_usage *usage, struct kt_keeper_page *page,
                    struct kt_error *err) KT_MUST_CHECK;
void kt_keeper_selftest_tick(struct kt_keeper *k, uint64_t now);
uint64_t kt_keeper_selftest_next(const struct kt_keeper *k);

/* keeper_publish.c: healthz in words, the prepared answer, the page. */
void kt_keeper_publish(struct kt_keeper *k);
/* A WRAP or UNWRAP without a keyring gets this. */
enum kt_code kt_keeper_unloaded_code(const struct kt_keeper *k);

/* keeper_control.c: the control socket. */
void kt_keeper_accept(struct kt_keeper *k);
size_t kt_keeper_control_poll(const struct kt_keeper *k, struct pollfd *ret);
void kt_keeper_control_event(struct kt_keeper *k, const struct pollfd *event);
void kt_keeper_control_tick(struct kt_keeper *k, uint64_t now);
uint64_t kt_keeper_control_next(const struct kt_keeper *k);
/* Whether a client has not got all of its answer yet. */
bool kt_keeper_control_replies(const struct kt_keeper *k);
void kt_keeper_control_close(struct kt_keeper *k);
/* Takes the reply (control.proto); does nothing if the client has gone. */
void kt_keeper_reply(struct kt_keeper *k, uint32_t client, struct kt_bytes *reply);

/* keeper_status.c: packs control.proto. An empty result means out of memory. */
struct kt_bytes kt_keeper_pack_status(const struct kt_keeper *k);
struct kt_bytes kt_keeper_pack_offer(const struct kt_keeper *k, bool changed);
struct kt_bytes kt_keeper_pack_error(const struct kt_error *error);
/* Warnings for an operator, at most max of KT_WARNING_LEN bytes. */
#define KT_WARNINGS_MAX 24u
#define KT_WARNING_LEN  512u
size_t kt_keeper_warnings(const struct kt_keeper *k, char (*ret)[KT_WARNING_LEN], size_t max);
