/* SPDX-License-Identifier: Apache-2.0 */
/* From any world in which no command runs: if from now on nothing fails, do the commands finish, and is everything
 * readable then, through every API server, without exception? */
#include "model.h"

#include <string.h>

#define ROUNDS_MAX 120u /* looks and acts of one command; the longest needs about 40 */

static const struct kt_order heals[] = {
    {.kind = KT_ORDER_ROTATE_KEYS, .accept_plaintext = true},
    {.kind = KT_ORDER_REENCRYPT, .force = true, .accept_plaintext = true},
    {.kind = KT_ORDER_RETIRE},
};

/* Everything that happens by itself, until nothing more does. */
static void settle(const struct model_setting *setting, struct model_world *w)
{
    struct model_event event;
    bool again = true;
    for (unsigned round = 0; again && round < ROUNDS_MAX; round++) {
        again = false;
        for (unsigned move = MODEL_SETTLING_FIRST; move <= MODEL_SETTLING_LAST; move++)
            again = model_move(setting, w, move, &event) || again;
    }
}

/* Whether it says done. */
static bool run(const struct model_setting *setting, struct model_world *w, size_t order, const char **ret_broken)
{
    struct model_event event = {.done = false};
    struct model_world before;
    if (!model_admin_start(setting, w, order))
        return false;
    for (unsigned round = 0; round < ROUNDS_MAX && w->admin.order; round++) {
        settle(setting, w);
        before = *w;
        (void)model_admin_look(setting, w, &event);
        (void)model_admin_act(setting, w, 0);
        if (w->admin.order && memcmp(&before, w, sizeof before) == 0) /* it waits: for time */
            (void)model_move(setting, w, MODEL_HOLD_PASSES, &event);
        *ret_broken = event.broken ? event.broken : *ret_broken;
    }
    model_admin_stop(w);
    return event.done;
}

static const char *check_healed(const struct model_setting *setting, const struct model_world *w)
{
    for (size_t a = 0; a < setting->n_nodes; a++)
        for (unsigned bit = 0; bit <= setting->n_keys; bit++)
            if ((w->store & 1u << bit) != 0 && !model_reads(setting, w, a, bit))
                return "an object stays unreadable";
    for (unsigned k = 0; k < setting->n_keys; k++)
        if (w->cluster.state[k] == MODEL_RETIRING)
            return "a key never retires";
    return NULL;
}

const char *model_heal(const struct model_setting *setting, const struct model_world *world)
{
    struct model_setting own = *setting;
    struct model_world w = *world;
    const char *broken = NULL;
    memcpy(own.orders, heals, sizeof heals);
    own.n_orders = KT_ARRAY_LEN(heals);
    for (size_t a = 0; a < MODEL_NODES; a++)
        w.api[a].paused = false;
    w.node[1].down = false;
    settle(&own, &w);
    bool midway = w.cluster.stage != KT_STAGE_START && w.cluster.stage != KT_STAGE_REENCRYPT_FINISHED;
    if (midway && !run(&own, &w, 0, &broken))
        return broken ? broken : "a rotation cannot be finished";
    if (!run(&own, &w, 1, &broken))
        return broken ? broken : "nothing can be rewritten";
    if (!run(&own, &w, 2, &broken))
        return broken ? broken : "nothing can retire";
    settle(&own, &w);
    return check_healed(&own, &w);
}
