/* SPDX-License-Identifier: Apache-2.0 */
/* Breadth-first search over packed worlds. */
#include "base/clock.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM (1u << 12)
#define STATES_MAX (1u << 26)

struct walk {
    const struct model_setting *setting;
    struct model_packed *states;
    uint32_t *parents;
    uint8_t *moves;
    size_t n;
    size_t room;
    uint32_t *table; /* 1 + index of a state; 0: free */
    size_t mask;
};

static uint64_t hash_of(const struct model_packed *p)
{
    uint64_t h = 0;
    for (size_t i = 0; i < MODEL_WORDS; i++) {
        h = (h ^ p->word[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

static void *grown(void *old, size_t size)
{
    void *grown = realloc(old, size);
    if (!grown)
        abort();
    return grown;
}

static size_t slot_of(const struct walk *w, const struct model_packed *p)
{
    size_t slot = hash_of(p) & w->mask;
    while (w->table[slot] && memcmp(&w->states[w->table[slot] - 1], p, sizeof *p) != 0)
        slot = (slot + 1) & w->mask;
    return slot;
}

static void make_room(struct walk *w)
{
    w->room = w->room ? 2 * w->room : FIRST_ROOM;
    w->states = grown(w->states, w->room * sizeof w->states[0]);
    w->parents = grown(w->parents, w->room * sizeof w->parents[0]);
    w->moves = grown(w->moves, w->room * sizeof w->moves[0]);
    free(w->table);
    w->mask = 2 * w->room - 1;
    w->table = calloc(w->mask + 1, sizeof w->table[0]);
    if (!w->table || w->room > STATES_MAX)
        abort();
    for (size_t i = 0; i < w->n; i++)
        w->table[slot_of(w, &w->states[i])] = (uint32_t)(i + 1);
}

/* Whether it is new. */
static bool add(struct walk *w, struct model_world *world, size_t parent, unsigned move)
{
    struct model_packed packed;
    if (w->n == w->room)
        make_room(w);
    model_pack(w->setting, world, &packed);
    size_t slot = slot_of(w, &packed);
    if (w->table[slot])
        return false;
    w->states[w->n] = packed;
    w->parents[w->n] = (uint32_t)parent;
    w->moves[w->n] = (uint8_t)move;
    w->table[slot] = (uint32_t)++w->n;
    return true;
}

/* With what the admin decided when it looked. */
static void say(const struct walk *w, size_t state, char ret[160])
{
    static struct kt_next next;
    struct model_world before;
    char move[64];
    model_move_text(w->setting, w->moves[state], move);
    (void)snprintf(ret, 160, "%s", state ? move : "the beginning");
    model_unpack(&w->states[w->parents[state]], &before);
    if (w->moves[state] != MODEL_LOOKS || !before.admin.order)
        return;
    model_ask(w->setting, &before, &next);
    (void)snprintf(ret, 160, "%s: %s, %s%s%s", move, kt_gate_text(next.gate), kt_step_text(next.step),
                   next.recipe ? ": " : "", next.recipe ? kt_recipe_text(next.recipe) : "");
}

static size_t trace(const struct walk *w, size_t state, bool print)
{
    struct model_world world;
    char text[1024];
    char move[160];
    size_t len = state ? trace(w, w->parents[state], print) + 1 : 0;
    if (!print)
        return len;
    model_unpack(&w->states[state], &world);
    model_world_text(w->setting, &world, text);
    say(w, state, move);
    (void)fprintf(stderr, "%3zu %s\n%s", len, move, getenv("MODEL_VERBOSE") ? text : "");
    return len;
}

static void report(struct walk *w, struct model_result *ret, size_t state, unsigned move, bool print)
{
    char text[64];
    model_move_text(w->setting, move, text);
    ret->trace_len = trace(w, state, print) + 1;
    if (print)
        (void)fprintf(stderr, "%3zu %s\n=> %s\n", ret->trace_len, text, ret->broken);
}

static const char *check(const struct walk *w, const struct model_world *world, struct model_result *ret)
{
    const char *broken = model_check(w->setting, world);
    if (broken || world->admin.order || !w->setting->heals)
        return broken;
    ret->healed++;
    return model_heal(w->setting, world);
}

/* Everything that can happen in one state. */
static void expand(struct walk *w, struct model_result *ret, size_t state, bool print)
{
    struct model_world before;
    struct model_event event;
    model_unpack(&w->states[state], &before);
    for (unsigned move = 0; move < MODEL_MOVES && !ret->broken; move++) {
        struct model_world world = before;
        if (!model_move(w->setting, &world, move, &event))
            continue;
        ret->transitions++;
        ret->dones += event.done;
        ret->broken = event.broken;
        if (!ret->broken && add(w, &world, state, move))
            ret->broken = check(w, &world, ret);
        if (ret->broken)
            report(w, ret, state, move, print);
    }
}

struct model_result model_walk(const struct model_setting *setting, size_t max_states, bool print)
{
    struct walk w = {.setting = setting};
    struct model_result ret = {.states = 0};
    struct model_world world;
    uint64_t began = kt_clock_monotonic_ns();
    model_begin(setting, &world);
    (void)add(&w, &world, 0, 0);
    ret.broken = model_check(setting, &world);
    for (size_t i = 0; i < w.n && !ret.broken; i++) {
        ret.bounded = max_states > 0 && w.n >= max_states;
        if (ret.bounded)
            break;
        expand(&w, &ret, i, print);
    }
    ret.states = w.n;
    ret.seconds = (double)(kt_clock_monotonic_ns() - began) / 1e9;
    free(w.states);
    free(w.parents);
    free(w.moves);
    free(w.table);
    return ret;
}
