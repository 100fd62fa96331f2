/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/state_dir_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A file that root put back must not be the end of installs: the directory's owner cannot give it to root again. */
static struct kt_file_attrs attrs_of(const struct kt_state_dir *dir, mode_t mode)
{
    bool root = geteuid() == 0;

    return (struct kt_file_attrs){
        .mode = mode, .uid = root ? dir->uid : KT_ANY_UID, .gid = root ? dir->gid : (gid_t)-1, .impose_owner = true};
}

/* An install that was cut short has left the copy already. */
static bool is_kept_already(const struct kt_state *state, struct kt_slice document)
{
    for (size_t i = 0; i < state->n_superseded; i++)
        if (kt_slice_equal(kt_bytes_view(&state->superseded[i]), document))
            return true;
    return false;
}

bool kt_state_dir_check_install(const struct kt_state *state, const struct kt_opener_answer *answer,
                                struct kt_error *err)
{
    if (!answer->info)
        return kt_fail(err, KT_E_INTERNAL, "an install without the opener's answer");
    if (answer->below_floor && !answer->same)
        return kt_fail(err, KT_E_KEYRING_OLDER, "a keyring below the floor is not installed");
    if (state->n_left_out > 0 && !answer->same) {
        (void)kt_fail(err, KT_E_REFUSED, "a superseded keyring cannot be read, so its keys could get lost: %.300s",
                      state->left_out.message);
        return kt_error_hint(err, "%s", state->left_out.hint);
    }
    /* One place stays free for a keyring that is served and that somebody overwrites by hand. */
    if (answer->keep_current && !is_kept_already(state, kt_bytes_view(&state->current)) &&
        state->n_superseded + 1 >= KT_SUPERSEDED_MAX) {
        (void)kt_fail(err, KT_E_REFUSED,
                      "%s/ holds %zu keyrings, the most that are possible, and this one would supersede one more",
                      KT_STATE_SUPERSEDED, state->n_superseded);
        return kt_error_hint(err,
                             "first install a keyring that lists or archives their keys; `keyturn status` names them");
    }
    return true;
}

/* "1-3.yaml"; attempt 1 has the hash in it, for another keyring of the same pair and for one that has no pair. */
static void superseded_name(const struct kt_floor *which, bool with_hash, char ret[KT_SOURCE_MAX])
{
    char hash[17] = "";

    kt_hex_encode(KT_SLICE(which->hash, 8), hash);
    if (which->membership == 0)
        (void)snprintf(ret, KT_SOURCE_MAX, "unverified-%s.yaml", hash);
    else if (with_hash)
        (void)snprintf(ret, KT_SOURCE_MAX, "%" PRIu64 "-%" PRIu64 "-%s.yaml", which->membership, which->generation,
                       hash);
    else
        (void)snprintf(ret, KT_SOURCE_MAX, "%" PRIu64 "-%" PRIu64 ".yaml", which->membership, which->generation);
}

static bool keep(const struct kt_state_dir *dir, struct kt_slice document, const struct kt_floor *which,
                 struct kt_error *err)
{
    const struct kt_file_attrs folder_attrs = attrs_of(dir, 0750);
    const struct kt_file_attrs attrs = attrs_of(dir, 0640);
    KT_CLEANUP(kt_fd_close_p) int folder = -1;
    struct kt_error local = KT_ERROR_INIT;
    char name[KT_SOURCE_MAX] = "";

    if (!kt_dir_make(dir->fd, KT_STATE_SUPERSEDED, &folder_attrs, err))
        return false;
    folder = kt_dir_open(dir->fd, KT_STATE_SUPERSEDED, err);
    if (folder < 0)
        return false;
    superseded_name(which, false, name);
    if (kt_file_create(folder, name, document, &attrs, &local))
        return true;
    if (local.code == KT_E_EXISTS) {
        superseded_name(which, true, name);
        return kt_file_create(folder, name, document, &attrs, err);
    }
    if (err)
        *err = local;
    return false;
}

static bool keep_current(const struct kt_state_dir *dir, const struct kt_state *state,
                         const struct kt_opener_answer *answer, struct kt_error *err)
{
    struct kt_slice current = kt_bytes_view(&state->current);

    if (is_kept_already(state, current)) /* perhaps by an install that was killed before its fsync */
        return kt_file_sync(dir->fd, KT_STATE_SUPERSEDED, err);
    return keep(dir, current, &answer->current, err);
}

bool kt_state_dir_keep(struct kt_state_dir *dir, const struct kt_state *state, struct kt_slice document,
                       const struct kt_floor *which, bool *ret_written, struct kt_error *err)
{
    *ret_written = false;
    if (kt_slice_equal(kt_bytes_view(&state->current), document) || is_kept_already(state, document))
        return true;
    if (dir->lock < 0)
        return kt_fail(err, KT_E_INTERNAL, "a keyring to be kept without the lock");
    if (state->n_superseded + state->n_left_out >= KT_SUPERSEDED_MAX)
        return kt_fail(err, KT_E_REFUSED, "%s/ holds %zu keyrings, the most that are possible", KT_STATE_SUPERSEDED,
                       state->n_superseded);
    *ret_written = keep(dir, document, which, err);
    return *ret_written;
}

/* The higher of keyring and floor counts, so the next start serves the new one. */
static bool fail_cut_short(struct kt_error *err)
{
    if (!err)
        return false;
    err->code = KT_E_INCOMPLETE;
    (void)kt_error_prefix(err, "the keyring is in its place, but not all around it");
    return kt_error_hint(err, "mend this, and offer the keyring again");
}

static bool read_keyring(const struct kt_state_dir *dir, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_KEYRING_MAX, .owner = KT_ANY_UID};
    enum kt_file_state there = KT_FILE_ABSENT;

    return kt_file_read_if(dir->fd, KT_STATE_KEYRING, &rules, ret, &there, err);
}

/* Renamed into its place, with only the directory's fsync to fail. */
static bool is_in_place(const struct kt_state_dir *dir, struct kt_slice offered)
{
    KT_CLEANUP_BYTES struct kt_bytes now = {.data = NULL};

    return read_keyring(dir, &now, NULL) && kt_slice_equal(kt_bytes_view(&now), offered);
}

/* What somebody put there since the state was read has been judged by nobody. */
static bool is_unchanged(const struct kt_state_dir *dir, const struct kt_state *state, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes now = {.data = NULL};

    if (!read_keyring(dir, &now, err))
        return false;
    if (kt_slice_equal(kt_bytes_view(&now), kt_bytes_view(&state->current)))
        return true;
    (void)kt_fail(err, KT_E_BUSY, "keyring.yaml was replaced by somebody else in the meantime");
    return kt_error_hint(err, "see who did that, then offer the keyring again");
}

static bool write_keyring(const struct kt_state_dir *dir, const struct kt_state *state, struct kt_slice offered,
                          const struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_file_attrs attrs = attrs_of(dir, 0640);

    if (answer->same)
        return true;
    if (offered.len == 0)
        return kt_fail(err, KT_E_INTERNAL, "an install of nothing");
    if (!is_unchanged(dir, state, err))
        return false;
    if (answer->keep_current && state->current.len > 0 && !keep_current(dir, state, answer, err))
        return false;
    if (kt_file_replace(dir->fd, KT_STATE_KEYRING, offered, &attrs, err))
        return true;
    return is_in_place(dir, offered) ? fail_cut_short(err) : false;
}

static bool write_floor(const struct kt_state_dir *dir, const struct kt_state *state,
                        const struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_file_attrs attrs = attrs_of(dir, 0640);
    struct kt_floor floor = {.membership = 0};
    char text[KT_FLOOR_TEXT_MAX] = "";

    kt_floor_of(answer->info, &floor);
    if (floor.membership == state->floor.membership && floor.generation == state->floor.generation &&
        memcmp(floor.hash, state->floor.hash, KT_HASH_LEN) == 0)
        return true;
    /* Somebody else may have put keyring.yaml there: it is made durable before a floor that has no way back. */
    if (answer->same && !kt_file_sync(dir->fd, KT_STATE_KEYRING, err))
        return false;
    kt_floor_format(&floor, text);
    return kt_file_replace(dir->fd, KT_STATE_FLOOR, kt_slice_str(text), &attrs, err);
}

/* After the keyring, which has the lines in any case, and before the floor: below it, nobody takes lines that are not
 * there for lines that were cut off. */
static void append_audit(struct kt_state_dir *dir, const struct kt_opener_answer *answer)
{
    const struct kt_audit_place place = {
        .dir = dir->fd, .rules = kt_state_dir_rules(dir, KT_AUDIT_LOG_MAX), .attrs = attrs_of(dir, 0640)};

    if (answer->audit)
        (void)!kt_audit_log_append(&place, answer->audit, answer->audit_from, answer->audit_whole, &dir->audit);
}

const struct kt_audit_appended *kt_state_dir_audit(const struct kt_state_dir *dir)
{
    return &dir->audit;
}

/* A file that cannot be removed now is judged again at the next start: the install stands either way. */
static void prune(const struct kt_state_dir *dir, const struct kt_state *state, const struct kt_opener_answer *answer)
{
    KT_CLEANUP(kt_fd_close_p) int folder = -1;

    if (state->n_superseded == 0)
        return;
    folder = kt_dir_open(dir->fd, KT_STATE_SUPERSEDED, NULL);
    for (size_t i = 0; i < state->n_superseded && folder >= 0; i++)
        if (!answer->keep_superseded[i] && !kt_file_remove(folder, state->superseded_names[i], NULL))
            return;
}

bool kt_state_dir_install(struct kt_state_dir *dir, const struct kt_state *state, struct kt_slice offered,
                          const struct kt_opener_answer *answer, struct kt_error *err)
{
    dir->audit = (struct kt_audit_appended){.first = 0};
    if (dir->lock < 0)
        return kt_fail(err, KT_E_INTERNAL, "an install without the lock");
    if (!kt_state_dir_check_install(state, answer, err))
        return false;
    if (answer->below_floor)
        return true; /* served as it is, decrypt only: the floor stays, and so does every key */
    if (!write_keyring(dir, state, offered, answer, err))
        return false;
    append_audit(dir, answer);
    if (!write_floor(dir, state, answer, err))
        return fail_cut_short(err);
    prune(dir, state, answer);
    return true;
}
