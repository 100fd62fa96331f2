/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: a directory of their own, children under other uids, and a count of descriptors.
 * Included last, since cmocka.h wants four headers before it. */
#pragma once

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* clang-format off: after the four that it needs */
#include <cmocka.h>
/* clang-format on */

/* A uid and gid that own nothing. */
#define FOREIGN_UID 54321u
#define FOREIGN_GID 54322u

struct scratch {
    char path[64];
    int dir;
    size_t fds;
};

/* Setup and teardown of a test: *state is a struct scratch. Teardown fails if the test left descriptors open. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

/* "PATH/name"; valid until four calls later. */
const char *scratch_name(const struct scratch *s, const char *name);
/* A file in it with that text and mode. */
void scratch_put(const struct scratch *s, const char *name, const char *text, mode_t mode);
/* Its text is exactly that; NULL: it does not exist. */
void scratch_expect(const struct scratch *s, const char *name, const char *text);
/* Number of entries whose name begins so. */
size_t scratch_count(const struct scratch *s, const char *prefix);

size_t count_fds(void);
bool am_root(void);
/* f(arg) in a child; its status, or 1000 + the signal that ended it. uid 0: ours; else (root only) that uid, with gid
 * FOREIGN_GID and no groups. No cmocka assertion may stand in f. */
int in_child(uid_t uid, int (*f)(void *arg), void *arg);
/* f(arg) in a child that is not root: ours if we are not, else FOREIGN_UID. */
int as_plain_user(int (*f)(void *arg), void *arg);
/* f(arg, number) in n children, at most 16, that begin together; the statuses or'ed. */
int in_children(int n, int (*f)(void *arg, int number), void *arg);
int wait_for(pid_t pid);
/* This test program again, with these arguments and NAME=VALUE added to the environment; returns as in_child. */
int run_self(char *const *argv, char *const *env);

void expect_error(const struct kt_error *err, enum kt_code code, const char *part);
