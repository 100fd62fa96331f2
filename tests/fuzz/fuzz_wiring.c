/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and kubeadm's configuration, which admins write; the first byte chooses the place. What is added is there,
 * as the last one, and taken out again leaves what was there before. */
#include "base/cleanup.h"
#include "fuzz.h"
#include "wiring/yaml_edit.h"

#include <stdlib.h>
#include <string.h>

static const char *const command[] = {"spec", "containers", "[kube-apiserver]", "command", NULL};
static const char *const arguments[] = {"apiServer", "extraArgs", NULL};
static const struct {
    kt_yaml_path path;
    const char *lines;
} PLACES[] = {
    {command, "- --one=two\n"},
    {arguments, "- name: one\n  value: two\n"},
    {arguments, "one: two\n"},
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* How many items, or pairs, are there; 0: none, or no list and no mapping. */
static size_t count(struct kt_slice text, kt_yaml_path path)
{
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = kt_source_parse(text, NULL, NULL);
    const struct kt_source_node *node = source ? kt_yaml_find(source, path) : NULL;
    if (!node || (node->kind != KT_SOURCE_SEQUENCE && node->kind != KT_SOURCE_MAPPING))
        return 0;
    return node->kind == KT_SOURCE_SEQUENCE ? node->n_items : node->n_items / 2;
}

static bool ends_its_line(struct kt_slice text)
{
    return text.len == 0 || text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r';
}

static void try_place(struct kt_slice text, size_t place)
{
    KT_CLEANUP_BYTES struct kt_bytes after = {.data = NULL};
    KT_CLEANUP_BYTES struct kt_bytes again = {.data = NULL};
    kt_yaml_path path = PLACES[place].path;
    size_t before = count(text, path);
    if (!kt_yaml_append(text, path, PLACES[place].lines, &after, NULL))
        return;
    must(count(kt_bytes_view(&after), path) == before + 1);
    if (!kt_yaml_cut(kt_bytes_view(&after), path, before, &again, NULL))
        return;
    must(count(kt_bytes_view(&again), path) == before);
    if (before > 0 && ends_its_line(text))
        must(kt_slice_equal(text, kt_bytes_view(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        try_place(KT_SLICE(data + 1, size - 1), data[0] % KT_ARRAY_LEN(PLACES));
    return 0;
}
