/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callers that are refused, for the log: at most one line a second for each uid, and for KT_REFUSALS_MAX of them.
 * Anybody who can reach a socket can be refused as often as he likes, as as many users as he has: that must not fill
 * the journal, nor the time of who writes it.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

#define KT_REFUSALS_MAX 16u

/* All zero: nobody was refused yet. */
struct kt_refusals {
    struct kt_refusal {
        uint64_t logged_ns; /* 0: the place is free */
        uid_t uid;
        uint64_t more; /* since then, without a line */
    } places[KT_REFUSALS_MAX];
    uint64_t others; /* without a line and without a place */
};

/* One of that uid was refused ((uid_t)-1: nobody knows who). True: that is worth a line; *ret_more is how many got none
 * since the last one of this uid, and of others that found no place. */
bool kt_refusals_note(struct kt_refusals *refusals, uid_t uid, uint64_t now_ns, uint64_t *ret_more) KT_MUST_CHECK;
