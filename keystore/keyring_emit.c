/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_internal.h"

#include <string.h>
#include <strings.h>

static void put_base64(struct kt_text *t, const uint8_t *bytes, size_t len)
{
    char text[(KT_SEALED_MAX + 2u) / 3u * 4u + 1u] = {0}; /* the longest value there is */
    kt_base64_encode(KT_SLICE(bytes, len), text);
    kt_text_add(t, "%s", text);
}

static void put_blob(struct kt_text *t, const char *label, const uint8_t *bytes, size_t len)
{
    kt_text_add(t, "%s: ", label);
    put_base64(t, bytes, len);
    kt_text_add(t, "\n");
}

static void put_hash(struct kt_text *t, const char *label, const uint8_t hash[KT_HASH_LEN])
{
    char text[KT_HASH_TEXT_LEN] = {0};
    kt_hash_format(hash, text);
    kt_text_add(t, "%s: %s\n", label, text);
}

static void put_hex(struct kt_text *t, const char *label, const uint8_t *bytes, size_t len)
{
    char text[2 * KT_HASH_LEN + 1] = {0};
    kt_hex_encode(KT_SLICE(bytes, len), text);
    kt_text_add(t, "%s: %s\n", label, text);
}

static void put_time(struct kt_text *t, const char *label, uint64_t seconds)
{
    char text[KT_TIME_LEN] = {0};
    kt_time_format(seconds, text);
    kt_text_add(t, "%s: %s\n", label, text);
}

static void put_number(struct kt_text *t, const char *label, uint64_t value)
{
    kt_text_add(t, "%s: %llu\n", label, (unsigned long long)value);
}

/* Could a YAML reader with a schema take it for something other than text? */
static bool needs_quotes(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return !strchr(letters, text[0]) || strspn(text, safe) != strlen(text);
}

static void put_text(struct kt_text *t, const char *text)
{
    if (!needs_quotes(text)) {
        kt_text_add(t, "%s\n", text);
        return;
    }
    kt_text_add(t, "\"");
    for (const char *c = text; *c; c++)
        kt_text_add(t, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    kt_text_add(t, "\"\n");
}

static void put_named(struct kt_text *t, const char *label, const char *text)
{
    kt_text_add(t, "%s: ", label);
    put_text(t, text);
}

static void put_header(struct kt_text *t, const char *kind, const uint8_t keyring_id[KT_KEYRING_ID_LEN])
{
    kt_text_add(t, "apiVersion: " KT_API_VERSION "\nkind: %s\nformat: %u\n", kind, KT_KEYRING_FORMAT);
    put_hex(t, "keyring", keyring_id, KT_KEYRING_ID_LEN);
}

void kt_membership_emit(const struct kt_keyring *draft, struct kt_text *t)
{
    const struct kt_keyring_info *info = &draft->info;
    put_header(t, "Membership", info->keyring_id);
    put_number(t, "membership", info->membership);
    kt_text_add(t, "madeOver:\n");
    put_number(t, "  generation", draft->made_over.generation);
    put_hash(t, "  hash", draft->made_over.hash);
    put_blob(t, "owner", draft->owner, KT_P256_PUBLIC);
    put_blob(t, "signer", draft->signer, KT_P256_PUBLIC);
    kt_text_add(t, "recipients:\n");
    for (size_t i = 0; i < info->n_recipients; i++) {
        put_named(t, "- name", info->recipients[i].name);
        kt_text_add(t, "  kind: %s\n", kt_recipient_kind_text(info->recipients[i].kind));
        put_blob(t, "  publicKey", draft->recipients[i], KT_P256_PUBLIC);
    }
}

static void put_list_head(const struct kt_keyring *draft, struct kt_text *t)
{
    const struct kt_keyring_info *info = &draft->info;
    put_header(t, "KeyList", draft->list_keyring_id);
    put_hash(t, "membershipHash", draft->list_membership_hash);
    put_number(t, "generation", info->generation);
    put_hash(t, "previous", draft->previous);
    put_time(t, "written", info->written);
    put_named(t, "writer", info->writer);
    kt_text_add(t, "stage: %s\n", kt_stage_text(info->stage));
    kt_text_add(t, "enabled: %s\n", info->enabled ? "true" : "false");
    kt_text_add(t, "strict: %s\n", info->strict ? "true" : "false");
    put_number(t, "hold", info->hold);
    kt_text_add(t, "apiServers:%s\n", draft->info.n_api_servers > 0 ? "" : " []");
    for (size_t i = 0; i < draft->info.n_api_servers; i++) {
        kt_text_add(t, "- ");
        put_text(t, draft->info.api_servers[i]);
    }
    put_hash(t, "auditHead", draft->info.audit_head);
    put_hex(t, "commitment", draft->commitment, KT_HASH_LEN);
}

static void put_key_head(struct kt_text *t, const char *id, const char *name, enum kt_key_type type)
{
    kt_text_add(t, "- id: %s\n", id);
    put_named(t, "  name", name);
    kt_text_add(t, "  type: %s\n", kt_key_type_text(type));
    kt_text_add(t, "  algorithm: %s\n", kt_key_type_algorithm(type));
}

static void put_key(const struct kt_keyring *draft, size_t i, struct kt_text *t)
{
    const struct kt_key_info *key = &draft->info.keys[i];
    put_key_head(t, key->id, key->name, key->type);
    kt_text_add(t, "  state: %s\n", kt_key_state_text(key->state));
    put_time(t, "  created", key->created);
    if (key->state == KT_KEY_RETIRING)
        put_time(t, "  retiringSince", key->retiring_since);
    put_blob(t, "  wrapped", draft->keys[i].bytes, draft->keys[i].len);
}

static void put_archived(const struct kt_keyring *draft, size_t i, struct kt_text *t)
{
    const struct kt_archived_info *key = &draft->info.archive[i];
    put_key_head(t, key->id, key->name, key->type);
    put_time(t, "  created", key->created);
    put_time(t, "  retired", key->retired);
    put_blob(t, "  sealed", draft->archive[i].bytes, draft->archive[i].len);
}

/* In single quotes nothing has to be escaped but those. */
static void put_line(struct kt_slice line, struct kt_text *t)
{
    kt_text_add(t, "- '");
    for (size_t i = 0; i < line.len; i++)
        kt_text_add_bytes(t, line.data[i] == '\'' ? "''" : (const char *)line.data + i, line.data[i] == '\'' ? 2 : 1);
    kt_text_add(t, "'\n");
}

static void put_audit(const struct kt_audit_tail *audit, struct kt_text *t)
{
    kt_text_add(t, "audit:%s\n", audit->n > 0 ? "" : " []");
    for (size_t i = 0; i < audit->n; i++)
        put_line(kt_audit_tail_line(audit, i), t);
}

void kt_key_list_emit(const struct kt_keyring *draft, struct kt_text *t)
{
    const struct kt_keyring_info *info = &draft->info;
    put_list_head(draft, t);
    kt_text_add(t, "keys:%s\n", info->n_keys > 0 ? "" : " []");
    for (size_t i = 0; i < info->n_keys; i++)
        put_key(draft, i, t);
    put_blob(t, "signerKey", draft->signer_key.bytes, draft->signer_key.len);
    put_blob(t, "statusKey", draft->status_key.bytes, draft->status_key.len);
    kt_text_add(t, "archive:%s\n", info->n_archive > 0 ? "" : " []");
    for (size_t i = 0; i < info->n_archive; i++)
        put_archived(draft, i, t);
    kt_text_add(t, "wraps:\n");
    for (size_t i = 0; i < draft->n_wraps; i++) {
        put_named(t, "- recipient", draft->wrap_names[i]);
        put_blob(t, "  wrapped", draft->wraps[i], KT_WRAP_LEN);
    }
    put_audit(&draft->audit, t);
}

void kt_signatures_emit(const struct kt_signatures *signatures, struct kt_text *t)
{
    kt_text_add(t, "apiVersion: " KT_API_VERSION "\nkind: KeyringSignatures\nowners:\n");
    for (size_t i = 0; i < signatures->n_owners; i++) {
        kt_text_add(t, "- ");
        put_base64(t, signatures->owners[i], KT_P256_PUBLIC);
        if (i > 0) {
            kt_text_add(t, " ");
            put_base64(t, signatures->links[i], KT_SIGNATURE_LEN);
        }
        kt_text_add(t, "\n");
    }
    put_blob(t, "membership", signatures->membership, KT_SIGNATURE_LEN);
    put_blob(t, "keyList", signatures->list, KT_SIGNATURE_LEN);
}
