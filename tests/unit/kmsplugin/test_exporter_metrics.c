/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/exporter.h"
#include "tests/unit/base/unit.h"

#include <stdlib.h>
#include <string.h>

static struct kt_supervisor_page supervisor;
static struct kt_front_page front;
static struct kt_keeper_page keeper;
static const struct kt_pages pages = {&supervisor, &front, &keeper};

struct fixture {
    struct kt_text text;
};

static int make(void **state)
{
    static struct fixture f;
    memset((void *)&supervisor, 0, sizeof(supervisor));
    memset((void *)&front, 0, sizeof(front));
    memset((void *)&keeper, 0, sizeof(keeper));
    kt_text_init(&f.text, KT_METRICS_MAX);
    *state = &f;
    return 0;
}

static int drop(void **state)
{
    struct fixture *f = *state;
    kt_text_done(&f->text);
    return 0;
}

static void expect(struct fixture *f, const char *line)
{
    if (!strstr(f->text.data, line))
        fail_msg("missing: %s", line);
}

static void empty_pages_are_wellformed(void **state)
{
    struct fixture *f = *state;
    kt_metrics_format(&pages, 100, &f->text);
    assert_false(f->text.bad);
    assert_int_equal(f->text.data[f->text.len - 1], '\n');
    for (const char *line = f->text.data; *line; line = strchr(line, '\n') + 1) {
        assert_true(line[0] == '#' || strncmp(line, "keyturn_", 8) == 0);
        assert_true(line[0] == '#' || memchr(line, ' ', strcspn(line, "\n")));
    }
}

static void histogram_is_cumulative(void **state)
{
    struct fixture *f = *state;
    kt_count_latency(&front, KT_METHOD_ENCRYPT, 50);
    kt_count_latency(&front, KT_METHOD_ENCRYPT, 300);
    kt_count_latency(&front, KT_METHOD_ENCRYPT, 60000000);
    kt_metrics_format(&pages, 100, &f->text);
    expect(f, "keyturn_request_duration_seconds_bucket{method=\"Encrypt\",le=\"0.0001\"} 1\n");
    expect(f, "keyturn_request_duration_seconds_bucket{method=\"Encrypt\",le=\"0.00025\"} 1\n");
    expect(f, "keyturn_request_duration_seconds_bucket{method=\"Encrypt\",le=\"0.0005\"} 2\n");
    expect(f, "keyturn_request_duration_seconds_bucket{method=\"Encrypt\",le=\"10\"} 2\n");
    expect(f, "keyturn_request_duration_seconds_bucket{method=\"Encrypt\",le=\"+Inf\"} 3\n");
    expect(f, "keyturn_request_duration_seconds_sum{method=\"Encrypt\"} 60.000350\n");
    expect(f, "keyturn_request_duration_seconds_count{method=\"Encrypt\"} 3\n");
}

static void put_key(uint32_t i, uint32_t type, uint32_t state)
{
    struct kt_keeper_key *key = &keeper.keys[i];
    *key = (struct kt_keeper_key){.type = type, .state = state, .created = 40, .encryptions = 256, .selftest_ok = 1};
    memset(key->id, 'a' + (int)i, KT_KEY_ID_LEN);
    memcpy(key->name, "kmskey", sizeof("kmskey"));
}

static void keys_are_labelled(void **state)
{
    struct fixture *f = *state;
    put_key(0, KT_KEY_KMS, KT_KEY_ACTIVE);
    put_key(1, KT_KEY_KMS, KT_KEY_RETIRING);
    put_key(2, KT_KEY_AESCBC, KT_KEY_READY);
    keeper.keys[1].superseded = 1;
    keeper.n_keys = 3;
    kt_count(&front.calls[KT_METHOD_DECRYPT][5]);
    kt_metrics_format(&pages, 100, &f->text);
    expect(f, "keyturn_key_age_seconds{key_id=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",name=\"kmskey\",type=\"kms\","
              "state=\"active\"} 60\n");
    expect(f, "keyturn_key_encryptions{key_id=\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\",name=\"kmskey\",type=\"kms\","
              "state=\"superseded\"} 256\n");
    expect(f, "keyturn_requests_total{method=\"Decrypt\",code=\"NotFound\"} 1\n");
    assert_null(strstr(f->text.data, "keyturn_key_selftest_ok{key_id=\"cccccccc"));
}

/* Whatever kube-apiserver takes as a name; what stands in no such name is made harmless. */
static void names_are_escaped(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        const char *label;
    } names[] = {
        {"aescbckey-2022-04-21T23:01:02+02:00", "name=\"aescbckey-2022-04-21T23:01:02+02:00\""},
        {"\"q\" \\", "name=\"\\\"q\\\" \\\\\""},
        {"\xe5\xaf\x86", "name=\"\xe5\xaf\x86\""},
        {"a\nb\xff", "name=\"a\\\\nb\xef\xbf\xbd\""},
    };
    keeper.n_keys = KT_ARRAY_LEN(names);
    for (uint32_t i = 0; i < keeper.n_keys; i++) {
        put_key(i, KT_KEY_AESCBC, KT_KEY_READY);
        memcpy(keeper.keys[i].name, names[i].name, strlen(names[i].name) + 1);
    }
    kt_metrics_format(&pages, 100, &f->text);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++)
        expect(f, names[i].label);
}

static void nonsense_in_a_page_is_bounded(void **state)
{
    struct fixture *f = *state;
    keeper.n_keys = UINT32_MAX;
    memset(keeper.keys, '"', sizeof(keeper.keys)); /* the longest that there can be */
    kt_metrics_format(&pages, 100, &f->text);
    assert_false(f->text.bad);
}

static void dead_writer_shows_no_keyring(void **state)
{
    struct fixture *f = *state;
    keeper.generation = 9;
    kt_page_begin(&keeper.sequence);
    kt_metrics_format(&pages, 100, &f->text);
    expect(f, "keyturn_keyring_generation 0\n");
    expect(f, "keyturn_healthy 0\n");
}

static void ready_means_all_of_it(void **state)
{
    (void)state;
    char text[KT_HEALTHZ_MAX];
    assert_false(kt_metrics_ready(&pages, text, sizeof(text)));
    assert_string_equal(text, "the front is not running");
    atomic_store(&supervisor.processes[KT_ROLE_FRONT].pid, 1);
    assert_false(kt_metrics_ready(&pages, text, sizeof(text)));
    assert_string_equal(text, "the keeper is not running");
    atomic_store(&supervisor.processes[KT_ROLE_KEEPER].pid, 2);
    assert_false(kt_metrics_ready(&pages, text, sizeof(text)));
    memcpy(keeper.healthz, "no keyring", sizeof("no keyring"));
    assert_false(kt_metrics_ready(&pages, text, sizeof(text)));
    assert_string_equal(text, "no keyring");
    keeper.idle = 1; /* for want of a key of type kms */
    assert_true(kt_metrics_ready(&pages, text, sizeof(text)));
    keeper.idle = 0;
    memcpy(keeper.healthz, "ok", sizeof("ok"));
    assert_true(kt_metrics_ready(&pages, text, sizeof(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_pages_are_wellformed, make, drop),
        cmocka_unit_test_setup_teardown(histogram_is_cumulative, make, drop),
        cmocka_unit_test_setup_teardown(keys_are_labelled, make, drop),
        cmocka_unit_test_setup_teardown(names_are_escaped, make, drop),
        cmocka_unit_test_setup_teardown(nonsense_in_a_page_is_bounded, make, drop),
        cmocka_unit_test_setup_teardown(dead_writer_shows_no_keyring, make, drop),
        cmocka_unit_test_setup_teardown(ready_means_all_of_it, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
