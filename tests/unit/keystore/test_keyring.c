/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying and opening: who signed it, is every byte covered, does it open. */
#include "keyring_fixture.h"

static int setup(void **state)
{
    static struct fixture f;
    fixture_init(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static void test_info(void **state)
{
    const struct fixture *f = *state;
    const struct kt_keyring_info *info = kt_keyring_info(f->keyring);
    uint8_t hash[KT_HASH_LEN] = {0};
    assert_int_equal(info->membership, 1);
    assert_int_equal(info->generation, 1);
    assert_int_equal(info->written, FIXTURE_NOW);
    assert_string_equal(info->writer, "node-1");
    assert_int_equal(info->stage, KT_STAGE_START);
    assert_true(info->enabled);
    assert_false(info->strict);
    assert_int_equal(info->hold, KT_HOLD_DEFAULT);
    assert_int_equal(info->n_keys, 1);
    assert_int_equal(info->keys[0].state, KT_KEY_ACTIVE);
    assert_int_equal(info->keys[0].type, KT_KEY_KMS);
    assert_string_equal(info->keys[0].name, "kmskey");
    assert_int_equal(info->n_recipients, 2);
    assert_string_equal(info->recipients[0].name, "node-1");
    assert_string_equal(info->recipients[1].name, "recovery");
    assert_int_equal(info->n_archive, 0);
    assert_memory_equal(info->owner, f->owner, KT_HASH_LEN);
    assert_true(kt_keyring_hash(f->keyring->parts.membership, f->keyring->parts.list, hash, NULL));
    assert_memory_equal(info->hash, hash, KT_HASH_LEN);
}

static void test_opens_for_each_recipient(void **state)
{
    const struct fixture *f = *state;
    struct kt_keyring_keys *keys = kt_keyring_open(f->keyring, f->recovery, NULL);
    assert_non_null(keys);
    assert_int_equal(kt_secret_len(kt_keyring_keys_bytes(keys, 0)), KT_KEY_BYTES);
    assert_true(kt_secret_equal(kt_keyring_keys_bytes(keys, 0), kt_keyring_keys_bytes(f->keys, 0)));
    kt_keyring_keys_free(keys);
}

static void test_not_a_recipient(void **state)
{
    const struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_p256 *stranger = kt_p256_generate(NULL);
    assert_null(kt_keyring_open(f->keyring, stranger, &err));
    assert_int_equal(err.code, KT_E_KEYRING_RECIPIENT);
    assert_true(err.hint[0]);
    kt_p256_free(stranger);
}

static bool says_nothing_of(const struct kt_error *err, const char *text)
{
    return !strstr(err->message, text) && !strstr(err->hint, text);
}

static void expect_refused(const struct fixture *f, struct kt_slice document)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_keyring *keyring = kt_keyring_verify(document, f->owner, &err);
    assert_null(keyring);
    assert_int_not_equal(err.code, KT_OK);
    assert_true(err.message[0]);
    assert_true(says_nothing_of(&err, f->keyring->info.keys[0].id));
    assert_true(says_nothing_of(&err, "node-1"));
}

static void test_cut_at_every_byte(void **state)
{
    const struct fixture *f = *state;
    for (size_t len = 0; len < f->document.len; len++) {
        /* A copy of just that size, so that a read past the end is seen. */
        uint8_t *cut = malloc(len ? len : 1);
        assert_non_null(cut);
        memcpy(cut, f->document.data, len);
        expect_refused(f, KT_SLICE(cut, len));
        free(cut);
    }
}

static void flip_every_byte(const struct fixture *f, uint8_t mask)
{
    uint8_t *copy = malloc(f->document.len);
    assert_non_null(copy);
    memcpy(copy, f->document.data, f->document.len);
    for (size_t i = 0; i < f->document.len; i++) {
        copy[i] ^= mask;
        expect_refused(f, KT_SLICE(copy, f->document.len));
        copy[i] ^= mask;
    }
    struct kt_keyring *whole = kt_keyring_verify(KT_SLICE(copy, f->document.len), f->owner, NULL);
    assert_non_null(whole);
    kt_keyring_free(whole);
    free(copy);
}

static void test_flipped_at_every_byte(void **state)
{
    static const uint8_t masks[] = {0x01, 0x20, 0x80, 0xff};
    for (size_t i = 0; i < KT_ARRAY_LEN(masks); i++)
        flip_every_byte(*state, masks[i]);
}

static void test_each_byte_twice_or_left_out(void **state)
{
    const struct fixture *f = *state;
    size_t len = f->document.len;
    uint8_t *copy = malloc(len + 1);
    assert_non_null(copy);
    for (size_t i = 0; i < len; i++) {
        memcpy(copy, f->document.data, i + 1);
        memcpy(copy + i + 1, f->document.data + i, len - i);
        expect_refused(f, KT_SLICE(copy, len + 1));
        memcpy(copy + i, f->document.data + i + 1, len - i - 1);
        expect_refused(f, KT_SLICE(copy, len - 1));
    }
    free(copy);
}

static void expect_error(const struct fixture *f, const struct forgery *forgery, enum kt_code code, const char *says)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes document = forgery_join(forgery);
    assert_null(fixture_verify(f, &document, &err));
    if (err.code != code || !strstr(err.message, says))
        fail_msg("expected %s, %s; got %s: %s", kt_code_name(code), says, kt_code_name(err.code), err.message);
    assert_true(err.hint[0]);
    kt_bytes_done(&document);
}

static void test_founding_owner(void **state)
{
    struct fixture other = *(struct fixture *)*state;
    struct kt_error err = KT_ERROR_INIT;
    other.owner[31] ^= 1;
    assert_null(fixture_verify(&other, &other.document, &err));
    assert_int_equal(err.code, KT_E_KEYRING_OWNER);
    assert_non_null(strstr(err.message, "founding owner"));
}

static void test_membership_by_another_owner(void **state)
{
    const struct fixture *f = *state;
    struct forgery forgery = {0};
    char *genuine = NULL;
    forgery_init(&forgery, f);
    genuine = strdup(forgery.signatures);
    assert_non_null(genuine);
    kt_p256_free(forgery.owner_key);
    forgery.owner_key = kt_p256_generate(NULL);
    forgery_sign(&forgery);
    expect_error(f, &forgery, KT_E_KEYRING_OWNER, "founding owner");
    /* The founder's key over the stranger's signature. */
    memcpy(strstr(forgery.signatures, "- "), strstr(genuine, "- "), 2 + kt_base64_len(KT_P256_PUBLIC));
    expect_error(f, &forgery, KT_E_KEYRING_OWNER, "not signed by the owner");
    free(genuine);
    forgery_done(&forgery);
}

static void test_list_by_another_signer(void **state)
{
    struct forgery forgery = {0};
    forgery_init(&forgery, *state);
    kt_p256_free(forgery.signer);
    forgery.signer = kt_p256_generate(NULL);
    forgery_sign(&forgery);
    expect_error(*state, &forgery, KT_E_KEYRING_SIGNER, "not signed by the signer");
    forgery_done(&forgery);
}

/* The signature of one part does not stand for the other. */
static void test_signatures_do_not_change_places(void **state)
{
    const struct fixture *f = *state;
    struct forgery forgery = {0};
    struct kt_signatures signatures = f->keyring->signatures;
    forgery_init(&forgery, f);
    forgery.signer = (kt_p256_free(forgery.signer), kt_keyring_copy_pair(f->owner_key, NULL));
    char owner[128] = "";
    char signer[128] = "";
    kt_base64_encode(KT_SLICE(f->keyring->owner, KT_P256_PUBLIC), owner);
    kt_base64_encode(KT_SLICE(f->keyring->signer, KT_P256_PUBLIC), signer);
    forgery_replace(&forgery.membership, signer, owner);
    free(forgery.list);
    forgery.list = strdup(forgery.membership);
    forgery_sign(&forgery);
    /* Same key and same bytes: only the contexts tell the two signatures apart. */
    assert_true(kt_signatures_scan(kt_slice_str(forgery.signatures), &signatures, NULL));
    memcpy(signatures.list, signatures.membership, KT_SIGNATURE_LEN);
    struct kt_text text = {0};
    kt_text_init(&text, KT_KEYRING_MAX);
    kt_signatures_emit(&signatures, &text);
    free(forgery.signatures);
    forgery.signatures = strndup(text.data, text.len);
    kt_text_done(&text);
    expect_error(f, &forgery, KT_E_KEYRING_SIGNER, "not signed by the signer");
    forgery_done(&forgery);
}

/* Part 3 with a second owner, and the membership signed by it. link: over what the first owner signs. */
static void add_owner(struct forgery *forgery, const struct kt_p256 *second, bool good_link)
{
    struct kt_signatures signatures = {.n_owners = 2};
    uint8_t message[2 * KT_P256_PUBLIC] = {0};
    struct kt_text text = {0};
    kt_p256_public(forgery->owner_key, signatures.owners[0]);
    kt_p256_public(second, signatures.owners[1]);
    memcpy(message, signatures.owners[0], KT_P256_PUBLIC);
    memcpy(message + KT_P256_PUBLIC, signatures.owners[good_link ? 1 : 0], KT_P256_PUBLIC);
    assert_true(kt_p256_sign(forgery->owner_key, KT_CONTEXT_OWNER_LINK, KT_SLICE(message, sizeof message),
                             signatures.links[1], NULL));
    assert_true(
        kt_p256_sign(second, KT_CONTEXT_MEMBERSHIP, kt_slice_str(forgery->membership), signatures.membership, NULL));
    assert_true(kt_p256_sign(forgery->signer, KT_CONTEXT_KEY_LIST, kt_slice_str(forgery->list), signatures.list, NULL));
    kt_text_init(&text, KT_KEYRING_MAX);
    kt_signatures_emit(&signatures, &text);
    free(forgery->signatures);
    forgery->signatures = strndup(text.data, text.len);
    kt_text_done(&text);
}

static void name_owner(struct forgery *forgery, const struct fixture *f, const struct kt_p256 *second)
{
    uint8_t public_key[KT_P256_PUBLIC] = {0};
    char from[128] = "";
    char to[128] = "";
    kt_p256_public(second, public_key);
    kt_base64_encode(KT_SLICE(f->keyring->owner, KT_P256_PUBLIC), from);
    kt_base64_encode(KT_SLICE(public_key, KT_P256_PUBLIC), to);
    forgery_replace(&forgery->membership, from, to);
    forgery_bind(forgery);
}

static void test_a_later_owner(void **state)
{
    const struct fixture *f = *state;
    struct forgery forgery = {0};
    struct kt_p256 *second = kt_p256_generate(NULL);
    forgery_init(&forgery, f);
    name_owner(&forgery, f, second);
    add_owner(&forgery, second, true);
    struct kt_bytes document = forgery_join(&forgery);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyring *keyring = fixture_verify(f, &document, &err);
    assert_non_null(keyring);
    assert_memory_not_equal(kt_keyring_info(keyring)->owner, f->owner, KT_HASH_LEN);
    kt_keyring_free(keyring);
    kt_bytes_done(&document);
    add_owner(&forgery, second, false);
    expect_error(f, &forgery, KT_E_KEYRING_OWNER, "owner 2 of 2 is not signed by the one before it");
    kt_p256_free(second);
    forgery_done(&forgery);
}

static void test_membership_names_another_owner(void **state)
{
    const struct fixture *f = *state;
    struct forgery forgery = {0};
    struct kt_p256 *second = kt_p256_generate(NULL);
    forgery_init(&forgery, f);
    name_owner(&forgery, f, second);
    forgery_sign(&forgery);
    expect_error(f, &forgery, KT_E_KEYRING_OWNER, "not the last owner");
    kt_p256_free(second);
    forgery_done(&forgery);
}

/* What is signed and well-formed, but does not open: made by changing one thing in the draft and signing it again. */
static void expect_closed(const struct fixture *f, const struct kt_keyring *changed, const char *says)
{
    struct forgery forgery = {0};
    struct kt_text text = {0};
    struct kt_error err = KT_ERROR_INIT;
    forgery_init(&forgery, f);
    kt_text_init(&text, KT_KEYRING_MAX);
    kt_key_list_emit(changed, &text);
    free(forgery.list);
    forgery.list = strndup(text.data, text.len);
    kt_text_done(&text);
    forgery_sign(&forgery);
    struct kt_bytes document = forgery_join(&forgery);
    struct kt_keyring *keyring = fixture_verify(f, &document, &err);
    assert_non_null(keyring);
    assert_null(kt_keyring_open(keyring, f->own, &err));
    assert_int_equal(err.code, KT_E_KEYRING_OPEN);
    if (!strstr(err.message, says))
        fail_msg("expected %s; got %s", says, err.message);
    assert_true(err.hint[0]);
    kt_keyring_free(keyring);
    kt_bytes_done(&document);
    forgery_done(&forgery);
}

static struct kt_keyring *copy_of(const struct kt_keyring *keyring)
{
    struct kt_keyring *copy = kt_keyring_new(NULL);
    assert_non_null(copy);
    *copy = *keyring;
    copy->document = (struct kt_bytes){0};
    return copy;
}

static void test_does_not_open(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        size_t offset;
        const char *says;
    } cases[] = {
        {offsetof(struct kt_keyring, wraps[0][70]), "wrap for this recipient does not authenticate"},
        {offsetof(struct kt_keyring, commitment[3]), "commits to"},
        {offsetof(struct kt_keyring, keys[0].bytes[20]), "does not authenticate"},
        {offsetof(struct kt_keyring, signer_key.bytes[20]), "signerKey does not authenticate"},
        {offsetof(struct kt_keyring, status_key.bytes[0]), "statusKey does not authenticate"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_keyring *changed = copy_of(f->keyring);
        ((uint8_t *)changed)[cases[i].offset] ^= 1;
        expect_closed(f, changed, cases[i].says);
        kt_keyring_free(changed);
    }
}

/* A commitment of its own, so that only the meaning of what is wrapped is wrong. */
static void test_wraps_are_bound_to_their_place(void **state)
{
    const struct fixture *f = *state;
    struct kt_keyring *changed = copy_of(f->keyring);
    changed->info.generation = 2;
    memset(changed->previous, 7, KT_HASH_LEN);
    expect_closed(f, changed, "does not authenticate");
    *changed = *f->keyring;
    changed->document = (struct kt_bytes){0};
    memcpy(changed->wraps[0], f->keyring->wraps[1], KT_WRAP_LEN);
    expect_closed(f, changed, "does not authenticate");
    *changed = *f->keyring;
    changed->document = (struct kt_bytes){0};
    changed->signer_key = f->keyring->status_key;
    expect_closed(f, changed, "signerKey does not authenticate");
    kt_keyring_free(changed);
}

static void seal_with_signer(const struct fixture *f, struct kt_keyring *changed, struct kt_secret *scalar)
{
    struct kt_aad aad = {0};
    kt_aad_signer_key(changed, &aad);
    assert_true(kt_gcm_seal(f->keys->keyring_key, changed->signer_key.bytes, kt_aad_view(&aad),
                            KT_SLICE(kt_secret_view(scalar), kt_secret_len(scalar)),
                            changed->signer_key.bytes + KT_GCM_NONCE, NULL));
}

static void test_signer_key_of_another_signer(void **state)
{
    const struct fixture *f = *state;
    struct kt_keyring *changed = copy_of(f->keyring);
    struct kt_p256 *stranger = kt_p256_generate(NULL);
    struct kt_secret *scalar = kt_p256_scalar(stranger, NULL);
    struct kt_secret *zero = kt_secret_new(KT_P256_SCALAR, NULL);
    seal_with_signer(f, changed, scalar);
    expect_closed(f, changed, "not the private half of the membership's signer");
    seal_with_signer(f, changed, zero);
    expect_closed(f, changed, "no private key");
    kt_secret_free(zero);
    kt_secret_free(scalar);
    kt_p256_free(stranger);
    kt_keyring_free(changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_opens_for_each_recipient),
        cmocka_unit_test(test_not_a_recipient),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_flipped_at_every_byte),
        cmocka_unit_test(test_each_byte_twice_or_left_out),
        cmocka_unit_test(test_founding_owner),
        cmocka_unit_test(test_membership_by_another_owner),
        cmocka_unit_test(test_list_by_another_signer),
        cmocka_unit_test(test_signatures_do_not_change_places),
        cmocka_unit_test(test_a_later_owner),
        cmocka_unit_test(test_membership_names_another_owner),
        cmocka_unit_test(test_does_not_open),
        cmocka_unit_test(test_wraps_are_bound_to_their_place),
        cmocka_unit_test(test_signer_key_of_another_signer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
