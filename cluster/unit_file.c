/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/unit_file.h"

#include "base/secret.h"

#include <ctype.h>
#include <string.h>

void kt_unit_words_done(struct kt_unit_words *words)
{
    for (size_t i = 0; i < words->n; i++) {
        kt_wipe(words->items[i], strlen(words->items[i]));
        free(words->items[i]);
    }
    memset(words, 0, sizeof(*words));
}

/* One line, without its end; the text goes on behind it. False at the end. */
static bool next_line(struct kt_slice *text, struct kt_slice *ret)
{
    if (text->len == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end ? (size_t)(end - text->data) : text->len;
    *ret = KT_SLICE(text->data, len);
    *text = KT_SLICE(text->data + len + (end != NULL), text->len - len - (end != NULL));
    return true;
}

static struct kt_slice trim(struct kt_slice line)
{
    while (line.len > 0 && isspace(line.data[0]))
        line = KT_SLICE(line.data + 1, line.len - 1);
    while (line.len > 0 && isspace(line.data[line.len - 1]))
        line.len--;
    return line;
}

static bool is_comment(struct kt_slice line)
{
    return line.len == 0 || line.data[0] == '#' || line.data[0] == ';';
}

/* The value, if the line is KEY=VALUE. */
static bool takes_key(struct kt_slice line, const char *key, struct kt_slice *ret)
{
    size_t len = strlen(key);
    if (line.len <= len || memcmp(line.data, key, len) != 0)
        return false;
    struct kt_slice rest = trim(KT_SLICE(line.data + len, line.len - len));
    if (rest.len == 0 || rest.data[0] != '=')
        return false;
    *ret = trim(KT_SLICE(rest.data + 1, rest.len - 1));
    return true;
}

/* ---- ExecStart= ---- */

/* Puts together a value that goes on in the next lines; comments between them are left out. at: room for all of them.
 */
static void join_lines(struct kt_slice value, struct kt_slice *text, char *at)
{
    while (value.len > 0 && value.data[value.len - 1] == '\\') {
        struct kt_slice line;
        memcpy(at, value.data, value.len - 1);
        at += value.len - 1;
        *at++ = ' ';
        do {
            line = KT_SLICE(NULL, 0);
            bool more = next_line(text, &line);
            value = trim(line);
            if (!more)
                break;
        } while (is_comment(value) && value.len > 0);
    }
    if (value.len > 0)
        memcpy(at, value.data, value.len);
    at[value.len] = '\0';
}

/* Copies the next word; returns what is behind it. */
static const char *take_word(const char *from, char *word)
{
    char quote = '\0';
    for (; *from && (quote || !isspace((unsigned char)*from)); from++) {
        if (!quote && (*from == '\'' || *from == '"')) {
            quote = *from;
        } else if (quote && *from == quote) {
            quote = '\0';
        } else {
            from += *from == '\\' && from[1] != '\0';
            *word++ = *from;
        }
    }
    *word = '\0';
    return from;
}

static bool split(const char *text, struct kt_unit_words *words, struct kt_error *err)
{
    for (;;) {
        while (isspace((unsigned char)*text))
            text++;
        if (*text == '\0')
            return true;
        if (words->n == KT_UNIT_WORDS_MAX)
            return kt_fail(err, KT_E_CONFIG, "expected at most %u words in ExecStart=, found more", KT_UNIT_WORDS_MAX);
        char *word = malloc(strlen(text) + 1);
        if (!word)
            return kt_fail(err, KT_E_NOMEM, "no memory for a unit");
        text = take_word(text, word);
        words->items[words->n++] = word;
    }
}

bool kt_unit_exec_start(struct kt_slice text, struct kt_unit_words *ret, struct kt_error *err)
{
    struct kt_slice line;
    struct kt_slice value;
    struct kt_unit_words words = {.n = 0};
    size_t size = text.len + 1;
    char *command = calloc(1, size);
    if (!command)
        return kt_fail(err, KT_E_NOMEM, "no memory for a unit");
    while (next_line(&text, &line))
        if (takes_key(trim(line), "ExecStart", &value) && value.len > 0)
            join_lines(value, &text, command);
    bool done = split(command, &words, err);
    kt_wipe(command, size);
    free(command);
    if (!done) {
        kt_unit_words_done(&words);
        return false;
    }
    *ret = words;
    return true;
}

/* ---- environments ---- */

char *kt_unit_variable(struct kt_slice text, const char *name)
{
    struct kt_slice line;
    struct kt_slice value;
    char *found = NULL;
    while (next_line(&text, &line)) {
        line = trim(line);
        if (is_comment(line) || !takes_key(line, name, &value))
            continue;
        bool quoted = value.len >= 2 && (value.data[0] == '"' || value.data[0] == '\'') &&
                      value.data[value.len - 1] == value.data[0];
        free(found);
        found = strndup((const char *)value.data + quoted, value.len - (quoted ? 2u : 0u));
    }
    return found;
}
