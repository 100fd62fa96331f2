/* SPDX-License-Identifier: Apache-2.0 */
/* The reason of a step in words. What is expected and what to do stand in gates.def; here is what was found. */
#include "rotation/rules.h"
#include "rotation/texts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FOUND_MAX 320u

struct say {
    const struct kt_facts *facts;
    const struct kt_order *order;
    const struct kt_next *next;
    struct kt_view view;
};

static const char *ref_text(const struct kt_keyring_info *keyring, int ref)
{
    if (ref >= KT_REF_KEYS && (size_t)(ref - KT_REF_KEYS) < keyring->n_keys)
        return keyring->keys[ref - KT_REF_KEYS].name;
    switch (ref) {
    case KT_REF_IDENTITY:
        return "nothing (in clear)";
    case KT_REF_KMS:
        return "the KMS provider";
    case KT_REF_ARCHIVED:
        return "an archived key";
    case KT_REF_STRANGER:
        return "a key that the keyring does not know";
    case KT_REF_FOREIGN:
        return "another provider";
    default:
        return "nothing yet";
    }
}

static const struct kt_facts_node *node_of(const struct say *s)
{
    static const struct kt_facts_node none = {.name = "none"};
    return s->next->subject < s->facts->n_nodes ? &s->facts->nodes[s->next->subject] : &none;
}

static const struct kt_facts_api *api_of(const struct say *s)
{
    static const struct kt_facts_api none = {.name = "none"};
    return s->next->subject < s->facts->n_apis ? &s->facts->apis[s->next->subject] : &none;
}

static const struct kt_key_info *key_of(const struct say *s)
{
    return &s->facts->keyring->keys[s->next->subject < s->facts->keyring->n_keys ? s->next->subject : 0];
}

static void when(uint64_t seconds, char ret[KT_TIME_LEN])
{
    if (seconds == 0)
        snprintf(ret, KT_TIME_LEN, "never");
    else
        kt_time_format(seconds, ret);
}

/* What was found, by what the gate is about. */
static void found_node(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_node *node = node_of(s);
    if (s->facts->n_nodes == 0)
        snprintf(ret, FOUND_MAX, "no node that can be asked");
    else if (!node->reachable)
        snprintf(ret, FOUND_MAX, "node %s, which cannot be asked (%u such)", node->name, s->next->missing);
    else if (node->serves == 0 && node->generation == s->facts->keyring->generation)
        snprintf(ret, FOUND_MAX, "node %s, whose daemon does not answer or serves none of the keys (%u such)",
                 node->name, s->next->missing);
    else
        snprintf(ret, FOUND_MAX, "node %s at generation %" PRIu64 " of %" PRIu64 "%s (%u such)", node->name,
                 node->generation, s->facts->keyring->generation,
                 node->generation == s->facts->keyring->generation ? ", its daemon without one of the keys" : "",
                 s->next->missing);
}

static void found_put_back(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_node *node = node_of(s);
    size_t i = node->put_back;
    snprintf(ret, FOUND_MAX, "key %s, archived, on node %s",
             i > 0 && i <= s->facts->keyring->n_archive ? s->facts->keyring->archive[i - 1].name : "unknown",
             node->name);
}

static void found_stage(const struct say *s, char ret[FOUND_MAX])
{
    const char *name = "unknown";
    for (size_t i = 0; i < s->facts->n_nodes; i++)
        if (s->facts->nodes[i].local)
            name = s->facts->nodes[i].name;
    snprintf(ret, FOUND_MAX, KT_TEXT_STAGE, kt_stage_text(s->facts->keyring->stage), name);
}

static void found_server(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_api *api = api_of(s);
    char seen[KT_TIME_LEN];
    when(api->last_seen, seen);
    if (s->facts->n_apis == 0)
        snprintf(ret, FOUND_MAX, "no API server");
    else if (s->next->missing == 0)
        snprintf(ret, FOUND_MAX, "that there may be more than the %zu that are known", s->facts->n_apis);
    else
        snprintf(ret, FOUND_MAX, "%s does not answer, last seen %s (%u such)", api->name, seen, s->next->missing);
}

static void found_loaded(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_api *api = api_of(s);
    char hash[KT_HASH_TEXT_LEN] = "a file that it does not name";
    if (api->hash_known)
        kt_hash_format(api->hash, hash);
    snprintf(ret, FOUND_MAX, "%s with %s (%u such)%s%.150s", api->name, hash, s->next->missing,
             api->reload_failure ? "; it says: " : "", api->reload_failure ? api->reload_failure : "");
}

static void found_seen(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_api *api = api_of(s);
    snprintf(ret, FOUND_MAX, "%s with key %s (%u such)", api->name, ref_text(s->facts->keyring, api->status_ref),
             s->next->missing);
}

static void found_writes(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_api *api = api_of(s);
    snprintf(ret, FOUND_MAX, "%s, which wrote %s, not %s (%u such)", api->name,
             api->writes_mono == 0 ? "nothing yet" : ref_text(s->facts->keyring, api->writes_ref),
             ref_text(s->facts->keyring, kt_view_wanted_ref(&s->view)), s->next->missing);
}

static void found_alive(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_api *api = api_of(s);
    uint64_t since = api->alive_mono > 0 && api->alive_mono <= s->facts->now_mono
                         ? (s->facts->now_mono - api->alive_mono) / UINT64_C(1000000000)
                         : 0;
    snprintf(ret, FOUND_MAX, "%s for %" PRIu64 " s so far (%u such)", api->name, since, s->next->missing);
}

static void found_left_over(const struct say *s, char ret[FOUND_MAX])
{
    const struct kt_facts_store *store = &s->facts->store;
    snprintf(ret, FOUND_MAX, "%" PRIu64 " objects left over, %" PRIu64 " in clear, %" PRIu64 " not understood%s",
             kt_view_left_over(&s->view), store->plaintext, store->unknown,
             store->complete ? "" : ", and the count incomplete");
}

static void found_key(const struct say *s, char ret[FOUND_MAX])
{
    size_t i = s->next->subject < KT_KEYS_MAX ? s->next->subject : 0;
    snprintf(ret, FOUND_MAX, "key %s, %s, with %" PRIu64 " objects", key_of(s)->name,
             kt_key_state_text(key_of(s)->state), s->facts->store.counts[i]);
}

static void found_hold(const struct say *s, char ret[FOUND_MAX])
{
    char until[KT_TIME_LEN];
    when(s->next->until, until);
    if (s->order->kind == KT_ORDER_ENABLE)
        snprintf(ret, FOUND_MAX, "that identity is held until %s", until);
    else
        snprintf(ret, FOUND_MAX, "key %s held until %s", key_of(s)->name, until);
}

static const struct {
    enum kt_gate gate;
    void (*found)(const struct say *s, char ret[FOUND_MAX]);
} sayings[] = {
    {KT_GATE_NEWEST, found_node},
    {KT_GATE_PUT_BACK, found_put_back},
    {KT_GATE_STAGE, found_stage},
    {KT_GATE_SERVED, found_node},
    {KT_GATE_NODES, found_node},
    {KT_GATE_SERVERS, found_server},
    {KT_GATE_LOADED, found_loaded},
    {KT_GATE_SEEN, found_seen},
    {KT_GATE_WRITES, found_writes},
    {KT_GATE_ALIVE, found_alive},
    {KT_GATE_REWRITABLE, found_left_over},
    {KT_GATE_CURRENT, found_left_over},
    {KT_GATE_COMPLETE, found_left_over},
    {KT_GATE_ALARM, found_left_over},
    {KT_GATE_HOLD, found_hold},
    {KT_GATE_RESTARTED, found_key},
    {KT_GATE_CLEAN, found_key},
    {KT_GATE_PREPARED, found_key},
    {KT_GATE_UNMARKED, found_key},
};

static const char *hint_of(enum kt_gate gate)
{
    static const char *const hints[KT_GATE_COUNT] = {
#define KT_GATE(name, open, code, expected, hint, risk) [KT_GATE_##name] = hint,
#include "rotation/gates.def"
#undef KT_GATE
    };
    return (unsigned)gate < KT_GATE_COUNT && hints[gate] ? hints[gate] : "";
}

void kt_rotation_explain(const struct kt_facts *facts, const struct kt_order *order, const struct kt_next *next,
                         struct kt_error *ret)
{
    struct say s = {.facts = facts, .order = order, .next = next};
    char found[FOUND_MAX] = "";
    kt_error_clear(ret);
    if (next->step == KT_STEP_DONE)
        return;
    kt_view_init(&kt_rotation_rules, facts, order, &s.view);
    for (size_t i = 0; i < KT_ARRAY_LEN(sayings); i++)
        if (sayings[i].gate == next->gate)
            sayings[i].found(&s, found);
    (void)kt_fail(ret, next->code ? next->code : KT_E_INCOMPLETE, "%s: expected %s%s%s", kt_order_text(order->kind),
                  kt_gate_expected(next->gate), found[0] ? ", found " : "", found);
    (void)kt_error_hint(ret, "%s%s%s%s", hint_of(next->gate), next->forcible && hint_of(next->gate)[0] ? "; " : "",
                        next->forcible ? "or --force, at the risk: " : "",
                        next->forcible ? kt_gate_risk(next->gate) : "");
}
