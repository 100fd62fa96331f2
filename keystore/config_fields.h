/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of keyturn.yaml as a table made from config.def: what parsing, formatting and the check of the man page
 * stand on. Private to keystore/. */
#pragma once

#include "keystore/config.h"

enum kt_config_kind {
    KT_CONFIG_NODE,         /* RFC 1123 subdomain of at most KT_NAME_MAX */
    KT_CONFIG_NAME,         /* 1..KT_NAME_MAX of a-z A-Z 0-9 . _ - */
    KT_CONFIG_OWNER,        /* sha256: and 64 hex digits */
    KT_CONFIG_RECIPIENT,    /* file, tpm2 */
    KT_CONFIG_PATH,         /* absolute */
    KT_CONFIG_PATH_OR_NONE, /* absolute or empty */
    KT_CONFIG_SOCKET,       /* absolute, fits into sun_path, and into a URI as it is */
    KT_CONFIG_MODE,         /* octal text without execute bits */
    KT_CONFIG_IDS,          /* list of uids or gids */
    KT_CONFIG_COUNT,        /* whole number, min..max */
    KT_CONFIG_SECONDS,      /* duration, min..max seconds */
    KT_CONFIG_LISTEN,       /* ADDRESS:PORT, socket path, off */
    KT_CONFIG_ACCOUNT,      /* name, uid:gid, or empty */
    KT_CONFIG_LOG_FORMAT,
    KT_CONFIG_LOG_LEVEL,
    KT_CONFIG_KIND_COUNT,
};

struct kt_config_field {
    const char *path;     /* "kms.socket" */
    const char *fallback; /* as text; NULL: required */
    const char *doc;
    size_t offset; /* of the member */
    size_t size;
    enum kt_config_kind kind;
    uint64_t min;
    uint64_t max;
};
const struct kt_config_field *kt_config_fields(size_t *ret_n);

/* Length of the group in the path: 3 for "kms.socket", 0 for "node". */
size_t kt_config_group_len(const struct kt_config_field *field);
/* The name within its group: "socket". */
const char *kt_config_field_name(const struct kt_config_field *field);

/* From text into the member; false if it is not what expects() says. Of IDS one number, which is appended. */
bool kt_config_set(const struct kt_config_field *field, const char *text, struct kt_config *config) KT_MUST_CHECK;
/* The value as YAML that reads back as the same. */
void kt_config_get(const struct kt_config_field *field, const struct kt_config *config, struct kt_text *out);
/* "an absolute path". */
#define KT_CONFIG_EXPECTS_MAX 128u
void kt_config_expects(const struct kt_config_field *field, char ret[KT_CONFIG_EXPECTS_MAX]);
