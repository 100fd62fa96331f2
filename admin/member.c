/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/member.h"

#include "admin/audit_claim.h"
#include "admin/opener_local.h"
#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void drop_state(struct kt_member_job *job)
{
    if (job->state)
        kt_state_done(job->state);
    free(KT_TAKE_PTR(job->state));
}

void kt_member_done(struct kt_member_job *job)
{
    drop_state(job);
    free(KT_TAKE_PTR(job->config));
}

bool kt_member_refresh(struct kt_member_job *job, struct kt_error *err)
{
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_view(job->config->state_dir, err);
    drop_state(job);
    struct kt_state *state = dir ? calloc(1, sizeof(*state)) : NULL;
    if (!dir)
        return false;
    if (!state)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_state_dir_read(dir, state, err)) {
        free(state);
        return false;
    }
    job->state = state;
    if (state->current.data)
        return true;
    kt_fail(err, KT_E_KEYRING_MISSING, "%s/keyring.yaml: there is no keyring", job->config->state_dir);
    return kt_error_hint(err, "give this node the cluster's newest one first: keyturn keyring offer FILE");
}

bool kt_member_start(const struct kt_options *options, struct kt_member_job *ret, struct kt_error *err)
{
    *ret = (struct kt_member_job){.options = options, .config = kt_options_config(options, err)};
    return ret->config && kt_member_refresh(ret, err);
}

void kt_member_request(const struct kt_member_job *job, enum kt_opener_op op, struct kt_opener_request *ret)
{
    kt_state_request(job->state, (struct kt_slice){0}, ret);
    ret->op = op;
    ret->offered = (struct kt_slice){0};
    ret->node = job->config->node;
    ret->kind = job->config->recipient;
    ret->now = kt_clock_real_s();
    kt_audit_claim_fill(job->options->command, &ret->claim);
}

static bool is_newest(const struct kt_member_job *job, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes now = {0};
    if (!kt_keyring_file_read(job->config, &now, err))
        return false;
    if (kt_slice_equal(kt_bytes_view(&now), kt_bytes_view(&job->state->current)))
        return true;
    kt_fail(err, KT_E_KEYRING_STALE,
            "another keyring came into force while this one was made: it was made over a "
            "keyring that is no longer the newest");
    return kt_error_hint(err, "nothing was changed; do it again");
}

/* Another membership came into force after is_newest had looked. */
static bool fail_overtaken(const struct kt_error *why, struct kt_error *err)
{
    (void)kt_error_copy(err, why);
    if (!err || (why->code != KT_E_KEYRING_OLDER && why->code != KT_E_KEYRING_FORK))
        return false;
    err->code = KT_E_KEYRING_STALE;
    (void)kt_error_prefix(err, "made over a keyring that is no longer the newest");
    return kt_error_hint(err, "nothing was changed; do it again");
}

bool kt_member_install(const struct kt_member_job *job, struct kt_slice document, struct kt_outcome *ret,
                       struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (!is_newest(job, err))
        return false;
    return kt_offer_run(job->options, job->config, document, ret, &why) || fail_overtaken(&why, err);
}

bool kt_member_edit(const struct kt_member_job *job, const struct kt_member_edits *edits, struct kt_outcome *ret,
                    struct kt_error *err)
{
    const struct kt_config *config = job->config;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request;
    kt_member_request(job, KT_OPENER_EDIT, &request);
    request.edits = edits->list;
    request.n_edits = edits->n;
    if (edits->config_after) {
        request.claim.has_config = true;
        memcpy(request.claim.config_before, edits->config_before, KT_HASH_LEN);
        memcpy(request.claim.config_after, edits->config_after, KT_HASH_LEN);
    }
    return kt_opener_local(config, config->path, &request, &answer, err) &&
           kt_member_install(job, kt_bytes_view(&answer.document), ret, err);
}

bool kt_member_file_check(const char *path, const char *kind, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_BUNDLE_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP_BYTES struct kt_bytes there = {0};
    enum kt_file_state state = KT_FILE_ABSENT;
    char head[96];
    int len = snprintf(head, sizeof(head), "apiVersion: keyturn.dev/v1\nkind: %s\n", kind);
    if (!kt_file_read_if(AT_FDCWD, path, &rules, &there, &state, err))
        return false;
    if (state == KT_FILE_ABSENT || (there.len >= (size_t)len && memcmp(there.data, head, (size_t)len) == 0))
        return true;
    kt_fail(err, KT_E_EXISTS, "%s exists and is something else", path);
    return kt_error_hint(err, "name another file: --out FILE");
}

bool kt_member_file_write(const char *path, const char *kind, struct kt_slice bytes, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    return kt_member_file_check(path, kind, err) && kt_file_replace(AT_FDCWD, path, bytes, &attrs, err);
}
