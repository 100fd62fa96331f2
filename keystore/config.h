/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn.yaml (keyturn.yaml(5)): read by the supervisor, the opener and keyturn. */
#pragma once

#include "base/buf.h"
#include "base/log.h"
#include "keystore/key.h"

#include <sys/types.h>

#define KT_PATH_MAX        108u /* of a socket (sun_path) */
#define KT_CONFIG_IDS_MAX  64u
#define KT_ACCOUNT_MAX     64u
#define KT_TCTI_MAX        256u
#define KT_CONFIG_FILE_MAX ((size_t)64 * 1024)
#define KT_CONFIG_DEFAULT  "/etc/keyturn/keyturn.yaml"

struct kt_ids {
    uint32_t ids[KT_CONFIG_IDS_MAX];
    size_t n;
};

struct kt_config {
    char path[4096];                  /* where it was read from, absolute */
    char node[KT_NAME_MAX + 1];       /* node: our name among the recipients */
    uint8_t owner[KT_HASH_LEN];       /* owner: the founding owner that this node trusts, for ever */
    bool has_owner;                   /* false only until the keyring is founded: kt_config_need_owner */
    char provider[KT_NAME_MAX + 1];   /* provider: name in EncryptionConfiguration; default keyturn */
    enum kt_recipient_kind recipient; /* recipient: file or tpm2 */
    char state_dir[4096];             /* stateDir: default /var/lib/keyturn */

    char kms_socket[KT_PATH_MAX]; /* kms.socket: default /run/keyturn/kms/kms.sock */
    mode_t kms_mode;              /* kms.mode: default "0660" */
    struct kt_ids kms_uids;       /* kms.uids: who may call; default [0] */
    struct kt_ids kms_gids;       /* kms.gids: default [] */
    uint32_t kms_connections;     /* kms.maxConnections: default 256 */
    uint32_t kms_streams;         /* kms.maxStreams: per connection, default 100 */
    uint32_t kms_request_bytes;   /* kms.maxRequestBytes: default 65536 */

    char control_socket[KT_PATH_MAX]; /* control.socket: default /run/keyturn/control.sock */
    struct kt_ids control_uids;       /* control.uids: may offer a keyring and read status; root and the daemon's own
                                         uid always may */
    char metrics_listen[KT_PATH_MAX]; /* metrics.listen: "127.0.0.1:9469" (default), "[::1]:0", a socket path, "off" */
    char metrics_textfile[4096];      /* metrics.textfile: absolute path of a node_exporter text file; default "" */

    char account_front[KT_ACCOUNT_MAX];  /* accounts.front etc.: names or "uid:gid"; defaults keyturn-front, keyturn, */
    char account_keeper[KT_ACCOUNT_MAX]; /* keyturn-opener, keyturn-exporter. "" (accounts: {} left out by       */
    char account_opener[KT_ACCOUNT_MAX]; /* `init --dir`): the uid that starts keyturnd                           */
    char account_exporter[KT_ACCOUNT_MAX];

    uint32_t opener_timeout_s;     /* opener.timeout: default 30s, 1s..10m */
    char tpm_tcti[KT_TCTI_MAX];    /* tpm.tcti: NAME:CONFIGURATION for tctildr; default device:/dev/tpmrm0 */
    char tpm_pcr_signature[4096];  /* tpm.pcrSignature: default "" */
    uint32_t selftest_keys_s;      /* selfTest.keys: default 60s */
    uint32_t selftest_keyring_s;   /* selfTest.keyring: default 24h */
    enum kt_log_format log_format; /* log.format: text or json; default text */
    enum kt_log_level log_level;   /* log.level: default info */
};

/* Must be a regular file that root or we own and nobody else may write. KT_E_CONFIG with line and column; unknown
 * fields are refused. Large: the caller gives it a home on the heap. */
bool kt_config_load(const char *path, struct kt_config *ret, struct kt_error *err) KT_MUST_CHECK;
/* The same from bytes, for tests and `keyturnd --check`. */
bool kt_config_parse(struct kt_slice text, struct kt_config *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_config_defaults(struct kt_config *ret);
/* KT_E_CONFIG if there is no owner: for everybody but who founds a keyring. */
bool kt_config_need_owner(const struct kt_config *config, struct kt_error *err) KT_MUST_CHECK;
/* The effective configuration, every field, as a file that kt_config_parse reads. */
bool kt_config_format(const struct kt_config *config, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
/* --config, else $KEYTURN_CONFIG, else KT_CONFIG_DEFAULT. */
const char *kt_config_path(const char *option);
