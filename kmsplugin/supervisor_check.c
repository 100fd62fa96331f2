/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/supervisor.h"

static int report(const struct kt_error *error)
{
    (void)fprintf(stderr, "keyturnd: %s\n", error->message);
    if (error->hint[0])
        (void)fprintf(stderr, "keyturnd: %s\n", error->hint);
    return kt_code_exit(error->code);
}

int kt_supervisor_check(const char *path)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    struct kt_error error = KT_ERROR_INIT;
    if (!config) {
        (void)kt_fail(&error, KT_E_NOMEM, "out of memory");
        return report(&error);
    }
    if (!kt_config_load(path, config, &error) || !kt_config_need_owner(config, &error) ||
        !kt_config_format(config, &text, &error))
        return report(&error);
    if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0) {
        (void)kt_fail(&error, KT_E_IO, "cannot write to standard output");
        return report(&error);
    }
    return 0;
}
