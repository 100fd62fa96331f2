/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of real keyrings, and what becomes of them: each kind of damage by its name, and no single one that is missed.
 */
#include "keyring_fixture.h"
#include "keystore/audit_verify.h"
#include "keystore/keyring_member.h"

#include <stdio.h>
#include <string.h>

#define GENERATIONS 6u

struct history {
    struct fixture f; /* the newest keyring */
    char *lines[GENERATIONS];
    struct kt_audit_anchor anchors[GENERATIONS];
    char names[GENERATIONS][32];
    struct kt_audit_evidence evidence; /* log empty */
    struct kt_audit_report report;
};

static void remember(struct history *h, size_t i)
{
    const struct kt_audit_tail *tail = kt_keyring_audit(h->f.keyring);
    struct kt_slice line = kt_audit_tail_line(tail, tail->n - 1);
    h->lines[i] = strndup((const char *)line.data, line.len);
    assert_non_null(h->lines[i]);
    snprintf(h->names[i], sizeof h->names[i], "superseded/1-%zu.yaml", i + 1);
    h->anchors[i].name = h->names[i];
    kt_floor_of(kt_keyring_info(h->f.keyring), &h->anchors[i].which);
    memcpy(h->anchors[i].head, kt_keyring_info(h->f.keyring)->audit_head, KT_HASH_LEN);
}

static int setup(void **state)
{
    struct history *h = calloc(1, sizeof *h);
    assert_non_null(h);
    fixture_init(&h->f);
    remember(h, 0);
    for (size_t i = 1; i < GENERATIONS; i++) {
        const struct kt_edit edit = {.kind = KT_EDIT_ENABLED, .flag = i % 2 == 0};
        fixture_write(&h->f, &edit, 1);
        remember(h, i);
    }
    h->evidence = (struct kt_audit_evidence){.node = "node-1",
                                             .keyring = h->anchors[GENERATIONS - 1],
                                             .tail = kt_keyring_audit(h->f.keyring),
                                             .floor = h->anchors[GENERATIONS - 1].which};
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct history *h = *state;
    for (size_t i = 0; i < GENERATIONS; i++)
        free(h->lines[i]);
    fixture_done(&h->f);
    free(h);
    return 0;
}

/* Lines by their numbers ("123456" is the whole log), each with its LF. */
static char *log_of(const struct history *h, const char *which)
{
    struct kt_text text = {0};
    kt_text_init(&text, 1u << 20);
    for (const char *c = which; *c; c++)
        kt_text_add(&text, "%s\n", h->lines[*c - '1']);
    return text.data ? text.data : calloc(1, 1);
}

static size_t verify(struct history *h, const char *log, size_t len)
{
    struct kt_error err = KT_ERROR_INIT;
    h->evidence.log = KT_SLICE(log, len);
    assert_ok(kt_audit_verify(&h->evidence, &h->report, &err));
    return h->report.n_findings;
}

static void expect_good(struct history *h, const char *which)
{
    char *log = log_of(h, which);
    if (verify(h, log, strlen(log)) > 0)
        fail_msg("%s: %s", which, h->report.findings[0].message);
    assert_int_equal(h->report.rows, strlen(which));
    free(log);
}

static void expect_text(struct history *h, const char *log, enum kt_audit_damage damage, uint64_t row, const char *part)
{
    bool found = false;
    assert_int_not_equal(verify(h, log, strlen(log)), 0);
    for (size_t i = 0; i < h->report.n_findings; i++) {
        const struct kt_audit_finding *finding = &h->report.findings[i];
        found = found || (finding->damage == damage && finding->row == row && strstr(finding->message, part));
    }
    if (!found)
        fail_msg("expected %s in row %llu (%s), found %s in row %llu: %s", kt_audit_damage_text(damage),
                 (unsigned long long)row, part, kt_audit_damage_text(h->report.findings[0].damage),
                 (unsigned long long)h->report.findings[0].row, h->report.findings[0].message);
}

static void expect(struct history *h, const char *which, enum kt_audit_damage damage, uint64_t row, const char *part)
{
    char *log = log_of(h, which);
    expect_text(h, log, damage, row, part);
    free(log);
}

static void test_a_whole_log(void **state)
{
    struct history *h = *state;
    expect_good(h, "123456");
    assert_int_equal(h->report.first, 1);
    assert_int_equal(h->report.last, 6);
    assert_int_equal(h->report.due, 0);
    assert_int_equal(h->report.newer, 0);
}

static void test_each_kind_of_damage(void **state)
{
    struct history *h = *state;
    expect(h, "23456", KT_AUDIT_BEGINNING_CUT, 1, "begins with line 2");
    expect(h, "12456", KT_AUDIT_LINES_MISSING, 3, "lines 3 to 3 are missing");
    expect(h, "156", KT_AUDIT_LINES_MISSING, 2, "lines 2 to 4 are missing");
    expect(h, "1223456", KT_AUDIT_OUT_OF_ORDER, 3, "line 2 stands after line 2");
    expect(h, "132456", KT_AUDIT_OUT_OF_ORDER, 3, "line 2 stands after line 3");
    expect(h, "213456", KT_AUDIT_BEGINNING_CUT, 1, "begins with line 2");
    expect(h, "12345", KT_AUDIT_TAIL_CUT, 0, "ends with line 5, but the keyring in force names line 6");
    expect(h, "1", KT_AUDIT_TAIL_CUT, 0, "ends with line 1");
    expect(h, "", KT_AUDIT_TAIL_CUT, 0, "ends with line 0");
    expect(h, "1234566", KT_AUDIT_NOT_VOUCHED_FOR, 7, "vouches for the first 6 rows");
    expect(h, "1234561", KT_AUDIT_NOT_VOUCHED_FOR, 7, "vouches for the first 6 rows");
    h->evidence.absent = true;
    expect(h, "", KT_AUDIT_MISSING, 0, "there is no audit.log");
    h->evidence.absent = false;
}

static char *replaced(const char *text, const char *from, const char *to)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    forgery_replace(&copy, from, to);
    return copy;
}

static void test_edits(void **state)
{
    struct history *h = *state;
    static const struct {
        const char *from, *to;
        enum kt_audit_damage damage;
        uint64_t row;
        const char *part;
    } cases[] = {
        /* The line after an altered one tells; the keyring, where there is none. */
        {"\"seq\":3,\"prev\":\"sha256:", "\"seq\":3,\"prev\":\"sha256:00000000 ", KT_AUDIT_NOT_A_LINE, 3, "byte "},
        {"\"generation\":3,\"stage\":\"start\"", "\"generation\":3,\"stage\":\"rotate\"", KT_AUDIT_ALTERED, 4,
         "after another line 3"},
        {"\"generation\":6,\"stage\":\"start\"", "\"generation\":6,\"stage\":\"rotate\"", KT_AUDIT_REWRITTEN, 0,
         "line 6 is not the one"},
        {"\"v\":1,\"seq\":6", "\"v\":1,\"seq\":7", KT_AUDIT_LINES_MISSING, 6, "lines 6 to 6"},
        {"\"v\":1,\"seq\":4", "\"v\":2,\"seq\":4", KT_AUDIT_ALTERED, 5, "after another line 4"},
        {"{\"v\":1,\"seq\":2", "\n{\"v\":1,\"seq\":2", KT_AUDIT_NOT_A_LINE, 2, "bytes, found 0"},
        {"{\"v\":1,\"seq\":2", "root was here\n{\"v\":1,\"seq\":2", KT_AUDIT_NOT_A_LINE, 2, "byte 1: expected {\"v\":"},
    };
    char *log = log_of(h, "123456");
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        char *altered = replaced(log, cases[i].from, cases[i].to);
        expect_text(h, altered, cases[i].damage, cases[i].row, cases[i].part);
        free(altered);
    }
    free(log);
}

/* The last line without its end, and with half of another one behind it. */
static void test_cut_lines(void **state)
{
    struct history *h = *state;
    char *log = log_of(h, "123456");
    size_t len = strlen(log);
    char *longer = malloc(len + 8);
    assert_non_null(longer);
    assert_int_equal(verify(h, log, len - 1), 2);
    assert_int_equal(h->report.findings[0].damage, KT_AUDIT_TAIL_CUT);
    assert_int_equal(h->report.findings[1].damage, KT_AUDIT_CUT_LINE);
    assert_int_equal(h->report.findings[1].row, 6);
    snprintf(longer, len + 8, "%s{\"v\":1", log);
    assert_int_equal(verify(h, longer, strlen(longer)), 1);
    assert_int_equal(h->report.findings[0].damage, KT_AUDIT_CUT_LINE);
    free(longer);
    free(log);
}

/* All lines anew, each chained to the one before it, by somebody who cannot sign: another time in line 2. */
static char *rewrite(struct history *h, size_t upto)
{
    struct kt_audit_line *line = calloc(1, sizeof *line);
    struct kt_text text = {0};
    uint8_t prev[KT_HASH_LEN] = {0};
    struct kt_error err = KT_ERROR_INIT;
    assert_non_null(line);
    kt_text_init(&text, 1u << 20);
    for (size_t i = 0; i < upto; i++) {
        size_t begin = text.len;
        assert_ok(kt_audit_parse(kt_slice_str(h->lines[i]), line, &err));
        line->time += i == 1 ? 1 : 0;
        memcpy(line->prev, prev, KT_HASH_LEN);
        kt_audit_emit(line, &text);
        assert_ok(kt_audit_hash(KT_SLICE(text.data + begin, text.len - begin), prev, &err));
        kt_text_add(&text, "\n");
    }
    free(line);
    return text.data;
}

static void test_a_whole_rewrite(void **state)
{
    struct history *h = *state;
    char *log = rewrite(h, GENERATIONS);
    expect_text(h, log, KT_AUDIT_REWRITTEN, 0, "line 6 is not the one that the keyring in force names");
    assert_int_equal(h->report.n_findings, 1);
    free(log);
    log = rewrite(h, GENERATIONS - 1);
    expect_text(h, log, KT_AUDIT_TAIL_CUT, 0, "its end was cut off, or altered");
    free(log);
}

/* And one that the new keyring vouches for, since a member wrote both: superseded keyrings are signed too. */
static void test_superseded_keyrings(void **state)
{
    struct history *h = *state;
    h->evidence.superseded[0] = h->anchors[3];
    h->evidence.superseded[1] = h->anchors[1];
    h->evidence.n_superseded = 2;
    expect_good(h, "123456");
    h->evidence.superseded[1].head[0] ^= 1;
    expect(h, "123456", KT_AUDIT_SUPERSEDED, 0, "does not have the line that superseded/1-2.yaml names");
    h->evidence.superseded[1].head[0] ^= 1;
    h->evidence.superseded[1].which.hash[0] ^= 1;
    expect(h, "123456", KT_AUDIT_SUPERSEDED, 3, "line 3 was not written over superseded/1-2.yaml");
    h->evidence.superseded[1].which.hash[0] ^= 1;
    memset(h->evidence.superseded[1].head, 0, KT_HASH_LEN); /* from before there was a log */
    expect_good(h, "123456");
}

static void test_an_older_keyring(void **state)
{
    struct history *h = *state;
    h->evidence.keyring.which = h->anchors[4].which;
    expect(h, "123456", KT_AUDIT_OLDER_KEYRING, 0, "not the newest that this node had (generation 6)");
    h->evidence.keyring.which = h->anchors[5].which;
    h->evidence.keyring.which.hash[3] ^= 1;
    expect(h, "123456", KT_AUDIT_OLDER_KEYRING, 0, "not the newest");
}

static void test_another_keyrings_lines(void **state)
{
    struct history *h = *state;
    h->evidence.keyring.which.keyring_id[5] ^= 1;
    expect(h, "123456", KT_AUDIT_FOREIGN, 1, "line 1 is of another keyring");
    assert_int_equal(h->report.n_findings, GENERATIONS);
}

/* A kill between keyring.yaml and the floor: what is above the floor may be lacking, the last of it cut; no more. */
static void test_what_is_due(void **state)
{
    struct history *h = *state;
    h->evidence.floor = h->anchors[3].which;
    expect_good(h, "123456");
    expect_good(h, "12345");
    assert_int_equal(h->report.due, 1);
    expect_good(h, "1234");
    assert_int_equal(h->report.due, 2);
    expect(h, "123", KT_AUDIT_TAIL_CUT, 0, "ends with line 3");
    expect(h, "1235", KT_AUDIT_LINES_MISSING, 4, "lines 4 to 4");
    char *log = log_of(h, "123456");
    size_t four = strlen(h->lines[0]) + strlen(h->lines[1]) + strlen(h->lines[2]) + strlen(h->lines[3]) + 4;
    for (size_t len = four; len <= strlen(log); len++)
        if (verify(h, log, len) > 0)
            fail_msg("%zu bytes: %s", len, h->report.findings[0].message);
    assert_int_not_equal(verify(h, log, four - 1), 0);
    log[four + 9] ^= 1;
    assert_int_not_equal(verify(h, log, four + 20), 0);
    free(log);
    h->evidence.floor = (struct kt_floor){.membership = 0};
    h->evidence.absent = true;
    expect_good(h, "");
    assert_int_equal(h->report.due, 6);
    h->evidence.floor = h->anchors[0].which;
    expect(h, "", KT_AUDIT_MISSING, 0, "no audit.log");
}

/* A node's log begins with the line that let it in, and only that node's. */
static void test_a_node_that_joined(void **state)
{
    struct history *h = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_p256 *key = kt_p256_generate(&err);
    struct kt_member_result result = {.n_lost = 0};
    struct kt_member_change change = {.kind = KT_MEMBER_ADD,
                                      .recovery_key = h->f.recovery_key,
                                      .name = "node-2",
                                      .recipient = KT_RECIPIENT_FILE,
                                      .writer = "node-1",
                                      .now = FIXTURE_NOW + 100};
    assert_non_null(key);
    kt_p256_public(key, change.public_key);
    assert_ok(kt_keyring_member_write(h->f.keyring, h->f.keys, &change, &result, &err));
    struct kt_keyring *keyring = kt_keyring_verify(kt_bytes_view(&result.document), h->f.owner, &err);
    assert_non_null(keyring);
    h->evidence.tail = kt_keyring_audit(keyring);
    memcpy(h->evidence.keyring.head, kt_keyring_info(keyring)->audit_head, KT_HASH_LEN);
    kt_floor_of(kt_keyring_info(keyring), &h->evidence.keyring.which);
    h->evidence.floor = h->evidence.keyring.which;
    char *line = h->lines[0]; /* line 7 stands in for it */
    struct kt_slice last = kt_audit_tail_line(h->evidence.tail, 6);
    h->lines[0] = strndup((const char *)last.data, last.len);
    assert_non_null(h->lines[0]);
    expect(h, "1", KT_AUDIT_BEGINNING_CUT, 1,
           "begins with line 7: expected line 1, or the one that let node node-1 in");
    h->evidence.superseded[0] = h->anchors[3]; /* of a time before it joined */
    h->evidence.n_superseded = 1;
    h->evidence.node = "node-2";
    expect_good(h, "1");
    expect(h, "61", KT_AUDIT_BEGINNING_CUT, 1, "begins with line 6");
    free(line);
    kt_keyring_free(keyring);
    kt_bytes_done(&result.document);
    kt_p256_free(key);
}

/* Lines of a release to come, which this one cannot read: their chain counts. */
static void test_newer_lines(void **state)
{
    struct history *h = *state;
    struct kt_text text = {0};
    struct kt_error err = KT_ERROR_INIT;
    char prev[KT_HASH_TEXT_LEN] = "";
    struct kt_audit_tail *tail = calloc(1, sizeof *tail);
    assert_non_null(tail);
    kt_hash_format(h->evidence.keyring.head, prev);
    kt_text_init(&text, 1u << 20);
    kt_text_add(&text, "{\"v\":2,\"seq\":7,\"prev\":\"%s\",\"new\":{}}", prev);
    *tail = *h->evidence.tail;
    assert_true(kt_audit_tail_add(tail, KT_SLICE(text.data, text.len)));
    assert_ok(kt_audit_hash(KT_SLICE(text.data, text.len), h->evidence.keyring.head, &err));
    h->evidence.tail = tail;
    char *log = log_of(h, "123456");
    char *longer = malloc(strlen(log) + text.len + 2);
    assert_non_null(longer);
    snprintf(longer, strlen(log) + text.len + 2, "%s%s\n", log, text.data);
    if (verify(h, longer, strlen(longer)) > 0)
        fail_msg("%s", h->report.findings[0].message);
    assert_int_equal(h->report.newer, 1);
    assert_int_equal(h->report.last, 7);
    assert_int_equal(verify(h, log, strlen(log)), 1);
    free(longer);
    free(log);
    free(tail);
    kt_text_done(&text);
}

static void test_no_log_yet(void **state)
{
    struct history *h = *state;
    struct kt_audit_tail *tail = calloc(1, sizeof *tail);
    assert_non_null(tail);
    memset(h->evidence.keyring.head, 0, KT_HASH_LEN);
    h->evidence.tail = tail;
    h->evidence.absent = true;
    expect_good(h, "");
    h->evidence.absent = false;
    expect(h, "1", KT_AUDIT_NOT_VOUCHED_FOR, 1, "the first 0 rows");
    free(tail);
}

/* Any byte changed in any bit. */
static void test_every_flip_is_found(void **state)
{
    struct history *h = *state;
    char *log = log_of(h, "123456");
    size_t len = strlen(log);
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            log[i] = (char)((unsigned char)log[i] ^ (1u << bit));
            if (verify(h, log, len) == 0)
                fail_msg("byte %zu, bit %u", i, bit);
            log[i] = (char)((unsigned char)log[i] ^ (1u << bit));
        }
    free(log);
}

/* Any end cut off, at any byte. */
static void test_every_cut_is_found(void **state)
{
    struct history *h = *state;
    char *log = log_of(h, "123456");
    size_t len = strlen(log);
    for (size_t i = 0; i < len; i++)
        if (verify(h, log, i) == 0)
            fail_msg("cut at byte %zu", i);
    assert_int_equal(verify(h, log, len), 0);
    free(log);
}

/* Any sequence of up to five of the six lines. */
static void test_every_other_order_is_found(void **state)
{
    struct history *h = *state;
    char which[GENERATIONS + 2] = "";
    unsigned tried = 0;
    for (unsigned length = 0; length <= 5; length++) {
        unsigned all = 1;
        for (unsigned i = 0; i < length; i++)
            all *= GENERATIONS;
        for (unsigned n = 0; n < all; n++, tried++) {
            unsigned rest = n;
            for (unsigned i = 0; i < length; i++, rest /= GENERATIONS)
                which[i] = (char)('1' + rest % GENERATIONS);
            which[length] = '\0';
            char *log = log_of(h, which);
            if (verify(h, log, strlen(log)) == 0)
                fail_msg("%s", which);
            free(log);
        }
    }
    assert_int_equal(tried, 1 + 6 + 36 + 216 + 1296 + 7776);
}

/* One line removed, moved to each other place, or repeated at each place; or a strange one put there. */
static void test_every_single_change_is_found(void **state)
{
    struct history *h = *state;
    for (size_t from = 0; from < GENERATIONS; from++) {
        for (size_t to = 0; to <= GENERATIONS; to++) {
            char moved[GENERATIONS + 2] = "";
            char repeated[GENERATIONS + 2] = "";
            size_t n_moved = 0;
            size_t n_repeated = 0;
            for (size_t i = 0; i <= GENERATIONS; i++) {
                if (i == to)
                    moved[n_moved++] = repeated[n_repeated++] = (char)('1' + from);
                if (i < GENERATIONS && i != from)
                    moved[n_moved++] = (char)('1' + i);
                if (i < GENERATIONS)
                    repeated[n_repeated++] = (char)('1' + i);
            }
            char *log = log_of(h, moved);
            if (strcmp(moved, "123456") != 0 && verify(h, log, strlen(log)) == 0)
                fail_msg("%s", moved);
            free(log);
            log = log_of(h, repeated);
            if (verify(h, log, strlen(log)) == 0)
                fail_msg("%s", repeated);
            free(log);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_whole_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_kind_of_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_whole_rewrite, setup, teardown),
        cmocka_unit_test_setup_teardown(test_superseded_keyrings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_older_keyring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_keyrings_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_node_that_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_log_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_flip_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_cut_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_other_order_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_single_change_is_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
