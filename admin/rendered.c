/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/rendered.h"

#include "admin/opener_local.h"
#include "encconfig/render.h"
#include "keystore/state_dir.h"

#include <string.h>

void kt_rendered_done(struct kt_rendered *rendered)
{
    kt_secret_free(rendered->text);
    *rendered = (struct kt_rendered){.text = NULL};
}

static enum kt_encconfig_fresh_kind kind_of(enum kt_key_type type)
{
    static const enum kt_encconfig_fresh_kind kinds[] = {
        [KT_KEY_KMS] = KT_FRESH_KMS,
        [KT_KEY_AESCBC] = KT_FRESH_AESCBC,
        [KT_KEY_AESGCM] = KT_FRESH_AESGCM,
        [KT_KEY_SECRETBOX] = KT_FRESH_SECRETBOX,
    };
    return kinds[type];
}

static bool has_inline(const struct kt_keyring_info *info)
{
    for (size_t i = 0; i < info->n_keys; i++) {
        if (info->keys[i].type != KT_KEY_KMS)
            return true;
    }
    return false;
}

static bool read_state(const struct kt_config *config, struct kt_state *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_view(config->state_dir, err);
    if (!dir || !kt_state_dir_read(dir, ret, err))
        return false;
    if (ret->n_left_out == 0)
        return true;
    (void)kt_error_copy(err, &ret->left_out);
    return kt_error_prefix(err, "a superseded keyring cannot be read, and some key of it may be needed");
}

/* Without a private half as long as nothing but it could tell more. */
static bool open_keys(const struct kt_config *config, const struct kt_state *state, struct kt_opener_answer *ret,
                      struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer described = {.info = NULL};
    struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE, .offered = kt_bytes_view(&state->current)};
    if (state->current.data && !kt_opener_local(config, config->path, &request, &described, err))
        return false;
    if (described.info && !has_inline(described.info) && state->n_superseded == 0) {
        *ret = described;
        described = (struct kt_opener_answer){.info = NULL};
        return true;
    }
    kt_state_request(state, (struct kt_slice){.data = NULL}, &request);
    request.op = KT_OPENER_RENDER;
    return kt_opener_local(config, config->path, &request, ret, err);
}

static bool render(const struct kt_config *config, enum kt_rendered_as as, const struct kt_opener_answer *answer,
                   struct kt_rendered *ret, struct kt_error *err)
{
    const struct kt_keyring_info *info = answer->info;
    struct kt_encconfig_fresh_key keys[2 * KT_KEYS_MAX];
    for (size_t i = 0; i < info->n_keys; i++)
        keys[i] = (struct kt_encconfig_fresh_key){
            .kind = kind_of(info->keys[i].type), .name = info->keys[i].name, .bytes = answer->keys[i]};
    const struct kt_encconfig_fresh fresh = {
        .provider = config->provider,
        .kms_socket = config->kms_socket,
        .keys = keys,
        .n_keys = info->n_keys,
        .enabled = info->enabled && as != KT_RENDERED_PLAIN_FIRST,
        .strict = info->strict && as != KT_RENDERED_PLAIN_FIRST,
        .masked = as == KT_RENDERED_MASKED,
    };
    ret->text = kt_encconfig_render(&fresh, err);
    ret->has_keys = has_inline(info);
    ret->membership = info->membership;
    ret->generation = info->generation;
    memcpy(ret->notes, answer->notes, sizeof(ret->notes));
    ret->n_notes = answer->n_notes;
    return ret->text != NULL;
}

bool kt_rendered_keys(const struct kt_config *config, struct kt_opener_answer *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_state *state = calloc(1, sizeof(*state));
    if (!state)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!read_state(config, state, err))
        return false;
    bool opened = open_keys(config, state, ret, err);
    kt_state_done(state);
    if (opened && !ret->info)
        return kt_fail(err, KT_E_INTERNAL, "the opener said nothing of the keyring");
    return opened;
}

bool kt_rendered_get(const struct kt_config *config, enum kt_rendered_as as, struct kt_rendered *ret,
                     struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    *ret = (struct kt_rendered){.text = NULL};
    return kt_rendered_keys(config, &answer, err) && answer.info && render(config, as, &answer, ret, err);
}
