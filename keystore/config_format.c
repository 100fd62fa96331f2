/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/config_fields.h"

#include <string.h>

static void open_group(const struct kt_config_field *field, const struct kt_config_field *before, struct kt_text *out)
{
    size_t len = kt_config_group_len(field);

    if (len > 0 && (!before || kt_config_group_len(before) != len || strncmp(before->path, field->path, len) != 0))
        kt_text_add(out, "%.*s:\n", (int)len, field->path);
}

bool kt_config_format(const struct kt_config *config, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text out = {.data = NULL};
    size_t n = 0;
    const struct kt_config_field *fields = kt_config_fields(&n);

    kt_text_init(&out, KT_CONFIG_FILE_MAX);
    kt_text_add(&out, "apiVersion: keyturn.dev/v1\nkind: Config\n");
    for (size_t i = 0; i < n; i++) {
        if (fields[i].kind == KT_CONFIG_OWNER && !config->has_owner)
            continue;
        open_group(&fields[i], i ? &fields[i - 1] : NULL, &out);
        kt_text_add(&out, "%s%s: ", kt_config_group_len(&fields[i]) ? "  " : "", kt_config_field_name(&fields[i]));
        kt_config_get(&fields[i], config, &out);
        kt_text_add(&out, "\n");
    }
    return kt_text_take(&out, ret, err);
}
