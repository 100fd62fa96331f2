/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/tpm_option.h"

#include "admin/control_client.h"
#include "admin/opener_local.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>

#define PEM_MAX 65536u

static bool read_key(const char *path, struct kt_tpm_policy *policy, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = PEM_MAX, .owner = KT_ANY_UID, .forbidden_mode = 0};
    KT_CLEANUP_BYTES struct kt_bytes pem = {0};
    return kt_file_read(AT_FDCWD, path, &rules, &pem, err) &&
           kt_tpm_key_from_pem(kt_bytes_view(&pem), path, policy, err);
}

bool kt_tpm_policy_from_option(const char *text, bool force, struct kt_tpm_policy *ret, struct kt_error *err)
{
    const char *key_file = NULL;
    const char *warning = NULL;
    if (!kt_tpm_policy_parse(text, ret, &key_file, err) || (key_file && !read_key(key_file, ret, err)) ||
        !kt_tpm_policy_check(ret, force, &warning, err))
        return false;
    if (warning)
        fprintf(stderr, "keyturn: warning: %s\n", warning);
    return true;
}

bool kt_node_ask(const struct kt_config *config, struct kt_opener_request *request, struct kt_opener_answer *ret,
                 struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes document = {0};
    if (!kt_keyring_file_read(config, &document, err))
        return false;
    request->current = kt_bytes_view(&document);
    return kt_opener_local(config, config->path, request, ret, err);
}

void kt_node_reload(const struct kt_options *options, const struct kt_config *config)
{
    struct kt_error err = KT_ERROR_INIT;
    kt_control_reply_free(kt_control_ask(config, KT_CONTROL_RELOAD, (struct kt_slice){0}, options->timeout_s, &err));
}
