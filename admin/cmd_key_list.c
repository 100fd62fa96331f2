/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/view.h"
#include "base/printable.h"

#include <stdio.h>

static bool print_text(const struct kt_view *view, struct kt_error *err)
{
    const struct kt_keyring_info *info = view->info;
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
    return kt_view_run(&(struct kt_view_command){.name = "key list", .text = print_text, .json = print_json}, argc,
                       argv);
}
