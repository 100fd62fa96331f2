/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/view.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S      UINT64_C(1000000000)
#define WAIT_STEP_NS  100000000L
#define ASK_TIMEOUT_S 5u

const Keyturn__Control__V1__Status *kt_view_status(const struct kt_view *view)
{
    return view->reply ? view->reply->status : NULL;
}

static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strnlen(from, cap - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

static void key_from_status(const Keyturn__Control__V1__Key *from, struct kt_key_info *ret)
{
    copy_text(ret->id, sizeof(ret->id), from->id);
    copy_text(ret->name, sizeof(ret->name), from->name);
    ret->type = kt_key_type_parse(from->type);
    ret->state = kt_key_state_parse(from->state);
    ret->created = from->created;
    ret->retiring_since = from->retiring_since;
    ret->superseded = from->superseded;
}

static void info_from_status(const Keyturn__Control__V1__Status *from, struct kt_keyring_info *ret)
{
    (void)!kt_hex_decode(kt_slice_str(from->keyring_id), ret->keyring_id, sizeof(ret->keyring_id));
    (void)!kt_hash_parse(from->keyring_hash, ret->hash);
    (void)!kt_hash_parse(from->owner, ret->owner);
    ret->membership = from->membership;
    ret->generation = from->generation;
    ret->written = from->written;
    copy_text(ret->writer, sizeof(ret->writer), from->writer);
    ret->stage = kt_stage_parse(from->stage);
    ret->enabled = from->enabled;
    ret->strict = from->strict;
    ret->hold = from->hold;
    for (size_t i = 0; i < from->n_keys && i < KT_ARRAY_LEN(ret->keys); i++)
        key_from_status(from->keys[i], &ret->keys[ret->n_keys++]);
    for (size_t i = 0; i < from->n_recipients && i < KT_RECIPIENTS_MAX; i++) {
        struct kt_recipient_info *recipient = &ret->recipients[ret->n_recipients++];
        copy_text(recipient->name, sizeof(recipient->name), from->recipients[i]->name);
        recipient->kind = kt_recipient_kind_parse(from->recipients[i]->kind);
    }
    ret->n_archive = from->archived;
}

static void describe(struct kt_view *view)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (kt_keyring_describe(view->config, &answer, &view->unknown))
        view->info = KT_TAKE_PTR(answer.info);
}

static void look(struct kt_view *view, unsigned timeout_s)
{
    kt_error_clear(&view->unreachable);
    view->reply = kt_control_ask(view->config, KT_CONTROL_STATUS, (struct kt_slice){0}, timeout_s, &view->unreachable);
    if (view->reply && !view->reply->status) {
        kt_control_reply_free(KT_TAKE_PTR(view->reply));
        kt_fail(&view->unreachable, KT_E_INTERNAL, "keyturnd answered without a status");
    }
}

/* Where no key is of type kms, healthz says so, and that is as it should be. */
static bool is_well(const Keyturn__Control__V1__Status *status)
{
    return status->idle || strcmp(status->healthz, "ok") == 0;
}

static bool serves(const struct kt_view *view)
{
    const Keyturn__Control__V1__Status *status = kt_view_status(view);
    return status && status->generation > 0 && is_well(status);
}

static void wait_for_daemon(struct kt_view *view, unsigned wait_s)
{
    const uint64_t end = kt_clock_monotonic_ns() + wait_s * NS_PER_S;
    while (!serves(view) && kt_clock_monotonic_ns() < end) {
        const struct timespec step = {.tv_nsec = WAIT_STEP_NS};
        nanosleep(&step, NULL);
        kt_control_reply_free(KT_TAKE_PTR(view->reply));
        look(view, ASK_TIMEOUT_S);
    }
}

bool kt_view_get(const struct kt_options *options, unsigned wait_s, struct kt_view *ret, struct kt_error *err)
{
    *ret = (struct kt_view){.config = kt_options_config(options, err)};
    if (!ret->config)
        return false;
    look(ret, options->timeout_s < ASK_TIMEOUT_S ? options->timeout_s : ASK_TIMEOUT_S);
    wait_for_daemon(ret, wait_s);
    const Keyturn__Control__V1__Status *status = kt_view_status(ret);
    if (!status || status->generation == 0) {
        describe(ret);
        return true;
    }
    ret->info = calloc(1, sizeof(*ret->info));
    if (!ret->info)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    info_from_status(status, ret->info);
    return true;
}

void kt_view_done(struct kt_view *view)
{
    kt_control_reply_free(view->reply);
    free(view->info);
    free(view->config);
    *view = (struct kt_view){0};
}

static bool any_superseded(const struct kt_keyring_info *info)
{
    for (size_t i = 0; i < info->n_keys; i++) {
        if (info->keys[i].superseded)
            return true;
    }
    return false;
}

bool kt_view_healthy(const struct kt_view *view, struct kt_error *err)
{
    const Keyturn__Control__V1__Status *status = kt_view_status(view);
    if (!status) {
        if (err)
            *err = view->unreachable;
        return false;
    }
    if (status->generation == 0) {
        kt_fail(err, KT_E_KEYRING_OPEN, "%s", status->healthz);
        return kt_error_hint(err, "journalctl -u keyturnd tells when it began");
    }
    if (!is_well(status))
        return kt_fail(err, KT_E_KMS_NO_ACTIVE_KEY, "%s", status->healthz);
    if (any_superseded(view->info)) {
        kt_fail(err, KT_E_FOUND,
                "a key is served from a superseded keyring: the present one neither lists nor archives it");
        return kt_error_hint(err, "offer this node the keyring that lists it, or run a census before it is let go");
    }
    if (status->n_warnings > 0)
        return kt_fail(err, KT_E_FOUND, "%s", status->warnings[0]);
    return true;
}

void kt_view_key_title(const struct kt_key_info *key, char *ret, size_t cap)
{
    snprintf(ret, cap, "%s %s", kt_key_type_display(key->type), key->name);
}

int kt_view_run(const struct kt_view_command *command, int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find(command->name)};
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_view_done) struct kt_view view = {0};
    kt_command_parse(&line, argc, argv);
    if (!kt_view_get(&line.options, 0, &view, &err))
        return kt_print_error(&line.options, &err);
    if (!view.info)
        return kt_print_error(&line.options, &view.unknown);
    bool printed = line.options.json ? command->json(&view, &err) : command->text(&view, &err);
    return printed ? 0 : kt_print_error(&line.options, &err);
}

bool kt_view_print_opened(const struct kt_options *options, const struct kt_opened *opened,
                          const struct kt_keyring_info *info, struct kt_error *err)
{
    if (!options->json) {
        printf("%s opens keyring generation %" PRIu64 " (membership %" PRIu64 "): %zu key%s.\n", opened->what,
               info->generation, info->membership, info->n_keys, info->n_keys == 1 ? "" : "s");
        return kt_output_done(err);
    }
    json_t *value = kt_json_new(opened->kind);
    if (value) {
        json_object_set_new(value, "opens", json_true());
        json_object_set_new(value, "membership", json_integer((json_int_t)info->membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)info->generation));
        json_object_set_new(value, "keys", json_integer((json_int_t)info->n_keys));
    }
    return kt_json_print(value, err);
}
