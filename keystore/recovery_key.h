/* SPDX-License-Identifier: Apache-2.0 */
/* The recovery key (docs/keyring-format.md §7): 32 bytes, their form on paper, and the two key pairs made from them. */
#pragma once

#include "keystore/p256.h"

#define KT_RECOVERY_KEY_BYTES 32u
#define KT_RECOVERY_TEXT_LEN  70u /* 14 groups of 4 and NUL */

/* Text as a secret of KT_RECOVERY_TEXT_LEN bytes, NUL included. */
struct kt_secret *kt_recovery_key_format(const struct kt_secret *key, struct kt_error *err) KT_MUST_CHECK;
/* text: what was typed or read from a file (up to 256 bytes, with or without a final NUL). KT_E_RECOVERY_KEY says
 * whether it is too short, too long, has a character that no recovery key has (its position, never the character), or a
 * wrong check group (a typing error). */
struct kt_secret *kt_recovery_key_parse(const struct kt_secret *text, struct kt_error *err) KT_MUST_CHECK;

struct kt_p256 *kt_recovery_key_recipient(const struct kt_secret *key, struct kt_error *err) KT_MUST_CHECK;
struct kt_p256 *kt_recovery_key_owner(const struct kt_secret *key, struct kt_error *err) KT_MUST_CHECK;
