/* SPDX-License-Identifier: Apache-2.0 */
/* Fingerprints as people compare them: 64 hex digits, or 16 words for the first 16 bytes (docs/enrolment-format.md §1).
 */
#pragma once

#include "keystore/key.h"

#define KT_FINGERPRINT_WORDS     16u
#define KT_FINGERPRINT_WORDS_LEN ((size_t)KT_FINGERPRINT_WORDS * 8) /* words of at most 7 letters, spaces, NUL */

void kt_fingerprint_words(const uint8_t fingerprint[KT_HASH_LEN], char ret[KT_FINGERPRINT_WORDS_LEN]);
/* 64 hex digits of either case, with or without "sha256:" before them. */
bool kt_fingerprint_parse(const char *text, uint8_t ret[KT_HASH_LEN]) KT_MUST_CHECK;
