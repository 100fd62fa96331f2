/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal: for what may be shown there and nowhere else, and for what is typed without being shown. */
#pragma once

#include "base/secret.h"

#include <sys/types.h>

/* /dev/tty; -1 with KT_E_USAGE if there is none. */
int kt_terminal_open(struct kt_error *err) KT_MUST_CHECK;

/* One line, echo off, into locked memory, without its end. A signal that ends or stops us meanwhile takes effect when
 * the terminal is as it was; after a stop (^Z) it asks again. One that was ignored stays so. KT_E_IO if the echo cannot
 * be turned off, or not on again. */
struct kt_secret *kt_terminal_read_secret(int fd, const char *prompt, struct kt_error *err) KT_MUST_CHECK;

/* One line, up to its end or the end of the file. get: one byte, as read(2) does. An empty line is one NUL. */
struct kt_secret *kt_line_read(int fd, ssize_t (*get)(int fd, uint8_t *ret), struct kt_error *err) KT_MUST_CHECK;
