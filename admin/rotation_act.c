/* SPDX-License-Identifier: Apache-2.0 */
/* What a rotation does: generations, and what --force goes past. */
#include "admin/audit_since.h"
#include "admin/fingerprint_ask.h"
#include "admin/rotation_run.h"
#include "base/printable.h"

#include <stdio.h>
#include <string.h>

/* Another one was faster: what was made here counts nowhere, and what is next has to be seen anew. Again and again it
 * is somebody else's affair. */
static bool overtaken(struct kt_rotation *rotation, struct kt_error *err)
{
    if (err->code != KT_E_KEYRING_STALE)
        return false;
    if (++rotation->n_overtaken <= KT_ROTATION_OVERTAKEN_MAX) {
        kt_error_clear(err);
        return true;
    }
    kt_fail(err, KT_E_BUSY, "another one changed the keyring at the same time, and this one changed nothing");
    return kt_error_hint(err, "keyturn status shows what it came to; keyturn audit who it was");
}

void kt_rotation_note(struct kt_rotation *rotation, const char *change, uint64_t generation)
{
    if (rotation->n_done < KT_ROTATION_DONE_MAX)
        rotation->done[rotation->n_done++] = (struct kt_rotation_done){.change = change, .generation = generation};
    kt_progress_wrote(rotation);
}

const char *kt_rotation_name(const struct kt_rotation *rotation)
{
    return rotation->asked->migrates ? "migrate" : kt_order_text(rotation->order.kind);
}

bool kt_rotation_write_edits(struct kt_rotation *rotation, const struct kt_member_edits *edits, const char *change,
                             bool *ret_wrote, struct kt_error *err)
{
    struct kt_outcome outcome = {.changed = false};
    *ret_wrote = kt_member_edit(&rotation->job, edits, &outcome, err);
    if (!*ret_wrote)
        return overtaken(rotation, err);
    rotation->n_overtaken = 0;
    kt_rotation_note(rotation, change, outcome.generation);
    return true;
}

/* What the line of the audit log is to prove is in its claim, for whoever goes on from there. */
static void claim(struct kt_rotation *rotation, bool encrypted)
{
    (void)snprintf(rotation->command, sizeof(rotation->command), "%s%s%s", kt_rotation_name(rotation),
                   rotation->order.force ? " --force" : "", encrypted ? KT_AUDIT_ENCRYPTED : "");
}

bool kt_rotation_write(struct kt_rotation *rotation, struct kt_error *err)
{
    const struct kt_next *next = &rotation->next;
    const struct kt_member_edits edits = {.list = next->edits, .n = next->n_edits};
    const struct kt_facts_store *store = &rotation->look->facts.store;
    bool wrote = false;
    bool counted = store->counted && rotation->look->rules.known && store->plaintext == 0;
    if (next->recipe == KT_RECIPE_ARCHIVE)
        return kt_rotation_archive(rotation, err);
    claim(rotation, (next->recipe == KT_RECIPE_MARK || next->recipe == KT_RECIPE_FINISH) && counted);
    bool written = kt_rotation_write_edits(rotation, &edits, kt_recipe_text(next->recipe), &wrote, err);
    claim(rotation, false);
    if (!written)
        return false;
    rotation->changed = rotation->changed || (wrote && next->recipe != KT_RECIPE_REMEMBER);
    return true;
}

static bool is_asked_for(const struct kt_rotation *rotation, const char *id)
{
    for (size_t i = 0; i < rotation->asked->n_forget; i++) {
        if (strcmp(rotation->asked->forget[i], id) == 0)
            return true;
    }
    return false;
}

/* One that answers is not gone. */
static bool answers(const struct kt_rotation *rotation, const char *id)
{
    const struct kt_facts *facts = &rotation->look->facts;
    for (size_t i = 0; i < facts->n_apis; i++) {
        if (facts->apis[i].reachable && strcmp(facts->apis[i].name, id) == 0)
            return true;
    }
    return false;
}

/* With a Lease that has not run out it would be found, and remembered, again. */
static bool check_lease(const struct kt_rotation *rotation, const char *id, struct kt_error *err)
{
    const struct kt_apiservers *servers = rotation->look->servers;
    for (size_t i = 0; servers && i < servers->n; i++) {
        const struct kt_apiserver *server = &servers->list[i];
        if ((server->sources & KT_APISERVER_LEASE) == 0 || strcmp(server->id, id) != 0)
            continue;
        kt_fail(err, KT_E_REFUSED, "expected API server %.200s to be gone for good, found its Lease", id);
        return kt_error_hint(err, "kubectl -n kube-system delete lease %.200s; or leave --forget-api-server out", id);
    }
    return true;
}

bool kt_rotation_forget(struct kt_rotation *rotation, bool *ret_again, struct kt_error *err)
{
    const struct kt_keyring_info *info = rotation->described.info;
    struct kt_edit edits[KT_EDITS_MAX];
    size_t n = 0;
    bool wrote = false;
    *ret_again = false;
    for (size_t i = 0; i < info->n_api_servers && n < KT_EDITS_MAX; i++) {
        const char *id = info->api_servers[i];
        if (!is_asked_for(rotation, id))
            continue;
        if (answers(rotation, id)) {
            kt_fail(err, KT_E_REFUSED, "expected API server %.200s to be gone for good, found that it answers", id);
            return kt_error_hint(err, "leave --forget-api-server out: it is still there");
        }
        if (!check_lease(rotation, id, err))
            return false;
        edits[n] = (struct kt_edit){.kind = KT_EDIT_FORGET_API_SERVER};
        snprintf(edits[n++].name, sizeof(edits[0].name), "%s", id);
    }
    *ret_again = n > 0 && !rotation->options->dry_run;
    const struct kt_member_edits changes = {.list = edits, .n = n};
    return !*ret_again || kt_rotation_write_edits(rotation, &changes, "forget API servers that are gone", &wrote, err);
}

bool kt_rotation_confirm(struct kt_rotation *rotation, struct kt_error *err)
{
    uint64_t anew = rotation->next.forced & ~rotation->confirmed;
    for (unsigned gate = 0; gate < KT_GATE_COUNT; gate++) {
        char question[512];
        if ((anew & UINT64_C(1) << gate) == 0)
            continue;
        kt_progress_end(&rotation->progress);
        snprintf(question, sizeof(question), "--force goes past %s, which expects: %s. Risk: %s.", kt_gate_text(gate),
                 kt_gate_expected(gate), kt_gate_risk(gate));
        if (!rotation->options->json)
            fprintf(stderr, "%s\n", KT_PRINTABLE(question));
        if (!rotation->options->dry_run && !kt_confirm(rotation->options, "Go on?", err))
            return false;
    }
    rotation->confirmed |= anew;
    return true;
}

static bool began_anew(const struct kt_rotation *rotation)
{
    for (size_t i = 0; i < rotation->n_done; i++)
        if (strcmp(rotation->done[i].change, kt_recipe_text(KT_RECIPE_RESTART)) == 0)
            return true;
    return false;
}

void kt_rotation_why(const struct kt_rotation *rotation, struct kt_error *ret)
{
    const struct kt_look *look = rotation->look;
    const struct kt_error *more = NULL;
    kt_rotation_explain(&look->facts, &rotation->order, &rotation->next, ret);
    if (rotation->next.gate == KT_GATE_SERVERS)
        more = &look->no_servers;
    if (rotation->next.gate == KT_GATE_WRITES)
        more = &look->no_canary;
    if (rotation->next.gate == KT_GATE_STORE)
        more = &look->no_store;
    if (rotation->next.gate == KT_GATE_HOLD && began_anew(rotation))
        kt_error_hint(ret, "objects were found under it, so its hold began anew: keyturn reencrypt rewrites them");
    if (!more || more->code == KT_OK)
        return;
    struct kt_error whole = *ret;
    (void)kt_error_hint(ret, "%.280s%s%.340s", more->message, whole.hint[0] ? "; " : "", whole.hint);
}
