/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_fields.h"
#include "keystore/keyring_internal.h"

#include <string.h>

#define AT(type, member) offsetof(struct type, member)

/* What to say about a document of another version comes before what to say about its fields. */
static bool check_header(const struct kt_yaml *yaml, const char *part, const char *kind, struct kt_error *err)
{
    const struct kt_yaml_node *root = kt_yaml_root(yaml);
    const struct kt_yaml_node *node = kt_yaml_need(yaml, root, "apiVersion", err);
    const char *text = NULL;
    uint64_t format = 0;
    if (!node || !kt_yaml_text(yaml, node, 64, &text, err))
        return false;
    if (strcmp(text, KT_API_VERSION) != 0) {
        kt_fail(err, KT_E_KEYRING_VERSION, "keyring, %s: expected apiVersion " KT_API_VERSION ", found another", part);
        return kt_error_hint(err, "a newer keyturn wrote this keyring: install that release on this node");
    }
    node = kt_yaml_need(yaml, root, "kind", err);
    if (!node || !kt_yaml_text(yaml, node, 64, &text, err))
        return false;
    if (strcmp(text, kind) != 0)
        return kt_yaml_fail(yaml, node, err, "expected kind %s, found another", kind);
    node = kt_yaml_need(yaml, root, "format", err);
    if (!node || !kt_yaml_u64(yaml, node, KT_NUMBER_MAX, &format, err))
        return false;
    if (format == KT_KEYRING_FORMAT)
        return true;
    kt_fail(err, KT_E_KEYRING_VERSION, "keyring, %s: expected format %u, found format %llu", part, KT_KEYRING_FORMAT,
            (unsigned long long)format);
    return kt_error_hint(err, "a newer keyturn wrote this keyring: install that release on this node");
}

static bool count_items(const struct kt_field_at *at, size_t max, size_t *ret, struct kt_error *err)
{
    return kt_yaml_items(at->yaml, at->node, max, ret, err);
}

static bool read_made_over(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    static const struct kt_field fields[] = {
        {.name = "generation", .read = kt_field_u64, .offset = AT(kt_made_over, generation), .max = KT_NUMBER_MAX},
        {.name = "hash", .read = kt_field_hash, .offset = AT(kt_made_over, hash)},
    };
    return kt_fields_read(at->yaml, at->node, fields, KT_ARRAY_LEN(fields), out, err);
}

struct recipient_item {
    struct kt_recipient_info info;
    uint8_t public_key[KT_P256_PUBLIC];
};

static bool read_recipients(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    static const struct kt_field fields[] = {
        {.name = "name", .read = kt_field_text, .offset = AT(recipient_item, info.name), .max = KT_NAME_MAX},
        {.name = "kind", .read = kt_field_recipient_kind, .offset = AT(recipient_item, info.kind)},
        {.name = "publicKey", .read = kt_field_public, .offset = AT(recipient_item, public_key)},
    };
    struct kt_keyring *keyring = out;
    if (!count_items(at, KT_RECIPIENTS_MAX, &keyring->info.n_recipients, err))
        return false;
    for (size_t i = 0; i < keyring->info.n_recipients; i++) {
        struct recipient_item item = {0};
        if (!kt_fields_read(at->yaml, kt_yaml_item(at->node, i), fields, KT_ARRAY_LEN(fields), &item, err))
            return false;
        keyring->info.recipients[i] = item.info;
        memcpy(keyring->recipients[i], item.public_key, KT_P256_PUBLIC);
    }
    return true;
}

static const struct kt_field MEMBERSHIP[] = {
    {.name = "apiVersion", .read = kt_field_skip},
    {.name = "kind", .read = kt_field_skip},
    {.name = "format", .read = kt_field_skip},
    {.name = "keyring", .read = kt_field_hex16, .offset = AT(kt_keyring, info.keyring_id)},
    {.name = "membership",
     .read = kt_field_u64,
     .offset = AT(kt_keyring, info.membership),
     .min = 1,
     .max = KT_NUMBER_MAX},
    {.name = "madeOver", .read = read_made_over, .offset = AT(kt_keyring, made_over)},
    {.name = "owner", .read = kt_field_public, .offset = AT(kt_keyring, owner)},
    {.name = "signer", .read = kt_field_public, .offset = AT(kt_keyring, signer)},
    {.name = "recipients", .read = read_recipients},
};

struct key_item {
    struct kt_key_info info;
    char algorithm[KT_NAME_MAX + 1];
    struct kt_wrapped wrapped;
};

#define NO_TIME UINT64_MAX

static bool check_algorithm(const struct kt_field_at *at, const struct kt_yaml_node *item, enum kt_key_type type,
                            const char *algorithm, struct kt_error *err)
{
    if (strcmp(algorithm, kt_key_type_algorithm(type)) == 0)
        return true;
    return kt_yaml_fail(at->yaml, kt_yaml_get(item, "algorithm"), err,
                        "algorithm: expected %s, the only one of type %s, found another", kt_key_type_algorithm(type),
                        kt_key_type_text(type));
}

static bool check_key_item(const struct kt_field_at *at, const struct kt_yaml_node *node, struct key_item *item,
                           struct kt_error *err)
{
    bool has_since = item->info.retiring_since != NO_TIME;
    if (!check_algorithm(at, node, item->info.type, item->algorithm, err))
        return false;
    if (has_since && item->info.state != KT_KEY_RETIRING)
        return kt_yaml_fail(at->yaml, kt_yaml_get(node, "retiringSince"), err,
                            "retiringSince: expected only where state is retiring, found it where state is %s",
                            kt_key_state_text(item->info.state));
    if (!has_since && item->info.state == KT_KEY_RETIRING)
        return kt_yaml_fail(at->yaml, kt_yaml_get(node, "state"), err,
                            "state: expected retiringSince beside the state retiring, found none");
    if (!has_since)
        item->info.retiring_since = 0;
    return true;
}

static bool read_keys(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    static const struct kt_field fields[] = {
        {.name = "id", .read = kt_field_id, .offset = AT(key_item, info.id)},
        {.name = "name", .read = kt_field_text, .offset = AT(key_item, info.name), .max = KT_KEY_NAME_MAX},
        {.name = "type", .read = kt_field_key_type, .offset = AT(key_item, info.type)},
        {.name = "algorithm", .read = kt_field_text, .offset = AT(key_item, algorithm), .max = KT_NAME_MAX},
        {.name = "state", .read = kt_field_key_state, .offset = AT(key_item, info.state)},
        {.name = "created", .read = kt_field_time, .offset = AT(key_item, info.created)},
        {.name = "retiringSince", .read = kt_field_time, .offset = AT(key_item, info.retiring_since), .optional = true},
        {.name = "wrapped", .read = kt_field_wrapped, .offset = AT(key_item, wrapped)},
    };
    struct kt_keyring *keyring = out;
    if (!count_items(at, KT_KEYS_MAX, &keyring->info.n_keys, err))
        return false;
    for (size_t i = 0; i < keyring->info.n_keys; i++) {
        const struct kt_yaml_node *node = kt_yaml_item(at->node, i);
        struct key_item item = {.info.retiring_since = NO_TIME};
        if (!kt_fields_read(at->yaml, node, fields, KT_ARRAY_LEN(fields), &item, err) ||
            !check_key_item(at, node, &item, err))
            return false;
        keyring->info.keys[i] = item.info;
        keyring->keys[i] = item.wrapped;
    }
    return true;
}

struct archive_item {
    struct kt_archived_info info;
    char algorithm[KT_NAME_MAX + 1];
    struct kt_sealed sealed;
};

static bool read_archive(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    static const struct kt_field fields[] = {
        {.name = "id", .read = kt_field_id, .offset = AT(archive_item, info.id)},
        {.name = "name", .read = kt_field_text, .offset = AT(archive_item, info.name), .max = KT_KEY_NAME_MAX},
        {.name = "type", .read = kt_field_key_type, .offset = AT(archive_item, info.type)},
        {.name = "algorithm", .read = kt_field_text, .offset = AT(archive_item, algorithm), .max = KT_NAME_MAX},
        {.name = "created", .read = kt_field_time, .offset = AT(archive_item, info.created)},
        {.name = "retired", .read = kt_field_time, .offset = AT(archive_item, info.retired)},
        {.name = "sealed", .read = kt_field_sealed, .offset = AT(archive_item, sealed)},
    };
    struct kt_keyring *keyring = out;
    if (!count_items(at, KT_ARCHIVE_MAX, &keyring->info.n_archive, err))
        return false;
    for (size_t i = 0; i < keyring->info.n_archive; i++) {
        const struct kt_yaml_node *node = kt_yaml_item(at->node, i);
        struct archive_item item = {0};
        if (!kt_fields_read(at->yaml, node, fields, KT_ARRAY_LEN(fields), &item, err) ||
            !check_algorithm(at, node, item.info.type, item.algorithm, err))
            return false;
        keyring->info.archive[i] = item.info;
        keyring->archive[i] = item.sealed;
    }
    return true;
}

struct wrap_item {
    char recipient[KT_NAME_MAX + 1];
    uint8_t wrapped[KT_WRAP_LEN];
};

static bool read_wraps(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    static const struct kt_field fields[] = {
        {.name = "recipient", .read = kt_field_text, .offset = AT(wrap_item, recipient), .max = KT_NAME_MAX},
        {.name = "wrapped", .read = kt_field_wrap, .offset = AT(wrap_item, wrapped)},
    };
    struct kt_keyring *keyring = out;
    if (!count_items(at, KT_RECIPIENTS_MAX, &keyring->n_wraps, err))
        return false;
    for (size_t i = 0; i < keyring->n_wraps; i++) {
        struct wrap_item item = {0};
        if (!kt_fields_read(at->yaml, kt_yaml_item(at->node, i), fields, KT_ARRAY_LEN(fields), &item, err))
            return false;
        memcpy(keyring->wrap_names[i], item.recipient, sizeof item.recipient);
        memcpy(keyring->wraps[i], item.wrapped, sizeof item.wrapped);
    }
    return true;
}

static bool read_api_servers(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    struct kt_keyring *keyring = out;
    if (!count_items(at, KT_API_SERVERS_MAX, &keyring->info.n_api_servers, err))
        return false;
    for (size_t i = 0; i < keyring->info.n_api_servers; i++) {
        const struct kt_yaml_node *node = kt_yaml_item(at->node, i);
        const char *text = NULL;
        if (!kt_yaml_text(at->yaml, node, KT_API_SERVER_MAX, &text, err))
            return false;
        memcpy(keyring->info.api_servers[i], text, strlen(text) + 1);
    }
    return true;
}

/* One that is too much would push out what came before it. */
static bool read_audit(const struct kt_field_at *at, void *out, struct kt_error *err)
{
    struct kt_keyring *keyring = out;
    size_t n = 0;
    if (!count_items(at, KT_AUDIT_LINES_MAX, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct kt_yaml_node *node = kt_yaml_item(at->node, i);
        const char *text = NULL;
        if (!kt_yaml_text(at->yaml, node, KT_AUDIT_LINE_MAX, &text, err))
            return false;
        if (!kt_audit_tail_add(&keyring->audit, kt_slice_str(text)) || keyring->audit.n != i + 1)
            return kt_yaml_fail(at->yaml, node, err,
                                "audit: expected lines of 1 to %u bytes, and %u together, found more or an empty one",
                                KT_AUDIT_LINE_MAX, KT_AUDIT_TAIL_MAX);
    }
    return true;
}

static const struct kt_field KEY_LIST[] = {
    {.name = "apiVersion", .read = kt_field_skip},
    {.name = "kind", .read = kt_field_skip},
    {.name = "format", .read = kt_field_skip},
    {.name = "keyring", .read = kt_field_hex16, .offset = AT(kt_keyring, list_keyring_id)},
    {.name = "membershipHash", .read = kt_field_hash, .offset = AT(kt_keyring, list_membership_hash)},
    {.name = "generation",
     .read = kt_field_u64,
     .offset = AT(kt_keyring, info.generation),
     .min = 1,
     .max = KT_NUMBER_MAX},
    {.name = "previous", .read = kt_field_hash, .offset = AT(kt_keyring, previous)},
    {.name = "written", .read = kt_field_time, .offset = AT(kt_keyring, info.written)},
    {.name = "writer", .read = kt_field_text, .offset = AT(kt_keyring, info.writer), .max = KT_NAME_MAX},
    {.name = "stage", .read = kt_field_stage, .offset = AT(kt_keyring, info.stage)},
    {.name = "enabled", .read = kt_field_bool, .offset = AT(kt_keyring, info.enabled)},
    {.name = "strict", .read = kt_field_bool, .offset = AT(kt_keyring, info.strict)},
    {.name = "hold",
     .read = kt_field_u64,
     .offset = AT(kt_keyring, info.hold),
     .min = KT_HOLD_MIN,
     .max = KT_NUMBER_MAX},
    {.name = "apiServers", .read = read_api_servers},
    {.name = "auditHead", .read = kt_field_hash, .offset = AT(kt_keyring, info.audit_head)},
    {.name = "commitment", .read = kt_field_hex32, .offset = AT(kt_keyring, commitment)},
    {.name = "keys", .read = read_keys},
    {.name = "signerKey", .read = kt_field_wrapped, .offset = AT(kt_keyring, signer_key)},
    {.name = "statusKey", .read = kt_field_wrapped, .offset = AT(kt_keyring, status_key)},
    {.name = "archive", .read = read_archive},
    {.name = "wraps", .read = read_wraps},
    {.name = "audit", .read = read_audit, .optional = true},
};

bool kt_membership_parse(struct kt_slice part, struct kt_keyring *keyring, struct kt_error *err)
{
    KT_CLEANUP(kt_yaml_free_p)
    struct kt_yaml *yaml = kt_yaml_parse(part, "keyring, part 1", KT_E_KEYRING_CONTENT, err);
    return yaml && check_header(yaml, "part 1", "Membership", err) &&
           kt_fields_read(yaml, kt_yaml_root(yaml), MEMBERSHIP, KT_ARRAY_LEN(MEMBERSHIP), keyring, err) &&
           kt_membership_check(keyring, err);
}

bool kt_key_list_parse(struct kt_slice part, struct kt_keyring *keyring, struct kt_error *err)
{
    KT_CLEANUP(kt_yaml_free_p)
    struct kt_yaml *yaml = kt_yaml_parse(part, "keyring, part 2", KT_E_KEYRING_CONTENT, err);
    return yaml && check_header(yaml, "part 2", "KeyList", err) &&
           kt_fields_read(yaml, kt_yaml_root(yaml), KEY_LIST, KT_ARRAY_LEN(KEY_LIST), keyring, err) &&
           kt_key_list_check(keyring, err);
}
