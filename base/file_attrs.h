/* SPDX-License-Identifier: Apache-2.0 */
/* What a file has besides its content: owner, mode, extended attributes. Internal to base/file. */
#pragma once

#include "base/file.h"

#include <sys/stat.h>

/* The order in which these are set never gives anybody access, not for a moment, who has none in the end; `to` must
 * have mode 0600 (or, a directory, 0700) before. Failures say what could not be set, without the name of the file. */
bool kt_file_attrs_set(int to, const struct kt_file_attrs *attrs, struct kt_error *err) KT_MUST_CHECK;

/* That owner and mode; ACL and the attributes user.*, trusted.* and security.* of `from`. Left out are those that the
 * kernel computes from the content or drops when it changes: security.ima, .evm and .capability. */
bool kt_file_attrs_copy(int from, const struct kt_file_attrs *attrs, int to, struct kt_error *err) KT_MUST_CHECK;
