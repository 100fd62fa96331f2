/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that come from elsewhere: where they go, and which are refused. */
#include "keyring_fixture.h"

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_init(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static struct kt_edit import_key(enum kt_key_type type, const char *name)
{
    struct kt_edit edit = {.kind = KT_EDIT_IMPORT, .type = type};
    snprintf(edit.name, sizeof edit.name, "%s", name);
    return edit;
}

static struct kt_secret *key_of(size_t len)
{
    struct kt_secret *key = kt_secret_new_random(len, NULL);
    assert_non_null(key);
    return key;
}

static bool write_imports(struct fixture *f, const struct kt_edit *edits, size_t n, const struct kt_secret *const *keys,
                          size_t n_keys, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_keyring_change change = {.edits = edits,
                                             .n_edits = n,
                                             .imports = keys,
                                             .n_imports = n_keys,
                                             .writer = "node-1",
                                             .now = f->keyring->info.written + 1};
    return kt_keyring_write(f->keyring, f->keys, &change, ret, err);
}

/* The result takes the place of f's keyring. */
static void import(struct fixture *f, enum kt_key_type type, const char *name, const struct kt_secret *key)
{
    const struct kt_edit edit = import_key(type, name);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    if (!write_imports(f, &edit, 1, &key, 1, &next, &err))
        fail_msg("%s: %s", name, err.message);
    kt_keyring_keys_free(f->keys);
    kt_keyring_free(f->keyring);
    kt_bytes_done(&f->document);
    f->document = next;
    f->keyring = fixture_verify(f, &next, NULL);
    f->keys = kt_keyring_open(f->keyring, f->own, NULL);
    assert_non_null(f->keys);
}

static void expect_refused(struct fixture *f, const struct kt_edit *edit, const struct kt_secret *key,
                           enum kt_code code, const char *says)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    assert_false(write_imports(f, edit, 1, &key, key ? 1 : 0, &next, &err));
    if (err.code != code || !strstr(err.message, says))
        fail_msg("expected %s, %s; got %s: %s", kt_code_name(code), says, kt_code_name(err.code), err.message);
    assert_null(next.data);
}

/* 16 and 24 bytes for the AES of kube-apiserver, 32 for all; last, ready, never active by itself. */
static void test_lengths_by_type(void **state)
{
    struct fixture *f = *state;
    static const size_t lens[] = {1, 15, 16, 17, 24, 31, 32};
    for (enum kt_key_type type = KT_KEY_KMS; type <= KT_KEY_SECRETBOX; type++)
        for (size_t i = 0; i < KT_ARRAY_LEN(lens); i++) {
            bool is_aes = type == KT_KEY_AESCBC || type == KT_KEY_AESGCM;
            bool good = lens[i] == 32 || (is_aes && (lens[i] == 16 || lens[i] == 24));
            KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = key_of(lens[i]);
            char name[64] = "";
            snprintf(name, sizeof name, "k-%zu+02:00", lens[i]);
            const struct kt_edit edit = import_key(type, name);
            if (!good) {
                expect_refused(f, &edit, key, KT_E_REFUSED, is_aes ? "16, 24 or 32 bytes" : "a key of 32 bytes");
                continue;
            }
            import(f, type, name, key);
            const struct kt_keyring_info *info = &f->keyring->info;
            const struct kt_key_info *last = &info->keys[info->n_keys - 1];
            assert_string_equal(last->name, name);
            assert_int_equal(last->state, KT_KEY_READY);
            assert_int_equal(last->created, info->written);
            assert_string_equal(info->keys[0].name, "kmskey");
            assert_true(kt_secret_equal(f->keys->bytes[f->keys->n - 1], key));
        }
}

static void test_duplicates(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = key_of(32);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *other = key_of(32);
    import(f, KT_KEY_AESCBC, "key1", key);
    const struct kt_edit same_name = import_key(KT_KEY_AESCBC, "key1");
    const struct kt_edit same_bytes = import_key(KT_KEY_AESCBC, "key2");
    const struct kt_edit other_type = import_key(KT_KEY_SECRETBOX, "key2");
    const struct kt_edit goes_on = import_key(KT_KEY_AESCBC, "key1:2");
    expect_refused(f, &same_name, other, KT_E_EXISTS,
                   "a name that no key of type aescbc has, found that of the listed");
    expect_refused(f, &same_name, key, KT_E_EXISTS, f->keyring->info.keys[1].id);
    expect_refused(f, &same_bytes, key, KT_E_EXISTS, "found the bytes of key");
    expect_refused(f, &same_bytes, key, KT_E_EXISTS, f->keyring->info.keys[1].id);
    expect_refused(f, &other_type, key, KT_E_EXISTS, "found the bytes of key");
    expect_refused(f, &goes_on, other, KT_E_REFUSED, "kube-apiserver would try both keys");
    /* The first key of this keyring, too. */
    expect_refused(f, &same_bytes, f->keys->bytes[0], KT_E_EXISTS, f->keyring->info.keys[0].id);
    /* The same name in another type is another prefix. */
    import(f, KT_KEY_SECRETBOX, "key1", other);
}

/* A name that was used and is archived, perhaps still under something in a backup, does not come back with another
 * key. */
static void test_archived_name(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = key_of(32);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *other = key_of(32);
    import(f, KT_KEY_AESCBC, "old", key);
    struct kt_edit edits[] = {{.kind = KT_EDIT_STATE, .state = KT_KEY_RETIRING}, {.kind = KT_EDIT_ARCHIVE}};
    memcpy(edits[0].id, f->keyring->info.keys[1].id, sizeof edits[0].id);
    memcpy(edits[1].id, f->keyring->info.keys[1].id, sizeof edits[1].id);
    fixture_write(f, &edits[0], 1);
    f->keyring->info.written += KT_HOLD_DEFAULT;
    fixture_write(f, &edits[1], 1);
    const struct kt_edit again = import_key(KT_KEY_AESCBC, "old");
    expect_refused(f, &again, other, KT_E_EXISTS, "found that of the archived key");
}

/* There the last key is the one that rotate makes active. */
static void test_not_while_prepared(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = key_of(32);
    const struct kt_edit edit = import_key(KT_KEY_AESCBC, "imported");
    for (enum kt_stage stage = KT_STAGE_START; stage <= KT_STAGE_REENCRYPT_FINISHED; stage++) {
        const struct kt_edit move = {.kind = KT_EDIT_STAGE, .stage = stage};
        struct kt_error err = KT_ERROR_INIT;
        struct kt_bytes next = {0};
        fixture_write(f, &move, 1);
        const struct kt_secret *keys[] = {key};
        bool done = write_imports(f, &edit, 1, keys, 1, &next, &err);
        assert_int_equal(done, stage != KT_STAGE_PREPARE);
        assert_true(done || strstr(err.message, "that will be made active"));
        kt_bytes_done(&next);
    }
}

/* Each IMPORT has its own bytes, in their order, and none is left over. */
static void test_bytes_and_edits_match(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes next = {0};
    struct kt_secret *keys[] = {key_of(32), key_of(16), key_of(32)};
    const struct kt_edit edits[] = {import_key(KT_KEY_SECRETBOX, "a"),
                                    {.kind = KT_EDIT_ADD, .type = KT_KEY_KMS, .name = "between"},
                                    import_key(KT_KEY_AESCBC, "b")};
    const struct kt_secret *const *view = (const struct kt_secret *const *)keys;
    assert_true(write_imports(f, edits, 3, view, 2, &next, &err));
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = fixture_verify(f, &next, NULL);
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *opened = kt_keyring_open(keyring, f->own, NULL);
    assert_string_equal(keyring->info.keys[1].name, "a");
    assert_true(kt_secret_equal(opened->bytes[1], keys[0]));
    assert_true(kt_secret_equal(opened->bytes[3], keys[1]));
    kt_bytes_done(&next);
    next = (struct kt_bytes){0};
    assert_false(write_imports(f, edits, 3, view, 1, &next, &err));
    assert_non_null(strstr(err.message, "expected the key's bytes with it, found none"));
    assert_false(write_imports(f, edits, 3, view, 3, &next, &err));
    assert_non_null(strstr(err.message, "expected 3 edits that import a key, found 2"));
    assert_null(next.data);
    for (size_t i = 0; i < KT_ARRAY_LEN(keys); i++)
        kt_secret_free(keys[i]);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_lengths_by_type),       EACH(test_duplicates),
        EACH(test_archived_name),         EACH(test_not_while_prepared),
        EACH(test_bytes_and_edits_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
