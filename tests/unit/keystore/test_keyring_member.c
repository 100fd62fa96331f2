/* SPDX-License-Identifier: Apache-2.0 */
/* The next membership: who joins, leaves, gets another key; owners that follow each other; and who may not do that. */
#include "keyring_fixture.h"
#include "keystore/keyring_member.h"
#include "keystore/recovery_key.h"

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

static struct kt_member_change change_of(const struct fixture *f, enum kt_member_kind kind, const char *name)
{
    return (struct kt_member_change){
        .kind = kind,
        .recovery_key = f->recovery_key,
        .name = name,
        .recipient = KT_RECIPIENT_FILE,
        .writer = "node-1",
        .now = f->keyring->info.written + 1,
    };
}

/* The document with the change takes the place of f's; opened by `own`, pinned by what the change says. */
static size_t apply(struct fixture *f, const struct kt_member_change *change, const struct kt_p256 *own)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_member_result result = {.n_lost = 0};
    assert_ok(kt_keyring_member_write(f->keyring, f->keys, change, &result, &err));
    kt_keyring_keys_free(f->keys);
    kt_keyring_free(f->keyring);
    kt_bytes_done(&f->document);
    f->document = result.document;
    memcpy(f->owner, result.founder, KT_HASH_LEN);
    f->keyring = fixture_verify(f, &f->document, &err);
    assert_ok(f->keyring);
    f->keys = kt_keyring_open(f->keyring, own, &err);
    assert_ok(f->keys);
    return result.n_lost;
}

static struct kt_p256 *add(struct fixture *f, const char *name)
{
    struct kt_p256 *own = kt_p256_generate(NULL);
    struct kt_member_change change = change_of(f, KT_MEMBER_ADD, name);
    assert_non_null(own);
    kt_p256_public(own, change.public_key);
    (void)apply(f, &change, f->own);
    return own;
}

/* The new recovery key, which is f's from now on. */
static size_t replace_recovery(struct fixture *f, enum kt_member_kind kind)
{
    struct kt_secret *fresh = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, NULL);
    struct kt_member_change change = change_of(f, kind, NULL);
    assert_non_null(fresh);
    change.new_recovery_key = fresh;
    if (kind == KT_MEMBER_LOST_RECOVERY)
        change.recovery_key = NULL;
    size_t lost = apply(f, &change, f->own);
    kt_secret_free(f->recovery_key);
    kt_p256_free(f->recovery);
    kt_p256_free(f->owner_key);
    f->recovery_key = fresh;
    f->recovery = kt_recovery_key_recipient(fresh, NULL);
    f->owner_key = kt_recovery_key_owner(fresh, NULL);
    return lost;
}

static void expect_opens(const struct fixture *f, const struct kt_p256 *own, bool opens)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = kt_keyring_open(f->keyring, own, &err);
    assert_int_equal(keys != NULL, opens);
    if (!opens)
        assert_int_equal(err.code, KT_E_KEYRING_RECIPIENT);
}

static void test_add(void **state)
{
    struct fixture *f = *state;
    struct kt_keyring *before = kt_keyring_new(NULL);
    struct kt_secret *key = kt_secret_new_copy(kt_secret_view(f->keys->bytes[0]), KT_KEY_BYTES, NULL);
    *before = *f->keyring;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *second = add(f, "node-2");
    const struct kt_keyring *after = f->keyring;
    assert_int_equal(after->info.membership, 2);
    assert_int_equal(after->info.generation, 2);
    assert_int_equal(after->made_over.generation, 1);
    assert_memory_equal(after->made_over.hash, before->info.hash, KT_HASH_LEN);
    assert_memory_equal(after->previous, before->info.hash, KT_HASH_LEN);
    assert_memory_equal(after->signer, before->signer, KT_P256_PUBLIC);
    assert_memory_not_equal(after->commitment, before->commitment, KT_HASH_LEN);
    assert_int_equal(after->info.n_recipients, 3);
    assert_string_equal(after->info.recipients[2].name, "node-2");
    assert_true(kt_secret_equal(f->keys->bytes[0], key));
    assert_int_equal(after->info.n_keys, 1);
    expect_opens(f, second, true);
    expect_opens(f, f->own, true);
    expect_opens(f, f->recovery, true);
    kt_secret_free(key);
    free(before);
}

static void test_kinds_are_exchangeable(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *sealed = kt_p256_generate(NULL);
    struct kt_member_change change = change_of(f, KT_MEMBER_REPLACE, "node-1");
    uint8_t signer[KT_P256_PUBLIC] = {0};
    memcpy(signer, f->keyring->signer, sizeof signer);
    change.recipient = KT_RECIPIENT_TPM2;
    kt_p256_public(sealed, change.public_key);
    (void)apply(f, &change, sealed);
    assert_int_equal(f->keyring->info.n_recipients, 2);
    assert_int_equal(f->keyring->info.recipients[0].kind, KT_RECIPIENT_TPM2);
    /* The key that was replaced opens nothing any more, and signs nothing. */
    assert_memory_not_equal(f->keyring->signer, signer, sizeof signer);
    expect_opens(f, f->own, false);
}

static void test_remove(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *second = add(f, "node-2");
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *kept = kt_keyring_open(f->keyring, second, NULL);
    uint8_t signer[KT_P256_PUBLIC] = {0};
    memcpy(signer, f->keyring->signer, sizeof signer);
    const struct kt_member_change change = change_of(f, KT_MEMBER_REMOVE, "node-2");
    (void)apply(f, &change, f->own);
    assert_int_equal(f->keyring->info.membership, 3);
    assert_int_equal(f->keyring->info.n_recipients, 2);
    assert_memory_not_equal(f->keyring->signer, signer, sizeof signer);
    assert_false(kt_secret_equal(f->keys->status_key, kept->status_key));
    assert_false(kt_secret_equal(f->keys->keyring_key, kept->keyring_key));
    /* A key that the node which left has never seen, for rotation to bring to the front. */
    assert_int_equal(f->keyring->info.n_keys, 2);
    assert_string_equal(f->keyring->info.keys[1].name, "kmskey-2026-11-23T09:00:02Z");
    assert_int_equal(f->keyring->info.keys[1].state, KT_KEY_READY);
    assert_int_equal(f->keyring->info.keys[0].state, KT_KEY_ACTIVE);
    assert_int_equal(f->keyring->info.stage, KT_STAGE_PREPARE);
    expect_opens(f, second, false);
}

/* Whatever generation number the removed one writes with the signer that it has kept, it is older. */
static void test_what_a_removed_one_writes(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *second = add(f, "node-2");
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *old = fixture_verify(f, &f->document, &err);
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *kept = kt_keyring_open(old, second, &err);
    const struct kt_member_change change = change_of(f, KT_MEMBER_REMOVE, "node-2");
    KT_CLEANUP_BYTES struct kt_bytes written = {0};
    struct kt_floor floor = {0};
    const struct kt_keyring_change next = {.writer = "node-2", .now = FIXTURE_NOW};
    (void)apply(f, &change, f->own);
    kt_floor_of(&f->keyring->info, &floor);
    old->info.generation = KT_NUMBER_MAX - 1;
    assert_ok(kt_keyring_write(old, kept, &next, &written, &err));
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *theirs = fixture_verify(f, &written, &err);
    assert_ok(theirs);
    assert_int_equal(kt_floor_compare(&floor, &theirs->info), KT_FLOOR_OLDER);
    /* Over the new membership it cannot sign. */
    struct forgery forgery = {0};
    forgery_init(&forgery, f);
    kt_p256_free(forgery.signer);
    forgery.signer = kt_keyring_copy_pair(kept->signer, NULL);
    forgery_replace(&forgery.list, "generation: 3", "generation: 4");
    forgery_sign(&forgery);
    KT_CLEANUP_BYTES struct kt_bytes forged = forgery_join(&forgery);
    assert_refused(fixture_verify(f, &forged, &err), KT_E_KEYRING_SIGNER);
    forgery_done(&forgery);
}

static bool archive_opens(const struct fixture *f, const struct kt_p256 *recovery)
{
    struct kt_aad info = {0};
    const struct kt_sealed *sealed = &f->keyring->archive[0];
    kt_aad_archive(f->keyring, f->keyring->info.archive[0].id, f->keyring->info.archive[0].type, &info);
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *key =
        kt_hpke_open(recovery, kt_aad_view(&info), KT_SLICE(NULL, 0), KT_SLICE(sealed->bytes, sealed->len), NULL);
    return key != NULL;
}

static void test_replace_recovery(void **state)
{
    struct fixture *f = *state;
    uint8_t founder[KT_HASH_LEN] = {0};
    struct kt_floor slept = {0};
    struct kt_error err = KT_ERROR_INIT;
    fixture_archive_first(f);
    memcpy(founder, f->owner, sizeof founder);
    kt_floor_of(&f->keyring->info, &slept);
    for (size_t n = 2; n <= 3; n++) {
        KT_CLEANUP(kt_p256_free_p) struct kt_p256 *before = kt_keyring_copy_pair(f->recovery, NULL);
        assert_int_equal(replace_recovery(f, KT_MEMBER_REPLACE_RECOVERY), 0);
        assert_int_equal(f->keyring->signatures.n_owners, n);
        assert_memory_equal(f->owner, founder, sizeof founder);
        assert_true(archive_opens(f, f->recovery));
        assert_false(archive_opens(f, before));
        expect_opens(f, f->recovery, true);
        expect_opens(f, before, false);
    }
    /* A node that slept through both follows the chain. */
    bool leads = false;
    assert_ok(kt_keyring_has_owner(f->keyring, slept.owner, &leads, &err));
    assert_true(leads);
    assert_ok(kt_floor_check_newest(&slept, f->keyring, &err));
}

static void test_the_chain_has_an_end(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    while (f->keyring->signatures.n_owners < KT_OWNERS_MAX)
        (void)replace_recovery(f, KT_MEMBER_REPLACE_RECOVERY);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *fresh = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    struct kt_member_change change = change_of(f, KT_MEMBER_REPLACE_RECOVERY, NULL);
    struct kt_member_result result = {0};
    change.new_recovery_key = fresh;
    assert_refused(kt_keyring_member_write(f->keyring, f->keys, &change, &result, &err), KT_E_REFUSED);
}

static void test_lost_recovery(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    uint8_t founder[KT_HASH_LEN] = {0};
    fixture_archive_first(f);
    memcpy(founder, f->owner, sizeof founder);
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *lost = kt_keyring_copy_pair(f->recovery, NULL);
    assert_int_equal(replace_recovery(f, KT_MEMBER_LOST_RECOVERY), 1);
    assert_memory_not_equal(f->owner, founder, sizeof founder);
    assert_int_equal(f->keyring->signatures.n_owners, 1);
    assert_refused(kt_keyring_verify(kt_bytes_view(&f->document), founder, &err), KT_E_KEYRING_OWNER);
    /* What the archive holds is lost, and stays for whoever finds the paper again; its ids are not used anew. */
    assert_int_equal(f->keyring->info.n_archive, 1);
    assert_true(archive_opens(f, lost));
    assert_int_equal(replace_recovery(f, KT_MEMBER_REPLACE_RECOVERY), 1);
    assert_true(archive_opens(f, lost));
}

/* Owners that were replaced can still sign; but not for who knows their successor. */
static void test_a_replaced_owner_does_not_come_back(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_floor known = {0};
    struct fixture old = *f;
    old.document = (struct kt_bytes){0};
    assert_ok(kt_bytes_copy(kt_bytes_view(&f->document), &old.document, &err));
    old.keyring = fixture_verify(f, &old.document, &err);
    old.keys = kt_keyring_open(old.keyring, f->own, &err);
    old.recovery_key = kt_secret_new_copy(kt_secret_view(f->recovery_key), KT_RECOVERY_KEY_BYTES, &err);
    assert_ok(old.keyring && old.keys && old.recovery_key);
    (void)replace_recovery(f, KT_MEMBER_REPLACE_RECOVERY);
    kt_floor_of(&f->keyring->info, &known);
    for (int i = 0; i < 3; i++)
        kt_p256_free(add(&old, i == 0 ? "a" : i == 1 ? "b" : "c"));
    assert_int_equal(kt_floor_compare(&known, &old.keyring->info), KT_FLOOR_NEWER);
    assert_refused(kt_floor_check_newest(&known, old.keyring, &err), KT_E_KEYRING_STALE);
    kt_keyring_keys_free(old.keys);
    kt_keyring_free(old.keyring);
    kt_bytes_done(&old.document);
    kt_secret_free(old.recovery_key);
}

static void test_not_over_what_is_not_the_newest(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_floor none = {0}, same = {0}, known = {0};
    kt_floor_of(&f->keyring->info, &same);
    assert_ok(kt_floor_check_newest(&none, f->keyring, &err));
    assert_ok(kt_floor_check_newest(&same, f->keyring, &err));
    known = same;
    known.generation++;
    assert_refused(kt_floor_check_newest(&known, f->keyring, &err), KT_E_KEYRING_STALE);
    known = same;
    known.membership++;
    assert_refused(kt_floor_check_newest(&known, f->keyring, &err), KT_E_KEYRING_STALE);
    known = same;
    known.hash[0] ^= 1;
    assert_refused(kt_floor_check_newest(&known, f->keyring, &err), KT_E_KEYRING_STALE);
    known = same;
    known.keyring_id[0] ^= 1;
    assert_refused(kt_floor_check_newest(&known, f->keyring, &err), KT_E_KEYRING_FOREIGN);
}

static void expect_refused(const struct fixture *f, const struct kt_member_change *change, enum kt_code code,
                           const char *says)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_member_result result = {0};
    assert_false(kt_keyring_member_write(f->keyring, f->keys, change, &result, &err));
    assert_null(result.document.data);
    if (err.code != code || !strstr(err.message, says))
        fail_msg("expected %s, %s; got %s: %s", kt_code_name(code), says, kt_code_name(err.code), err.message);
}

static void test_refused_recipients(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *second = add(f, "node-2");
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *third = kt_p256_generate(NULL);
    struct kt_member_change good = change_of(f, KT_MEMBER_ADD, "node-3");
    kt_p256_public(third, good.public_key);
    const struct {
        enum kt_member_kind kind;
        const char *name;
        enum kt_code code;
        const char *says;
    } cases[] = {
        {KT_MEMBER_ADD, "node-2", KT_E_EXISTS, "is a recipient already, with another key"},
        {KT_MEMBER_ADD, "recovery", KT_E_REFUSED, "other than recovery"},
        {KT_MEMBER_ADD, "Node 3", KT_E_REFUSED, "expected a node's name"},
        {KT_MEMBER_ADD, NULL, KT_E_REFUSED, "expected a node's name"},
        {KT_MEMBER_REPLACE, "node-3", KT_E_REFUSED, "found none that is called node-3"},
        {KT_MEMBER_REPLACE, "recovery", KT_E_REFUSED, "other than recovery"},
        {KT_MEMBER_REMOVE, "node-3", KT_E_REFUSED, "found none that is called node-3"},
        {KT_MEMBER_REMOVE, "recovery", KT_E_REFUSED, "other than recovery"},
        {(enum kt_member_kind)0, "node-3", KT_E_REFUSED, "found number 0"},
        {(enum kt_member_kind)9, "node-3", KT_E_REFUSED, "found number 9"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_member_change bad = good;
        bad.kind = cases[i].kind;
        bad.name = cases[i].name;
        expect_refused(f, &bad, cases[i].code, cases[i].says);
    }
    struct kt_member_change bad = good;
    bad.recipient = KT_RECIPIENT_RECOVERY;
    expect_refused(f, &bad, KT_E_REFUSED, "expected a node's kind");
    bad = good;
    kt_p256_public(second, bad.public_key);
    expect_refused(f, &bad, KT_E_EXISTS, "recipient node-2 has that very public key");
    kt_p256_public(f->recovery, bad.public_key);
    expect_refused(f, &bad, KT_E_EXISTS, "recipient recovery has that very public key");
    memset(bad.public_key, 0, sizeof bad.public_key);
    expect_refused(f, &bad, KT_E_REFUSED, "a public key on P-256");
    bad = good;
    bad.writer = "Not a name";
    expect_refused(f, &bad, KT_E_REFUSED, "a writer's name");
}

static void test_refused_keys(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *other = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, NULL);
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *second = kt_p256_generate(NULL);
    struct kt_member_change change = change_of(f, KT_MEMBER_ADD, "node-2");
    kt_p256_public(second, change.public_key);
    change.recovery_key = NULL;
    expect_refused(f, &change, KT_E_RECOVERY_KEY, "found none");
    change.recovery_key = other;
    expect_refused(f, &change, KT_E_RECOVERY_KEY, "is not the present owner's");
    change.kind = KT_MEMBER_REPLACE_RECOVERY;
    change.recovery_key = f->recovery_key;
    expect_refused(f, &change, KT_E_RECOVERY_KEY, "expected the new recovery key");
    change.new_recovery_key = f->recovery_key;
    expect_refused(f, &change, KT_E_REFUSED, "found the present one");
    change.recovery_key = other;
    expect_refused(f, &change, KT_E_RECOVERY_KEY, "is not the present owner's");
    /* The one that was replaced. */
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *old = kt_secret_new_copy(kt_secret_view(f->recovery_key), KT_RECOVERY_KEY_BYTES, NULL);
    (void)replace_recovery(f, KT_MEMBER_REPLACE_RECOVERY);
    change = change_of(f, KT_MEMBER_REMOVE, "node-1");
    change.recovery_key = old;
    expect_refused(f, &change, KT_E_RECOVERY_KEY, "is not the present owner's");
}

static void test_as_many_as_there_can_be(void **state)
{
    struct fixture *f = *state;
    while (f->keyring->info.n_recipients < KT_RECIPIENTS_MAX) {
        char name[16] = "";
        snprintf(name, sizeof name, "n-%zu", f->keyring->info.n_recipients);
        kt_p256_free(add(f, name));
    }
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *more = kt_p256_generate(NULL);
    struct kt_member_change change = change_of(f, KT_MEMBER_ADD, "one-more");
    kt_p256_public(more, change.public_key);
    expect_refused(f, &change, KT_E_REFUSED, "expected fewer than 64 recipients");
}

/* One after the other is lost, down to the recovery key alone; with it a new node comes in. */
static void test_down_to_the_recovery_key(void **state)
{
    struct fixture *f = *state;
    kt_p256_free(add(f, "node-2"));
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *back = kt_p256_generate(NULL);
    struct kt_secret *key = kt_secret_new_copy(kt_secret_view(f->keys->bytes[0]), KT_KEY_BYTES, NULL);
    struct kt_member_change change = change_of(f, KT_MEMBER_REMOVE, "node-2");
    (void)apply(f, &change, f->own);
    change = change_of(f, KT_MEMBER_REMOVE, "node-1");
    (void)apply(f, &change, f->recovery);
    assert_int_equal(f->keyring->info.n_recipients, 1);
    expect_opens(f, f->own, false);
    change = change_of(f, KT_MEMBER_ADD, "node-1");
    kt_p256_public(back, change.public_key);
    (void)apply(f, &change, back);
    assert_true(kt_secret_equal(f->keys->bytes[0], key));
    assert_true(kt_keyring_has_recipient(f->keyring, "node-1", change.public_key));
    assert_false(kt_keyring_has_recipient(f->keyring, "node-2", change.public_key));
    assert_false(kt_keyring_has_recipient(f->keyring, "recovery", change.public_key));
    kt_secret_free(key);
}

static void test_keys_of_another_generation(void **state)
{
    struct fixture *f = *state;
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *old = kt_keyring_open(f->keyring, f->own, NULL);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_member_result result = {0};
    const struct kt_member_change change = change_of(f, KT_MEMBER_REMOVE, "node-1");
    fixture_write(f, NULL, 0);
    assert_refused(kt_keyring_member_write(f->keyring, old, &change, &result, &err), KT_E_INTERNAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_add),
        TEST(test_kinds_are_exchangeable),
        TEST(test_remove),
        TEST(test_what_a_removed_one_writes),
        TEST(test_replace_recovery),
        TEST(test_the_chain_has_an_end),
        TEST(test_lost_recovery),
        TEST(test_a_replaced_owner_does_not_come_back),
        TEST(test_not_over_what_is_not_the_newest),
        TEST(test_refused_recipients),
        TEST(test_refused_keys),
        TEST(test_as_many_as_there_can_be),
        TEST(test_down_to_the_recovery_key),
        TEST(test_keys_of_another_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
