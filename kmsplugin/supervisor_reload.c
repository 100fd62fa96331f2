/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/supervisor.h"

#include <string.h>

#define PATIENCE_EXTRA_S 5u
#define PATIENCE_MOST_S  60u

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

/* The keeper may have to end another opening first. Below the time that systemd gives a reload (TimeoutStartSec=). */
static uint64_t patience_ns(const struct kt_supervisor *s)
{
    uint64_t seconds = (uint64_t)s->config->opener_timeout_s + PATIENCE_EXTRA_S;
    return (seconds < PATIENCE_MOST_S ? seconds : PATIENCE_MOST_S) * KT_NS_PER_S;
}

static void take_in(struct kt_supervisor *s)
{
    kt_count(&s->page->reloads);
    s->complaint[0] = 0;
    s->config_serial++;
    kt_log_set(s->config->log_format, s->config->log_level);
    kt_log(KT_LOG_NOTICE, "reloaded", KT_TEXT("config", s->config->path));
    kt_children_configure(s);
    if (s->announced)
        s->reload_ns = kt_clock_monotonic_ns() + patience_ns(s);
}

static void keep_old(struct kt_supervisor *s, const struct kt_error *error)
{
    kt_count(&s->page->reload_failures);
    kt_log_error(KT_LOG_ERROR, "reload-refused", error);
    (void)snprintf(s->complaint, sizeof(s->complaint), "; the old configuration stays in force: %.180s",
                   error->message);
}

void kt_supervisor_reload(struct kt_supervisor *s)
{
    struct kt_error error = KT_ERROR_INIT;
    if (s->announced)
        kt_notify_reloading();
    if (reread(s, &error))
        take_in(s);
    else
        keep_old(s, &error);
    kt_notify_status(s);
    if (s->announced && s->reload_ns == KT_NEVER)
        kt_notify_ready(s);
}

static void end(struct kt_supervisor *s)
{
    s->reload_ns = KT_NEVER;
    kt_notify_status(s);
    kt_notify_ready(s);
}

void kt_reload_judged(struct kt_supervisor *s, uint32_t serial)
{
    if (s->reload_ns != KT_NEVER && serial == s->config_serial)
        end(s);
}

void kt_reload_tick(struct kt_supervisor *s, uint64_t now)
{
    if (now < s->reload_ns)
        return;
    kt_log(KT_LOG_WARNING, "keyring-not-tried",
           KT_TEXT("message", "the new configuration is in force; the keeper has not said yet what it makes of the "
                              "keyring on disk"));
    end(s);
}

uint64_t kt_reload_next(const struct kt_supervisor *s)
{
    return s->reload_ns;
}
