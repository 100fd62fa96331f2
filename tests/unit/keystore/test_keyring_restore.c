/* SPDX-License-Identifier: Apache-2.0 */
/* Out of the archive again: only with the recovery key, the same bytes, and never to encrypt. */
#include "keyring_fixture.h"

struct restored {
    struct fixture f;
    char id[KT_KEY_ID_LEN + 1]; /* of the archived key */
    struct kt_secret *bytes;
};

static int setup(void **state)
{
    struct restored *r = calloc(1, sizeof *r);
    assert_non_null(r);
    fixture_init(&r->f);
    memcpy(r->id, r->f.keyring->info.keys[0].id, sizeof r->id);
    r->bytes = kt_secret_new_copy(kt_secret_view(r->f.keys->bytes[0]), KT_KEY_BYTES, NULL);
    assert_non_null(r->bytes);
    fixture_archive_first(&r->f);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct restored *r = *state;
    kt_secret_free(r->bytes);
    fixture_done(&r->f);
    free(r);
    return 0;
}

static struct kt_edit edit_of(enum kt_edit_kind kind, const char *id)
{
    struct kt_edit edit = {.kind = kind};
    snprintf(edit.id, sizeof edit.id, "%s", id);
    return edit;
}

/* Opened with that pair. */
static bool write_with(const struct fixture *f, const struct kt_p256 *pair, const struct kt_edit *edit,
                       struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = kt_keyring_open(f->keyring, pair, NULL);
    const struct kt_keyring_change change = {
        .edits = edit, .n_edits = 1, .writer = "node-1", .now = f->keyring->info.written + 1};
    assert_non_null(keys);
    return kt_keyring_write(f->keyring, keys, &change, ret, err);
}

/* The result takes the place of f's keyring. */
static void restore(struct fixture *f, const char *id)
{
    const struct kt_edit edit = edit_of(KT_EDIT_RESTORE, id);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    if (!write_with(f, f->recovery, &edit, &next, &err))
        fail_msg("%s", err.message);
    fixture_take(f, &next);
}

static void expect_refused(const struct fixture *f, const struct kt_p256 *pair, const char *id, const char *says)
{
    const struct kt_edit edit = edit_of(KT_EDIT_RESTORE, id);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    assert_false(write_with(f, pair, &edit, &next, &err));
    if (err.code != KT_E_REFUSED || !strstr(err.message, says))
        fail_msg("expected %s; got %s: %s", says, kt_code_name(err.code), err.message);
    assert_null(next.data);
}

static void test_comes_back(void **state)
{
    struct restored *r = *state;
    uint64_t created = r->f.keyring->info.archive[0].created;
    restore(&r->f, r->id);
    const struct kt_keyring_info *info = &r->f.keyring->info;
    assert_int_equal(info->n_archive, 0);
    assert_int_equal(info->n_keys, 2);
    assert_string_equal(info->keys[0].name, "second");
    assert_string_equal(info->keys[1].id, r->id);
    assert_string_equal(info->keys[1].name, "kmskey");
    assert_int_equal(info->keys[1].state, KT_KEY_RETIRING);
    assert_int_equal(info->keys[1].created, created);
    assert_int_equal(info->keys[1].retiring_since, info->written);
    assert_true(kt_secret_equal(r->f.keys->bytes[1], r->bytes));
}

static void test_never_active(void **state)
{
    struct restored *r = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    restore(&r->f, r->id);
    const struct kt_edit activate = edit_of(KT_EDIT_ACTIVATE, r->id);
    assert_false(write_with(&r->f, r->f.own, &activate, &next, &err));
    assert_non_null(strstr(err.message, "is retiring: expected a ready key to make active"));
}

/* And it goes the way of every retiring key, with a hold of its own. */
static void test_leaves_again(void **state)
{
    struct restored *r = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    restore(&r->f, r->id);
    const struct kt_edit archive = edit_of(KT_EDIT_ARCHIVE, r->id);
    assert_false(write_with(&r->f, r->f.own, &archive, &next, &err));
    assert_non_null(strstr(err.message, "expected its hold"));
    r->f.keyring->info.written += KT_HOLD_DEFAULT;
    fixture_write(&r->f, &archive, 1);
    restore(&r->f, r->id);
    assert_true(kt_secret_equal(r->f.keys->bytes[1], r->bytes));
}

/* In stage prepare the last key is the one that rotate makes active; it stays the last. */
static void test_while_prepared(void **state)
{
    struct restored *r = *state;
    const struct kt_edit prepare[] = {{.kind = KT_EDIT_ADD, .type = KT_KEY_KMS, .name = "third"},
                                      {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE}};
    fixture_write(&r->f, prepare, 2);
    restore(&r->f, r->id);
    const struct kt_keyring_info *info = &r->f.keyring->info;
    assert_string_equal(info->keys[0].name, "second");
    assert_string_equal(info->keys[1].id, r->id);
    assert_string_equal(info->keys[2].name, "third");
    assert_true(kt_secret_equal(r->f.keys->bytes[1], r->bytes));
}

static void test_refused(void **state)
{
    struct restored *r = *state;
    expect_refused(&r->f, r->f.own, r->id, "expected one that is sealed to the present recovery key");
    expect_refused(&r->f, r->f.recovery, "00000000000000000000000000000000", "found one that is neither");
    expect_refused(&r->f, r->f.recovery, r->f.keyring->info.keys[0].id, "found one that is listed");
    r->f.keyring->archive[0].bytes[KT_HPKE_OVERHEAD] ^= 1;
    expect_refused(&r->f, r->f.recovery, r->id, "does not open");
}

/* Writers never give a name twice; a keyring of another one may have it. */
static void test_name_is_taken(void **state)
{
    struct restored *r = *state;
    struct kt_keyring_info *info = &r->f.keyring->info;
    snprintf(info->archive[0].name, sizeof info->archive[0].name, "second");
    expect_refused(&r->f, r->f.recovery, r->id, "its name is that of the listed key");
}

static void test_the_list_is_full(void **state)
{
    struct restored *r = *state;
    while (r->f.keyring->info.n_keys < KT_KEYS_MAX) {
        struct kt_edit add = {.kind = KT_EDIT_ADD, .type = KT_KEY_KMS};
        snprintf(add.name, sizeof add.name, "k%zu", r->f.keyring->info.n_keys);
        fixture_write(&r->f, &add, 1);
    }
    expect_refused(&r->f, r->f.recovery, r->id, "expected fewer than 64 listed keys");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_comes_back), EACH(test_never_active),  EACH(test_leaves_again),     EACH(test_while_prepared),
        EACH(test_refused),    EACH(test_name_is_taken), EACH(test_the_list_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
