/* SPDX-License-Identifier: Apache-2.0 */
/* Names and fixed texts, from the .def lists. */
#include "rotation/rules.h"
#include "rotation/texts.h"

#include <stdio.h>
#include <string.h>

#define TEXT_OF(texts, number) ((size_t)(number) < KT_ARRAY_LEN(texts) && (texts)[number] ? (texts)[number] : "unknown")

const char *kt_order_text(enum kt_order_kind kind)
{
    static const char *const texts[KT_ORDER_COUNT] = {
        [KT_ORDER_PREPARE] = "prepare",     [KT_ORDER_CANCEL] = "prepare --cancel", [KT_ORDER_ROTATE] = "rotate",
        [KT_ORDER_REENCRYPT] = "reencrypt", [KT_ORDER_ROTATE_KEYS] = "rotate-keys", [KT_ORDER_RETIRE] = "retire",
        [KT_ORDER_ENABLE] = "enable",       [KT_ORDER_DISABLE] = "disable",         [KT_ORDER_APPLY] = "config apply",
    };
    return TEXT_OF(texts, kind);
}

const char *kt_step_text(enum kt_step step)
{
    static const char *const texts[] = {
        [KT_STEP_DONE] = "done",
        [KT_STEP_REFUSE] = "refuse",
        [KT_STEP_WAIT] = "wait",
        [KT_STEP_GENERATION] = "write a generation",
        [KT_STEP_CONFIG] = "write the config file",
        [KT_STEP_POKE] = "poke an API server",
        [KT_STEP_CANARY] = "write a canary",
        [KT_STEP_CENSUS] = "count the store",
        [KT_STEP_REWRITE] = "rewrite objects",
        [KT_STEP_REWRITE_ALL] = "rewrite all objects",
        [KT_STEP_PUT_BACK] = "put a key back",
    };
    return TEXT_OF(texts, step);
}

const char *kt_gate_text(enum kt_gate gate)
{
    static const char *const texts[KT_GATE_COUNT] = {
#define KT_GATE(name, open, code, expected, hint, risk) [KT_GATE_##name] = #name,
#include "rotation/gates.def"
#undef KT_GATE
    };
    return TEXT_OF(texts, gate);
}

const char *kt_gate_expected(enum kt_gate gate)
{
    static const char *const texts[KT_GATE_COUNT] = {
#define KT_GATE(name, open, code, expected, hint, risk) [KT_GATE_##name] = expected,
#include "rotation/gates.def"
#undef KT_GATE
    };
    return TEXT_OF(texts, gate);
}

const char *kt_gate_risk(enum kt_gate gate)
{
    static const char *const texts[KT_GATE_COUNT] = {
#define KT_GATE(name, open, code, expected, hint, risk) [KT_GATE_##name] = risk,
#include "rotation/gates.def"
#undef KT_GATE
    };
    return TEXT_OF(texts, gate);
}

const char *kt_recipe_text(enum kt_recipe recipe)
{
    static const char *const texts[KT_RECIPE_COUNT] = {
#define KT_RECIPE(name, stage, text) [KT_RECIPE_##name] = text,
#include "rotation/recipes.def"
#undef KT_RECIPE
    };
    return TEXT_OF(texts, recipe);
}

const char *kt_rotation_success(enum kt_order_kind kind)
{
    return (unsigned)kind < KT_ORDER_COUNT ? kt_rotation_stages[kind].success : "unknown";
}

static enum kt_hashes differ(const char *a, const char *b, char ret[KT_HASHES_TEXT_MAX])
{
    snprintf(ret, KT_HASHES_TEXT_MAX, KT_TEXT_HASHES_DIFFER, a, b);
    return KT_HASHES_DIFFER;
}

/* The first that could be asked, and each other against it, as k3s compares its nodes' annotations. */
enum kt_hashes kt_rotation_hashes(const struct kt_facts *facts, char ret[KT_HASHES_TEXT_MAX])
{
    const struct kt_facts_node *node = NULL;
    const struct kt_facts_api *api = NULL;
    for (size_t i = 0; i < facts->n_nodes; i++) {
        const struct kt_facts_node *other = &facts->nodes[i];
        if (!other->reachable)
            continue;
        if (node && (node->stage != other->stage || node->generation != other->generation))
            return differ(node->name, other->name, ret);
        node = node ? node : other;
    }
    for (size_t i = 0; i < facts->n_apis; i++) {
        const struct kt_facts_api *other = &facts->apis[i];
        if (!other->hash_known)
            continue;
        if (api && memcmp(api->hash, other->hash, KT_HASH_LEN) != 0)
            return differ(api->name, other->name, ret);
        api = api ? api : other;
    }
    snprintf(ret, KT_HASHES_TEXT_MAX, "%s", api ? KT_TEXT_HASHES_MATCH : KT_TEXT_HASHES_UNKNOWN);
    return api ? KT_HASHES_MATCH : KT_HASHES_UNKNOWN;
}
