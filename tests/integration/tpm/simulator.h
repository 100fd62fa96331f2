/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated TPM of a test's own: swtpm in a directory of the test's, reached by a Unix socket. */
#pragma once

#include "tests/unit/base/scratch.h"

struct simulator {
    struct scratch s; /* s.path/tpm is its state */
    pid_t pid;
    char tcti[256];
};

/* Setup and teardown of a test: *state is a struct simulator. */
int simulator_setup(void **state);
int simulator_teardown(void **state);
#define SIMULATOR_TEST(f) cmocka_unit_test_setup_teardown(f, simulator_setup, simulator_teardown)

/* The TPM through tcti_fault.so with these options. */
void simulator_faulty(const struct simulator *tpm, const char *options, char *ret, size_t cap);
