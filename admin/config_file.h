/* SPDX-License-Identifier: Apache-2.0 */
/* The EncryptionConfiguration of this machine, of which kube-apiserver follows links too. */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

/* ret_mode may be NULL. */
bool kt_config_file_read(const char *file, struct kt_bytes *ret, mode_t *ret_mode, struct kt_error *err) KT_MUST_CHECK;
/* Wipes it: it may hold keys. */
void kt_config_file_done(struct kt_bytes *bytes);
#define KT_CLEANUP_CONFIG_FILE KT_CLEANUP(kt_config_file_done)
