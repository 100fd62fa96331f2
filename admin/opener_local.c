/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/opener_local.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

bool kt_opener_local(const struct kt_config *config, const char *config_path, const struct kt_opener_request *request,
                     struct kt_opener_answer *ret, struct kt_error *err)
{
    char program[4096];
    if (!kt_program_path("libexec/keyturn/keyturn-opener", program, sizeof(program), err))
        return false;
    struct kt_opener_run how = {
        .program = program,
        .config = config_path,
        .account = {.uid = KT_SAME_UID},
        .timeout_ms = (int)config->opener_timeout_s * 1000,
    };
    const char *account = config->account_opener;
    if (account[0] != '\0' && geteuid() == 0 && !kt_account_find(account, &how.account, err))
        return false;
    return kt_opener_run(&how, request, ret, err);
}

bool kt_keyring_file_read(const struct kt_config *config, struct kt_bytes *ret, struct kt_error *err)
{
    char path[KT_KEYRING_PATH_MAX];
    snprintf(path, sizeof(path), "%s/keyring.yaml", config->state_dir);
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = KT_ANY_UID, .forbidden_mode = 0022};
    enum kt_file_state state;
    if (!kt_file_read_if(AT_FDCWD, path, &rules, ret, &state, err))
        return false;
    if (state == KT_FILE_ABSENT) {
        kt_fail(err, KT_E_KEYRING_MISSING, "%s: there is no keyring", path);
        return kt_error_hint(
            err,
            "give this node the cluster's newest one, from another node, a backup or %s/superseded: keyturn "
            "keyring offer FILE",
            config->state_dir);
    }
    return true;
}

bool kt_keyring_describe(const struct kt_config *config, struct kt_opener_answer *ret, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes document = {0};
    if (!kt_keyring_file_read(config, &document, err))
        return false;
    const struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE, .offered = kt_bytes_view(&document)};
    return kt_opener_local(config, config->path, &request, ret, err);
}
