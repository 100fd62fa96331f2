/* SPDX-License-Identifier: Apache-2.0 */
/* Where a recovery key comes from: --key-file FILE, standard input, or the terminal; never an argument. */
#pragma once

#include "base/secret.h"

/* key_file: a path, "-" for standard input, NULL: asks on /dev/tty (KT_E_USAGE if there is none). Parsed: 32 bytes. */
struct kt_secret *kt_recovery_key_ask(const char *key_file, const char *prompt, struct kt_error *err) KT_MUST_CHECK;
