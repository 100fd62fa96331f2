/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the opener (libexec/keyturn/keyturn-opener): a child that lives for one request, under an account of its own,
 * and is the only code that verifies, parses, opens and writes keyrings. It is started with one end of a stream
 * socketpair as descriptor 3, and with `--config FILE` for its folder and its owner pin. One request frame in; out, one
 * public frame (struct kt_opener_answer without the keys) and one secret frame (the keys' bytes).
 *
 * The client here is non-blocking, so that the keeper goes on answering while a TPM thinks; kt_opener_run is the same
 * for callers that may wait. Whoever starts the child enforces the deadline (SIGKILL).
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "base/spawn.h"
#include "keystore/enrolment.h"
#include "keystore/floor.h"
#include "keystore/keyring.h"
#include "keystore/tpm_policy.h"

#define KT_SUPERSEDED_MAX 16u
#define KT_NOTES_MAX      8u
#define KT_NOTE_LEN       256u
#define KT_SOURCE_MAX     64u /* "1-3.yaml" and NUL */

/* Behind `--config FILE`, where keyturnd starts it for the keeper: any request but OPEN is refused (KT_E_DENIED), so
 * that whoever takes over the keeper gets the keys that it has and no others, and writes no generation. */
#define KT_OPENER_OPEN_ONLY "--open-only"

struct kt_tpm_report; /* tpm_report.h */

enum kt_opener_op {
    KT_OPENER_CREATE = 1,      /* found a keyring: own key pair, first key. Out: document, owner */
    KT_OPENER_OPEN,            /* verify, judge, open. Out: info, keys of type kms */
    KT_OPENER_DESCRIBE,        /* verify only; needs no private half. Out: info */
    KT_OPENER_RECOVERY_VERIFY, /* open `offered` with the recovery key. Out: info */
    KT_OPENER_EDIT,            /* open `current` with this node's key, write the next generation. Out: document, info */
    KT_OPENER_RENDER,          /* as OPEN of what is installed, for the EncryptionConfiguration: out: info, and instead
                                  of the kms keys those of all other types, superseded ones too */
    KT_OPENER_RESEAL = 16,     /* seal this node's key in its TPM anew, under tpm_policy, once it opens `current` */
    KT_OPENER_CHECK,           /* will the sealed key open at the next boot? Or the values of tpm_pcrs. Out: tpm */
    KT_OPENER_SUSPEND,         /* as RESEAL, under no policy until the next boot */
    KT_OPENER_NODE_VERIFY,     /* open `current` with this node's key, change nothing. Out: info */
    KT_OPENER_NODE_POLICY, /* what this node's key is sealed under; asks no TPM. Out: tpm, of it only there, policy */

    /* Members (opener_ops_member.c): over `current`, which must be the newest of all that is given
     * (KT_E_KEYRING_STALE); opened with the recovery key, but for RECOVERY_LOST. Out: document, owner, info of what it
     * is made over; where nothing is to be changed any more, `same` and no document. */
    KT_OPENER_REQUEST = 32,     /* this node's private half, made or found. Out: header, the request's text */
    KT_OPENER_APPROVE,          /* the requesting node becomes a recipient */
    KT_OPENER_REMOVE,           /* member.name is one no more */
    KT_OPENER_SIGN_BUNDLE,      /* `current` is in force, and the requesting node in it. Out: header, of a bundle */
    KT_OPENER_BUNDLE,           /* is that bundle for our request, by its owner, and does it open? Out: info, owner */
    KT_OPENER_RECOVERY_USE,     /* like REQUEST and APPROVE in one, for this node itself */
    KT_OPENER_RECOVERY_REPLACE, /* the present recovery key and a new one */
    KT_OPENER_RECOVERY_LOST,    /* only a new one; opened with this node's key */

    KT_OPENER_RESTORE, /* no new membership: edits of kind RESTORE over `current`, opened with the recovery key. Out:
                          document, info of it */
    KT_OPENER_OP_END,
};

/* What the operations on members take besides. */
struct kt_opener_member {
    struct kt_slice request;                  /* APPROVE, SIGN_BUNDLE, BUNDLE: the request's text */
    struct kt_slice header;                   /* BUNDLE: its lines; the keyring is `offered` */
    const char *name;                         /* REMOVE: who; APPROVE: whose key is replaced, or "" */
    const char *provider;                     /* SIGN_BUNDLE */
    const struct kt_secret *new_recovery_key; /* RECOVERY_REPLACE, RECOVERY_LOST */
};

struct kt_opener_request {
    enum kt_opener_op op;
    /* OPEN: the document to open, or to install over `current`. DESCRIBE, RECOVERY_VERIFY: the document. */
    struct kt_slice offered;
    /* OPEN: what is installed, if anything is; its keys may not get lost. EDIT: the document to change. */
    struct kt_slice current;                         /* data NULL: there is none */
    struct kt_slice superseded[KT_SUPERSEDED_MAX];   /* OPEN: older documents some of whose keys may still be needed */
    const char *superseded_names[KT_SUPERSEDED_MAX]; /* OPEN: their file names, for notes; at most KT_SOURCE_MAX - 1 */
    size_t n_superseded;
    struct kt_floor floor; /* OPEN */
    bool accept_older;     /* OPEN at start: below or beside the floor is not refused, but decrypt only */
    const struct kt_secret *recovery_key; /* CREATE, RECOVERY_VERIFY */
    const char *node;                     /* CREATE, EDIT: our name */
    enum kt_recipient_kind kind;          /* CREATE */
    enum kt_key_type type;                /* CREATE */
    const char *key_name;                 /* CREATE */
    const struct kt_edit *edits;          /* EDIT */
    size_t n_edits;
    const struct kt_secret *const *imports; /* EDIT: as kt_keyring_change has them, at most KT_EDITS_MAX */
    size_t n_imports;
    uint64_t now; /* CREATE, EDIT */
    /* CREATE of kind tpm2, RESEAL: what the key is sealed under. NULL: none; RESEAL: the policy in force. */
    const struct kt_tpm_policy *tpm_policy;
    struct kt_tpm_pcrs tpm_pcrs; /* CHECK: only bank and mask; mask 0: those of the policy */
    struct kt_opener_member member;
    struct kt_audit_claim claim; /* whatever makes a generation: for its line of the audit log */
};

struct kt_opener_answer {
    struct kt_keyring_info *info;            /* OPEN, RENDER: superseded keys appended */
    struct kt_secret *keys[2 * KT_KEYS_MAX]; /* OPEN, RENDER: by index of info->keys; NULL for types not asked for */
    bool same;                               /* OPEN: offered is byte for byte what is installed */
    /* OPEN with accept_older: older than the floor, a fork of it, or at odds with a superseded one: decrypt only. */
    bool below_floor;
    /* OPEN: current has keys that offered neither lists nor archives, or it could not be opened to see which. */
    bool keep_current;
    bool keep_superseded[KT_SUPERSEDED_MAX]; /* OPEN: likewise */
    /* OPEN: which keyring current is; membership 0: it does not verify, and hash is the SHA-256 of its bytes. */
    struct kt_floor current;
    char notes[KT_NOTES_MAX][KT_NOTE_LEN]; /* OPEN: what did not stop it, but wants a human: "superseded/1-3.yaml..." */
    size_t n_notes;
    struct kt_bytes document;   /* CREATE, EDIT */
    uint8_t owner[KT_HASH_LEN]; /* CREATE: founding owner's fingerprint, to be pinned */
    struct kt_tpm_report *tpm;  /* CHECK */
    struct kt_bytes header;     /* REQUEST, SIGN_BUNDLE */
    /* OPEN, DESCRIBE: the lines of the audit log that the keyring carries. OPEN: the first one of a log that is not
     * there yet, and whether such a log would be whole. */
    struct kt_audit_tail *audit;
    size_t audit_from;
    bool audit_whole;
    uint64_t n_lost; /* RECOVERY_REPLACE, RECOVERY_LOST: archived keys that the new recovery key does not open */
};
void kt_opener_answer_done(struct kt_opener_answer *answer);
#define KT_CLEANUP_OPENER_ANSWER KT_CLEANUP(kt_opener_answer_done)

/* One running request. fd: our end of the pair, non-blocking; taken over. The request is encoded at once, so its slices
 * may go. */
struct kt_opener_call;
struct kt_opener_call *kt_opener_call_new(int fd, const struct kt_opener_request *request,
                                          struct kt_error *err) KT_MUST_CHECK;
void kt_opener_call_free(struct kt_opener_call *call);
KT_DEFINE_CLEANUP(struct kt_opener_call *, kt_opener_call_free);
int kt_opener_call_fd(const struct kt_opener_call *call);
/* What to poll for: POLLIN and/or POLLOUT. */
short kt_opener_call_events(const struct kt_opener_call *call);

enum kt_opener_progress { KT_OPENER_WAITING, KT_OPENER_DONE };
/* As far as it goes without blocking. false: it failed, by the opener's own verdict (its code, message, hint) or
 * because it ended without an answer (KT_E_TIMEOUT names the deadline as the likely cause). */
bool kt_opener_call_step(struct kt_opener_call *call, struct kt_opener_answer *ret, enum kt_opener_progress *progress,
                         struct kt_error *err) KT_MUST_CHECK;

/* Starts the opener, asks, waits, reaps; kills it after timeout_ms. For keyturn and tests. */
struct kt_opener_run {
    const char *program; /* absolute path of keyturn-opener */
    const char *config;  /* absolute path of keyturn.yaml */
    struct kt_account account;
    int timeout_ms;
};
bool kt_opener_run(const struct kt_opener_run *how, const struct kt_opener_request *request,
                   struct kt_opener_answer *ret, struct kt_error *err) KT_MUST_CHECK;
