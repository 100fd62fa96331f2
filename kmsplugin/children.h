/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the supervisor and its children. Each child has one SEQPACKET pair, its lifeline: descriptor 3. It ends when
 * the lifeline closes (PR_SET_PDEATHSIG does not survive setresuid). All messages start with one byte, the type;
 * numbers big-endian (base/buf.h). Everything a child may use comes over the lifeline; children open no files of their
 * own, except the keeper its state directory and the exporter its text file.
 */
#pragma once

#include "base/ipc.h"
#include "keystore/config.h"

enum kt_role { KT_ROLE_SUPERVISOR, KT_ROLE_FRONT, KT_ROLE_KEEPER, KT_ROLE_EXPORTER, KT_ROLE_OPENER, KT_ROLE_COUNT };
const char *kt_role_text(enum kt_role role);

#define KT_LIFELINE_FD 3

enum kt_lifeline_type {
    /* Supervisor to child */
    KT_LIFE_CONFIG = 1, /* struct kt_child_config; first message, and again after a reread */
    KT_LIFE_LISTEN,     /* fd: the listening socket (front: kms; keeper: control; exporter: metrics) */
    KT_LIFE_PEER,       /* fd: a fresh end of the front-keeper pair; the old one is dead */
    KT_LIFE_COUNTERS,   /* fds: counter pages, in the order of enum kt_counter_page; writable only one's own */
    KT_LIFE_OPENER,     /* to the keeper; fd: an opener that waits for its request. No fd: it could not be started */
    KT_LIFE_DRAIN,      /* stop taking callers, finish, exit 0; u32 milliseconds until SIGKILL */
    /* Child to supervisor */
    KT_LIFE_READY = 64,  /* serves (front: answers calls, if only with why not; keeper: has tried its keyring) */
    KT_LIFE_WANT_OPENER, /* from the keeper: start one */
    KT_LIFE_WANT_PEER,   /* from front or keeper: its end of their pair was lost, and for a second no fresh one came */
};

/* So long a loss of the pair lasts before it is asked about, as the other's death is the usual reason, and the
 * supervisor sees that by itself; and so long before the same is asked or tried again. */
#define KT_PEER_PATIENCE_NS UINT64_C(1000000000)

/* What children need of keyturn.yaml, in fixed layout: they parse no YAML. */
struct kt_child_config {
    char node[KT_NAME_MAX + 1];
    char config_path[4096];
    char state_dir[4096];
    char metrics_listen[KT_PATH_MAX];
    char metrics_textfile[4096];
    struct kt_ids kms_uids;
    struct kt_ids kms_gids;
    uint32_t kms_connections;
    uint32_t kms_streams;
    uint32_t kms_request_bytes;
    struct kt_ids control_uids;
    uint32_t opener_timeout_s;
    uint32_t selftest_keys_s;
    uint32_t selftest_keyring_s;
    uint8_t log_format;
    uint8_t log_level;
    bool single_uid;
};
void kt_child_config_of(const struct kt_config *config, bool single_uid, struct kt_child_config *ret);
bool kt_child_config_encode(const struct kt_child_config *config, struct kt_writer *w);
bool kt_child_config_decode(struct kt_reader *r, struct kt_child_config *ret);

/* One message of a lifeline: u8 type, body, descriptors. */
#define KT_LIFELINE_MAX 16384u
struct kt_lifeline_message {
    enum kt_lifeline_type type;
    struct kt_slice body; /* without the type; in the caller's buffer */
    int fds[KT_IPC_FDS_MAX];
    size_t n_fds; /* the caller owns them now */
};
bool kt_lifeline_send(int fd, enum kt_lifeline_type type, struct kt_slice body, const int *fds, size_t n_fds,
                      struct kt_error *err) KT_MUST_CHECK;
/* Without blocking. buffer: KT_LIFELINE_MAX bytes. A message without a type is an error. */
bool kt_lifeline_recv(int fd, uint8_t *buffer, struct kt_lifeline_message *ret, enum kt_ipc_got *ret_got,
                      struct kt_error *err) KT_MUST_CHECK;
/* Takes the only descriptor of a message; -1 if there is none. Closes any other. */
int kt_lifeline_take_fd(struct kt_lifeline_message *message);
