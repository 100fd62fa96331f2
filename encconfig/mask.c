/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/mask.h"

#include <string.h>

static bool is_secret_in(const struct kt_encconfig_provider *provider, const struct kt_source_node *node)
{
    for (size_t type = 0; type <= KT_ENCCONFIG_SECRETBOX; type++)
        for (size_t i = 0; i < provider->keys[type].n; i++) {
            const struct kt_source_node *secret = provider->keys[type].items[i].secret.node;
            if (secret && kt_source_follow(secret) == node)
                return true;
        }
    return false;
}

static bool is_secret(const struct kt_encconfig *config, const struct kt_source_node *node)
{
    for (size_t i = 0; i < config->n_entries; i++)
        for (size_t k = 0; k < config->entries[i].n_providers; k++)
            if (is_secret_in(&config->entries[i].providers[k], node))
                return true;
    return false;
}

static size_t run_len(struct kt_slice text, size_t start, size_t end)
{
    static const char run[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=";
    size_t at = start;
    while (at < end && text.data[at] != '\0' && strchr(run, text.data[at]))
        at++;
    return at - start;
}

/* What stands between values: indicators, white space, comments. */
static void put_between(struct kt_slice text, size_t start, size_t end, struct kt_text *ret)
{
    while (start < end) {
        size_t len = run_len(text, start, end);
        if (len > KT_ENCCONFIG_RUN_MAX)
            kt_text_add(ret, "%s", KT_ENCCONFIG_MASKED);
        else
            kt_text_add_bytes(ret, text.data + start, len > 0 ? len : 1);
        start += len > 0 ? len : 1;
    }
}

static void put_masked(struct kt_slice text, struct kt_span body, struct kt_text *ret)
{
    bool is_quoted = body.end - body.start > 1 && strchr("'\"", text.data[body.start]);
    const char *quote = is_quoted ? text.data[body.start] == '"' ? "\"" : "'" : "";
    bool has_line = body.end > body.start && text.data[body.end - 1] == '\n';
    kt_text_add(ret, "%s%s%s%s", quote, KT_ENCCONFIG_MASKED, quote, has_line ? "\n" : "");
}

void kt_encconfig_mask(const struct kt_encconfig *config, struct kt_text *ret)
{
    struct kt_slice text = kt_source_text(config->source);
    size_t at = 0;
    for (const struct kt_source_node *node = kt_source_root(config->source); node; node = kt_source_next(node)) {
        if (node->kind != KT_SOURCE_SCALAR)
            continue;
        put_between(text, at, node->body.start, ret);
        at = node->body.end;
        if (is_secret(config, node))
            put_masked(text, node->body, ret);
        else
            kt_text_add_bytes(ret, text.data + node->body.start, at - node->body.start);
    }
    put_between(text, at, text.len, ret);
}
