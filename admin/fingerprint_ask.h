/* SPDX-License-Identifier: Apache-2.0 */
/* A fingerprint that the admin compares with what another machine shows, or gives on the command line. */
#pragma once

#include "admin/command.h"

struct kt_fingerprint_question {
    const char *what;           /* "The request of cp-2 has the fingerprint" */
    const char *where;          /* "Does cp-2 show the same?" */
    const uint8_t *fingerprint; /* KT_HASH_LEN bytes */
    enum kt_code otherwise;     /* what a given one that differs fails with */
};
/* --fingerprint must be the same; without it, asks on the terminal (--yes does not answer this), else KT_E_USAGE. */
bool kt_fingerprint_confirm(const struct kt_options *options, const struct kt_fingerprint_question *question,
                            struct kt_error *err) KT_MUST_CHECK;
/* Both forms, for people: a line "  sha256:..." and one or two of words. */
void kt_fingerprint_print(const uint8_t fingerprint[KT_HASH_LEN]);
/* Fields "fingerprint" and "words". */
void kt_fingerprint_json(json_t *value, const uint8_t fingerprint[KT_HASH_LEN]);
/* Reads an answer that begins with y or Y from the terminal; KT_E_USAGE without one, unless --yes. */
bool kt_confirm(const struct kt_options *options, const char *question, struct kt_error *err) KT_MUST_CHECK;
