/* SPDX-License-Identifier: Apache-2.0 */
/* Holds an audit log against the keyrings that vouch for it (docs/audit-format.md §4). Pure: bytes in, findings out. */
#pragma once

#include "keystore/audit.h"
#include "keystore/floor.h"

enum kt_audit_damage {
    KT_AUDIT_MISSING = 1,
    KT_AUDIT_NOT_A_LINE,
    KT_AUDIT_FOREIGN,
    KT_AUDIT_BEGINNING_CUT,
    KT_AUDIT_LINES_MISSING,
    KT_AUDIT_ALTERED,
    KT_AUDIT_OUT_OF_ORDER,
    KT_AUDIT_TAIL_CUT,
    KT_AUDIT_REWRITTEN,
    KT_AUDIT_NOT_VOUCHED_FOR,
    KT_AUDIT_CUT_LINE,
    KT_AUDIT_SUPERSEDED,
    KT_AUDIT_OLDER_KEYRING,
};
/* "tail-cut". */
const char *kt_audit_damage_text(enum kt_audit_damage damage);

struct kt_audit_finding {
    enum kt_audit_damage damage;
    uint64_t row; /* of the file, from 1; 0: none in particular */
    uint64_t seq; /* of the line there; 0: unknown */
    char message[256];
};
#define KT_AUDIT_FINDINGS_MAX 64u
#define KT_AUDIT_ANCHORS_MAX  16u

/* A keyring whose signatures were verified. */
struct kt_audit_anchor {
    const char *name; /* "superseded/1-3.yaml" */
    struct kt_floor which;
    uint8_t head[KT_HASH_LEN];
};

struct kt_audit_evidence {
    struct kt_slice log;
    bool absent; /* there is no file */
    const char *node;
    struct kt_audit_anchor keyring;                          /* the one in force */
    const struct kt_audit_tail *tail;                        /* the lines that it carries */
    struct kt_floor floor;                                   /* membership 0: there is none */
    struct kt_audit_anchor superseded[KT_AUDIT_ANCHORS_MAX]; /* others that are known */
    size_t n_superseded;
};

struct kt_audit_report {
    uint64_t rows;
    uint64_t first; /* numbers of the first and the last line; 0: there is none */
    uint64_t last;
    uint64_t newer;    /* lines of a version that this release does not know: only their chain was checked */
    uint64_t due;      /* lines that an install which was cut short has left to be appended */
    size_t n_findings; /* of which the first KT_AUDIT_FINDINGS_MAX are here */
    struct kt_audit_finding findings[KT_AUDIT_FINDINGS_MAX];
};
/* False only where memory or the library fails; what is found is in *ret. */
bool kt_audit_verify(const struct kt_audit_evidence *evidence, struct kt_audit_report *ret,
                     struct kt_error *err) KT_MUST_CHECK;
