/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/findings.h"

#include "base/printable.h"
#include "encconfig/gotext.h"

#include <stdlib.h>
#include <string.h>

void kt_findings_done(struct kt_findings *findings)
{
    free(findings->items);
    kt_pool_done(&findings->pool);
    *findings = (struct kt_findings){.n = 0};
}

static bool grow(struct kt_findings *findings)
{
    if (findings->n < findings->cap)
        return true;
    size_t cap = findings->cap ? 2 * findings->cap : 16;
    struct kt_finding *more = reallocarray(findings->items, cap, sizeof(*more));
    if (!more)
        return false;
    findings->items = more;
    findings->cap = cap;
    return true;
}

/* Control characters are written as JSON writes them: of some, terminals take orders. */
static char *escaped(struct kt_pool *pool, const char *text)
{
    char *copy = kt_pool_alloc(pool, strlen(text) * KT_ESCAPE_MAX + 1);
    size_t n = 0;
    while (copy && *text) {
        uint32_t c = 0;
        size_t width = kt_utf8_decode(text, &c);
        size_t escape = c == KT_NOT_UTF8 ? 0 : kt_control_escape(c, copy + n);
        if (escape == 0)
            memcpy(copy + n, text, width);
        n += escape > 0 ? escape : width;
        text += width;
    }
    return copy;
}

void kt_findings_add(struct kt_findings *findings, enum kt_finding_kind kind, struct kt_place place, const char *path,
                     const char *text, const char *advice)
{
    if (findings->n == KT_FINDINGS_MAX) {
        findings->n_more++;
        return;
    }
    struct kt_finding finding = {.kind = kind, .place = place, .advice = advice};
    finding.path = kt_pool_copy(&findings->pool, path, strlen(path));
    finding.text = escaped(&findings->pool, text);
    if (finding.path && finding.text && grow(findings))
        findings->items[findings->n++] = finding;
    else
        findings->out_of_memory = true;
}

size_t kt_findings_count(const struct kt_findings *findings)
{
    size_t n = findings->n_more;
    for (size_t i = 0; i < findings->n; i++)
        n += findings->items[i].kind != KT_FINDING_WARNING;
    return n;
}

/* Each hides those behind it, as kube-apiserver goes no further. */
static unsigned step_of(enum kt_finding_kind kind)
{
    static const unsigned char steps[] = {
        [KT_FINDING_DECODE] = 0,  [KT_FINDING_STRICT] = 1, [KT_FINDING_REQUIRED] = 2,
        [KT_FINDING_INVALID] = 2, [KT_FINDING_BUILD] = 3,  [KT_FINDING_WARNING] = 4,
    };
    return steps[kind];
}

static const struct kt_finding *first_of(const struct kt_findings *findings)
{
    const struct kt_finding *first = NULL;
    for (size_t i = 0; i < findings->n; i++)
        if (findings->items[i].kind != KT_FINDING_WARNING &&
            (!first || step_of(findings->items[i].kind) < step_of(first->kind)))
            first = &findings->items[i];
    return first;
}

static bool is_same(const struct kt_finding *a, const struct kt_finding *b)
{
    return a->kind == b->kind && strcmp(a->path, b->path) == 0 && strcmp(a->text, b->text) == 0;
}

/* kube-apiserver tells each once, and of what does not decode or build the first alone. */
static bool is_printed(const struct kt_findings *findings, size_t index, const struct kt_finding *first)
{
    const struct kt_finding *finding = &findings->items[index];
    bool is_single = first->kind == KT_FINDING_DECODE || first->kind == KT_FINDING_BUILD;
    if (step_of(finding->kind) != step_of(first->kind) || (is_single && finding != first))
        return false;
    for (size_t i = 0; i < index; i++)
        if (is_same(&findings->items[i], finding))
            return false;
    return true;
}

static void print_frame(enum kt_finding_kind kind, const char *file, struct kt_text *out)
{
    if (kind == KT_FINDING_BUILD) {
        kt_text_add(out, "error while building transformers: ");
        return;
    }
    kt_text_add(out, "error while parsing file: ");
    if (kind != KT_FINDING_DECODE && kind != KT_FINDING_STRICT)
        return;
    kt_text_add(out, "error decoding encryption provider configuration file ");
    kt_go_quote(out, file, strlen(file));
    kt_text_add(out, kind == KT_FINDING_STRICT ? ": strict decoding error: " : ": ");
}

void kt_findings_print(const struct kt_findings *findings, const char *file, struct kt_text *out)
{
    const struct kt_finding *first = first_of(findings);
    size_t n = 0;
    if (!first)
        return;
    for (size_t i = 0; i < findings->n; i++)
        n += is_printed(findings, i, first);
    bool has_brackets = n > 1 && first->kind != KT_FINDING_STRICT;
    print_frame(first->kind, file, out);
    kt_text_add(out, "%s", has_brackets ? "[" : "");
    for (size_t i = 0; i < findings->n; i++) {
        const struct kt_finding *finding = &findings->items[i];
        if (is_printed(findings, i, first))
            kt_text_add(out, "%s%s%s%s", finding == first ? "" : ", ", finding->path, finding->path[0] ? ": " : "",
                        finding->text);
    }
    kt_text_add(out, "%s", has_brackets ? "]" : "");
}
