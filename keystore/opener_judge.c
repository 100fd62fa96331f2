/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/opener_judge.h"

#include "keystore/keyring_member.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void source_done(struct kt_opener_source *source)
{
    kt_keyring_keys_free(source->keys);
    kt_keyring_free(source->keyring);
    *source = (struct kt_opener_source){.name = NULL};
}

void kt_opener_case_done(struct kt_opener_case *sources)
{
    source_done(&sources->offered);
    source_done(&sources->current);
    for (size_t i = 0; i < sources->n_superseded; i++)
        source_done(&sources->superseded[i]);
}

void kt_opener_note(struct kt_opener_answer *answer, const char *fmt, ...)
{
    va_list args;

    if (answer->n_notes == KT_NOTES_MAX) {
        (void)snprintf(answer->notes[KT_NOTES_MAX - 1], KT_NOTE_LEN, "and more like these");
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(answer->notes[answer->n_notes], KT_NOTE_LEN, fmt, args);
    va_end(args);
    answer->n_notes++;
}

/* Killed between keyring and floor, a node has a keyring above its floor: the higher of the two counts. */
static struct kt_floor effective_floor(const struct kt_opener_case *sources)
{
    const struct kt_floor *floor = &sources->floor;
    struct kt_floor current = {.membership = 0};

    if (!sources->current.keyring)
        return *floor;
    kt_floor_of(kt_keyring_info(sources->current.keyring), &current);
    if (floor->membership == 0 ||
        kt_keyring_compare(current.membership, current.generation, floor->membership, floor->generation) > 0)
        return current;
    return *floor;
}

static bool fail_older(const struct kt_keyring_info *info, const struct kt_floor *floor, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_KEYRING_OLDER,
                  "the keyring has membership %" PRIu64 ", generation %" PRIu64 "; this node has installed membership "
                  "%" PRIu64 ", generation %" PRIu64 " already",
                  info->membership, info->generation, floor->membership, floor->generation);
    return kt_error_hint(err, "a node never goes back: offer the newest keyring, which the other nodes have");
}

static bool fail_fork(const struct kt_keyring_info *info, const struct kt_floor *floor, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_KEYRING_FORK,
                  "the keyring has membership %" PRIu64 ", generation %" PRIu64 ", and so has the one that this node "
                  "has installed (membership %" PRIu64 ", generation %" PRIu64 "), with other contents",
                  info->membership, info->generation, floor->membership, floor->generation);
    return kt_error_hint(err,
                         "two admins changed the same keyring at once: keep the one that the other nodes have, and "
                         "repeat the other change over it");
}

static bool fail_leap(const struct kt_keyring_info *info, const struct kt_floor *floor, struct kt_error *err)
{
    (void)kt_fail(err, KT_E_KEYRING_LEAP,
                  "the keyring has generation %" PRIu64 ", more than %" PRIu64 " above the one that this node has "
                  "installed (membership %" PRIu64 ", generation %" PRIu64 ")",
                  info->generation, KT_GENERATION_LEAP_MAX, floor->membership, floor->generation);
    return kt_error_hint(err,
                         "somebody who is or was a member writes numbers after which nothing could follow: find out "
                         "who, and keyturn node remove it");
}

static void note_below(const struct kt_opener_source *offered, const struct kt_floor *floor, bool fork,
                       struct kt_opener_answer *answer)
{
    const struct kt_keyring_info *info = kt_keyring_info(offered->keyring);

    answer->below_floor = true;
    kt_opener_note(answer,
                   "%s has membership %" PRIu64 ", generation %" PRIu64 " and is %s the one that was installed "
                   "(membership %" PRIu64 ", generation %" PRIu64 "): it serves Decrypt only",
                   offered->name, info->membership, info->generation, fork ? "a fork of" : "older than",
                   floor->membership, floor->generation);
}

static bool fail_foreign(struct kt_error *err)
{
    (void)kt_fail(err, KT_E_KEYRING_FOREIGN,
                  "the keyring has another keyring id than the one in force: it belongs to another cluster");
    return kt_error_hint(err, "a node serves one cluster; for a new one, set up a new state directory");
}

/* Whoever was replaced as an owner can still sign a membership, with a chain that ends with him. A founding owner that
 * root has pinned anew is another matter: then the old chain counts for nothing. */
static bool is_by_replaced_owner(const struct kt_opener_source *offered, const struct kt_floor *floor, bool *ret,
                                 struct kt_error *err)
{
    bool found = memcmp(kt_keyring_info(offered->keyring)->founder, floor->founder, KT_HASH_LEN) != 0;

    if (!found && !kt_keyring_has_owner(offered->keyring, floor->owner, &found, err))
        return false;
    *ret = !found;
    return true;
}

static bool fail_replaced_owner(struct kt_error *err)
{
    (void)kt_fail(err, KT_E_KEYRING_OWNER,
                  "the keyring is signed by an owner that was replaced: its chain of owners does not lead to the one "
                  "that signed the keyring in force");
    return kt_error_hint(err, "do not install it: somebody has an old recovery key; `keyturn keyring show` tells the "
                              "owner in force");
}

bool kt_opener_judge_order(const struct kt_opener_case *sources, struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_keyring_info *info = kt_keyring_info(sources->offered.keyring);
    const struct kt_floor floor = effective_floor(sources);
    enum kt_floor_verdict verdict = KT_FLOOR_NEWER;
    bool replaced = false;

    if (floor.membership != 0) {
        if (memcmp(floor.keyring_id, info->keyring_id, KT_KEYRING_ID_LEN) != 0)
            return fail_foreign(err);
        verdict = kt_floor_compare(&floor, info);
        if (verdict == KT_FLOOR_NEWER && !sources->accept_older &&
            kt_floor_is_leap(&floor, info, kt_keyring_made_over(sources->offered.keyring)))
            return fail_leap(info, &floor, err);
        if (verdict == KT_FLOOR_NEWER && !is_by_replaced_owner(&sources->offered, &floor, &replaced, err))
            return false;
    }
    if (replaced)
        return fail_replaced_owner(err);
    if (verdict != KT_FLOOR_OLDER && verdict != KT_FLOOR_FORK)
        return true;
    if (sources->accept_older) {
        note_below(&sources->offered, &floor, verdict == KT_FLOOR_FORK, answer);
        return true;
    }
    return verdict == KT_FLOOR_OLDER ? fail_older(info, &floor, err) : fail_fork(info, &floor, err);
}

static size_t find_key(const struct kt_keyring_info *info, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(info->keys[i].id, id) == 0)
            return i;
    return n;
}

static bool is_listed_or_archived(const struct kt_keyring_info *info, const char *id)
{
    if (find_key(info, info->n_keys, id) < info->n_keys)
        return true;
    for (size_t i = 0; i < info->n_archive; i++)
        if (strcmp(info->archive[i].id, id) == 0)
            return true;
    return false;
}

bool kt_opener_gives(const struct kt_opener_case *sources, enum kt_key_type type)
{
    return (type == KT_KEY_KMS) != sources->render;
}

static bool append_bytes(const struct kt_opener_case *sources, const struct kt_opener_source *old, size_t index,
                         struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_secret *bytes = kt_keyring_keys_bytes(old->keys, index);
    size_t at = answer->info->n_keys;

    if (!kt_opener_gives(sources, kt_keyring_info(old->keyring)->keys[index].type))
        return true;
    answer->keys[at] = kt_secret_new_copy(kt_secret_view(bytes), kt_secret_len(bytes), err);
    return answer->keys[at] != NULL;
}

/* Two old keyrings may have the same key; the newest comes first. */
static void note_twice(const struct kt_opener_source *old, size_t index, size_t at, struct kt_opener_answer *answer)
{
    const struct kt_key_info *key = &kt_keyring_info(old->keyring)->keys[index];

    if (key->type != answer->info->keys[at].type ||
        (answer->keys[at] && !kt_secret_equal(answer->keys[at], kt_keyring_keys_bytes(old->keys, index))))
        kt_opener_note(answer, "%s has other bytes for key %s than a newer keyring has, which are used", old->name,
                       key->id);
}

static bool append_key(const struct kt_opener_case *sources, const struct kt_opener_source *old, size_t index,
                       struct kt_opener_answer *answer, struct kt_error *err)
{
    struct kt_keyring_info *info = answer->info;
    const struct kt_key_info *key = &kt_keyring_info(old->keyring)->keys[index];
    size_t at = find_key(info, info->n_keys, key->id);

    if (at < info->n_keys) {
        note_twice(old, index, at, answer);
        return true;
    }
    if (at == KT_ARRAY_LEN(info->keys) && sources->accept_older) {
        kt_opener_note(answer, "%s: no room to load key %s", old->name, key->id);
        return true;
    }
    if (at == KT_ARRAY_LEN(info->keys)) {
        (void)kt_fail(err, KT_E_REFUSED, "the keyring leaves out more keys than can be kept: %zu are loaded already",
                      at);
        return kt_error_hint(err, "list or archive keys of the superseded keyrings first: `keyturn status` names them");
    }
    if (!append_bytes(sources, old, index, answer, err))
        return false;
    info->keys[at] = *key;
    info->keys[at].superseded = true;
    info->n_keys++;
    return true;
}

/* Every key that old lists and the keyring knows nothing of. */
static bool append_lost(const struct kt_opener_case *sources, const struct kt_opener_source *old,
                        struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_keyring_info *offered = kt_keyring_info(sources->offered.keyring);
    const struct kt_keyring_info *info = kt_keyring_info(old->keyring);

    for (size_t i = 0; i < info->n_keys; i++)
        if (!is_listed_or_archived(offered, info->keys[i].id) && !append_key(sources, old, i, answer, err))
            return false;
    return true;
}

/* They are sealed to the recovery recipient: nothing can be loaded, but their only copy may be here. */
static void note_lost_archive(const struct kt_opener_case *sources, const struct kt_opener_source *old,
                              struct kt_opener_answer *answer)
{
    const struct kt_keyring_info *offered = kt_keyring_info(sources->offered.keyring);
    const struct kt_keyring_info *info = kt_keyring_info(old->keyring);

    for (size_t i = 0; i < info->n_archive; i++)
        if (!is_listed_or_archived(offered, info->archive[i].id))
            kt_opener_note(answer, "%s has archived key %s, which the keyring neither lists nor archives: kept",
                           old->name, info->archive[i].id);
}

static struct kt_floor_side side_of(const struct kt_opener_source *source)
{
    return (struct kt_floor_side){.info = kt_keyring_info(source->keyring), .keys = source->keys};
}

static bool is_foreign(const struct kt_opener_case *sources, const struct kt_opener_source *old)
{
    return memcmp(kt_keyring_info(old->keyring)->keyring_id, kt_keyring_info(sources->offered.keyring)->keyring_id,
                  KT_KEYRING_ID_LEN) != 0;
}

static bool is_covered_key(const struct kt_keyring_info *offered, const char *id, enum kt_key_type type)
{
    size_t i = find_key(offered, offered->n_keys, id);

    return i < offered->n_keys ? offered->keys[i].type == type : is_listed_or_archived(offered, id);
}

/* A keyring of this cluster all of whose keys the offered one lists or archives, as far as can be told without opening
 * it: this node's private half was replaced, so it will never open, and nothing but it would be lost. */
static bool is_covered(const struct kt_opener_case *sources, const struct kt_opener_source *old)
{
    const struct kt_keyring_info *offered = kt_keyring_info(sources->offered.keyring);
    const struct kt_keyring_info *info = old->keyring ? kt_keyring_info(old->keyring) : NULL;

    if (!info || is_foreign(sources, old) || old->unopened.code != KT_E_KEYRING_RECIPIENT)
        return false;
    for (size_t i = 0; i < info->n_keys; i++)
        if (!is_covered_key(offered, info->keys[i].id, info->keys[i].type))
            return false;
    for (size_t i = 0; i < info->n_archive; i++)
        if (!is_covered_key(offered, info->archive[i].id, info->archive[i].type))
            return false;
    return true;
}

/* One that does not verify was noted when that was found. */
static bool judge_unopened(const struct kt_opener_case *sources, const struct kt_opener_source *old,
                           struct kt_opener_answer *answer)
{
    bool keep = old->bytes.len > 0 && !is_covered(sources, old);

    if (keep && old->keyring)
        kt_opener_note(answer, "%s does not open: %s", old->name, old->unopened.message);
    return keep;
}

static bool judge_source(const struct kt_opener_case *sources, const struct kt_opener_source *old,
                         struct kt_opener_answer *answer, bool *keep, struct kt_error *err)
{
    const struct kt_floor_side after = side_of(&sources->offered);
    struct kt_floor_side before = {.info = NULL};
    struct kt_error why = KT_ERROR_INIT;

    if (!old->keyring || !old->keys) {
        *keep = judge_unopened(sources, old, answer);
        return true;
    }
    if (is_foreign(sources, old)) {
        kt_opener_note(answer, "%s belongs to another cluster: its keys are not loaded", old->name);
        *keep = true;
        return true;
    }
    before = side_of(old);
    if (!kt_floor_check_keys(&before, &after, keep, &why)) {
        (void)kt_error_prefix(&why, "compared with %s", old->name);
        if (!sources->accept_older || why.code != KT_E_KEYRING_LOSES_KEY)
            return kt_error_copy(err, &why);
        /* At a start there is nothing else to serve: what can be read is read, and nothing is changed or removed. */
        kt_opener_note(answer, "%s; it serves Decrypt only", why.message);
        *keep = true;
        answer->below_floor = true;
    }
    note_lost_archive(sources, old, answer);
    return append_lost(sources, old, answer, err);
}

bool kt_opener_judge_keys(const struct kt_opener_case *sources, struct kt_opener_answer *answer, struct kt_error *err)
{
    if (sources->current.bytes.data && !judge_source(sources, &sources->current, answer, &answer->keep_current, err))
        return false;
    for (size_t i = 0; i < sources->n_superseded; i++)
        if (!judge_source(sources, &sources->superseded[i], answer, &answer->keep_superseded[i], err))
            return false;
    return true;
}
