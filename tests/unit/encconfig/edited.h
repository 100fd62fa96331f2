/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted lists in few words, as test_edit.c and test_edit_property.c both want them. */
#pragma once

#include "encconfig/edit.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <string.h>

#define ITEMS 32u

/* "identity", "kms", or an inline key as "aescbc/k3": of name k3 and 32 bytes '3'. */
struct items {
    struct kt_encconfig_item items[ITEMS];
    char names[ITEMS][32];
    size_t n;
};

static inline void items_done(struct items *items)
{
    for (size_t i = 0; i < items->n; i++)
        kt_secret_free((struct kt_secret *)(uintptr_t)items->items[i].bytes);
}

static inline struct kt_secret *key_bytes(const char *name)
{
    uint8_t bytes[32];
    memset(bytes, name[strlen(name) - 1], sizeof(bytes));
    struct kt_secret *secret = kt_secret_new_copy(bytes, sizeof(bytes), NULL);
    assert_non_null(secret);
    return secret;
}

static inline void add_item(struct items *items, const char *word)
{
    struct kt_encconfig_item *item = &items->items[items->n];
    char *name = items->names[items->n++];
    const char *slash = strchr(word, '/');
    size_t len = slash ? (size_t)(slash - word) : strlen(word);
    for (unsigned type = 0; type < KT_ENCCONFIG_TYPES; type++)
        if (strncmp(kt_encconfig_type_text(type), word, len) == 0)
            item->type = type;
    snprintf(name, sizeof(items->names[0]), "%s", slash ? slash + 1 : "keyturn");
    item->name = name;
    item->endpoint = "unix:///run/keyturn/kms/kms.sock";
    item->bytes = slash ? key_bytes(name) : NULL;
}

static inline void parse_items(const char *words, struct items *ret)
{
    char copy[512];
    char *rest = copy;
    *ret = (struct items){.n = 0};
    snprintf(copy, sizeof(copy), "%s", words ? words : "");
    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
        if (*word)
            add_item(ret, word);
}

/* "@3" becomes the key 3 in base64. */
static inline void expand(const char *text, struct kt_text *ret)
{
    kt_text_init(ret, 1u << 20);
    for (; *text; text++) {
        if (text[0] != '@' || text[1] < '0' || text[1] > '9') {
            kt_text_add_bytes(ret, text, 1);
            continue;
        }
        char base64[45];
        uint8_t bytes[32];
        memset(bytes, *++text, sizeof(bytes));
        kt_base64_encode(KT_SLICE(bytes, sizeof(bytes)), base64);
        kt_text_add(ret, "%s", base64);
    }
}

static inline struct kt_encconfig *read_config(struct kt_slice bytes)
{
    struct kt_findings findings = {.n = 0};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_encconfig *config = kt_encconfig_parse(bytes, &findings, &err);
    if (!config)
        fail_msg("%s\n%.*s", findings.n > 0 ? findings.items[0].text : err.message, (int)bytes.len, bytes.data);
    kt_findings_done(&findings);
    return config;
}
