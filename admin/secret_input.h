/* SPDX-License-Identifier: Apache-2.0 */
/* Where a recovery key, or one to import, comes from: a file, standard input, or the terminal; never an argument. */
#pragma once

#include "base/secret.h"

/* key_file: a path, "-" for standard input, NULL: asks on /dev/tty (KT_E_USAGE if there is none). Parsed: 32 bytes. */
struct kt_secret *kt_recovery_key_ask(const char *key_file, const char *prompt, struct kt_error *err) KT_MUST_CHECK;

/* A key's bytes. file: a path (a file that only its owner may read), "-" or NULL for standard input; where that is a
 * terminal, it is typed without being shown. As an EncryptionConfiguration has it: one line of base64; raw: the bytes
 * themselves, up to the end. KT_E_USAGE says what else was found, not its content. Not empty; as long as it is. */
struct kt_secret *kt_key_read(const char *file, bool raw, struct kt_error *err) KT_MUST_CHECK;
