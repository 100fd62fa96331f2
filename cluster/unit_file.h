/* SPDX-License-Identifier: Apache-2.0 */
/* As much of systemd's units (systemd.service(5), systemd.syntax(7)) as shows what a service is started with. */
#pragma once

#include "base/buf.h"

#define KT_UNIT_WORDS_MAX 512u

struct kt_unit_words {
    char *items[KT_UNIT_WORDS_MAX + 1]; /* ends with NULL */
    size_t n;
};
void kt_unit_words_done(struct kt_unit_words *words);
/* The words of the last ExecStart= that is not empty, with its continued lines, quotes and backslashes read; specifiers
 * and variables stay as they are. None: no words. */
bool kt_unit_exec_start(struct kt_slice text, struct kt_unit_words *ret, struct kt_error *err) KT_MUST_CHECK;
/* The value of NAME in a file of an environment (EnvironmentFile=): lines of NAME=VALUE, the last one counts, quotes
 * around a value are taken off. NULL: there is none. The caller frees it. */
char *kt_unit_variable(struct kt_slice text, const char *name);
