/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/secret_input.h"
#include "admin/view.h"

static bool verify(const struct kt_options *options, struct kt_opener_answer *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(options, err);
    KT_CLEANUP_BYTES struct kt_bytes document = {0};
    if (!config || !kt_keyring_file_read(config, &document, err))
        return false;
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *key = kt_recovery_key_ask(options->key_file, "Recovery key: ", err);
    if (!key)
        return false;
    const struct kt_opener_request request = {
        .op = KT_OPENER_RECOVERY_VERIFY,
        .offered = kt_bytes_view(&document),
        .recovery_key = key,
    };
    return kt_opener_local(config, config->path, &request, ret, err);
}

int kt_command_recovery_verify(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("recovery verify")};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opened opened = {.kind = "RecoveryVerification", .what = "The recovery key"};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!verify(&line.options, &answer, &err) || !kt_view_print_opened(&line.options, &opened, answer.info, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}
