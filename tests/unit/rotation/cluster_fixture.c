/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_fixture.h"

#include <stdio.h>
#include <string.h>

static struct fixture only;

static void add_key(struct fixture *f, enum kt_key_type type, char letter, unsigned n)
{
    static const struct {
        char letter;
        enum kt_key_state state;
    } states[] = {{'a', KT_KEY_ACTIVE},
                  {'r', KT_KEY_READY},
                  {'t', KT_KEY_RETIRING},
                  {'T', KT_KEY_RETIRING},
                  {'c', KT_KEY_COMPROMISED}};
    struct kt_key_info *key = &f->keyring.keys[f->keyring.n_keys];
    if (letter == 'x') {
        struct kt_archived_info *archived = &f->keyring.archive[f->keyring.n_archive++];
        snprintf(archived->id, sizeof archived->id, "%032u", n);
        snprintf(archived->name, sizeof archived->name, "k%u", n);
        archived->type = type;
        archived->created = FIXTURE_NOW - 1000000 + n;
        return;
    }
    f->keyring.n_keys++;
    snprintf(key->id, sizeof key->id, "%032u", n);
    snprintf(key->name, sizeof key->name, "k%u", n);
    key->type = type;
    key->created = FIXTURE_NOW - 1000000 + n;
    for (size_t i = 0; i < KT_ARRAY_LEN(states); i++)
        if (states[i].letter == letter)
            key->state = states[i].state;
    if (key->state == KT_KEY_RETIRING)
        key->retiring_since = letter == 't' ? FIXTURE_NOW - 2 * KT_HOLD_DEFAULT : FIXTURE_NOW - 60;
}

static uint64_t ago(uint64_t seconds)
{
    return FIXTURE_MONO - seconds * FIXTURE_SECOND;
}

static void settle_server(struct fixture *f, size_t i)
{
    static const char *const names[] = {"api-1", "api-2"};
    f->apis[i] = (struct kt_facts_api){.name = names[i],
                                       .remembered = true,
                                       .reachable = true,
                                       .last_seen = FIXTURE_NOW,
                                       .alive_mono = ago(1000),
                                       .hash_known = true,
                                       .hash_mono = ago(900),
                                       .writes_mono = ago(900)};
    memcpy(f->apis[i].hash, f->facts.config.hash, KT_HASH_LEN);
    f->apis[i].status_ref = KT_REF_KEY(0);
    f->apis[i].writes_ref = f->keyring.enabled ? KT_REF_KEY(0) : KT_REF_IDENTITY;
}

static void settle_node(struct fixture *f, size_t i)
{
    static const char *const names[] = {"node-1", "node-2"};
    f->nodes[i] = (struct kt_facts_node){.name = names[i],
                                         .local = i == 0,
                                         .reachable = true,
                                         .generation = f->keyring.generation,
                                         .stage = f->keyring.stage,
                                         .serves = UINT64_MAX >> (64 - f->keyring.n_keys)};
}

void fixture_file(struct fixture *f, size_t n, const int items[])
{
    f->facts.config = (struct kt_facts_config){.present = true, .n_items = n};
    memcpy(f->facts.config.items, items, n * sizeof items[0]);
    for (size_t i = 0; i < n; i++) /* another list, another file */
        f->facts.config.hash[i % KT_HASH_LEN] = (uint8_t)(items[i] + 1);
}

void fixture_settle(struct fixture *f)
{
    int items[KT_KEYS_MAX + 2];
    size_t n = kt_rotation_providers(&f->keyring, items);
    fixture_file(f, n, items);
    for (size_t i = 0; i < FIXTURE_SERVERS; i++) {
        settle_server(f, i);
        settle_node(f, i);
    }
    f->facts.keyring = &f->keyring;
    f->facts.apis_complete = true;
    f->facts.apis = f->apis;
    f->facts.nodes = f->nodes;
    f->facts.n_apis = f->facts.n_nodes = FIXTURE_SERVERS;
    f->facts.store = (struct kt_facts_store){
        .accessible = true, .counted = true, .complete = true, .at_mono = ago(10), .at_real = FIXTURE_NOW - 10};
    f->facts.rewrite = (struct kt_facts_rewrite){.ran = false};
    f->facts.now = FIXTURE_NOW;
    f->facts.now_mono = FIXTURE_MONO;
}

struct fixture *fixture(enum kt_key_type type, enum kt_stage stage, const char *states)
{
    struct fixture *f = &only;
    memset(f, 0, sizeof *f);
    f->keyring.membership = 1;
    f->keyring.generation = 7;
    f->keyring.stage = stage;
    f->keyring.enabled = true;
    f->keyring.hold = KT_HOLD_DEFAULT;
    for (unsigned i = 0; states[i]; i++)
        add_key(f, type, states[i], i + 1);
    fixture_settle(f);
    return f;
}

const struct kt_next *fixture_ask(struct fixture *f, enum kt_order_kind kind)
{
    f->order.kind = kind;
    f->order.new_name = "new";
    kt_rotation_next(&f->facts, &f->order, &f->next);
    kt_rotation_explain(&f->facts, &f->order, &f->next, &f->err);
    return &f->next;
}

static size_t find(const struct kt_keyring_info *keyring, const char *id)
{
    size_t i = 0;
    while (i < keyring->n_keys && strcmp(keyring->keys[i].id, id) != 0)
        i++;
    assert_true(i < keyring->n_keys);
    return i;
}

static void apply_one(struct fixture *f, const struct kt_edit *edit)
{
    struct kt_keyring_info *k = &f->keyring;
    size_t i = edit->id[0] ? find(k, edit->id) : 0;
    struct kt_key_info key = k->keys[i];
    switch (edit->kind) {
    case KT_EDIT_ADD:
        add_key(f, edit->type, 'r', (unsigned)(k->n_keys + k->n_archive + 1));
        break;
    case KT_EDIT_ACTIVATE:
        k->keys[0].state = KT_KEY_READY;
        memmove(&k->keys[1], &k->keys[0], i * sizeof key);
        key.state = KT_KEY_ACTIVE;
        k->keys[0] = key;
        break;
    case KT_EDIT_STATE:
        k->keys[i].retiring_since = edit->state == KT_KEY_RETIRING ? FIXTURE_NOW : 0;
        k->keys[i].state = edit->state;
        break;
    case KT_EDIT_ARCHIVE:
        memmove(&k->keys[i], &k->keys[i + 1], (k->n_keys - i - 1) * sizeof key);
        k->n_keys--;
        memcpy(k->archive[k->n_archive++].id, key.id, sizeof key.id);
        break;
    case KT_EDIT_STAGE:
        k->stage = edit->stage;
        break;
    case KT_EDIT_ENABLED:
        k->enabled = edit->flag;
        break;
    case KT_EDIT_STRICT:
        k->strict = edit->flag;
        break;
    default:
        fail_msg("rotation/ may not ask for edit %d", (int)edit->kind);
    }
}

/* The file is what it was: its keys stand at other places of the keyring. */
static void refer_anew(struct fixture *f, const struct kt_keyring_info *before)
{
    for (size_t i = 0; i < f->facts.config.n_items; i++) {
        int *item = &f->facts.config.items[i];
        if (*item < KT_REF_KEYS)
            continue;
        const char *id = before->keys[*item - KT_REF_KEYS].id;
        *item = KT_REF_ARCHIVED;
        for (size_t k = 0; k < f->keyring.n_keys; k++)
            if (strcmp(f->keyring.keys[k].id, id) == 0)
                *item = KT_REF_KEY(k);
    }
}

void fixture_apply(struct fixture *f)
{
    static struct kt_keyring_info before;
    before = f->keyring;
    assert_int_equal(f->next.step, KT_STEP_GENERATION);
    for (size_t i = 0; i < f->next.n_edits; i++)
        apply_one(f, &f->next.edits[i]);
    f->keyring.generation++;
    refer_anew(f, &before);
}
