/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log (docs/audit-format.md): one line for each generation of the keyring, JSON in one canonical form,
 * chained by SHA-256. The newest lines travel inside the keyring, whose `auditHead` is the hash of the last one; each
 * node appends them to its own audit.log. Whoever composes a line knows both keyrings (keyring_audit.c); what is said
 * about the caller is a claim.
 */
#pragma once

#include "base/buf.h"
#include "keystore/key.h"

#define KT_AUDIT_VERSION   1u
#define KT_AUDIT_LINE_MAX  98304u /* bytes, without its LF */
#define KT_AUDIT_LINES_MAX 16u    /* that a keyring carries */
#define KT_AUDIT_TAIL_MAX  98304u /* bytes of those together */
#define KT_AUDIT_TEXT_MAX  63u    /* of command, user, login, sudo */
#define KT_AUDIT_LOG_MAX   ((size_t)32 << 20)

enum kt_audit_event {
    KT_AUDIT_FOUNDED = 1,
    KT_AUDIT_CHANGED, /* a generation over the same membership */
    KT_AUDIT_NODE_ADDED,
    KT_AUDIT_NODE_REPLACED,
    KT_AUDIT_NODE_REMOVED,
    KT_AUDIT_RECOVERY_REPLACED,
    KT_AUDIT_RECOVERY_LOST,
};
/* "node-added"; "unknown" for a number out of range. */
const char *kt_audit_event_text(enum kt_audit_event event);
enum kt_audit_event kt_audit_event_parse(const char *text); /* 0: none of them */

/* Who asked for a change, as the tool that wrote it saw it. */
struct kt_audit_who {
    uint32_t uid;
    char user[KT_AUDIT_TEXT_MAX + 1];  /* the name of uid; all three may be "" */
    char login[KT_AUDIT_TEXT_MAX + 1]; /* of the session's login (audit(8), loginuid) */
    char sudo[KT_AUDIT_TEXT_MAX + 1];  /* SUDO_USER */
};
/* What the caller says about a change. */
struct kt_audit_claim {
    char command[KT_AUDIT_TEXT_MAX + 1]; /* "node approve" */
    bool has_who;
    struct kt_audit_who who;
    bool has_config; /* the EncryptionConfiguration is changed along with it: SHA-256 of the file before and after */
    uint8_t config_before[KT_HASH_LEN]; /* zeros: there was none */
    uint8_t config_after[KT_HASH_LEN];
};
/* Whatever is not plain ASCII, or would be escaped, becomes '?', the rest is cut off. For claims. */
void kt_audit_clean(const char *text, char ret[KT_AUDIT_TEXT_MAX + 1]);

/* One side of a change. */
struct kt_audit_key {
    char id[KT_KEY_ID_LEN + 1];
    char name[KT_KEY_NAME_MAX + 1];
    enum kt_key_type type;
    enum kt_key_state state;
};
struct kt_audit_state {
    uint64_t membership; /* 0: there is none (before of the first generation) */
    uint64_t generation;
    uint8_t hash[KT_HASH_LEN]; /* of the keyring; before only, since after contains this line */
    enum kt_stage stage;
    bool enabled;
    bool strict;
    uint64_t hold;
    uint64_t api_servers; /* how many are known */
    uint64_t archived;    /* how many keys */
    size_t n_recipients;
    char recipients[KT_RECIPIENTS_MAX][KT_NAME_MAX + 1];
    size_t n_keys;
    struct kt_audit_key keys[KT_KEYS_MAX];
};

/* Large: heap only. */
struct kt_audit_line {
    uint64_t seq;
    uint8_t prev[KT_HASH_LEN]; /* zeros in line 1 */
    uint64_t time;
    uint8_t keyring_id[KT_KEYRING_ID_LEN];
    enum kt_audit_event event;
    char subject[KT_NAME_MAX + 1]; /* the node that came, changed or left; "" */
    char node[KT_NAME_MAX + 1];    /* where it was written */
    struct kt_audit_claim claim;
    struct kt_audit_state before;
    struct kt_audit_state after;
};

/* What every version of a line begins with. */
struct kt_audit_prefix {
    uint64_t version;
    uint64_t seq;
    uint8_t prev[KT_HASH_LEN];
};

/* The canonical form, without LF. */
void kt_audit_emit(const struct kt_audit_line *line, struct kt_text *t);
/* Only that form, of this version. KT_E_FOUND says what was expected at which byte. */
bool kt_audit_parse(struct kt_slice text, struct kt_audit_line *ret, struct kt_error *err) KT_MUST_CHECK;
/* A line of any version: its beginning, that it has no characters but those of keys' names, and its length. */
bool kt_audit_prefix_parse(struct kt_slice text, struct kt_audit_prefix *ret, struct kt_error *err) KT_MUST_CHECK;
/* SHA-256 of the line without its LF. */
bool kt_audit_hash(struct kt_slice line, uint8_t ret[KT_HASH_LEN], struct kt_error *err) KT_MUST_CHECK;

/* The newest lines of a log, as a keyring carries them. */
struct kt_audit_tail {
    size_t n;
    uint32_t ends[KT_AUDIT_LINES_MAX]; /* in text; line i begins at the end of the one before */
    char text[KT_AUDIT_TAIL_MAX];
};
struct kt_slice kt_audit_tail_line(const struct kt_audit_tail *tail, size_t i);
/* At least one stays. */
void kt_audit_tail_drop(struct kt_audit_tail *tail);
/* One more, last; the oldest leave where there is no room. False: it is longer than a line may be, or empty. */
bool kt_audit_tail_add(struct kt_audit_tail *tail, struct kt_slice line) KT_MUST_CHECK;
/* Each a line, each chained to the one before it, head the hash of the last; zeros where there is none. On success
 * *ret_last is the last one's beginning. KT_E_FOUND. */
bool kt_audit_tail_check(const struct kt_audit_tail *tail, const uint8_t head[KT_HASH_LEN],
                         struct kt_audit_prefix *ret_last, struct kt_error *err) KT_MUST_CHECK;
