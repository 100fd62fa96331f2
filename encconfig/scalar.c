/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/scalar.h"

#include "base/printable.h"
#include "encconfig/scalar_parts.h"

#include <math.h>
#include <string.h>

#define TAG(name) "tag:yaml.org,2002:" name

static const struct {
    const char *word;
    enum kt_scalar_kind kind;
} words[] = {
    {"", KT_SCALAR_NULL},     {"~", KT_SCALAR_NULL},     {"null", KT_SCALAR_NULL},  {"Null", KT_SCALAR_NULL},
    {"NULL", KT_SCALAR_NULL}, {"y", KT_SCALAR_BOOL},     {"Y", KT_SCALAR_BOOL},     {"yes", KT_SCALAR_BOOL},
    {"Yes", KT_SCALAR_BOOL},  {"YES", KT_SCALAR_BOOL},   {"true", KT_SCALAR_BOOL},  {"True", KT_SCALAR_BOOL},
    {"TRUE", KT_SCALAR_BOOL}, {"on", KT_SCALAR_BOOL},    {"On", KT_SCALAR_BOOL},    {"ON", KT_SCALAR_BOOL},
    {"n", KT_SCALAR_BOOL},    {"N", KT_SCALAR_BOOL},     {"no", KT_SCALAR_BOOL},    {"No", KT_SCALAR_BOOL},
    {"NO", KT_SCALAR_BOOL},   {"false", KT_SCALAR_BOOL}, {"False", KT_SCALAR_BOOL}, {"FALSE", KT_SCALAR_BOOL},
    {"off", KT_SCALAR_BOOL},  {"Off", KT_SCALAR_BOOL},   {"OFF", KT_SCALAR_BOOL},
};

/* Not a number, or one without end: YAML has them, JSON does not. */
static const char *const endless[] = {
    ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
};

/* What a content is by its looks alone. */
enum looks { LOOKS_NULL, LOOKS_BOOL, LOOKS_INT, LOOKS_UINT, LOOKS_FLOAT, LOOKS_ENDLESS, LOOKS_TEXT };

static bool equal(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

static bool find_word(const char *text, size_t len, enum looks *ret)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++)
        if (equal(text, len, words[i].word)) {
            *ret = words[i].kind == KT_SCALAR_NULL ? LOOKS_NULL : LOOKS_BOOL;
            return true;
        }
    for (size_t i = 0; i < KT_ARRAY_LEN(endless); i++)
        if (equal(text, len, endless[i])) {
            *ret = LOOKS_ENDLESS;
            return true;
        }
    return false;
}

static void set_number(struct kt_scalar *ret, double value)
{
    ret->is_int32 = value >= INT32_MIN && value <= INT32_MAX && value == (double)(int32_t)value;
    ret->number = ret->is_int32 ? (int32_t)value : 0;
}

static enum looks look_at_float(const char *text, struct kt_scalar *ret)
{
    double value = strtod(text, NULL);
    if (isinf(value)) /* beyond what a number can be: go-yaml leaves it a text */
        return LOOKS_TEXT;
    set_number(ret, value);
    return LOOKS_FLOAT;
}

/* plain: the text without underscores. */
static enum looks look_at_number(const char *text, size_t len, const char *plain, struct kt_scalar *ret)
{
    int64_t value = 0;
    if (text[0] == '.')
        return kt_scalar_is_point_float(text, len) ? look_at_float(plain, ret) : LOOKS_TEXT;
    if (kt_scalar_is_uint(plain)) /* beyond int64 */
        return LOOKS_UINT;
    if (kt_scalar_int(plain, &value)) {
        ret->is_int32 = value >= INT32_MIN && value <= INT32_MAX;
        ret->number = ret->is_int32 ? (int32_t)value : 0;
        return LOOKS_INT;
    }
    return kt_scalar_is_yaml_float(plain) ? look_at_float(plain, ret) : LOOKS_TEXT;
}

static bool look_at(const char *text, size_t len, struct kt_pool *pool, struct kt_scalar *ret, enum looks *ret_looks)
{
    if (find_word(text, len, ret_looks))
        return true;
    *ret_looks = LOOKS_TEXT;
    if (!strchr("+-.0123456789", text[0]) || memchr(text, '\0', len))
        return true;
    char *plain = kt_pool_alloc(pool, len + 1);
    if (!plain)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i] != '_')
            plain[n++] = text[i];
    *ret_looks = look_at_number(text, len, plain, ret);
    return true;
}

/* Tags by which go-yaml judges; with any other, a scalar is text. */
static const struct {
    const char *tag;
    unsigned takes; /* which looks */
} tags[] = {
    {TAG("null"), 1u << LOOKS_NULL},
    {TAG("bool"), 1u << LOOKS_BOOL},
    {TAG("int"), 1u << LOOKS_INT | 1u << LOOKS_UINT},
    {TAG("float"), 1u << LOOKS_INT | 1u << LOOKS_FLOAT | 1u << LOOKS_ENDLESS},
};

static bool set_looks(struct kt_scalar *ret, enum looks looks, const char **ret_problem)
{
    static const enum kt_scalar_kind kinds[] = {
        [LOOKS_NULL] = KT_SCALAR_NULL,   [LOOKS_BOOL] = KT_SCALAR_BOOL,    [LOOKS_INT] = KT_SCALAR_NUMBER,
        [LOOKS_UINT] = KT_SCALAR_NUMBER, [LOOKS_FLOAT] = KT_SCALAR_NUMBER, [LOOKS_TEXT] = KT_SCALAR_TEXT,
    };
    *ret_problem = "expected a number that JSON can hold, found one without end";
    if (looks == LOOKS_ENDLESS)
        return false;
    ret->kind = kinds[looks];
    return true;
}

static void put_replacement(uint8_t *at, size_t *len)
{
    static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};
    memcpy(at + *len, replacement, sizeof(replacement));
    *len += sizeof(replacement);
}

/* !!binary: what the base64 holds, and for each byte that is no UTF-8 what JSON has in its place. */
static bool set_binary(const struct kt_source_node *node, struct kt_pool *pool, struct kt_scalar *ret,
                       const char **ret_problem)
{
    uint8_t *bytes = kt_pool_alloc(pool, node->len + 1);
    uint8_t *text = kt_pool_alloc(pool, 3 * node->len + 1);
    size_t len = 0;
    *ret_problem = NULL;
    if (!bytes || !text)
        return false;
    *ret_problem = "expected base64 behind the tag !!binary";
    if (!kt_scalar_base64(node->text, node->len, bytes, &len))
        return false;
    ret->len = 0;
    for (size_t i = 0; i < len;) {
        uint32_t character = 0;
        size_t width = kt_utf8_decode((const char *)bytes + i, &character);
        if (character == KT_NOT_UTF8) {
            put_replacement(text, &ret->len);
        } else {
            memcpy(text + ret->len, bytes + i, width);
            ret->len += width;
        }
        i += width;
    }
    ret->kind = KT_SCALAR_TEXT;
    ret->text = (const char *)text;
    return true;
}

static bool set_tagged(const struct kt_source_node *node, struct kt_pool *pool, struct kt_scalar *ret,
                       const char **ret_problem)
{
    if (strcmp(node->tag, TAG("binary")) == 0)
        return set_binary(node, pool, ret, ret_problem);
    *ret_problem = "expected a value that its tag fits";
    if (strcmp(node->tag, TAG("timestamp")) == 0)
        return kt_scalar_is_timestamp(node->text, node->len);
    for (size_t i = 0; i < KT_ARRAY_LEN(tags); i++) {
        enum looks looks = LOOKS_TEXT;
        if (strcmp(node->tag, tags[i].tag) != 0)
            continue;
        if (!look_at(node->text, node->len, pool, ret, &looks)) {
            *ret_problem = NULL;
            return false;
        }
        return (tags[i].takes & 1u << looks) && set_looks(ret, looks, ret_problem);
    }
    return true;
}

static bool set_json(const struct kt_source_node *node, struct kt_scalar *ret)
{
    if (!node->implicit)
        return true;
    ret->kind = KT_SCALAR_NUMBER;
    if (node->text[0] == 'n')
        ret->kind = KT_SCALAR_NULL;
    else if (node->text[0] == 't' || node->text[0] == 'f')
        ret->kind = KT_SCALAR_BOOL;
    else if (!strpbrk(node->text, ".eE"))
        set_number(ret, strtod(node->text, NULL));
    return true;
}

bool kt_scalar_resolve(const struct kt_source_node *node, bool is_json, struct kt_pool *pool, struct kt_scalar *ret,
                       const char **ret_problem)
{
    struct kt_scalar scalar = {.kind = KT_SCALAR_TEXT, .text = node->text, .len = node->len};
    enum looks looks = LOOKS_TEXT;
    bool done = true;
    *ret_problem = NULL;
    if (is_json)
        done = set_json(node, &scalar);
    else if (node->tag)
        done = set_tagged(node, pool, &scalar, ret_problem);
    else if (node->implicit)
        done = look_at(node->text, node->len, pool, &scalar, &looks) && set_looks(&scalar, looks, ret_problem);
    if (done)
        *ret = scalar;
    return done;
}
