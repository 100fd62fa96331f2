/* SPDX-License-Identifier: Apache-2.0 */
/* The editor of EncryptionConfiguration over any file: the first byte says how each list is to be (its keys and
 * providers turned round, some dropped, new ones before or behind), the rest is the file. What is made is valid, and
 * made from itself again the same. */
#include "encconfig/edit.h"
#include "encconfig/validate.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 4u
#define ITEMS   12u

struct want {
    struct kt_encconfig_item items[ITEMS + 3];
    struct kt_encconfig_item drops[ITEMS];
    struct kt_secret *owned[ITEMS + 3];
    size_t n_items, n_drops, n_owned;
};

static struct kt_encconfig *parse(const uint8_t *data, size_t size)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    return kt_encconfig_parse(KT_SLICE(data, size), &findings, NULL);
}

static void add(struct want *want, struct kt_encconfig_item item, bool drop)
{
    for (size_t i = 0; i < want->n_items + want->n_drops; i++) {
        const struct kt_encconfig_item *other = i < want->n_items ? &want->items[i] : &want->drops[i - want->n_items];
        if (other->type == item.type && (!item.name || strcmp(other->name, item.name) == 0)) {
            kt_secret_free((struct kt_secret *)(uintptr_t)item.bytes);
            return;
        }
    }
    if (item.bytes)
        want->owned[want->n_owned++] = (struct kt_secret *)(uintptr_t)item.bytes;
    if (drop)
        want->drops[want->n_drops++] = item;
    else
        want->items[want->n_items++] = item;
}

static void add_there(struct want *want, const struct kt_encconfig_provider *p, unsigned how)
{
    static const char prefix[] = "our";
    if (p->types[KT_ENCCONFIG_KMS] && strncmp(p->kms.name.text, prefix, 3) == 0 &&
        want->n_items + want->n_drops + 1 < ITEMS)
        add(want,
            (struct kt_encconfig_item){.type = KT_ENCCONFIG_KMS, .name = p->kms.name.text, .endpoint = "unix:///e"},
            how & 4);
    for (unsigned type = 0; type <= KT_ENCCONFIG_SECRETBOX; type++)
        for (size_t k = 0; k < p->keys[type].n && want->n_items + want->n_drops + 1 < ITEMS; k++)
            add(want,
                (struct kt_encconfig_item){.type = type,
                                           .name = p->keys[type].items[k].name.text,
                                           .bytes = kt_encconfig_key_secret(&p->keys[type].items[k], NULL)},
                (how & 2) && k % 2);
}

static void make_want(struct want *want, const struct kt_encconfig_entry *entry, unsigned how)
{
    struct kt_secret *bytes = kt_secret_new_copy("0123456789abcdef0123456789abcdef", 32, NULL);
    if (how & 8)
        add(want, (struct kt_encconfig_item){.type = KT_ENCCONFIG_SECRETBOX, .name = "new \xc3\xa9", .bytes = bytes},
            false);
    else
        kt_secret_free(bytes);
    for (size_t i = 0; i < entry->n_providers && want->n_items + want->n_drops + 1 < ITEMS; i++)
        add_there(want, &entry->providers[how & 1 ? entry->n_providers - 1 - i : i], how);
    if (!(how & 16))
        add(want, (struct kt_encconfig_item){.type = KT_ENCCONFIG_IDENTITY}, false);
}

static struct kt_secret *edit(const struct kt_encconfig *config, const struct kt_encconfig_list *lists, size_t n,
                              bool must)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_secret *made = kt_encconfig_edit(config, lists, n, &err);
    if (!made && err.code != KT_E_REFUSED)
        abort();
    if (!made && must)
        abort();
    return made;
}

static void check_made(const struct kt_secret *made, const struct kt_encconfig_list *lists, size_t n)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *after = parse(kt_secret_view(made), kt_secret_len(made));
    if (!after || !kt_encconfig_validate(after, true, &findings))
        abort();
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *again = edit(after, lists, n, true);
    if (!kt_secret_equal(made, again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct want wants[ENTRIES] = {{.n_items = 0}};
    struct kt_encconfig_list lists[ENTRIES];
    if (size < 2)
        return 0;
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = parse(data + 1, size - 1);
    if (!config)
        return 0;
    size_t n = config->n_entries < ENTRIES ? config->n_entries : ENTRIES;
    for (size_t i = 0; i < n; i++) {
        make_want(&wants[i], &config->entries[i], data[0] >> (i & 1));
        lists[i] = (struct kt_encconfig_list){.entry = i,
                                              .items = wants[i].items,
                                              .n_items = wants[i].n_items,
                                              .drops = wants[i].drops,
                                              .n_drops = wants[i].n_drops};
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *made = edit(config, lists, n, false);
    if (made)
        check_made(made, lists, n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < wants[i].n_owned; k++)
            kt_secret_free(wants[i].owned[k]);
    return 0;
}
