/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 8259 as Go's encoding/json has it; nothing recurses. */
#include "base/printable.h"
#include "encconfig/source_tree.h"

#include <string.h>

enum state { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_COMMA_OR_END };

struct json {
    struct kt_source_builder *b;
    const uint8_t *text; /* NUL-terminated */
    size_t at;
    size_t colon; /* before the value that comes; KT_SOURCE_NONE: no colon */
    struct kt_error *err;
};

static bool fail(const struct json *j, const char *problem)
{
    return kt_source_fail(j->b, j->at, j->err, problem);
}

static void skip_space(struct json *j)
{
    while (j->text[j->at] == ' ' || j->text[j->at] == '\t' || j->text[j->at] == '\n' || j->text[j->at] == '\r')
        j->at++;
}

static int hex4(const uint8_t *text)
{
    int value = 0;
    for (size_t i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        char c = (char)(text[i] | (text[i] >= 'A' && text[i] <= 'F' ? 0x20 : 0));
        const char *digit = c ? strchr(digits, c) : NULL;
        if (!digit)
            return -1;
        value = value * 16 + (int)(digit - digits);
    }
    return value;
}

/* \u and its four digits, of which libraries of Go take a lone surrogate for U+FFFD. */
static uint32_t take_escape(struct json *j)
{
    uint32_t c = (uint32_t)hex4(j->text + j->at + 2);
    j->at += 6;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    int low = j->text[j->at] == '\\' && j->text[j->at + 1] == 'u' ? hex4(j->text + j->at + 2) : -1;
    if (c > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return KT_REPLACEMENT;
    j->at += 6;
    return 0x10000 + ((c & 0x3ff) << 10) + ((uint32_t)low & 0x3ff);
}

/* Finds the closing quote; nothing is decoded yet. */
static bool check_string(const struct json *j, size_t *ret_end)
{
    struct json look = *j;
    for (look.at++; look.text[look.at] != '"'; look.at++) {
        if (look.text[look.at] < 0x20)
            return fail(&look, look.at < j->b->source->text_len
                                   ? "expected a string's closing quote, found a control character"
                                   : "expected a string's closing quote, found the end of the file");
        if (look.text[look.at] != '\\')
            continue;
        look.at++;
        if (look.text[look.at] == '\0' || !strchr("\"\\/bfnrtu", look.text[look.at]))
            return fail(&look, "expected an escape of JSON behind \\, found another character");
        if (look.text[look.at] == 'u' && hex4(look.text + look.at + 1) < 0)
            return fail(&look, "expected four hexadecimal digits behind \\u");
    }
    *ret_end = look.at;
    return true;
}

static uint32_t take_character(struct json *j)
{
    static const char escapes[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    uint32_t c = 0;
    if (j->text[j->at] != '\\') {
        j->at += kt_utf8_decode((const char *)j->text + j->at, &c);
        return c == KT_NOT_UTF8 ? KT_REPLACEMENT : c;
    }
    if (j->text[j->at + 1] == 'u')
        return take_escape(j);
    c = j->text[j->at + 1];
    j->at += 2;
    const char *escape = strchr(escapes, (char)c);
    return escape ? (uint8_t)meanings[escape - escapes] : c;
}

static bool take_string(struct json *j)
{
    size_t start = j->at;
    size_t end = 0;
    if (!check_string(j, &end))
        return false;
    struct kt_source_node *node =
        kt_source_add(j->b, KT_SOURCE_SCALAR, (struct kt_span){.start = start, .end = end + 1}, j->err);
    if (!node)
        return false;
    /* A byte that is no UTF-8 becomes a character of three. */
    uint8_t *text = kt_pool_alloc(&j->b->source->pool, (end - start) * 3 + 1);
    if (!text)
        return kt_fail(j->err, KT_E_NOMEM, "out of memory");
    for (j->at++; j->at < end;)
        node->len += kt_source_put_utf8(text + node->len, take_character(j));
    j->at = end + 1;
    node->text = (const char *)text;
    node->style = KT_SOURCE_DOUBLE;
    node->lead = j->colon;
    return true;
}

static size_t digits(const struct json *j, size_t at)
{
    while (j->text[at] >= '0' && j->text[at] <= '9')
        at++;
    return at;
}

/* Where the number ends that starts there; 0: there is none. */
static size_t number_end(const struct json *j)
{
    size_t at = j->at + (j->text[j->at] == '-');
    size_t end = j->text[at] == '0' ? at + 1 : digits(j, at);
    if (end == at)
        return 0;
    if (j->text[end] == '.') {
        at = end + 1;
        end = digits(j, at);
        if (end == at)
            return 0;
    }
    if (j->text[end] == 'e' || j->text[end] == 'E') {
        at = end + 1;
        at += j->text[at] == '-' || j->text[at] == '+';
        end = digits(j, at);
        if (end == at)
            return 0;
    }
    return end;
}

static size_t literal_end(const struct json *j)
{
    static const char *const words[] = {"true", "false", "null"};
    const char *here = (const char *)j->text + j->at;
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++)
        if (strncmp(here, words[i], strlen(words[i])) == 0)
            return j->at + strlen(words[i]);
    return number_end(j);
}

static bool take_literal(struct json *j)
{
    struct kt_span span = {.start = j->at, .end = literal_end(j)};
    if (span.end == 0)
        return fail(j, "expected a value of JSON");
    struct kt_source_node *node = kt_source_add(j->b, KT_SOURCE_SCALAR, span, j->err);
    if (!node)
        return false;
    node->implicit = true;
    node->lead = j->colon;
    node->len = span.end - span.start;
    node->text = kt_pool_copy(&j->b->source->pool, j->text + span.start, node->len);
    j->at = span.end;
    return node->text || kt_fail(j->err, KT_E_NOMEM, "out of memory");
}

static bool take_start(struct json *j, enum kt_source_kind kind)
{
    struct kt_span span = {.start = j->at, .end = j->at + 1};
    struct kt_source_node *node = kt_source_add(j->b, kind, span, j->err);
    if (!node || !kt_source_open(j->b, node, j->err))
        return false;
    node->style = KT_SOURCE_FLOW;
    node->lead = j->colon;
    j->at++;
    return true;
}

static bool in_mapping(const struct json *j)
{
    return j->b->depth > 0 && j->b->open[j->b->depth - 1]->kind == KT_SOURCE_MAPPING;
}

static bool take_value(struct json *j, enum state *state)
{
    uint8_t c = j->text[j->at];
    *state = WANT_COMMA_OR_END;
    if (c == '{' || c == '[') {
        *state = c == '{' ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
        bool taken = take_start(j, c == '{' ? KT_SOURCE_MAPPING : KT_SOURCE_SEQUENCE);
        j->colon = KT_SOURCE_NONE;
        return taken;
    }
    bool taken = c == '"' ? take_string(j) : take_literal(j);
    j->colon = KT_SOURCE_NONE;
    return taken;
}

static bool take_key(struct json *j, enum state *state)
{
    if (j->text[j->at] != '"')
        return fail(j, "expected a key in double quotes");
    if (!take_string(j))
        return false;
    skip_space(j);
    if (j->text[j->at] != ':')
        return fail(j, "expected a colon behind a key");
    j->colon = j->at++;
    *state = WANT_VALUE;
    return true;
}

static bool is_end(const struct json *j)
{
    return j->b->depth > 0 && j->text[j->at] == (in_mapping(j) ? '}' : ']');
}

static bool step(struct json *j, enum state *state)
{
    if (*state != WANT_VALUE && *state != WANT_KEY && is_end(j)) {
        *state = WANT_COMMA_OR_END;
        j->at++;
        return kt_source_close(j->b, j->at, j->err);
    }
    if (*state == WANT_VALUE || *state == WANT_VALUE_OR_END)
        return take_value(j, state);
    if (*state == WANT_KEY || *state == WANT_KEY_OR_END)
        return take_key(j, state);
    if (j->text[j->at] != ',')
        return fail(j, in_mapping(j) ? "expected a comma or }" : "expected a comma or ]");
    j->at++;
    *state = in_mapping(j) ? WANT_KEY : WANT_VALUE;
    return true;
}

bool kt_source_parse_json(struct kt_source_builder *b, struct kt_error *err)
{
    struct json j = {.b = b, .text = b->source->text, .colon = KT_SOURCE_NONE, .err = err};
    enum state state = WANT_VALUE;
    do {
        skip_space(&j);
        if (!step(&j, &state))
            return false;
    } while (b->depth > 0);
    skip_space(&j);
    return j.at == b->source->text_len || fail(&j, "expected the end of the file behind the value");
}
