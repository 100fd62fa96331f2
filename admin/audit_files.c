/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_files.h"

#include "admin/opener_local.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

#define ATTEMPTS 10

static void drop_state(struct kt_audit_files *files)
{
    if (files->state)
        kt_state_done(files->state);
    free(KT_TAKE_PTR(files->state));
    kt_bytes_done(&files->log);
    files->log = (struct kt_bytes){.data = NULL};
}

void kt_audit_files_done(struct kt_audit_files *files)
{
    drop_state(files);
    kt_opener_answer_done(&files->keyring);
    free(KT_TAKE_PTR(files->config));
}

static bool read_log(const struct kt_state_dir *dir, const char *file, struct kt_audit_files *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = kt_state_dir_rules(dir, KT_AUDIT_LOG_MAX);
    const struct kt_file_rules any = {.max = KT_AUDIT_LOG_MAX, .owner = KT_ANY_UID};
    enum kt_file_state state = KT_FILE_READ;
    bool read = file ? kt_file_read(AT_FDCWD, file, &any, &ret->log, err)
                     : kt_audit_log_read(kt_state_dir_fd(dir), &rules, &ret->log, &state, err);
    ret->absent = state == KT_FILE_ABSENT;
    return read;
}

static bool read_state(const struct kt_state_dir *dir, struct kt_state **ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_state *state = calloc(1, sizeof(*state));
    if (!state)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_state_dir_read(dir, state, err))
        return false;
    *ret = KT_TAKE_PTR(state);
    return true;
}

bool kt_audit_files_read(const struct kt_options *options, const char *file, struct kt_audit_files *ret,
                         struct kt_error *err)
{
    ret->config = kt_options_config(options, err);
    if (!ret->config)
        return false;
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_view(ret->config->state_dir, err);
    return dir && read_log(dir, file, ret, err);
}

static bool is_same(const struct kt_state *a, const struct kt_state *b)
{
    assert(a && b);
    return kt_slice_equal(kt_bytes_view(&a->current), kt_bytes_view(&b->current)) &&
           memcmp(a->floor.hash, b->floor.hash, KT_HASH_LEN) == 0;
}

/* keyring.yaml, log and floor are written one after the other: between two equal looks at the first and the last. */
static bool read_once(const struct kt_state_dir *dir, const char *file, struct kt_audit_files *ret, bool *ret_stable,
                      struct kt_error *err)
{
    struct kt_state *again = NULL;
    drop_state(ret);
    if (!read_state(dir, &ret->state, err) || !read_log(dir, file, ret, err) || !read_state(dir, &again, err))
        return false;
    *ret_stable = is_same(ret->state, again);
    kt_state_done(again);
    free(again);
    return true;
}

static bool read_stable(const struct kt_config *config, const char *file, struct kt_audit_files *ret,
                        struct kt_error *err)
{
    KT_CLEANUP(kt_state_dir_free_p) struct kt_state_dir *dir = kt_state_dir_view(config->state_dir, err);
    if (!dir)
        return false;
    for (int i = 0; i < ATTEMPTS; i++) {
        bool stable = false;
        if (!read_once(dir, file, ret, &stable, err))
            return false;
        if (stable)
            return true;
    }
    return kt_fail(err, KT_E_BUSY, "one keyring after another is being installed");
}

static bool describe(const struct kt_config *config, struct kt_slice document, struct kt_opener_answer *ret,
                     struct kt_error *err)
{
    const struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE, .offered = document};
    return kt_opener_local(config, config->path, &request, ret, err);
}

static void fill_anchor(const struct kt_keyring_info *info, const char *name, struct kt_audit_anchor *ret)
{
    ret->name = name;
    kt_floor_of(info, &ret->which);
    memcpy(ret->head, info->audit_head, KT_HASH_LEN);
}

/* One that does not verify (by an owner who was given up, or damaged) vouches for nothing. */
static void add_superseded(const struct kt_audit_files *files, size_t i, struct kt_audit_evidence *ret)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    const struct kt_keyring_info *info = NULL;
    if (!describe(files->config, kt_bytes_view(&files->state->superseded[i]), &answer, NULL))
        return;
    info = answer.info;
    if (memcmp(info->keyring_id, files->keyring.info->keyring_id, KT_KEYRING_ID_LEN) == 0 &&
        ret->n_superseded < KT_AUDIT_ANCHORS_MAX)
        fill_anchor(info, files->state->superseded_names[i], &ret->superseded[ret->n_superseded++]);
}

bool kt_audit_files_evidence(const struct kt_options *options, const char *file, struct kt_audit_files *ret,
                             struct kt_audit_evidence *ret_evidence, struct kt_error *err)
{
    ret->config = kt_options_config(options, err);
    if (!ret->config || !read_stable(ret->config, file, ret, err))
        return false;
    if (!ret->state->current.data) {
        kt_fail(err, KT_E_KEYRING_MISSING, "%s/keyring.yaml: there is no keyring", ret->config->state_dir);
        return kt_error_hint(err, "give this node the cluster's newest one first: keyturn keyring offer FILE");
    }
    if (!describe(ret->config, kt_bytes_view(&ret->state->current), &ret->keyring, err))
        return false;
    *ret_evidence = (struct kt_audit_evidence){.log = kt_bytes_view(&ret->log),
                                               .absent = ret->absent,
                                               .node = ret->config->node,
                                               .tail = ret->keyring.audit,
                                               .floor = ret->state->floor};
    fill_anchor(ret->keyring.info, "keyring.yaml", &ret_evidence->keyring);
    for (size_t i = 0; i < ret->state->n_superseded; i++)
        add_superseded(ret, i, ret_evidence);
    return true;
}
