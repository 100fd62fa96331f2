/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/storage_value.h"

#include "cluster/protobuf.h"

#include <ctype.h>
#include <string.h>

#define ENC_PREFIX "k8s:enc:"

static const struct {
    const char *name;
    const char *prefix;
    size_t least; /* bytes behind the name's ':' that the provider writes at the least */
} PROVIDERS[] = {
    [KT_STORAGE_PLAIN] = {.name = "plain"},
    [KT_STORAGE_AESCBC] = {.name = "aescbc", .prefix = ENC_PREFIX "aescbc:v1:", .least = 16 + 16},
    [KT_STORAGE_AESGCM] = {.name = "aesgcm", .prefix = ENC_PREFIX "aesgcm:v1:", .least = 12 + 16},
    [KT_STORAGE_SECRETBOX] = {.name = "secretbox", .prefix = ENC_PREFIX "secretbox:v1:", .least = 24 + 16},
    [KT_STORAGE_KMS_V1] = {.name = "kms-v1", .prefix = ENC_PREFIX "kms:v1:", .least = 2 + 12 + 16},
    [KT_STORAGE_KMS_V2] = {.name = "kms-v2", .prefix = ENC_PREFIX "kms:v2:", .least = 1},
    [KT_STORAGE_UNKNOWN] = {.name = "unknown"},
};

static const struct kt_slice PLAIN[] = {
    {(const uint8_t *)"k8s\0", 4},
    {(const uint8_t *)"{", 1},
    {(const uint8_t *)"\xd9\xd9\xf7", 3},
};

const char *kt_storage_provider_name(enum kt_storage_provider provider)
{
    return PROVIDERS[provider < KT_STORAGE_PROVIDERS ? provider : KT_STORAGE_UNKNOWN].name;
}

static bool starts_with(struct kt_slice value, struct kt_slice prefix)
{
    return value.len >= prefix.len && memcmp(value.data, prefix.data, prefix.len) == 0;
}

static struct kt_slice behind(struct kt_slice value, size_t n)
{
    return KT_SLICE(value.data + n, value.len - n);
}

static bool provider_has_prefix(enum kt_storage_provider provider, struct kt_slice value, struct kt_slice *ret_rest)
{
    const char *prefix = PROVIDERS[provider].prefix;
    if (!prefix || !starts_with(value, kt_slice_str(prefix)))
        return false;
    *ret_rest = behind(value, strlen(prefix));
    return true;
}

static bool name_fits(struct kt_slice rest, const char *name)
{
    size_t len = strlen(name);
    return len > 0 && rest.len > len && memcmp(rest.data, name, len) == 0 && rest.data[len] == ':';
}

bool kt_storage_value_fits(struct kt_slice value, const struct kt_storage_name *name)
{
    struct kt_slice rest;
    return name->provider < KT_STORAGE_PROVIDERS && provider_has_prefix(name->provider, value, &rest) &&
           name_fits(rest, name->name);
}

/* Of a time in a key's name, up to its first ':'. */
#define HOUR_LEN (sizeof("-2022-04-21T23") - 1)

/* The length of "-2022-04-21T23:01:02-07:00" or "...Z", if the text at `at` begins so; 0 if not. */
static size_t time_len(struct kt_slice at)
{
    static const char FORM[] = "-dddd-dd-ddTdd:dd:dd";
    static const char ZONE[] = "sdd:dd";
    size_t n = strlen(FORM);
    if (at.len <= n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (FORM[i] == 'd' ? !isdigit(at.data[i]) : at.data[i] != (uint8_t)FORM[i])
            return 0;
    if (at.data[n] == 'Z')
        return n + 1;
    if (at.len < n + strlen(ZONE))
        return 0;
    for (size_t i = 0; i < strlen(ZONE); i++) {
        uint8_t c = at.data[n + i];
        bool fits = ZONE[i] == 's' ? c == '+' || c == '-' : ZONE[i] == 'd' ? isdigit(c) : c == ':';
        if (!fits)
            return 0;
    }
    return n + strlen(ZONE);
}

/* Why nothing of that provider can stand behind the name, by its length alone; NULL: it can. */
static const char *body_problem(enum kt_storage_provider provider, struct kt_slice body)
{
    if (body.len < PROVIDERS[provider].least)
        return "it is shorter than its provider writes";
    if (provider == KT_STORAGE_AESCBC && body.len % 16 != 0)
        return "its length is not that of AES-CBC";
    if (provider == KT_STORAGE_KMS_V1 &&
        (size_t)(body.data[0] << 8 | body.data[1]) > body.len - PROVIDERS[provider].least)
        return "it is shorter than its wrapped key and its data";
    return NULL;
}

/* Where the name ends that nobody told us of: before the first ':' that the length allows, as long as what is before it
 * is text; if none is, before the first. */
static size_t guess_name_len(enum kt_storage_provider provider, struct kt_slice rest)
{
    size_t first = 0;
    for (size_t i = 0; i < rest.len && (first == 0 || isprint(rest.data[i])); i++) {
        if (rest.data[i] != ':')
            continue;
        size_t end = i >= HOUR_LEN ? i - HOUR_LEN + time_len(behind(rest, i - HOUR_LEN)) : 0;
        size_t len = end > i && end < rest.len && rest.data[end] == ':' ? end : i;
        first = first > 0 ? first : len;
        if (len > 0 && !body_problem(provider, behind(rest, len + 1)))
            return len;
        if (provider == KT_STORAGE_KMS_V2)
            break; /* kube-apiserver refuses ':' there */
    }
    return first;
}

static size_t known_name_len(enum kt_storage_provider provider, struct kt_slice rest,
                             const struct kt_storage_name *names, size_t n)
{
    size_t longest = 0;
    size_t possible = 0;
    for (size_t i = 0; i < n; i++) {
        if (names[i].provider != provider || !name_fits(rest, names[i].name))
            continue;
        size_t len = strlen(names[i].name);
        longest = len > longest ? len : longest;
        if (len > possible && !body_problem(provider, behind(rest, len + 1)))
            possible = len;
    }
    return possible > 0 ? possible : longest;
}

static void be_unknown(struct kt_storage_value *ret, const char *problem)
{
    *ret = (struct kt_storage_value){.provider = KT_STORAGE_UNKNOWN, .problem = problem};
}

/* kube-apiserver's own conditions for what it reads back: these three are not empty and not too long. */
static void read_encrypted_object(struct kt_slice message, struct kt_storage_value *ret)
{
    enum { DATA = 1, KEY_ID = 2, DEK_SOURCE = 3 };
    struct kt_reader r;
    struct kt_pb_field field;
    struct kt_slice found[DEK_SOURCE + 1] = {{.data = NULL}};
    kt_reader_init(&r, message);
    while (kt_pb_next(&r, &field)) {
        if (field.number > DEK_SOURCE)
            continue;
        if (field.type != KT_PB_BYTES) {
            be_unknown(ret, "a field of its EncryptedObject has the wrong type");
            return;
        }
        found[field.number] = field.bytes;
    }
    if (r.bad)
        be_unknown(ret, "its EncryptedObject is malformed or cut");
    else if (found[DATA].len == 0 || found[KEY_ID].len == 0 || found[DEK_SOURCE].len == 0)
        be_unknown(ret, "its EncryptedObject lacks the data, the key_id or the wrapped seed");
    else if (found[KEY_ID].len > KT_STORAGE_KEY_ID_MAX || found[DEK_SOURCE].len > KT_STORAGE_KEY_ID_MAX)
        be_unknown(ret, "its EncryptedObject has a key_id or a wrapped seed of more than 1024 bytes");
    else
        ret->key_id = found[KEY_ID];
}

static void read_encrypted(enum kt_storage_provider provider, struct kt_slice rest, const struct kt_storage_name *names,
                           size_t n, struct kt_storage_value *ret)
{
    size_t known = known_name_len(provider, rest, names, n);
    size_t len = known > 0 ? known : guess_name_len(provider, rest);
    if (len == 0) {
        be_unknown(ret, "it names no key behind the provider");
        return;
    }
    struct kt_slice body = behind(rest, len + 1);
    const char *problem = body_problem(provider, body);
    *ret = (struct kt_storage_value){.provider = provider, .name = KT_SLICE(rest.data, len), .name_known = known > 0};
    if (problem)
        be_unknown(ret, problem);
    else if (provider == KT_STORAGE_KMS_V2)
        read_encrypted_object(body, ret);
}

void kt_storage_value_read(struct kt_slice value, const struct kt_storage_name *names, size_t n,
                           struct kt_storage_value *ret)
{
    struct kt_slice rest;
    for (enum kt_storage_provider provider = 0; provider < KT_STORAGE_PROVIDERS; provider++) {
        if (!provider_has_prefix(provider, value, &rest))
            continue;
        read_encrypted(provider, rest, names, n, ret);
        return;
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(PLAIN); i++) {
        if (!starts_with(value, PLAIN[i]))
            continue;
        *ret = (struct kt_storage_value){.provider = KT_STORAGE_PLAIN};
        return;
    }
    be_unknown(ret, value.len == 0                                 ? "it is empty"
                    : starts_with(value, kt_slice_str(ENC_PREFIX)) ? "it is encrypted by a provider that is not known"
                                                                   : "it is neither encrypted nor an object");
}
