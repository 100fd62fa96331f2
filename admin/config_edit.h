/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of keyturn.yaml changed in place: all others, comments and order too, stay byte for byte. */
#pragma once

#include "keystore/config.h"

/* field: "owner", or with its group, "tpm.tcti"; value: as YAML. The result is parsed before it takes the file's place;
 * owner and mode stay. */
bool kt_config_edit_line(const char *path, const char *field, const char *value, struct kt_error *err) KT_MUST_CHECK;
/* Several fields as they are in config, at once; ends with NULL. */
bool kt_config_edit_from(const char *path, const char *const *fields, const struct kt_config *config,
                         struct kt_error *err) KT_MUST_CHECK;
