/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/config_fields.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#define KIND_NODE          .kind = KT_CONFIG_NODE
#define KIND_NAME          .kind = KT_CONFIG_NAME
#define KIND_OWNER         .kind = KT_CONFIG_OWNER
#define KIND_RECIPIENT     .kind = KT_CONFIG_RECIPIENT
#define KIND_PATH          .kind = KT_CONFIG_PATH
#define KIND_PATH_OR_NONE  .kind = KT_CONFIG_PATH_OR_NONE
#define KIND_SOCKET        .kind = KT_CONFIG_SOCKET
#define KIND_MODE          .kind = KT_CONFIG_MODE
#define KIND_IDS           .kind = KT_CONFIG_IDS
#define KIND_COUNT(a, b)   .kind = KT_CONFIG_COUNT, .min = (a), .max = (b)
#define KIND_SECONDS(a, b) .kind = KT_CONFIG_SECONDS, .min = (a), .max = (b)
#define KIND_LISTEN        .kind = KT_CONFIG_LISTEN
#define KIND_ACCOUNT       .kind = KT_CONFIG_ACCOUNT
#define KIND_LOG_FORMAT    .kind = KT_CONFIG_LOG_FORMAT
#define KIND_LOG_LEVEL     .kind = KT_CONFIG_LOG_LEVEL

static const struct kt_config_field fields[] = {
#define KT_FIELD(name, kind_, member, default_, text) \
    {.path = (name),                                  \
     .fallback = (default_),                          \
     .doc = (text),                                   \
     .offset = offsetof(struct kt_config, member),    \
     .size = sizeof(((struct kt_config *)0)->member), \
     KIND_##kind_},
#include "keystore/config.def"
#undef KT_FIELD
};

const struct kt_config_field *kt_config_fields(size_t *ret_n)
{
    *ret_n = KT_ARRAY_LEN(fields);
    return fields;
}

size_t kt_config_group_len(const struct kt_config_field *field)
{
    const char *dot = strchr(field->path, '.');

    return dot ? (size_t)(dot - field->path) : 0;
}

const char *kt_config_field_name(const struct kt_config_field *field)
{
    const char *dot = strchr(field->path, '.');

    return dot ? dot + 1 : field->path;
}

/* Setters: text to member. */

static bool put_text(const struct kt_config_field *field, const char *text, void *member)
{
    size_t len = strlen(text);

    if (len >= field->size)
        return false;
    memcpy(member, text, len + 1);
    return true;
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool set_node(const struct kt_config_field *field, const char *text, void *member)
{
    size_t len = strlen(text);

    if (len == 0 || !is_lower_or_digit(text[0]) || !is_lower_or_digit(text[len - 1]))
        return false;
    for (size_t i = 1; i < len; i++) {
        bool good = is_lower_or_digit(text[i]) || text[i] == '-' || text[i] == '.';
        bool label_edge = (text[i] == '.' && !is_lower_or_digit(text[i - 1])) || (text[i] == '-' && text[i - 1] == '.');

        if (!good || label_edge)
            return false;
    }
    return put_text(field, text, member);
}

static bool set_name(const struct kt_config_field *field, const char *text, void *member)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return text[0] != '\0' && text[strspn(text, allowed)] == '\0' && put_text(field, text, member);
}

static bool set_owner(const struct kt_config_field *field KT_UNUSED, const char *text, void *member)
{
    return kt_hash_parse(text, member);
}

static bool set_recipient(const struct kt_config_field *field KT_UNUSED, const char *text, void *member)
{
    enum kt_recipient_kind kind = kt_recipient_kind_parse(text);

    if (kind != KT_RECIPIENT_FILE && kind != KT_RECIPIENT_TPM2)
        return false;
    *(enum kt_recipient_kind *)member = kind;
    return true;
}

static bool is_absolute(const char *text)
{
    if (text[0] != '/')
        return false;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static bool set_path(const struct kt_config_field *field, const char *text, void *member)
{
    return is_absolute(text) && put_text(field, text, member);
}

static bool set_path_or_none(const struct kt_config_field *field, const char *text, void *member)
{
    return (text[0] == '\0' || is_absolute(text)) && put_text(field, text, member);
}

/* kube-apiserver and gRPC clients read it as the path of a URI: what RFC 3986 lets stand there as it is, but for the
 * comma, at which gRPC divides a list of paths. */
static bool set_socket(const struct kt_config_field *field, const char *text, void *member)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=:@/";

    return is_absolute(text) && text[strspn(text, allowed)] == '\0' && text[strlen(text) - 1] != '/' &&
           put_text(field, text, member);
}

static bool set_mode(const struct kt_config_field *field KT_UNUSED, const char *text, void *member)
{
    mode_t mode = 0;

    if (strlen(text) != 4 || text[0] != '0' || text[strspn(text, "01234567")] != '\0')
        return false;
    for (size_t i = 1; i < 4; i++)
        mode = mode << 3 | (mode_t)(text[i] - '0');
    if (mode & ~(mode_t)0666) /* others may: the peer check decides who is answered */
        return false;
    *(mode_t *)member = mode;
    return true;
}

static bool number_parse(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    size_t len = strlen(text);

    if (len == 0 || len > 19 || (text[0] == '0' && len > 1) || text[strspn(text, "0123456789")] != '\0')
        return false;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (value > max)
        return false;
    *ret = value;
    return true;
}

static bool set_id(const struct kt_config_field *field KT_UNUSED, const char *text, void *member)
{
    struct kt_ids *ids = member;
    uint64_t id = 0;

    /* UINT32_MAX is "no change" to chown(2) and setresuid(2): never an account. */
    if (ids->n == KT_CONFIG_IDS_MAX || !number_parse(text, UINT32_MAX - 1, &id))
        return false;
    ids->ids[ids->n++] = (uint32_t)id;
    return true;
}

static bool set_count(const struct kt_config_field *field, const char *text, void *member)
{
    uint64_t value = 0;

    if (!number_parse(text, field->max, &value) || value < field->min)
        return false;
    *(uint32_t *)member = (uint32_t)value;
    return true;
}

static bool set_seconds(const struct kt_config_field *field, const char *text, void *member)
{
    uint64_t value = 0;

    if (!kt_duration_parse(text, &value) || value < field->min || value > field->max)
        return false;
    *(uint32_t *)member = (uint32_t)value;
    return true;
}

static bool is_address_and_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    char host[KT_PATH_MAX] = "";
    uint8_t address[sizeof(struct in6_addr)];
    uint64_t port = 0;
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (len == 0 || len >= sizeof(host) || !number_parse(colon + 1, UINT16_MAX, &port))
        return false;
    memcpy(host, text, len);
    if (host[0] != '[')
        return inet_pton(AF_INET, host, address) == 1;
    if (host[len - 1] != ']')
        return false;
    host[len - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, address) == 1;
}

static bool set_listen(const struct kt_config_field *field, const char *text, void *member)
{
    if (strcmp(text, "off") == 0 || is_address_and_port(text))
        return put_text(field, text, member);
    return set_socket(field, text, member);
}

static bool is_uid_and_gid(const char *text, const char *colon)
{
    char uid[16] = "";
    size_t len = (size_t)(colon - text);
    uint64_t number = 0;

    if (len >= sizeof(uid))
        return false;
    memcpy(uid, text, len);
    return number_parse(uid, UINT32_MAX - 1, &number) && number_parse(colon + 1, UINT32_MAX - 1, &number);
}

static bool set_account(const struct kt_config_field *field, const char *text, void *member)
{
    const char *colon = strchr(text, ':');

    if (text[0] == '\0')
        return put_text(field, text, member);
    if (colon)
        return is_uid_and_gid(text, colon) && put_text(field, text, member);
    return text[0] != '-' && set_name(field, text, member);
}

static bool set_log_format(const struct kt_config_field *field KT_UNUSED, const char *text, void *member)
{
    return kt_log_format_parse(text, member);
}

static bool set_log_level(const struct kt_config_field *field KT_UNUSED, const char *text, void *member)
{
    return kt_log_level_parse(text, member);
}

/* Getters: member to YAML. */

static void get_text(const void *member, struct kt_text *out)
{
    kt_text_add(out, "\"");
    for (const char *c = member; *c; c++)
        kt_text_add(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    kt_text_add(out, "\"");
}

static void get_owner(const void *member, struct kt_text *out)
{
    char text[KT_HASH_TEXT_LEN];

    kt_hash_format(member, text);
    kt_text_add(out, "%s", text);
}

static void get_recipient(const void *member, struct kt_text *out)
{
    kt_text_add(out, "%s", kt_recipient_kind_text(*(const enum kt_recipient_kind *)member));
}

static void get_mode(const void *member, struct kt_text *out)
{
    kt_text_add(out, "\"%04o\"", (unsigned)*(const mode_t *)member);
}

static void get_ids(const void *member, struct kt_text *out)
{
    const struct kt_ids *ids = member;

    kt_text_add(out, "[");
    for (size_t i = 0; i < ids->n; i++)
        kt_text_add(out, "%s%" PRIu32, i ? ", " : "", ids->ids[i]);
    kt_text_add(out, "]");
}

static void get_count(const void *member, struct kt_text *out)
{
    kt_text_add(out, "%" PRIu32, *(const uint32_t *)member);
}

static void get_seconds(const void *member, struct kt_text *out)
{
    static const struct {
        uint32_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    uint32_t value = *(const uint32_t *)member;
    size_t i = 0;

    while (value % units[i].seconds != 0)
        i++;
    kt_text_add(out, "%" PRIu32 "%c", value / units[i].seconds, units[i].unit);
}

static void get_log_format(const void *member, struct kt_text *out)
{
    kt_text_add(out, "%s", *(const enum kt_log_format *)member == KT_LOG_JSON ? "json" : "text");
}

static void get_log_level(const void *member, struct kt_text *out)
{
    static const char *const names[] = {[KT_LOG_ERROR] = "error",
                                        [KT_LOG_WARNING] = "warning",
                                        [KT_LOG_NOTICE] = "notice",
                                        [KT_LOG_INFO] = "info",
                                        [KT_LOG_DEBUG] = "debug"};

    kt_text_add(out, "%s", names[*(const enum kt_log_level *)member]);
}

static const struct {
    const char *expects;
    bool (*set)(const struct kt_config_field *field, const char *text, void *member);
    void (*get)(const void *member, struct kt_text *out);
} kinds[KT_CONFIG_KIND_COUNT] = {
    [KT_CONFIG_NODE] = {"1 to 63 of a-z, 0-9, '.' and '-' (a host name)", set_node, get_text},
    [KT_CONFIG_NAME] = {"1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-'", set_name, get_text},
    [KT_CONFIG_OWNER] = {"sha256: and 64 lower-case hex digits", set_owner, get_owner},
    [KT_CONFIG_RECIPIENT] = {"file or tpm2", set_recipient, get_recipient},
    [KT_CONFIG_PATH] = {"an absolute path", set_path, get_text},
    [KT_CONFIG_PATH_OR_NONE] = {"an absolute path, or empty", set_path_or_none, get_text},
    [KT_CONFIG_SOCKET] = {"an absolute path of at most 107 letters, digits and -._~!$&'()*+;=:@/ (clients read a URI)",
                          set_socket, get_text},
    [KT_CONFIG_MODE] = {"four octal digits in quotes without execute bits, such as \"0660\"", set_mode, get_mode},
    [KT_CONFIG_IDS] = {"at most 64 numbers of users or groups", set_id, get_ids},
    [KT_CONFIG_COUNT] = {"a whole number", set_count, get_count},
    [KT_CONFIG_SECONDS] = {"a duration such as 90s, 15m, 24h or 7d", set_seconds, get_seconds},
    [KT_CONFIG_LISTEN] = {"ADDRESS:PORT with a numeric address, a path such as kms.socket may have, or off", set_listen,
                          get_text},
    [KT_CONFIG_ACCOUNT] = {"the name of an account, uid:gid in numbers, or empty", set_account, get_text},
    [KT_CONFIG_LOG_FORMAT] = {"text or json", set_log_format, get_log_format},
    [KT_CONFIG_LOG_LEVEL] = {"error, warning, notice, info or debug", set_log_level, get_log_level},
};

bool kt_config_set(const struct kt_config_field *field, const char *text, struct kt_config *config)
{
    return kinds[field->kind].set(field, text, (uint8_t *)config + field->offset);
}

void kt_config_get(const struct kt_config_field *field, const struct kt_config *config, struct kt_text *out)
{
    kinds[field->kind].get((const uint8_t *)config + field->offset, out);
}

void kt_config_expects(const struct kt_config_field *field, char ret[KT_CONFIG_EXPECTS_MAX])
{
    const char *unit = field->kind == KT_CONFIG_SECONDS ? "s" : "";

    if (field->max == 0)
        (void)snprintf(ret, KT_CONFIG_EXPECTS_MAX, "%s", kinds[field->kind].expects);
    else
        (void)snprintf(ret, KT_CONFIG_EXPECTS_MAX, "%s, from %" PRIu64 "%s to %" PRIu64 "%s",
                       kinds[field->kind].expects, field->min, unit, field->max, unit);
}
