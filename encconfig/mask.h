/* SPDX-License-Identifier: Apache-2.0 */
/* An EncryptionConfiguration as it may be shown. */
#pragma once

#include "encconfig/config.h"

/* What stands for a key that is not shown. */
#define KT_ENCCONFIG_MASKED "REDACTED"
/* Shorter runs in comments are no keys of 16 bytes. */
#define KT_ENCCONFIG_RUN_MAX 20u

/* The text with each key masked; in comments, where an old key may stand, each run of more than KT_ENCCONFIG_RUN_MAX
 * characters of base64. ret: bad if it does not fit. */
void kt_encconfig_mask(const struct kt_encconfig *config, struct kt_text *ret);
