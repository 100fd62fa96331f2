/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/fingerprint_ask.h"
#include "admin/view.h"

#include <stdio.h>
#include <string.h>

static bool list_text(const struct kt_view *view, struct kt_error *err)
{
    const struct kt_keyring_info *info = view->info;
    size_t width = strlen("Name");
    for (size_t i = 0; i < info->n_recipients; i++)
        width = strlen(info->recipients[i].name) > width ? strlen(info->recipients[i].name) : width;
    printf("%-*s  Kind\n", (int)width, "Name");
    for (size_t i = 0; i < info->n_recipients; i++) {
        const struct kt_recipient_info *recipient = &info->recipients[i];
        printf("%-*s  %s%s\n", (int)width, recipient->name, kt_recipient_kind_text(recipient->kind),
               strcmp(recipient->name, view->config->node) == 0 ? "  (this node)" : "");
    }
    puts("\nThe owner's fingerprint:");
    kt_fingerprint_print(info->owner);
    return kt_output_done(err);
}

static bool list_json(const struct kt_view *view, struct kt_error *err)
{
    const struct kt_keyring_info *info = view->info;
    json_t *value = kt_json_new("NodeList");
    json_t *nodes = json_array();
    for (size_t i = 0; value && i < info->n_recipients; i++)
        json_array_append_new(nodes, json_pack("{s:s,s:s,s:b}", "name", info->recipients[i].name, "kind",
                                               kt_recipient_kind_text(info->recipients[i].kind), "self",
                                               strcmp(info->recipients[i].name, view->config->node) == 0));
    if (value) {
        json_object_set(value, "nodes", nodes);
        json_object_set_new(value, "keyring", kt_view_json_keyring(view));
        kt_fingerprint_json(value, info->owner);
    }
    json_decref(nodes);
    return kt_json_print(value, err);
}

int kt_command_node_list(int argc, char **argv)
{
    return kt_view_run(&(struct kt_view_command){.name = "node list", .text = list_text, .json = list_json}, argc,
                       argv);
}
