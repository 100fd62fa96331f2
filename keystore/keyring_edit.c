/* SPDX-License-Identifier: Apache-2.0 */
/* Edits of what the key list says beside its keys; keyring_edit_keys.c has the others. */
#include "keystore/keyring_internal.h"

#include <string.h>

_Static_assert(KT_API_SERVER_MAX == KT_KEY_NAME_MAX, "kt_edit.name holds either");

static bool apply_stage(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    if (edit->stage < KT_STAGE_START || edit->stage > KT_STAGE_REENCRYPT_FINISHED)
        return kt_fail(err, KT_E_REFUSED, "expected a stage that this release knows, found number %d",
                       (int)edit->stage);
    on->draft->info.stage = edit->stage;
    return true;
}

static bool apply_enabled(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    (void)err;
    on->draft->info.enabled = edit->flag;
    return true;
}

static bool apply_strict(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    (void)err;
    on->draft->info.strict = edit->flag;
    return true;
}

static bool apply_hold(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    if (edit->number < KT_HOLD_MIN || edit->number > KT_NUMBER_MAX)
        return kt_fail(err, KT_E_REFUSED, "expected a hold of at least %u seconds, found %llu", KT_HOLD_MIN,
                       (unsigned long long)edit->number);
    on->draft->info.hold = edit->number;
    return true;
}

static size_t find_api_server(const struct kt_keyring_info *info, const char *name)
{
    size_t i = 0;
    while (i < info->n_api_servers && strcmp(info->api_servers[i], name) != 0)
        i++;
    return i;
}

static bool apply_api_server(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    if (!kt_api_server_valid(edit->name))
        return kt_fail(err, KT_E_REFUSED,
                       "expected an API server's name of 1 to %u printable ASCII characters without "
                       "spaces, found another",
                       KT_API_SERVER_MAX);
    if (find_api_server(info, edit->name) < info->n_api_servers)
        return true;
    if (info->n_api_servers == KT_API_SERVERS_MAX) {
        kt_fail(err, KT_E_REFUSED, "expected fewer than %u API servers, found so many already", KT_API_SERVERS_MAX);
        return kt_error_hint(err, "forget those that are gone: --forget-api-server ID");
    }
    memcpy(info->api_servers[info->n_api_servers++], edit->name, strlen(edit->name) + 1);
    return true;
}

static bool apply_forget_api_server(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err)
{
    struct kt_keyring_info *info = &on->draft->info;
    size_t i = find_api_server(info, edit->name);
    if (i == info->n_api_servers)
        return kt_fail(err, KT_E_REFUSED, "expected an API server that the keyring knows, found another");
    size_t after = info->n_api_servers - i - 1;
    memmove(info->api_servers[i], info->api_servers[i + 1], after * sizeof info->api_servers[0]);
    info->n_api_servers--;
    return true;
}

static const struct {
    const char *name;
    bool (*apply)(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err);
} EDITS[KT_EDIT_END] = {
    [KT_EDIT_ADD] = {"add a key", kt_edit_apply_add},
    [KT_EDIT_ACTIVATE] = {"make a key active", kt_edit_apply_activate},
    [KT_EDIT_STATE] = {"set a key's state", kt_edit_apply_state},
    [KT_EDIT_ARCHIVE] = {"archive a key", kt_edit_apply_archive},
    [KT_EDIT_RESTORE] = {"restore a key", kt_edit_apply_restore},
    [KT_EDIT_LAST] = {"move a key to the end", kt_edit_apply_last},
    [KT_EDIT_IMPORT] = {"import a key", kt_edit_apply_import},
    [KT_EDIT_STAGE] = {"set the stage", apply_stage},
    [KT_EDIT_ENABLED] = {"enable or disable", apply_enabled},
    [KT_EDIT_STRICT] = {"set strict", apply_strict},
    [KT_EDIT_HOLD] = {"set the hold", apply_hold},
    [KT_EDIT_API_SERVER] = {"remember an API server", apply_api_server},
    [KT_EDIT_FORGET_API_SERVER] = {"forget an API server", apply_forget_api_server},
};

bool kt_keyring_edit(struct kt_keyring *draft, struct kt_keyring_keys *keys, const struct kt_edit *edit,
                     const struct kt_edit_over *over, struct kt_error *err)
{
    const struct kt_edit_on on = {.draft = draft, .keys = keys, .over = over};
    size_t kind = (size_t)edit->kind;
    if (kind >= KT_ARRAY_LEN(EDITS) || !EDITS[kind].apply)
        return kt_fail(err, KT_E_REFUSED, "expected an edit that this release knows, found number %d", (int)edit->kind);
    return EDITS[kind].apply(&on, edit, err) || kt_error_prefix(err, "%s", EDITS[kind].name);
}
