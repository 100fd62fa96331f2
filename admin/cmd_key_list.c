/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/view.h"
#include "base/printable.h"

#include <stdio.h>

static bool print_text(const struct kt_keyring_info *info, struct kt_error *err)
{
    printf("%-32s  %-9s  %-11s  %-20s  %s\n", "ID", "TYPE", "STATE", "CREATED", "NAME");
    for (size_t i = 0; i < info->n_keys; i++) {
        const struct kt_key_info *key = &info->keys[i];
        char created[KT_TIME_LEN];
        kt_time_format(key->created, created);
        printf("%-32s  %-9s  %-11s  %-20s  %s\n", KT_PRINTABLE(key->id), kt_key_type_text(key->type),
               key->superseded ? "superseded" : kt_key_state_text(key->state), created, KT_PRINTABLE(key->name));
    }
    return kt_output_done(err);
}

static bool print_json(const struct kt_view *view, struct kt_error *err)
{
    json_t *value = kt_json_new("KeyList");
    if (value) {
        json_object_set_new(value, "keyring", kt_view_json_keyring(view));
        json_object_set_new(value, "keys", kt_view_json_keys(view));
    }
    return kt_json_print(value, err);
}

int kt_command_key_list(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("key list")};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_view_done) struct kt_view view = {0};
    if (!kt_view_get(&line.options, 0, &view, &err))
        return kt_print_error(&line.options, &err);
    if (!view.info)
        return kt_print_error(&line.options, &view.unknown);
    bool printed = line.options.json ? print_json(&view, &err) : print_text(view.info, &err);
    return printed ? 0 : kt_print_error(&line.options, &err);
}
