/* SPDX-License-Identifier: Apache-2.0 */
/* Plans, the line of hashes, and that docs/rotation.md has the same tables. */
#include "cluster_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The line of the seeds' status, and the HA example with its two nodes. */
static void test_hashes(void **state)
{
    char text[KT_HASHES_TEXT_MAX];
    (void)state;
    struct fixture *f = fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "ar");
    assert_int_equal(kt_rotation_hashes(&f->facts, text), KT_HASHES_MATCH);
    assert_string_equal(text, "All hashes match");
    f->apis[1].hash[3] ^= 1;
    assert_int_equal(kt_rotation_hashes(&f->facts, text), KT_HASHES_DIFFER);
    assert_string_equal(text, "hash does not match between api-1 and api-2");
    f->nodes[0].name = "ip-172-31-10-50";
    f->nodes[1].name = "ip-172-31-1-207";
    f->nodes[1].stage = KT_STAGE_START;
    assert_int_equal(kt_rotation_hashes(&f->facts, text), KT_HASHES_DIFFER);
    assert_string_equal(text, "hash does not match between ip-172-31-10-50 and ip-172-31-1-207");
    f->nodes[1].reachable = false; /* nobody knows what it has */
    f->apis[1].hash_known = false;
    assert_int_equal(kt_rotation_hashes(&f->facts, text), KT_HASHES_MATCH);
    f->apis[0].hash_known = false;
    assert_int_equal(kt_rotation_hashes(&f->facts, text), KT_HASHES_UNKNOWN);
    assert_string_equal(text, "unknown");
    f->facts.n_apis = f->facts.n_nodes = 0;
    assert_int_equal(kt_rotation_hashes(&f->facts, text), KT_HASHES_UNKNOWN);
}

static void test_providers(void **state)
{
    int items[KT_KEYS_MAX + 2];
    (void)state;
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_START, "arr");
    f->keyring.keys[1].type = KT_KEY_AESCBC;
    assert_int_equal(kt_rotation_providers(&f->keyring, items), 3); /* both kms keys are one provider */
    assert_int_equal(items[0], KT_REF_KMS);
    assert_int_equal(items[1], KT_REF_KEY(1));
    assert_int_equal(items[2], KT_REF_IDENTITY);
    f->keyring.strict = true;
    assert_int_equal(kt_rotation_providers(&f->keyring, items), 2);
    f->keyring.enabled = false; /* strict is about encrypting */
    assert_int_equal(kt_rotation_providers(&f->keyring, items), 3);
    assert_int_equal(items[0], KT_REF_IDENTITY);
    f->keyring.keys[2].superseded = true;
    f->keyring.keys[1].superseded = true;
    assert_int_equal(kt_rotation_providers(&f->keyring, items), 2);
}

static void assert_plan(struct fixture *f, enum kt_order_kind kind, const char *want)
{
    struct kt_plan_line lines[KT_PLAN_MAX];
    char got[2048] = "";
    size_t len = 0;
    f->order.kind = kind;
    size_t n = kt_rotation_plan(&f->facts, &f->order, lines);
    for (size_t i = 0; i < n; i++) {
        bool written = lines[i].step == KT_STEP_GENERATION;
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%s%s%s", i ? " " : "", kt_gate_text(lines[i].gate),
                                written ? ":" : "", written ? kt_recipe_text(lines[i].recipe) : "");
        assert_true(len < sizeof(got));
    }
    assert_string_equal(got, want);
}

static void test_plan(void **state)
{
    (void)state;
    assert_plan(fixture(KT_KEY_KMS, KT_STAGE_START, "a"), KT_ORDER_PREPARE, "NEXT:add a new key, last SERVED");
    assert_plan(fixture(KT_KEY_KMS, KT_STAGE_START, "a"), KT_ORDER_ROTATE_KEYS,
                "NEXT:add a new key, last SERVED NEXT:move the new key to the front SERVED SEEN WRITES "
                "NEXT:begin to rewrite SERVED COUNTED CURRENT COUNTED "
                "NEXT:let the old keys retire: nothing is left under them SERVED");
    assert_plan(fixture(KT_KEY_AESCBC, KT_STAGE_PREPARE, "ar"), KT_ORDER_ROTATE,
                "NEXT:move the new key to the front CONFIG SERVED LOADED");
    assert_plan(fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "at"), KT_ORDER_RETIRE,
                "NEXT:move keys to the archive SERVED");
    assert_plan(fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "aT"), KT_ORDER_RETIRE,
                "HOLD COUNTED_LATE NEXT:move keys to the archive SERVED");
    assert_plan(fixture(KT_KEY_KMS, KT_STAGE_START, "a"), KT_ORDER_DISABLE,
                "NEXT:disable encryption CONFIG SERVED LOADED COUNTED CURRENT COUNTED");
    assert_plan(fixture(KT_KEY_KMS, KT_STAGE_REENCRYPT_FINISHED, "a"), KT_ORDER_REENCRYPT, "");
    /* Where nothing but a refusal would come there is no plan. */
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_ROTATE, "ar");
    assert_plan(f, KT_ORDER_ROTATE, "");
}

/* Every gate's words fit whole, whatever the names in them. */
static void test_words_fit(void **state)
{
    char name[KT_API_SERVER_MAX + 1];
    struct kt_error err;
    (void)state;
    memset(name, 'n', KT_API_SERVER_MAX);
    name[KT_API_SERVER_MAX] = '\0';
    struct fixture *f = fixture(KT_KEY_KMS, KT_STAGE_PREPARE, "arx");
    f->apis[0].name = f->nodes[0].name = name;
    f->apis[0].reload_failure = name;
    memcpy(f->keyring.keys[0].name, name, sizeof name);
    for (unsigned gate = 1; gate < KT_GATE_COUNT; gate++) {
        struct kt_next next = {.step = KT_STEP_REFUSE, .gate = (enum kt_gate)gate, .forcible = true};
        kt_rotation_explain(&f->facts, &f->order, &next, &err);
        assert_true(err.code != KT_OK);
        assert_non_null(strstr(err.message, kt_gate_expected((enum kt_gate)gate)));
        assert_true(strlen(err.hint) + 1 < sizeof err.hint);
    }
    /* An index that is out of range is our own mistake, and no reason to fall over. */
    for (unsigned gate = 1; gate < KT_GATE_COUNT; gate++) {
        struct kt_next next = {.step = KT_STEP_WAIT, .gate = (enum kt_gate)gate, .subject = 4000, .missing = 1};
        kt_rotation_explain(&f->facts, &f->order, &next, &err);
        assert_true(err.message[0] != '\0');
    }
    struct kt_next done = {.step = KT_STEP_DONE};
    kt_rotation_explain(&f->facts, &f->order, &done, &err);
    assert_int_equal(err.code, KT_OK);
}

static char *read_page(void)
{
    char path[4096];
    const char *source = getenv("KEYTURN_SOURCE");
    assert_non_null(source);
    snprintf(path, sizeof path, "%s/docs/rotation.md", source);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    (void)fclose(file);
    return text;
}

static void test_page(void **state)
{
    char line[1024];
    (void)state;
    char *page = read_page();
    for (unsigned gate = 1; gate < KT_GATE_NEXT; gate++) {
        const char *risk = kt_gate_risk((enum kt_gate)gate);
        snprintf(line, sizeof line, "\n| %s | %s | %s |\n", kt_gate_text((enum kt_gate)gate),
                 kt_gate_expected((enum kt_gate)gate), risk[0] ? risk : "cannot be forced");
        if (!strstr(page, line))
            fail_msg("docs/rotation.md lacks the line:%s", line);
    }
    for (unsigned recipe = 1; recipe < KT_RECIPE_COUNT; recipe++) {
        snprintf(line, sizeof line, "| %s |", kt_recipe_text((enum kt_recipe)recipe));
        if (!strstr(page, line))
            fail_msg("docs/rotation.md lacks: %s", line);
    }
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes),    cmocka_unit_test(test_providers), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_words_fit), cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
