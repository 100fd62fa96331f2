/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/edit.h"

#include "encconfig/edit_parts.h"

static void put_file(const struct kt_edit_plan *plan, struct kt_render_out *out)
{
    const struct kt_source *source = plan->config->source;
    struct kt_slice text = kt_source_text(source);
    size_t start = 0;
    for (size_t i = 0; i < plan->config->n_entries; i++) {
        const struct kt_splice *splice = plan->splices[i];
        if (!splice)
            continue;
        kt_render_put_bytes(out, text.data + start, splice->span.start - start);
        kt_splice_write(source, splice, out);
        start = splice->span.end;
    }
    kt_render_put_bytes(out, text.data + start, text.len - start);
}

static struct kt_secret *write_file(const struct kt_edit_plan *plan, struct kt_error *err)
{
    struct kt_render_out out = {.data = NULL};
    put_file(plan, &out);
    if (out.len > KT_SECRET_MAX) {
        kt_fail(err, KT_E_REFUSED, "the file would have %zu bytes: expected at most %u", out.len, KT_SECRET_MAX);
        return NULL;
    }
    struct kt_secret *result = kt_secret_new(out.len, err);
    if (!result)
        return NULL;
    out = (struct kt_render_out){.data = kt_secret_bytes(result)};
    put_file(plan, &out);
    return result;
}

static bool plan_list(const struct kt_edit_plan *plan, const struct kt_encconfig_list *list, bool *planned,
                      struct kt_error *err)
{
    if (list->entry >= plan->config->n_entries || planned[list->entry])
        return kt_fail(err, KT_E_INTERNAL, "a list for no entry, or two for one");
    planned[list->entry] = true;
    struct kt_splice *splice = NULL;
    if (!kt_edit_plan_list(plan, list, &splice, err))
        return false;
    if (splice && (!kt_edit_check_list(plan->config, list->entry, splice, err) ||
                   !kt_splice_lay_out(plan, list->entry, splice, err)))
        return false;
    plan->splices[list->entry] = splice;
    return true;
}

static struct kt_secret *edit(struct kt_edit_plan *plan, const struct kt_encconfig_list *lists, size_t n_lists,
                              struct kt_error *err)
{
    bool *planned = kt_pool_alloc(plan->pool, plan->config->n_entries);
    plan->splices = kt_pool_alloc(plan->pool, plan->config->n_entries * sizeof(struct kt_splice *));
    if (!planned || !plan->splices) {
        kt_fail(err, KT_E_NOMEM, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < n_lists; i++)
        if (!plan_list(plan, &lists[i], planned, err))
            return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *result = write_file(plan, err);
    return result && kt_edit_verify(plan, lists, n_lists, result, err) ? KT_TAKE_PTR(result) : NULL;
}

struct kt_secret *kt_encconfig_edit(const struct kt_encconfig *config, const struct kt_encconfig_list *lists,
                                    size_t n_lists, struct kt_error *err)
{
    struct kt_pool pool = {.chunks = NULL};
    struct kt_edit_plan plan = {.config = config, .pool = &pool};
    struct kt_secret *result = kt_edit_check_file(config, err) ? edit(&plan, lists, n_lists, err) : NULL;
    kt_pool_done(&pool);
    return result;
}
