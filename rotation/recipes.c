/* SPDX-License-Identifier: Apache-2.0 */
/* What each generation changes, as edits. Where there is more to change than one generation takes, the stage stays and
 * the row comes again. */
#include "rotation/rules.h"

#include <string.h>

static struct kt_edit *add(struct kt_next *ret, enum kt_edit_kind kind)
{
    struct kt_edit *edit = &ret->edits[ret->n_edits++];
    memset(edit, 0, sizeof *edit);
    edit->kind = kind;
    return edit;
}

static size_t room(const struct kt_next *ret)
{
    return KT_EDITS_MAX - ret->n_edits;
}

static void add_stage(struct kt_next *ret, enum kt_stage stage)
{
    add(ret, KT_EDIT_STAGE)->stage = stage;
}

static void add_flag(struct kt_next *ret, enum kt_edit_kind kind, bool flag)
{
    add(ret, kind)->flag = flag;
}

static struct kt_edit *add_key(struct kt_next *ret, enum kt_edit_kind kind, const struct kt_key_info *key)
{
    struct kt_edit *edit = add(ret, kind);
    memcpy(edit->id, key->id, sizeof edit->id);
    return edit;
}

static void add_state(struct kt_next *ret, const struct kt_key_info *key, enum kt_key_state state)
{
    add_key(ret, KT_EDIT_STATE, key)->state = state;
}

static void fill_remember(const struct kt_view *view, struct kt_next *ret)
{
    for (size_t i = 0; i < view->facts->n_apis && room(ret) > 0; i++) {
        const struct kt_facts_api *api = &view->facts->apis[i];
        if (!api->remembered) {
            struct kt_edit *edit = add(ret, KT_EDIT_API_SERVER);
            strncpy(edit->name, api->name, sizeof edit->name - 1);
        }
    }
}

static void fill_add(const struct kt_view *view, struct kt_next *ret)
{
    struct kt_edit *edit = add(ret, KT_EDIT_ADD);
    edit->type = view->order->new_type ? view->order->new_type : view->keyring->keys[0].type;
    strncpy(edit->name, view->order->new_name ? view->order->new_name : "", sizeof edit->name - 1);
    add_stage(ret, KT_STAGE_PREPARE);
}

/* Whether a rotation had been finished before this one was prepared: an older key is on its way out or gone, and none
 * that may still be in use is left. */
static bool was_finished(const struct kt_view *view)
{
    const struct kt_keyring_info *keyring = view->keyring;
    bool older = false;
    for (size_t i = 1; i + 1 < view->n_listed; i++) {
        if (keyring->keys[i].state != KT_KEY_RETIRING)
            return false;
        older = true;
    }
    for (size_t i = 0; i < keyring->n_archive; i++)
        older = older || keyring->archive[i].created < keyring->keys[0].created;
    return older;
}

/* It may have encrypted after all, where this keyring came back from an older disk: so it goes the way of every key. */
static void fill_cancel(const struct kt_view *view, struct kt_next *ret)
{
    add_state(ret, &view->keyring->keys[view->n_listed - 1], KT_KEY_RETIRING);
    add_stage(ret, was_finished(view) ? KT_STAGE_REENCRYPT_FINISHED : KT_STAGE_START);
}

static void fill_activate(const struct kt_view *view, struct kt_next *ret)
{
    add_key(ret, KT_EDIT_ACTIVATE, &view->keyring->keys[view->n_listed - 1]);
    add_stage(ret, KT_STAGE_ROTATE);
}

/* All keys but the active one get `state`, one place is left for the stage; whether all of them did. */
static bool set_states(const struct kt_view *view, enum kt_key_state state, struct kt_next *ret)
{
    for (size_t i = 1; i < view->n_listed; i++) {
        const struct kt_key_info *key = &view->keyring->keys[i];
        bool concerned = state == KT_KEY_RETIRING ? key->state != KT_KEY_RETIRING : key->state == KT_KEY_RETIRING;
        if (concerned && room(ret) == 1)
            return false;
        if (concerned)
            add_state(ret, key, state);
    }
    return true;
}

/* A key that something is rewritten away from has no hold running: it begins when nothing is left. */
static void fill_begin(const struct kt_view *view, struct kt_next *ret)
{
    if (set_states(view, KT_KEY_READY, ret))
        add_stage(ret, KT_STAGE_REENCRYPT_ACTIVE);
}

static void fill_finish(const struct kt_view *view, struct kt_next *ret)
{
    if (set_states(view, KT_KEY_RETIRING, ret))
        add_stage(ret, KT_STAGE_REENCRYPT_FINISHED);
}

static void fill_finish_skip(const struct kt_view *view, struct kt_next *ret)
{
    (void)view;
    add_stage(ret, KT_STAGE_REENCRYPT_FINISHED);
}

/* retiringSince is set by the change to retiring alone, so by way of ready. */
static void fill_restart(const struct kt_view *view, struct kt_next *ret)
{
    for (size_t i = 1; i < view->n_listed && room(ret) >= 2; i++) {
        if (!kt_view_found_under(view, i))
            continue;
        add_state(ret, &view->keyring->keys[i], KT_KEY_READY);
        add_state(ret, &view->keyring->keys[i], KT_KEY_RETIRING);
    }
}

static void fill_archive(const struct kt_view *view, struct kt_next *ret)
{
    for (size_t i = 1; i < view->n_listed && room(ret) > 0; i++)
        if (kt_view_due(view, i))
            add_key(ret, KT_EDIT_ARCHIVE, &view->keyring->keys[i]);
}

static void fill_enable(const struct kt_view *view, struct kt_next *ret)
{
    (void)view;
    add_flag(ret, KT_EDIT_ENABLED, true);
}

static void fill_disable(const struct kt_view *view, struct kt_next *ret)
{
    (void)view;
    add_flag(ret, KT_EDIT_ENABLED, false);
}

static void fill_strict(const struct kt_view *view, struct kt_next *ret)
{
    (void)view;
    add_flag(ret, KT_EDIT_STRICT, true);
}

static void fill_unstrict(const struct kt_view *view, struct kt_next *ret)
{
    (void)view;
    add_flag(ret, KT_EDIT_STRICT, false);
}

void kt_recipe_fill(const struct kt_view *view, enum kt_recipe recipe, struct kt_next *ret)
{
    static void (*const fills[KT_RECIPE_COUNT])(const struct kt_view *, struct kt_next *) = {
        [KT_RECIPE_REMEMBER] = fill_remember,
        [KT_RECIPE_ADD] = fill_add,
        [KT_RECIPE_CANCEL] = fill_cancel,
        [KT_RECIPE_ACTIVATE] = fill_activate,
        [KT_RECIPE_BEGIN] = fill_begin,
        [KT_RECIPE_FINISH] = fill_finish,
        [KT_RECIPE_FINISH_SKIP] = fill_finish_skip,
        [KT_RECIPE_RESTART] = fill_restart,
        [KT_RECIPE_ARCHIVE] = fill_archive,
        [KT_RECIPE_ENABLE] = fill_enable,
        [KT_RECIPE_DISABLE] = fill_disable,
        [KT_RECIPE_STRICT] = fill_strict,
        [KT_RECIPE_UNSTRICT] = fill_unstrict,
    };
    if (recipe > KT_RECIPE_NONE && recipe < KT_RECIPE_COUNT && fills[recipe])
        fills[recipe](view, ret);
}
