/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "encconfig/render.h"

#include <stdio.h>

static bool show(const struct kt_options *options, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(options, err);
    KT_CLEANUP_BYTES struct kt_bytes rendered = {0};
    if (!config)
        return false;
    const struct kt_encconfig_fresh fresh = {.provider = config->provider, .kms_socket = config->kms_socket};
    if (!kt_encconfig_render_fresh(&fresh, &rendered, err))
        return false;
    if (options->json) {
        json_t *value = kt_json_new("RenderedConfig");
        if (value)
            json_object_set_new(value, "encryptionConfiguration", json_string((const char *)rendered.data));
        return kt_json_print(value, err);
    }
    fputs((const char *)rendered.data, stdout);
    return kt_output_done(err);
}

int kt_command_config_show(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("config show")};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    return show(&line.options, &err) ? 0 : kt_print_error(&line.options, &err);
}
