/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/supervisor.h"

#include <string.h>

struct fixed {
    const char *name;
    size_t offset;
    size_t size;
    bool is_text;
};
#define FIXED(text, field)                                                 \
    {                                                                      \
        .name = (text), .offset = offsetof(struct kt_config, field),       \
        .size = sizeof(((struct kt_config *)NULL)->field), .is_text = true \
    }

/* Bound to sockets, identities and the lock that were taken at the start. */
static const struct fixed fixed_fields[] = {
    FIXED("stateDir", state_dir),
    FIXED("kms.socket", kms_socket),
    {.name = "kms.mode", .offset = offsetof(struct kt_config, kms_mode), .size = sizeof(mode_t)},
    FIXED("control.socket", control_socket),
    FIXED("metrics.listen", metrics_listen),
    FIXED("accounts.front", account_front),
    FIXED("accounts.keeper", account_keeper),
    FIXED("accounts.opener", account_opener),
    FIXED("accounts.exporter", account_exporter),
};

static bool same(const struct fixed *field, const char *a, const char *b)
{
    return field->is_text ? strncmp(a, b, field->size) == 0 : memcmp(a, b, field->size) == 0;
}

static void keep_fixed(const struct kt_config *old, struct kt_config *config)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(fixed_fields); i++) {
        const struct fixed *field = &fixed_fields[i];
        const char *from = (const char *)old + field->offset;
        char *to = (char *)config + field->offset;
        if (same(field, from, to))
            continue;
        memcpy(to, from, field->size);
        kt_log(KT_LOG_WARNING, "needs-restart", KT_TEXT("field", field->name),
               KT_TEXT("message", "this change takes effect when keyturnd is started again"));
    }
}

static bool reread(struct kt_supervisor *s, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    if (!config)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_config_load(s->config->path, config, err) || !kt_config_need_owner(config, err))
        return false;
    if (s->config->has_owner && memcmp(s->config->owner, config->owner, KT_HASH_LEN) != 0) {
        (void)kt_fail(err, KT_E_CONFIG, "%s: owner: has changed, and it never changes", s->config->path);
        return kt_error_hint(err, "put the old line back: what this node trusts is chosen once, when it joins");
    }
    keep_fixed(s->config, config);
    *s->config = *config;
    return true;
}

void kt_supervisor_reload(struct kt_supervisor *s)
{
    struct kt_error error = KT_ERROR_INIT;
    kt_notify_reloading();
    if (reread(s, &error)) {
        kt_count(&s->page->reloads);
        s->complaint[0] = 0;
        kt_log_set(s->config->log_format, s->config->log_level);
        kt_log(KT_LOG_NOTICE, "reloaded", KT_TEXT("config", s->config->path));
        kt_children_configure(s);
    } else {
        kt_count(&s->page->reload_failures);
        kt_log_error(KT_LOG_ERROR, "reload-refused", &error);
        (void)snprintf(s->complaint, sizeof(s->complaint), "; the old configuration stays in force: %.180s",
                       error.message);
    }
    kt_notify_status(s);
    if (s->announced)
        kt_notify_ready(s);
}
