/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused because an edit of bytes could change more than it should. */
#include "encconfig/edit_parts.h"
#include "encconfig/source_tree.h"
#include "encconfig/validate.h"

#include <string.h>

const char kt_edit_by_hand[] = "change the list by hand; keyturn config show prints what the keyring would write";

bool kt_edit_refuse(const struct kt_encconfig *config, size_t entry, const struct kt_source_node *node,
                    struct kt_error *err, const char *text)
{
    struct kt_place place = kt_encconfig_place(config, node);
    return kt_fail(err, KT_E_REFUSED, "resources[%zu].providers (line %zu, column %zu): %s", entry, place.line,
                   place.column, text);
}

static bool check_valid(const struct kt_encconfig *config, struct kt_error *err)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    if (kt_encconfig_validate(config, true, &findings))
        return true;
    if (findings.out_of_memory)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    kt_fail(err, KT_E_REFUSED, "expected a file that kube-apiserver takes, found one that it would refuse");
    return kt_error_hint(err, "keyturn config check FILE says why");
}

/* An end mark is no second document. */
static bool is_alone(const struct kt_source *source)
{
    struct kt_slice text = kt_source_text(source);
    size_t at = kt_source_skip_blanks(source, kt_source_document_end(source));
    while (text.len - at >= 3 && memcmp(text.data + at, "...", 3) == 0)
        at = kt_source_skip_blanks(source, at + 3);
    return at == text.len;
}

bool kt_edit_check_file(const struct kt_encconfig *config, struct kt_error *err)
{
    if (kt_source_encoding(config->source) == KT_SOURCE_UTF16) {
        kt_fail(err, KT_E_REFUSED, "expected a file in UTF-8, found one in UTF-16");
        return kt_error_hint(err, "iconv -t UTF-8 converts it");
    }
    if (!is_alone(config->source)) {
        kt_fail(err, KT_E_REFUSED, "expected one document, found several");
        return kt_error_hint(err, "kube-apiserver reads the first one only: take the others out");
    }
    return check_valid(config, err);
}

/* Each step from the root down is the node itself, not an alias or something that a merge key brought. */
static bool is_direct(const struct kt_encconfig *config, const struct kt_encconfig_entry *entry)
{
    return entry->providers_node->kind == KT_SOURCE_SEQUENCE && entry->providers_node->parent == entry->node &&
           entry->node->parent == config->resources_node &&
           config->resources_node->parent == kt_source_root(config->source);
}

static bool is_inside(const struct kt_source_node *node, const struct kt_source_node *outer)
{
    while (node && node != outer)
        node = node->parent;
    return node;
}

/* An alias may lead from within the list to before it, and from elsewhere to elsewhere. */
static bool is_shared(const struct kt_source_node *alias, const struct kt_source_node *list)
{
    if (is_inside(alias->target, list))
        return true;
    return !is_inside(alias, list) && is_inside(list, alias->target);
}

static bool check_inner(const struct kt_encconfig *config, size_t entry, const struct kt_splice *splice,
                        struct kt_error *err)
{
    const struct kt_encconfig_entry *e = &config->entries[entry];
    for (size_t i = 0; i < splice->n_slots; i++) {
        const struct kt_splice *inner = splice->slots[i].inner;
        const struct kt_source_node *element = inner ? e->providers[splice->slots[i].old].node : NULL;
        if (inner && (inner->seq->kind != KT_SOURCE_SEQUENCE || inner->seq->parent->parent != element)) {
            kt_edit_refuse(config, entry, element, err,
                           "expected the keys of this provider written out, found an alias or a merge key");
            return kt_error_hint(err, "write the keys out, or %s", kt_edit_by_hand);
        }
    }
    return true;
}

bool kt_edit_check_list(const struct kt_encconfig *config, size_t entry, const struct kt_splice *splice,
                        struct kt_error *err)
{
    const struct kt_encconfig_entry *e = &config->entries[entry];
    if (!is_direct(config, e)) {
        kt_edit_refuse(config, entry, e->providers_node, err,
                       "expected a list that is written out, found one that comes by an alias or a merge key");
        return kt_error_hint(err, "write the list out for each entry, or %s", kt_edit_by_hand);
    }
    for (const struct kt_source_node *node = kt_source_root(config->source); node; node = kt_source_next(node)) {
        if (node->kind == KT_SOURCE_ALIAS && is_shared(node, splice->seq)) {
            kt_edit_refuse(config, entry, node, err, "expected no alias of what stands in the list, found one");
            return kt_error_hint(err, "write out what the alias stands for, or %s", kt_edit_by_hand);
        }
    }
    return check_inner(config, entry, splice, err);
}
