/* SPDX-License-Identifier: Apache-2.0 */
/* Each gate shut, what is said then, and what --force may pass. */
#include "cluster_fixture.h"

#include <stdio.h>
#include <string.h>

/* --force goes past it, says so and what it risks; without, it does not. */
static void assert_forcible(struct fixture *f, enum kt_order_kind kind, enum kt_step step, enum kt_gate gate)
{
    assert_step(f, kind, step, gate);
    assert_true(f->next.forcible);
    assert_non_null(strstr(f->err.hint, "or --force, at the risk: "));
    assert_true(kt_gate_risk(gate)[0] != '\0');
    assert_non_null(strstr(f->err.hint, kt_gate_risk(gate)));
    f->order.force = true;
    (void)fixture_ask(f, kind);
    assert_true(f->next.gate != gate);
    assert_true((f->next.forced & UINT64_C(1) << gate) != 0);
    f->order.force = false;
}

static void assert_not_forcible(struct fixture *f, enum kt_order_kind kind, enum kt_step step, enum kt_gate gate)
{
    assert_step(f, kind, step, gate);
    assert_false(f->next.forcible);
    assert_null(strstr(f->err.hint, "--force"));
    f->order.force = true;
    assert_step(f, kind, step, gate);
    assert_true(f->next.forced == 0);
    f->order.force = false;
}

static void test_newest(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_START, "a");
    f->nodes[1].generation++;
    for (unsigned kind = 0; kind < KT_ORDER_COUNT; kind++)
        assert_not_forcible(f, (enum kt_order_kind)kind, KT_STEP_REFUSE, KT_GATE_NEWEST);
    assert_int_equal(f->next.code, KT_E_KEYRING_STALE);
    assert_non_null(strstr(f->err.message, "node-2"));
    f->nodes[1].reachable = false; /* nobody knows */
    assert_writes(f, KT_ORDER_PREPARE, KT_RECIPE_ADD);
}

static void test_put_back(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "ax");
    f->nodes[1].put_back = 1;
    for (unsigned kind = 0; kind < KT_ORDER_COUNT; kind++)
        assert_step(f, (enum kt_order_kind)kind, KT_STEP_PUT_BACK, KT_GATE_PUT_BACK);
    assert_int_equal(f->next.subject, 1);
    assert_non_null(strstr(f->err.message, "key k2, archived, on node node-2"));
}

static void test_remembered(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_START, "a");
    f->apis[1].remembered = false;
    assert_writes(f, KT_ORDER_PREPARE, KT_RECIPE_REMEMBER);
    assert_int_equal(f->next.n_edits, 1);
    assert_int_equal(f->next.edits[0].kind, KT_EDIT_API_SERVER);
    assert_string_equal(f->next.edits[0].name, "api-2");
}

static void test_enabled(void **state)
{
    static const enum kt_order_kind kinds[] = {KT_ORDER_PREPARE, KT_ORDER_ROTATE_KEYS};
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_START, "a");
    f->keyring.enabled = false;
    fixture_settle(f);
    for (size_t i = 0; i < KT_ARRAY_LEN(kinds); i++)
        assert_not_forcible(f, kinds[i], KT_STEP_REFUSE, KT_GATE_ENABLED);
}

static void test_room(void **state)
{
    char states[KT_KEYS_MAX + 1];
    (void)state;
    memset(states, 'r', KT_KEYS_MAX);
    states[0] = 'a';
    states[KT_KEYS_MAX] = '\0';
    assert_not_forcible(fixture(KT_KEY_KMS, KT_STAGE_START, states), KT_ORDER_PREPARE, KT_STEP_REFUSE, KT_GATE_ROOM);
    assert_not_forcible(fixture(KT_KEY_KMS, KT_STAGE_START, states), KT_ORDER_ROTATE_KEYS, KT_STEP_REFUSE,
                        KT_GATE_ROOM);
    states[KT_KEYS_MAX - 1] = '\0';
    assert_writes(fixture(KT_KEY_KMS, KT_STAGE_START, states), KT_ORDER_PREPARE, KT_RECIPE_ADD);
}

static void test_prepared(void **state)
{
    (void)state;
    assert_not_forcible(fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "aT"), KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_PREPARED);
    assert_not_forcible(fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "a"), KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_PREPARED);
    assert_not_forcible(fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "ac"), KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_PREPARED);
}

static void test_served(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "ar");
    f->nodes[0].serves = 1; /* the new one not yet */
    assert_step(f, KT_ORDER_PREPARE, KT_STEP_WAIT, KT_GATE_SERVED);
    assert_non_null(strstr(f->err.message, "prepare: expected every node"));
    assert_non_null(strstr(f->err.message, "its daemon without one of the keys"));
    assert_forcible(f, KT_ORDER_PREPARE, KT_STEP_WAIT, KT_GATE_SERVED);
    fixture_settle(f);
    f->nodes[1].generation--;
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_WAIT, KT_GATE_SERVED);
    f->nodes[1].generation = 0; /* of another membership */
    assert_forcible(f, KT_ORDER_ROTATE_KEYS, KT_STEP_WAIT, KT_GATE_SERVED);
    fixture_settle(f);
    f->nodes[0].reachable = false; /* the local daemon is not there: no node's answer replaces it */
    assert_forcible(f, KT_ORDER_PREPARE, KT_STEP_WAIT, KT_GATE_SERVED);
    fixture_settle(f);
    f->facts.n_nodes = 0;
    assert_forcible(f, KT_ORDER_PREPARE, KT_STEP_WAIT, KT_GATE_SERVED);
    /* Inline keys are in the keyring, and no daemon has them. */
    f = fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "ar");
    f->nodes[0].serves = 0;
    assert_done(f, KT_ORDER_PREPARE);
}

/* prepare is done with the nodes that can be asked; rotate is not, where there is more than one API server. */
static void test_nodes(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "ar");
    f->nodes[1].reachable = false;
    assert_done(f, KT_ORDER_PREPARE);
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_NODES);
    assert_int_equal(f->err.code, KT_E_REFUSED);
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_NODES);
    assert_forcible(f, KT_ORDER_ROTATE_KEYS, KT_STEP_WAIT, KT_GATE_NODES);
    f->facts.n_apis = 1;
    assert_writes(f, KT_ORDER_ROTATE, KT_RECIPE_ACTIVATE);
    f->facts.n_apis = 2;
    f->keyring.stage = KT_STAGE_START; /* rotate-keys asks before it changes anything */
    assert_forcible(f, KT_ORDER_ROTATE_KEYS, KT_STEP_REFUSE, KT_GATE_NODES);
    f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "at");
    f->nodes[1].reachable = false;
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_NODES);
}

static void test_servers(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "ar");
    f->apis[1].reachable = false;
    f->apis[1].last_seen = 0;
    assert_done(f, KT_ORDER_PREPARE);
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_SERVERS);
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_SERVERS);
    assert_non_null(strstr(f->err.message, "api-2 does not answer, last seen never"));
    assert_non_null(strstr(f->err.hint, "--forget-api-server"));
    f->facts.n_apis = 0; /* nothing was seen: nothing is proven */
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_SERVERS);
    fixture_settle(f);
    f->facts.apis_complete = false;
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_REFUSE, KT_GATE_SERVERS);
    f = fixture(KT_KEY_KMS, KT_STAGE_ROTATE, "ar");
    f->apis[1].reachable = false;
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_WAIT, KT_GATE_SERVERS);
    assert_int_equal(f->next.step, KT_STEP_DONE); /* forced: and next.forced says past what */
    f = fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "ar");
    f->facts.n_apis = 0;
    assert_forcible(f, KT_ORDER_PREPARE, KT_STEP_WAIT, KT_GATE_SERVERS);
}

/* Kubernetes before 1.34 has no hash to show. */
static void test_hash_unknown(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "ar");
    f->apis[0].hash_known = false;
    assert_writes(f, KT_ORDER_ROTATE, KT_RECIPE_ACTIVATE);
    f = fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "ar");
    f->apis[0].hash_known = false;
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_WAIT, KT_GATE_LOADED);
    f = fixture(KT_KEY_KMS, KT_STAGE_START, "a");
    f->apis[0].hash_known = false;
    assert_forcible(f, KT_ORDER_DISABLE, KT_STEP_WAIT, KT_GATE_LOADED);
}

static void test_seen_and_writes(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_ROTATE, "ar");
    f->apis[1].status_ref = KT_REF_KEY(1);
    f->apis[1].writes_ref = KT_REF_KEY(1);
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_POKE, KT_GATE_SEEN);
    f->apis[1].status_ref = KT_REF_KEY(0); /* Status moved: no proof */
    assert_forcible(f, KT_ORDER_ROTATE, KT_STEP_CANARY, KT_GATE_WRITES);
    f->apis[1].writes_ref = KT_REF_UNKNOWN;
    f->apis[1].writes_mono = 0; /* not even tried: --force tries first */
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_CANARY, KT_GATE_WRITES);
    assert_false(f->next.forcible);
    assert_int_equal(f->next.subject, 1);
    f->apis[1].status_ref = KT_REF_UNKNOWN;
    f->apis[1].writes_ref = KT_REF_KEY(0);
    f->apis[1].writes_mono = FIXTURE_MONO;
    assert_done(f, KT_ORDER_ROTATE);
    /* What says zero proves nothing, whatever else it says. */
    f->apis[1].writes_mono = 0;
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_CANARY, KT_GATE_WRITES);
    /* The first one writes otherwise: what --force waits for is the one that was not tried. */
    f->apis[0].writes_ref = KT_REF_KEY(1);
    f->apis[1].writes_ref = KT_REF_UNKNOWN;
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_CANARY, KT_GATE_WRITES);
    assert_int_equal(f->next.subject, 0);
    f->order.force = true;
    assert_step(f, KT_ORDER_ROTATE, KT_STEP_CANARY, KT_GATE_WRITES);
    assert_int_equal(f->next.subject, 1);
    f->order.force = false;
}

static void test_no_store(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_ACTIVE, "ar");
    f->facts.store = (struct kt_facts_store){.accessible = false};
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE_ALL, KT_GATE_REWRITTEN);
    f->facts.rewrite.ran = true;
    assert_forcible(f, KT_ORDER_REENCRYPT, KT_STEP_REFUSE, KT_GATE_STORE);
    assert_int_equal(f->next.recipe, KT_RECIPE_FINISH_SKIP); /* nothing retires */
}

static void test_census_is_fresh(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_ACTIVE, "ar");
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_FINISH);
    f->apis[1].writes_mono = f->facts.store.at_mono + 1; /* until then it may have written under the old key */
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_CENSUS, KT_GATE_COUNTED);
    fixture_settle(f);
    f->facts.store.complete = false;
    assert_not_forcible(f, KT_ORDER_REENCRYPT, KT_STEP_REFUSE, KT_GATE_COMPLETE);
    fixture_settle(f);
    f->facts.store.unknown = 1;
    assert_not_forcible(f, KT_ORDER_REENCRYPT, KT_STEP_REFUSE, KT_GATE_COMPLETE);
    fixture_settle(f);
    f->facts.store.archived = 1;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
    fixture_settle(f);
    f->facts.store.foreign = 1;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
}

static void test_left_over_in_the_hold(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "aT");
    f->facts.store.counts[1] = 1;
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_RESTART); /* before the rewrite: a crash must not forget it */
    fixture_apply(f);
    assert_true(f->keyring.keys[1].retiring_since == FIXTURE_NOW);
    fixture_settle(f);
    f->facts.store.counts[1] = 1;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
}

static void test_alarm(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "aT");
    f->facts.store.plaintext = 2;
    assert_not_forcible(f, KT_ORDER_REENCRYPT, KT_STEP_REFUSE, KT_GATE_ALARM);
    assert_int_equal(f->err.code, KT_E_FOUND);
    assert_non_null(strstr(f->err.message, "2 in clear"));
    f->order.accept_plaintext = true;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
    /* In the first rotation it is work; after one it is not. */
    f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_ACTIVE, "ar");
    f->facts.store.plaintext = 2;
    assert_step(f, KT_ORDER_REENCRYPT, KT_STEP_REWRITE, KT_GATE_CURRENT);
    f->facts.encrypted_since = 1;
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_FINISH);
}

static void test_hold(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "aT");
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_HOLD);
    assert_true(f->next.until == FIXTURE_NOW - 60 + KT_HOLD_DEFAULT);
    f->keyring.hold = 1; /* never under ten minutes */
    f->keyring.keys[1].retiring_since = FIXTURE_NOW - KT_HOLD_MIN + 1;
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_HOLD);
    f->keyring.keys[1].retiring_since = FIXTURE_NOW - KT_HOLD_MIN;
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_CENSUS, KT_GATE_COUNTED_LATE); /* the one that there is, was taken before */
    f->keyring.keys[1].retiring_since = FIXTURE_NOW - KT_HOLD_MIN - 10;
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
    f->keyring.keys[1].retiring_since = FIXTURE_NOW + 1; /* the clock went back */
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_HOLD);
    f->keyring.keys[1].retiring_since = UINT64_MAX;
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_HOLD);
}

/* It begins when the last API server came over, where that is later. */
static void test_hold_after_a_change(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_REENCRYPT_FINISHED, "at");
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
    f->apis[1].changed = FIXTURE_NOW - 3600;
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_HOLD);
    assert_true(f->next.until == FIXTURE_NOW - 3600 + KT_HOLD_DEFAULT);
}

/* Only what is due goes; the others stay. */
static void test_two_holds(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "aTt");
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
    assert_int_equal(f->next.n_edits, 1);
    assert_string_equal(f->next.edits[0].id, f->keyring.keys[2].id);
    f->facts.store.counts[1] = 7; /* under the one that stays: its own matter, later */
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
}

static void test_alive(void **state)
{
    const uint64_t drain = KT_ROTATION_DRAIN_NS;
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "at");
    f->facts.store.at_mono = FIXTURE_MONO;
    f->apis[1].alive_mono = FIXTURE_MONO - drain + 1;
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_ALIVE);
    assert_non_null(strstr(f->err.message, "api-2 for 119 s so far"));
    f->apis[1].alive_mono = FIXTURE_MONO - drain;
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
    f->facts.store.at_mono--; /* the census was before the end of the two minutes */
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_CENSUS, KT_GATE_COUNTED_LATE);
    f->apis[1].alive_mono = 0;
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_ALIVE);
    fixture_settle(f);
    f->apis[0].writes_mono = FIXTURE_MONO - drain + 1; /* it came over only then */
    assert_not_forcible(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_ALIVE);
}

static void test_nothing_to_retire(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "arx");
    assert_done(f, KT_ORDER_RETIRE);
    f->apis[1].writes_ref = KT_REF_KEY(1); /* nothing depends on it: a timer that has nothing to do asks nobody */
    f->nodes[0].reachable = false;
    assert_done(f, KT_ORDER_RETIRE);
    f = fixture(KT_KEY_SECRETBOX, KT_STAGE_REENCRYPT_FINISHED, "arx"); /* but a file may still list what was archived */
    f->apis[1].hash[0] ^= 1;
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_LOADED);
}

/* After the archive: out of the config file, on every API server. */
static void test_retired_inline(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_SECRETBOX, KT_STAGE_REENCRYPT_FINISHED, "at");
    assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
    fixture_apply(f);
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    assert_int_equal(f->next.n_providers, 2);
    fixture_settle(f);
    f->apis[1].hash[0] ^= 1;
    assert_step(f, KT_ORDER_RETIRE, KT_STEP_WAIT, KT_GATE_LOADED);
}

static void test_strict(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "a");
    f->order.strict = true;
    assert_writes(f, KT_ORDER_ENABLE, KT_RECIPE_MARK);
    f->facts.encrypted_since = FIXTURE_NOW - 100;
    assert_not_forcible(f, KT_ORDER_ENABLE, KT_STEP_WAIT, KT_GATE_HOLD);
    f->facts.encrypted_since = FIXTURE_NOW - KT_HOLD_DEFAULT - 10;
    f->facts.store.plaintext = 1; /* it came in the hold */
    assert_writes(f, KT_ORDER_ENABLE, KT_RECIPE_MARK);
    f->facts.store.plaintext = 0;
    assert_writes(f, KT_ORDER_ENABLE, KT_RECIPE_STRICT);
    fixture_apply(f);
    assert_step(f, KT_ORDER_ENABLE, KT_STEP_CONFIG, KT_GATE_CONFIG);
    assert_int_equal(f->next.n_providers, 1);
    fixture_settle(f);
    assert_done(f, KT_ORDER_ENABLE);
    f->order.strict = false;
    assert_writes(f, KT_ORDER_DISABLE, KT_RECIPE_UNSTRICT); /* identity last, everywhere, before it is first */
    fixture_apply(f);
    fixture_settle(f);
    f->apis[1].hash[0] ^= 1;
    assert_step(f, KT_ORDER_DISABLE, KT_STEP_WAIT, KT_GATE_LOADED);
}

/* More keys than a generation has room for: in several, and the stage moves with the last. */
static void test_many_keys(void **state)
{
    char states[41];
    unsigned generations = 0;
    (void)state;
    memset(states, 'r', 40);
    states[0] = 'a';
    states[40] = '\0';
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_ACTIVE, states);
    for (; f->keyring.stage == KT_STAGE_REENCRYPT_ACTIVE; generations++) {
        assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_FINISH);
        fixture_apply(f);
        fixture_settle(f);
    }
    assert_int_equal(generations, 3); /* 15, 15, 9 and the stage */
    for (size_t i = 1; i < f->keyring.n_keys; i++) {
        assert_int_equal(f->keyring.keys[i].state, KT_KEY_RETIRING);
        f->keyring.keys[i].retiring_since = 1;
    }
    for (generations = 0; f->keyring.n_keys > 1; generations++) {
        assert_writes(f, KT_ORDER_RETIRE, KT_RECIPE_ARCHIVE);
        fixture_apply(f);
        fixture_settle(f);
    }
    assert_int_equal(generations, 3); /* 16, 16, 7 */
}

/* Keys of superseded keyrings stand behind the listed ones and are none of the machine's business. */
static void test_superseded_keys(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "arr");
    f->keyring.keys[2].superseded = true;
    f->nodes[0].serves = 3;
    assert_writes(f, KT_ORDER_ROTATE, KT_RECIPE_ACTIVATE);
    assert_string_equal(f->next.edits[0].id, f->keyring.keys[1].id);
}

static void test_compromised(void **state)
{
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_ACTIVE, "ac");
    assert_writes(f, KT_ORDER_REENCRYPT, KT_RECIPE_FINISH);
    fixture_apply(f);
    assert_int_equal(f->keyring.keys[1].state, KT_KEY_RETIRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest),
        cmocka_unit_test(test_put_back),
        cmocka_unit_test(test_remembered),
        cmocka_unit_test(test_enabled),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_served),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_hash_unknown),
        cmocka_unit_test(test_seen_and_writes),
        cmocka_unit_test(test_no_store),
        cmocka_unit_test(test_census_is_fresh),
        cmocka_unit_test(test_left_over_in_the_hold),
        cmocka_unit_test(test_alarm),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_hold_after_a_change),
        cmocka_unit_test(test_two_holds),
        cmocka_unit_test(test_alive),
        cmocka_unit_test(test_nothing_to_retire),
        cmocka_unit_test(test_retired_inline),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_superseded_keys),
        cmocka_unit_test(test_compromised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
