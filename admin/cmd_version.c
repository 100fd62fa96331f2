/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"

#include <stdio.h>

int kt_command_version(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("version")};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    bool done;
    if (line.options.json) {
        json_t *value = kt_json_new("Version");
        if (value)
            json_object_set_new(value, "release", json_string(KT_RELEASE));
        done = kt_json_print(value, &err);
    } else {
        printf("keyturn %s\n", KT_RELEASE);
        done = kt_output_done(&err);
    }
    return done ? 0 : kt_print_error(&line.options, &err);
}
