/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/view.h"

#include <string.h>

static json_t *time_json(uint64_t seconds)
{
    char text[KT_TIME_LEN];
    kt_time_format(seconds, text);
    return json_string(text);
}

static json_t *key_json(const struct kt_key_info *key, bool active)
{
    json_t *value =
        json_pack("{s:o,s:s,s:o,s:s,s:b}", "id", kt_json_text(key->id), "type", kt_key_type_text(key->type), "name",
                  kt_json_text(key->name), "state", kt_key_state_text(key->state), "active", active);
    if (!value)
        return NULL;
    json_object_set_new(value, "created", time_json(key->created));
    if (key->retiring_since)
        json_object_set_new(value, "retiringSince", time_json(key->retiring_since));
    if (key->superseded)
        json_object_set_new(value, "superseded", json_true());
    return value;
}

json_t *kt_view_json_keys(const struct kt_view *view)
{
    json_t *keys = json_array();
    for (size_t i = 0; keys && view->info && i < view->info->n_keys; i++) {
        const struct kt_key_info *key = &view->info->keys[i];
        bool active = view->info->enabled && key->state == KT_KEY_ACTIVE && !key->superseded;
        json_array_append_new(keys, key_json(key, active));
    }
    return keys;
}

json_t *kt_view_json_keyring(const struct kt_view *view)
{
    const struct kt_keyring_info *info = view->info;
    if (!info)
        return json_null();
    char id[2 * KT_KEYRING_ID_LEN + 1], hash[KT_HASH_TEXT_LEN], owner[KT_HASH_TEXT_LEN];
    kt_hex_encode(KT_SLICE(info->keyring_id, sizeof(info->keyring_id)), id);
    kt_hash_format(info->hash, hash);
    kt_hash_format(info->owner, owner);
    json_t *value =
        json_pack("{s:s,s:I,s:I,s:s,s:s,s:o}", "id", id, "membership", (json_int_t)info->membership, "generation",
                  (json_int_t)info->generation, "hash", hash, "owner", owner, "writer", kt_json_text(info->writer));
    json_t *recipients = json_array();
    for (size_t i = 0; recipients && i < info->n_recipients; i++)
        json_array_append_new(recipients, json_pack("{s:o,s:s}", "name", kt_json_text(info->recipients[i].name), "kind",
                                                    kt_recipient_kind_text(info->recipients[i].kind)));
    json_object_set_new(value, "written", time_json(info->written));
    json_object_set_new(value, "recipients", recipients);
    json_object_set_new(value, "archived", json_integer((json_int_t)info->n_archive));
    return value;
}

static json_t *processes_json(const Keyturn__Control__V1__Status *status)
{
    json_t *processes = json_array();
    for (size_t i = 0; processes && i < status->n_processes; i++) {
        const Keyturn__Control__V1__Process *p = status->processes[i];
        json_array_append_new(processes,
                              json_pack("{s:o,s:I,s:I,s:I}", "role", kt_json_text(p->role), "pid", (json_int_t)p->pid,
                                        "restarts", (json_int_t)p->restarts, "uid", (json_int_t)p->uid));
    }
    return processes;
}

json_t *kt_view_json_daemon(const struct kt_view *view)
{
    const Keyturn__Control__V1__Status *status = kt_view_status(view);
    if (!status)
        return json_pack("{s:b,s:i,s:s,s:o,s:[]}", "reachable", 0, "generation", 0, "keyId", "", "healthz",
                         kt_json_text(view->unreachable.message), "processes");
    json_t *value =
        json_pack("{s:b,s:I,s:o,s:o,s:o,s:o,s:b,s:o}", "reachable", 1, "generation", (json_int_t)status->generation,
                  "keyId", kt_json_text(status->key_id), "healthz", kt_json_text(status->healthz), "release",
                  kt_json_text(status->release), "memoryLocked", kt_json_text(status->memory), "singleUid",
                  status->single_uid, "metrics", kt_json_text(status->metrics));
    json_t *warnings = json_array();
    for (size_t i = 0; warnings && i < status->n_warnings; i++)
        json_array_append_new(warnings, kt_json_text(status->warnings[i]));
    json_object_set_new(value, "processes", processes_json(status));
    json_object_set_new(value, "warnings", warnings);
    if (status->disk_tested)
        json_object_set_new(
            value, "keyringOnDisk",
            json_pack("{s:b,s:o}", "opens", status->disk_ok, "message", kt_json_text(status->disk_message)));
    return value;
}
