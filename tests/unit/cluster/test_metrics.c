/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "cluster/metrics.h"
#include "tests/unit/base/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID  "sha256:8b72977e25b3890e94d741f3bbbed0715a914b238d51e7653459fb99890ed093"
#define KEY "sha256:af6f7ecb4d5cb2a70ea0825b693fe29ca4c1757a516c46f042f7bba37a3e47d0"

static struct kt_metrics_parser parser;
static struct kt_metrics metrics;

static bool parse(struct kt_slice text, size_t piece, struct kt_error *err)
{
    kt_metrics_begin(&parser, &metrics);
    for (size_t at = 0; at < text.len; at += piece)
        kt_metrics_feed(&parser, KT_SLICE(text.data + at, text.len - at < piece ? text.len - at : piece));
    return kt_metrics_end(&parser, err);
}

/* Lines of a kube-apiserver v1.36.2 that encrypts with keyturn, has loaded one changed file, and failed with another.
 */
static void reads_a_real_server(void **state)
{
    (void)state;
    static const size_t PIECES[] = {1, 7, 100, 16384, 1 << 20};
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    const struct kt_file_rules rules = {.max = 1 << 20, .owner = KT_ANY_UID};
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_file_read(AT_FDCWD, KT_CORPUS "/metrics/kube-apiserver-1.36", &rules, &text, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < KT_ARRAY_LEN(PIECES); i++) {
        if (!parse(kt_bytes_view(&text), PIECES[i], &err))
            fail_msg("in pieces of %zu: %s", PIECES[i], err.message);
        assert_string_equal(metrics.id_hash, ID);
        assert_string_equal(metrics.config_hash,
                            "sha256:2c1a625171a6da39a55d275cbb45744e82e8b1ae5a79b1db5d3ae2659abc6b72");
        assert_true(metrics.reload_good.is_known && metrics.reload_bad.is_known);
        assert_int_equal((int)metrics.reload_good.total, 1);
        assert_int_equal((int)metrics.reload_bad.total, 5);
        assert_int_equal((uint64_t)metrics.reload_good.at, 1795662126);
        assert_int_equal((uint64_t)metrics.reload_bad.at, 1795662186);
        assert_int_equal((uint64_t)metrics.process_start, 1795662064);
        assert_int_equal(metrics.n_keys, 1);
        assert_false(metrics.is_cut);
        const struct kt_metrics_key *key = kt_metrics_seen(&metrics, "keyturn");
        assert_non_null(key);
        assert_string_equal(key->key_id_hash, KEY);
        assert_int_equal((uint64_t)key->seen_at, 1795662186);
        assert_int_equal((uint64_t)key->written_at, 1795662067);
        assert_int_equal((int)key->written_total, 1);
        assert_ptr_equal(kt_metrics_find(&metrics, "keyturn", KEY), key);
        assert_null(kt_metrics_find(&metrics, "other", KEY));
        assert_null(kt_metrics_seen(&metrics, "other"));
    }
}

#define SOMETHING "apiserver_request_total{code=\"200\"} 1\n"
#define RELOAD    "apiserver_encryption_config_controller_automatic_reload"
#define INFO      "apiserver_encryption_config_controller_last_config_info"
#define HASH_AT   "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds"
#define HASH_N    "apiserver_envelope_encryption_key_id_hash_total"

/* The generations of names and labels, and what the format allows. */
static const struct {
    const char *text;
    const char *id, *config;
    int good, good_at, bad; /* -1: not known */
} READ[] = {
    /* 1.28: no identity, one series for each result. */
    {SOMETHING RELOAD "_success_total 0\n" RELOAD "_failure_total 0\n", "", "", 0, 0, 0},
    {SOMETHING RELOAD "_success_total 2\n" RELOAD "_failure_total 1\n" RELOAD
                      "_last_timestamp_seconds{status=\"success\"} 17\n",
     "", "", 2, 17, 1},
    /* 1.29: with identity. 1.30 to 1.33: both kinds. */
    {SOMETHING RELOAD "_success_total{apiserver_id_hash=\"sha256:a\"} 3\n" RELOAD
                      "_last_timestamp_seconds{apiserver_id_hash=\"sha256:a\",status=\"success\"} 17\n",
     "sha256:a", "", 3, 17, -1},
    {SOMETHING RELOAD "_success_total{apiserver_id_hash=\"sha256:a\"} 3\n" RELOAD
                      "s_total{apiserver_id_hash=\"sha256:a\",status=\"success\"} 3\n" RELOAD
                      "s_total{apiserver_id_hash=\"sha256:a\",status=\"failure\"} 4\n",
     "sha256:a", "", 3, 0, 4},
    /* 1.34: what is loaded. */
    {SOMETHING INFO "{apiserver_id_hash=\"sha256:a\",hash=\"sha256:b\"} 1\n", "sha256:a", "sha256:b", -1, 0, -1},
    {SOMETHING INFO "{apiserver_id_hash=\"sha256:a\",hash=\"sha256:c\"} 0\n" INFO
                    "{apiserver_id_hash=\"sha256:a\",hash=\"sha256:b\"} 1\n",
     "sha256:a", "sha256:b", -1, 0, -1},
    /* Two at once tell nothing. */
    {SOMETHING INFO "{hash=\"sha256:c\"} 1\n" INFO "{hash=\"sha256:b\"} 1\n", "", "", -1, 0, -1},
    /* Blanks, a time stamp, CRLF, a comma too many, an escaped name. */
    {SOMETHING INFO " { apiserver_id_hash = \"sha256:a\" , hash=\"sha256:b\", } 1 1700000000000\r\n\n# x\n", "sha256:a",
     "sha256:b", -1, 0, -1},
    {SOMETHING INFO "{apiserver_id_hash=\"\\\\n\\n\\\"x\\y\",hash=\"}{\"} 1e0\n", "\\n\n\"xy", "}{", -1, 0, -1},
    /* No encryption configured. */
    {SOMETHING, "", "", -1, 0, -1},
    /* Names that only begin like ours. */
    {SOMETHING RELOAD "s_total_x{status=\"success\"} nonsense\n", "", "", -1, 0, -1},
};

static void reads_all_generations(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(READ); i++) {
        struct kt_error err = KT_ERROR_INIT;
        if (!parse(kt_slice_str(READ[i].text), 5, &err))
            fail_msg("%zu: %s", i, err.message);
        assert_string_equal(metrics.id_hash, READ[i].id);
        assert_string_equal(metrics.config_hash, READ[i].config);
        assert_int_equal(metrics.reload_good.is_known ? (int)metrics.reload_good.total : -1, READ[i].good);
        assert_int_equal((int)metrics.reload_good.at, READ[i].good_at);
        assert_int_equal(metrics.reload_bad.is_known ? (int)metrics.reload_bad.total : -1, READ[i].bad);
    }
}

static const struct {
    const char *text;
    const char *message;
} REFUSED[] = {
    {"", "found none of its series"},
    {"<html>\n", "found none of its series"},
    {"process_start_time_seconds 1\n", "found none of its series"},
    {SOMETHING "apiserver_reque", "it ends in the middle of line 2"},
    {SOMETHING INFO "{hash=\"x} 1\n", "line 2: "},
    {SOMETHING INFO "{hash=x} 1\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\"\n", "line 2: "},
    {SOMETHING INFO "{=\"x\"} 1\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\" hash=\"y\"} 1\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\\\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\"}\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\"} one\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\"} NaN\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\"} +Inf\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\"} -1\n", "line 2: "},
    {SOMETHING INFO "{hash=\"x\"} 1x\n", "line 2: "},
    {SOMETHING INFO "{a=\"\",b=\"\",c=\"\",d=\"\",e=\"\",f=\"\",g=\"\",h=\"\",i=\"\"} 1\n", "line 2: "},
};

static void refuses_what_it_cannot_trust(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSED); i++) {
        struct kt_error err = KT_ERROR_INIT;
        if (parse(kt_slice_str(REFUSED[i].text), 3, &err) || !strstr(err.message, REFUSED[i].message))
            fail_msg("%zu: %s", i, err.message);
        assert_int_equal(err.code, KT_E_UNREACHABLE);
    }
    static const char NUL[] = SOMETHING INFO "{hash=\"x\"} 1\0\n";
    assert_false(parse(KT_SLICE(NUL, sizeof(NUL) - 1), 100, NULL));
}

/* Lines longer than there is room: of others they are passed over, of ours they are an error. */
static void bounds_lines(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_text text;
    kt_text_init(&text, 1 << 20);
    kt_text_add(&text, SOMETHING "apiserver_x{y=\"");
    for (size_t i = 0; i < KT_METRICS_LINE_MAX; i++)
        kt_text_add(&text, "z");
    kt_text_add(&text, "\"} 1\n" INFO "{hash=\"b\"} 1\n");
    assert_true(parse(KT_SLICE(text.data, text.len), 1000, &err));
    assert_string_equal(metrics.config_hash, "b");
    kt_text_add(&text, INFO "{hash=\"");
    for (size_t i = 0; i < KT_METRICS_LINE_MAX; i++)
        kt_text_add(&text, "z");
    kt_text_add(&text, "\"} 1\n");
    assert_false(parse(KT_SLICE(text.data, text.len), 1000, &err));
    assert_non_null(strstr(err.message, "line 4: "));
    kt_text_done(&text);
    /* Cut, it would still be a number, and another one. */
    kt_text_init(&text, 1 << 20);
    kt_text_add(&text, SOMETHING RELOAD "s_total{status=\"success\"} ");
    for (size_t i = 0; i < KT_METRICS_LINE_MAX; i++)
        kt_text_add(&text, "0");
    kt_text_add(&text, "5\n");
    assert_false(parse(KT_SLICE(text.data, text.len), 1000, &err));
    kt_text_done(&text);
}

/* Rotations over years, several providers: the last that Status returned counts, and room is bounded. */
static void chooses_among_many_keys(void **state)
{
    (void)state;
    struct kt_text text;
    kt_text_init(&text, 1 << 20);
    kt_text_add(&text, SOMETHING);
    for (int i = 0; i < 90; i++)
        kt_text_add(&text, HASH_AT "{provider_name=\"p\",key_id_hash=\"k%d\"} %d\n", i, 1000 + i * 7 % 90);
    kt_text_add(&text, HASH_AT "{provider_name=\"q\",key_id_hash=\"k5\"} 5000\n");
    kt_text_add(&text, HASH_N "{provider_name=\"p\",key_id_hash=\"w\",transformation_type=\"to_storage\"} 3\n");
    kt_text_add(&text, HASH_N "{provider_name=\"p\",key_id_hash=\"r\",transformation_type=\"from_storage\"} 3\n");
    assert_true(parse(KT_SLICE(text.data, text.len), 999, NULL));
    assert_string_equal(kt_metrics_seen(&metrics, "p")->key_id_hash, "k77"); /* 77 * 7 = 539 = 89 (mod 90) */
    assert_string_equal(kt_metrics_seen(&metrics, "q")->key_id_hash, "k5");
    assert_int_equal((int)kt_metrics_find(&metrics, "p", "w")->written_total, 3);
    assert_null(kt_metrics_find(&metrics, "p", "r"));
    assert_false(metrics.is_cut);
    for (unsigned i = 0; i < KT_METRICS_KEYS_MAX; i++)
        kt_text_add(&text, HASH_AT "{provider_name=\"more\",key_id_hash=\"k%u\"} 1\n", i);
    assert_true(parse(KT_SLICE(text.data, text.len), 999, NULL));
    assert_true(metrics.is_cut);
    assert_int_equal(metrics.n_keys, KT_METRICS_KEYS_MAX);
    kt_text_done(&text);
}

static void hashes_as_kubernetes_does(void **state)
{
    (void)state;
    char hash[KT_METRICS_HASH_MAX];
    assert_true(kt_metrics_hash(kt_slice_str("key-1"), hash, NULL));
    assert_memory_equal(hash, "sha256:be297454", 15);
    assert_int_equal(strlen(hash), 71);
    /* The Lease of the server above. */
    assert_true(kt_metrics_hash(kt_slice_str("apiserver-kcaaxytsc3gyd2kyybqqvf4bl4"), hash, NULL));
    assert_string_equal(hash, ID);
    assert_true(kt_metrics_hash(KT_SLICE(NULL, 0), hash, NULL));
    assert_memory_equal(hash, "sha256:e3b0c442", 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_real_server),          cmocka_unit_test(reads_all_generations),
        cmocka_unit_test(refuses_what_it_cannot_trust), cmocka_unit_test(bounds_lines),
        cmocka_unit_test(chooses_among_many_keys),      cmocka_unit_test(hashes_as_kubernetes_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
