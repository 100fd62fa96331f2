/* SPDX-License-Identifier: Apache-2.0 */
/* EncryptionConfiguration: nodes lie in their parents and one behind the other, indicators before what they indicate,
 * and a text that is taken is judged without a word that a terminal would obey. */
#include "encconfig/validate.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_span(struct kt_span inner, struct kt_span outer)
{
    if (inner.start > inner.end || inner.start < outer.start || inner.end > outer.end)
        abort();
}

static void check_node(const struct kt_source *source, const struct kt_source_node *node)
{
    check_span(node->body, node->span);
    if (node->lead != KT_SOURCE_NONE &&
        (node->lead >= node->span.start || !strchr("-?:", kt_source_text(source).data[node->lead])))
        abort();
    if (node->text && (node->text[node->len] != '\0' || (node->kind == KT_SOURCE_ALIAS && !node->target)))
        abort();
    for (size_t i = 0; i < node->n_items; i++) {
        check_span(node->items[i]->span, node->body);
        if (i > 0 && node->items[i]->span.start < node->items[i - 1]->span.end)
            abort();
    }
}

/* The tree is as deep as its limit allows: no recursion. */
static void check_tree(const struct kt_source *source)
{
    const struct kt_source_node *node = kt_source_root(source);
    if (node)
        check_span(node->span, (struct kt_span){.end = kt_source_text(source).len});
    while (node) {
        check_node(source, node);
        node = kt_source_next(node);
    }
}

static void check_findings(const struct kt_findings *findings)
{
    for (size_t i = 0; i < findings->n; i++)
        for (const char *c = findings->items[i].text; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    KT_CLEANUP(kt_source_free_p) struct kt_source *source = kt_source_parse(KT_SLICE(data, size), NULL, NULL);
    if (source)
        check_tree(source);
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *config = kt_encconfig_parse(KT_SLICE(data, size), &findings, NULL);
    if (config && !source)
        abort();
    bool taken = config && kt_encconfig_validate(config, true, &findings);
    if (!findings.out_of_memory && taken != (kt_findings_count(&findings) == 0))
        abort();
    check_findings(&findings);
    kt_text_init(&text, (size_t)16 * 1024 * 1024);
    kt_findings_print(&findings, "F", &text);
    return 0;
}
