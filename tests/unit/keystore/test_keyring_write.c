/* SPDX-License-Identifier: Apache-2.0 */
/* Founding, and the next generation: every edit, what it refuses, and that a refusal changes nothing. */
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

static struct kt_edit edit_key(enum kt_edit_kind kind, const char *id)
{
    struct kt_edit edit = {.kind = kind};
    snprintf(edit.id, sizeof edit.id, "%s", id);
    return edit;
}

static struct kt_edit add_key(const char *name, enum kt_key_type type)
{
    struct kt_edit edit = {.kind = KT_EDIT_ADD, .type = type};
    snprintf(edit.name, sizeof edit.name, "%s", name);
    return edit;
}

static struct kt_edit set_stage(enum kt_stage stage)
{
    return (struct kt_edit){.kind = KT_EDIT_STAGE, .stage = stage};
}

static struct kt_edit set_state(const char *id, enum kt_key_state state)
{
    struct kt_edit edit = edit_key(KT_EDIT_STATE, id);
    edit.state = state;
    return edit;
}

static const struct kt_key_info *key_at(const struct fixture *f, size_t i)
{
    assert_in_range(i, 0, f->keyring->info.n_keys - 1);
    return &f->keyring->info.keys[i];
}

static void add(struct fixture *f, const char *name)
{
    struct kt_edit edit = add_key(name, KT_KEY_KMS);
    fixture_write(f, &edit, 1);
}

/* The next generation is written so much later. */
static void wait(struct fixture *f, uint64_t seconds)
{
    f->keyring->info.written += seconds;
}

static void expect_refused(const struct fixture *f, const struct kt_edit *edits, size_t n, enum kt_code code,
                           const char *says)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes document = {0};
    const struct kt_keyring_change change = {
        .edits = edits, .n_edits = n, .writer = "node-1", .now = f->keyring->info.written + 1};
    assert_false(kt_keyring_write(f->keyring, f->keys, &change, &document, &err));
    assert_null(document.data);
    if (err.code != code || !strstr(err.message, says))
        fail_msg("expected %s, %s; got %s: %s", kt_code_name(code), says, kt_code_name(err.code), err.message);
}

static void test_found_refuses(void **state)
{
    const struct fixture *f = *state;
    const struct kt_keyring_founding good = {
        .node = "node-1",
        .kind = KT_RECIPIENT_FILE,
        .own = f->own,
        .recovery_key = f->recovery_key,
        .type = KT_KEY_KMS,
        .key_name = "kmskey",
        .now = FIXTURE_NOW,
    };
    struct kt_keyring_founding bad[7];
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        bad[i] = good;
    bad[0].node = "Node 1";
    bad[1].node = "recovery";
    bad[2].key_name = "a\nb";
    bad[3].key_name = " a";
    bad[4].kind = KT_RECIPIENT_RECOVERY;
    bad[5].type = (enum kt_key_type)0;
    bad[6].node = "";
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_bytes document = {0};
        uint8_t owner[KT_HASH_LEN] = {0};
        assert_false(kt_keyring_found(&bad[i], &document, owner, &err));
        assert_int_equal(err.code, KT_E_USAGE);
        assert_null(document.data);
    }
}

static void test_founded_keyrings_differ(void **state)
{
    const struct fixture *f = *state;
    struct fixture other = {0};
    struct kt_error err = KT_ERROR_INIT;
    fixture_init(&other);
    assert_memory_not_equal(f->keyring->info.keyring_id, other.keyring->info.keyring_id, KT_KEYRING_ID_LEN);
    assert_string_not_equal(key_at(f, 0)->id, key_at(&other, 0)->id);
    assert_false(kt_secret_equal(f->keys->bytes[0], other.keys->bytes[0]));
    /* Another cluster's keyring. */
    assert_null(kt_keyring_verify(kt_bytes_view(&other.document), f->owner, &err));
    assert_int_equal(err.code, KT_E_KEYRING_OWNER);
    fixture_done(&other);
}

static void test_founds_every_type(void **state)
{
    const struct fixture *f = *state;
    for (enum kt_key_type type = KT_KEY_KMS; type <= KT_KEY_SECRETBOX; type++) {
        const struct kt_keyring_founding founding = {
            .node = "null", /* a name that YAML would take for nothing */
            .kind = KT_RECIPIENT_FILE,
            .own = f->own,
            .recovery_key = f->recovery_key,
            .type = type,
            .key_name = "-:", /* and one that would be a list */
            .now = FIXTURE_NOW,
        };
        struct kt_bytes document = {0};
        uint8_t owner[KT_HASH_LEN] = {0};
        assert_true(kt_keyring_found(&founding, &document, owner, NULL));
        assert_memory_equal(owner, f->owner, KT_HASH_LEN); /* the owner is made of the recovery key alone */
        kt_bytes_done(&document);
    }
}

static void test_next_generation(void **state)
{
    struct fixture *f = *state;
    struct kt_keyring before = *f->keyring;
    struct kt_secret *bytes = kt_secret_new_copy(kt_secret_view(f->keys->bytes[0]), KT_KEY_BYTES, NULL);
    struct kt_secret *keyring_key = kt_secret_new_copy(kt_secret_view(f->keys->keyring_key), KT_KEY_BYTES, NULL);
    fixture_write(f, NULL, 0);
    const struct kt_keyring *after = f->keyring;
    assert_int_equal(after->info.generation, 2);
    assert_int_equal(after->info.membership, 1);
    assert_memory_equal(after->previous, before.info.hash, KT_HASH_LEN);
    assert_memory_equal(after->membership_hash, before.membership_hash, KT_HASH_LEN);
    assert_memory_equal(after->signer, before.signer, KT_P256_PUBLIC);
    assert_memory_not_equal(after->commitment, before.commitment, KT_HASH_LEN);
    assert_memory_not_equal(after->wraps[0], before.wraps[0], KT_WRAP_LEN);
    assert_true(kt_secret_equal(f->keys->bytes[0], bytes));
    assert_false(kt_secret_equal(f->keys->keyring_key, keyring_key));
    kt_secret_free(bytes);
    kt_secret_free(keyring_key);
}

static void test_add(void **state)
{
    struct fixture *f = *state;
    const struct kt_edit edits[] = {
        add_key("second", KT_KEY_KMS),
        add_key("third", KT_KEY_AESCBC),
        {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE},
        {.kind = KT_EDIT_ENABLED, .flag = false},
    };
    fixture_write(f, edits, KT_ARRAY_LEN(edits));
    assert_int_equal(f->keyring->info.n_keys, 3);
    assert_int_equal(key_at(f, 0)->state, KT_KEY_ACTIVE);
    assert_string_equal(key_at(f, 1)->name, "second");
    assert_int_equal(key_at(f, 1)->state, KT_KEY_READY);
    assert_int_equal(key_at(f, 2)->type, KT_KEY_AESCBC);
    assert_int_equal(f->keyring->info.stage, KT_STAGE_PREPARE);
    assert_false(f->keyring->info.enabled);
    assert_false(kt_secret_equal(f->keys->bytes[0], f->keys->bytes[1]));
    assert_string_not_equal(key_at(f, 0)->id, key_at(f, 1)->id);
}

static void test_activate(void **state)
{
    struct fixture *f = *state;
    char ids[3][KT_KEY_ID_LEN + 1];
    add(f, "second");
    add(f, "third");
    for (size_t i = 0; i < 3; i++)
        memcpy(ids[i], key_at(f, i)->id, sizeof ids[i]);
    struct kt_secret *third = kt_secret_new_copy(kt_secret_view(f->keys->bytes[2]), KT_KEY_BYTES, NULL);
    const struct kt_edit activate = edit_key(KT_EDIT_ACTIVATE, ids[2]);
    fixture_write(f, &activate, 1);
    assert_string_equal(key_at(f, 0)->id, ids[2]);
    assert_int_equal(key_at(f, 0)->state, KT_KEY_ACTIVE);
    assert_string_equal(key_at(f, 1)->id, ids[0]);
    assert_int_equal(key_at(f, 1)->state, KT_KEY_READY);
    assert_string_equal(key_at(f, 2)->id, ids[1]);
    assert_true(kt_secret_equal(f->keys->bytes[0], third));
    kt_secret_free(third);
}

/* So that it is the one to be activated; it has encrypted already, so its hold is the hold of every key. */
static void test_last(void **state)
{
    struct fixture *f = *state;
    char ids[3][KT_KEY_ID_LEN + 1];
    add(f, "second");
    const struct kt_edit activate = edit_key(KT_EDIT_ACTIVATE, key_at(f, 1)->id);
    fixture_write(f, &activate, 1);
    add(f, "third");
    for (size_t i = 0; i < 3; i++)
        memcpy(ids[i], key_at(f, i)->id, sizeof ids[i]);
    struct kt_secret *bytes = kt_secret_new_copy(kt_secret_view(f->keys->bytes[1]), KT_KEY_BYTES, NULL);
    const struct kt_edit active = edit_key(KT_EDIT_LAST, ids[0]);
    expect_refused(f, &active, 1, KT_E_REFUSED, "is the active one");
    const struct kt_edit youngest = edit_key(KT_EDIT_LAST, ids[2]);
    expect_refused(f, &youngest, 1, KT_E_REFUSED, "is the youngest: expected one that is older");
    const struct kt_edit retiring[] = {set_state(ids[1], KT_KEY_RETIRING), edit_key(KT_EDIT_LAST, ids[1])};
    expect_refused(f, retiring, 2, KT_E_REFUSED, "is retiring: expected a ready key");
    const struct kt_edit edits[] = {retiring[1], {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE}};
    fixture_write(f, edits, 2);
    assert_string_equal(key_at(f, 0)->id, ids[0]);
    assert_string_equal(key_at(f, 1)->id, ids[2]);
    assert_string_equal(key_at(f, 2)->id, ids[1]);
    assert_int_equal(key_at(f, 2)->state, KT_KEY_READY);
    assert_true(kt_secret_equal(f->keys->bytes[2], bytes));
    const struct kt_edit archive = edit_key(KT_EDIT_ARCHIVE, ids[1]);
    wait(f, 2 * KT_HOLD_DEFAULT);
    expect_refused(f, &archive, 1, KT_E_REFUSED, "is ready: expected one that is retiring");
    kt_secret_free(bytes);
}

static void test_retire_and_archive(void **state)
{
    struct fixture *f = *state;
    char old[KT_KEY_ID_LEN + 1];
    memcpy(old, key_at(f, 0)->id, sizeof old);
    add(f, "second");
    struct kt_secret *bytes = kt_secret_new_copy(kt_secret_view(f->keys->bytes[0]), KT_KEY_BYTES, NULL);
    const struct kt_edit rotate[] = {edit_key(KT_EDIT_ACTIVATE, key_at(f, 1)->id), set_state(old, KT_KEY_RETIRING)};
    fixture_write(f, rotate, 2);
    uint64_t since = f->keyring->info.written;
    assert_int_equal(key_at(f, 1)->retiring_since, since);
    const struct kt_edit again = set_state(old, KT_KEY_RETIRING);
    fixture_write(f, &again, 1);
    assert_int_equal(key_at(f, 1)->retiring_since, since);
    const struct kt_edit archive = edit_key(KT_EDIT_ARCHIVE, old);
    wait(f, KT_HOLD_DEFAULT);
    fixture_write(f, &archive, 1);
    assert_int_equal(f->keyring->info.n_keys, 1);
    assert_int_equal(f->keyring->info.n_archive, 1);
    assert_string_equal(f->keyring->info.archive[0].id, old);
    assert_int_equal(f->keyring->info.archive[0].retired, f->keyring->info.written);
    /* The recovery key, and only it, has the key back. */
    struct kt_aad info = {0};
    const struct kt_sealed *sealed = &f->keyring->archive[0];
    kt_aad_archive(f->keyring, old, KT_KEY_KMS, &info);
    struct kt_secret *opened =
        kt_hpke_open(f->recovery, kt_aad_view(&info), KT_SLICE(NULL, 0), KT_SLICE(sealed->bytes, sealed->len), NULL);
    assert_true(kt_secret_equal(opened, bytes));
    assert_null(
        kt_hpke_open(f->own, kt_aad_view(&info), KT_SLICE(NULL, 0), KT_SLICE(sealed->bytes, sealed->len), NULL));
    /* It stays as it is in later generations. */
    struct kt_sealed kept = *sealed;
    add(f, "third");
    assert_memory_equal(f->keyring->archive[0].bytes, kept.bytes, kept.len);
    const struct kt_edit archived = edit_key(KT_EDIT_ACTIVATE, old);
    expect_refused(f, &archived, 1, KT_E_REFUSED, "found one that is archived");
    kt_secret_free(opened);
    kt_secret_free(bytes);
}

static void test_states(void **state)
{
    struct fixture *f = *state;
    add(f, "second");
    struct kt_edit compromised = set_state(key_at(f, 1)->id, KT_KEY_COMPROMISED);
    fixture_write(f, &compromised, 1);
    assert_int_equal(key_at(f, 1)->state, KT_KEY_COMPROMISED);
    assert_int_equal(key_at(f, 1)->retiring_since, 0);
    const struct kt_edit archive = edit_key(KT_EDIT_ARCHIVE, key_at(f, 1)->id);
    const struct kt_edit activate = edit_key(KT_EDIT_ACTIVATE, key_at(f, 1)->id);
    wait(f, 2 * KT_HOLD_DEFAULT);
    expect_refused(f, &archive, 1, KT_E_REFUSED, "is compromised: expected one that is retiring");
    expect_refused(f, &activate, 1, KT_E_REFUSED, "is compromised: expected a ready key to make active");
}

/* A key leaves the list when its hold is over, to the second, and no change can make that sooner for itself. */
static void test_hold(void **state)
{
    struct fixture *f = *state;
    char old[KT_KEY_ID_LEN + 1];
    memcpy(old, key_at(f, 0)->id, sizeof old);
    add(f, "second");
    const struct kt_edit archive = edit_key(KT_EDIT_ARCHIVE, old);
    const struct kt_edit activate = edit_key(KT_EDIT_ACTIVATE, key_at(f, 1)->id);
    fixture_write(f, &activate, 1);
    wait(f, 2 * KT_HOLD_DEFAULT);
    expect_refused(f, &archive, 1, KT_E_REFUSED, "is ready: expected one that is retiring");
    const struct kt_edit at_once[] = {set_state(old, KT_KEY_RETIRING), archive};
    expect_refused(f, at_once, 2, KT_E_REFUSED, "edit 2 of 2: archive a key");
    fixture_write(f, at_once, 1);
    wait(f, KT_HOLD_DEFAULT - 2); /* and the second that each generation takes */
    expect_refused(f, &archive, 1, KT_E_REFUSED, "expected its hold of 86400 seconds to be over, which ends at 2026-");
    const struct kt_edit shorter[] = {{.kind = KT_EDIT_HOLD, .number = KT_HOLD_MIN}, archive};
    expect_refused(f, shorter, 2, KT_E_REFUSED, "expected its hold of 86400 seconds");
    const struct kt_edit again[] = {set_state(old, KT_KEY_READY), at_once[0], archive};
    wait(f, 1);
    expect_refused(f, again, 3, KT_E_REFUSED, "is retiring since");
    fixture_write(f, &archive, 1);
    assert_int_equal(f->keyring->info.n_keys, 1);
    assert_string_equal(f->keyring->info.archive[0].id, old);
}

/* A longer hold holds from now on, a shorter one from the next generation on. */
static void test_hold_that_changes(void **state)
{
    struct fixture *f = *state;
    const struct kt_edit prepared[] = {add_key("second", KT_KEY_KMS), set_stage(KT_STAGE_ROTATE)};
    fixture_write(f, prepared, 2);
    const struct kt_edit retire[] = {set_state(key_at(f, 1)->id, KT_KEY_RETIRING),
                                     {.kind = KT_EDIT_HOLD, .number = KT_HOLD_MIN}};
    const struct kt_edit archive[] = {{.kind = KT_EDIT_HOLD, .number = 2 * KT_HOLD_MIN},
                                      edit_key(KT_EDIT_ARCHIVE, key_at(f, 1)->id)};
    fixture_write(f, retire, 2);
    assert_int_equal(f->keyring->info.hold, KT_HOLD_MIN);
    wait(f, KT_HOLD_MIN);
    expect_refused(f, archive, 2, KT_E_REFUSED, "expected its hold of 1200 seconds");
    fixture_write(f, &archive[1], 1);
    assert_int_equal(f->keyring->info.n_archive, 1);
}

/* What is prepared may be taken back at once, into the archive. A rotation that was begun over, or a change that gives
 * itself the right, takes nothing back that has encrypted. */
static void test_taking_back_what_never_encrypted(void **state)
{
    struct fixture *f = *state;
    char first[KT_KEY_ID_LEN + 1];
    memcpy(first, key_at(f, 0)->id, sizeof first);
    add(f, "second");
    const struct kt_edit second = edit_key(KT_EDIT_ARCHIVE, key_at(f, 1)->id);
    const struct kt_edit self_made[] = {set_stage(KT_STAGE_PREPARE), second};
    expect_refused(f, &second, 1, KT_E_REFUSED, "which never encrypted");
    expect_refused(f, self_made, 2, KT_E_REFUSED, "which never encrypted");
    const struct kt_edit turn[] = {edit_key(KT_EDIT_ACTIVATE, key_at(f, 1)->id), edit_key(KT_EDIT_ARCHIVE, first)};
    fixture_write(f, self_made, 1);
    expect_refused(f, turn, 2, KT_E_REFUSED, "which never encrypted");
    fixture_write(f, turn, 1);
    expect_refused(f, &turn[1], 1, KT_E_REFUSED, "which never encrypted");
    add(f, "third");
    const struct kt_edit between = edit_key(KT_EDIT_ARCHIVE, first);
    expect_refused(f, &between, 1, KT_E_REFUSED, "or the youngest, last and ready in the stage prepare");
    const struct kt_edit third[] = {edit_key(KT_EDIT_ARCHIVE, key_at(f, 2)->id), set_stage(KT_STAGE_START)};
    fixture_write(f, third, 2);
    assert_int_equal(f->keyring->info.n_keys, 2);
    assert_string_equal(f->keyring->info.archive[0].id, third[0].id);
}

static struct kt_edit api_server(enum kt_edit_kind kind, const char *name)
{
    struct kt_edit edit = {.kind = kind};
    snprintf(edit.name, sizeof edit.name, "%s", name);
    return edit;
}

static void test_list_wide_edits(void **state)
{
    struct fixture *f = *state;
    const struct kt_keyring_info *info = NULL;
    const struct kt_edit edits[] = {
        {.kind = KT_EDIT_STRICT, .flag = true},
        {.kind = KT_EDIT_HOLD, .number = 7200},
        api_server(KT_EDIT_API_SERVER, "https://[::1]:6443"),
        api_server(KT_EDIT_API_SERVER, "b"),
        api_server(KT_EDIT_API_SERVER, "c"),
        api_server(KT_EDIT_API_SERVER, "b"),
    };
    fixture_write(f, edits, KT_ARRAY_LEN(edits));
    info = &f->keyring->info;
    assert_true(info->strict);
    assert_int_equal(info->hold, 7200);
    assert_int_equal(info->n_api_servers, 3);
    const struct kt_edit back[] = {{.kind = KT_EDIT_STRICT}, api_server(KT_EDIT_FORGET_API_SERVER, "b")};
    fixture_write(f, back, 2);
    info = &f->keyring->info;
    assert_false(info->strict);
    assert_int_equal(info->n_api_servers, 2);
    assert_string_equal(info->api_servers[0], "https://[::1]:6443");
    assert_string_equal(info->api_servers[1], "c");
    expect_refused(f, &back[1], 1, KT_E_REFUSED, "expected an API server that the keyring knows");
    for (size_t i = 2; i < KT_API_SERVERS_MAX; i++) {
        char name[16] = "";
        snprintf(name, sizeof name, "s%zu", i);
        const struct kt_edit one = api_server(KT_EDIT_API_SERVER, name);
        fixture_write(f, &one, 1);
    }
    const struct kt_edit more = api_server(KT_EDIT_API_SERVER, "more");
    expect_refused(f, &more, 1, KT_E_REFUSED, "expected fewer than 64 API servers");
}

static void test_refused_edits(void **state)
{
    const struct fixture *f = *state;
    const char *active = key_at(f, 0)->id;
    const char *unknown = "00000000000000000000000000000000";
    const struct {
        struct kt_edit edit;
        const char *says;
    } cases[] = {
        {add_key("", KT_KEY_KMS), "expected a key name"},
        {add_key("a\tb", KT_KEY_KMS), "expected a key name"},
        {api_server(KT_EDIT_API_SERVER, ""), "expected an API server's name"},
        {api_server(KT_EDIT_API_SERVER, "a b"), "expected an API server's name"},
        {{.kind = KT_EDIT_HOLD, .number = KT_HOLD_MIN - 1}, "expected a hold of at least 600 seconds, found 599"},
        {{.kind = KT_EDIT_HOLD, .number = KT_NUMBER_MAX + 1}, "expected a hold"},
        {add_key("x", (enum kt_key_type)9), "expected a key type"},
        {edit_key(KT_EDIT_ACTIVATE, unknown), "neither listed nor archived"},
        {edit_key(KT_EDIT_ACTIVATE, active), "is active: expected a ready key"},
        {edit_key(KT_EDIT_ARCHIVE, active), "is the active one"},
        {edit_key(KT_EDIT_ARCHIVE, unknown), "neither listed nor archived"},
        {set_state(active, KT_KEY_RETIRING), "is the active one"},
        {set_state(active, KT_KEY_ACTIVE), "expected the state ready, retiring or compromised, found active"},
        {set_state(unknown, KT_KEY_READY), "neither listed nor archived"},
        {{.kind = KT_EDIT_STAGE, .stage = (enum kt_stage)77}, "expected a stage"},
        {{.kind = (enum kt_edit_kind)99}, "expected an edit"},
        {{.kind = (enum kt_edit_kind)0}, "expected an edit"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++)
        expect_refused(f, &cases[i].edit, 1, KT_E_REFUSED, cases[i].says);
}

static void test_all_or_nothing(void **state)
{
    const struct fixture *f = *state;
    struct kt_keyring *before = kt_keyring_new(NULL);
    assert_non_null(before);
    *before = *f->keyring;
    const struct kt_edit edits[] = {
        add_key("second", KT_KEY_KMS),
        {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_ROTATE},
        edit_key(KT_EDIT_ARCHIVE, key_at(f, 0)->id),
    };
    expect_refused(f, edits, 3, KT_E_REFUSED, "edit 3 of 3: archive a key");
    assert_memory_equal(before, f->keyring, sizeof *before);
    assert_int_equal(f->keys->n, 1);
    free(before);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct kt_edit edits[KT_EDITS_MAX + 1];
    size_t number = 0;
    for (size_t i = 0; i < KT_ARRAY_LEN(edits); i++)
        edits[i] = (struct kt_edit){.kind = KT_EDIT_ENABLED, .flag = true};
    expect_refused(f, edits, KT_ARRAY_LEN(edits), KT_E_REFUSED, "at most 16 edits at once, found 17");
    while (f->keyring->info.n_keys < KT_KEYS_MAX) {
        size_t n = 0;
        for (; n < KT_EDITS_MAX && f->keyring->info.n_keys + n < KT_KEYS_MAX; n++) {
            char name[32] = "";
            snprintf(name, sizeof name, "key-%zu", number++);
            edits[n] = add_key(name, KT_KEY_KMS);
        }
        fixture_write(f, edits, n);
    }
    edits[0] = add_key("one-more", KT_KEY_KMS);
    expect_refused(f, edits, 1, KT_E_REFUSED, "expected fewer than 64 listed keys");
}

static void test_keys_of_another_generation(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_bytes document = {0};
    const struct kt_keyring_change change = {.writer = "node-1", .now = FIXTURE_NOW};
    struct kt_keyring_keys *old = kt_keyring_open(f->keyring, f->own, NULL);
    fixture_write(f, NULL, 0);
    assert_false(kt_keyring_write(f->keyring, old, &change, &document, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
    kt_keyring_keys_free(old);
}

static void test_bad_writer_and_time(void **state)
{
    const struct fixture *f = *state;
    struct kt_bytes document = {0};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyring_change change = {.writer = "Not a name", .now = FIXTURE_NOW};
    assert_false(kt_keyring_write(f->keyring, f->keys, &change, &document, &err));
    assert_int_equal(err.code, KT_E_REFUSED);
    change = (struct kt_keyring_change){.writer = "node-1", .now = UINT64_MAX};
    assert_false(kt_keyring_write(f->keyring, f->keys, &change, &document, &err));
    assert_null(document.data);
}

/* The recovery key can write a generation as well as any node. */
static void test_written_with_the_recovery_key(void **state)
{
    const struct fixture *f = *state;
    struct kt_bytes document = {0};
    const struct kt_keyring_change change = {.writer = "recovery", .now = FIXTURE_NOW};
    struct kt_keyring_keys *keys = kt_keyring_open(f->keyring, f->recovery, NULL);
    assert_true(kt_keyring_write(f->keyring, keys, &change, &document, NULL));
    struct kt_keyring *next = fixture_verify(f, &document, NULL);
    struct kt_keyring_keys *opened = kt_keyring_open(next, f->own, NULL);
    assert_true(kt_secret_equal(opened->bytes[0], f->keys->bytes[0]));
    kt_keyring_keys_free(opened);
    kt_keyring_free(next);
    kt_keyring_keys_free(keys);
    kt_bytes_done(&document);
}

/* What the archive may hold, it can hold: 1024 keys beside 64 listed ones are still read. */
static void test_largest_keyring(void **state)
{
    struct fixture *f = *state;
    struct kt_edit edits[KT_EDITS_MAX];
    struct kt_keyring *k = f->keyring;
    for (size_t n = 0; k->info.n_keys < KT_KEYS_MAX; k = f->keyring) {
        size_t i = 0;
        for (; i < KT_EDITS_MAX && k->info.n_keys + i < KT_KEYS_MAX; i++) {
            char name[KT_KEY_NAME_MAX + 1] = "";
            snprintf(name, sizeof name, "%0253zu", n++);
            edits[i] = add_key(name, KT_KEY_KMS);
        }
        fixture_write(f, edits, i);
    }
    while (f->keyring->info.n_archive < KT_ARCHIVE_MAX - 1) {
        struct kt_archived_info *archived = &f->keyring->info.archive[f->keyring->info.n_archive];
        struct kt_key_info key = {.type = KT_KEY_KMS};
        snprintf(key.id, sizeof key.id, "%032zx", f->keyring->info.n_archive + 1);
        memcpy(archived->id, key.id, sizeof archived->id);
        memset(archived->name, '"', KT_KEY_NAME_MAX); /* the quoted form is the longest */
        archived->type = KT_KEY_KMS;
        f->keyring->archive[f->keyring->info.n_archive].len = KT_SEALED_MAX;
        f->keyring->info.n_archive++;
    }
    for (; f->keyring->info.n_api_servers < KT_API_SERVERS_MAX; f->keyring->info.n_api_servers++) {
        char *name = f->keyring->info.api_servers[f->keyring->info.n_api_servers];
        memset(name, '"', KT_API_SERVER_MAX);
        snprintf(name, 8, "\\%zu", f->keyring->info.n_api_servers);
        name[strlen(name)] = '\\';
    }
    f->keyring->info.keys[1].state = KT_KEY_RETIRING;
    wait(f, KT_HOLD_DEFAULT);
    const struct kt_edit archive[] = {edit_key(KT_EDIT_ARCHIVE, key_at(f, 1)->id), add_key("again", KT_KEY_AESGCM)};
    fixture_write(f, archive, 2);
    assert_int_equal(f->keyring->info.n_archive, KT_ARCHIVE_MAX);
    assert_int_equal(f->keyring->info.n_keys, KT_KEYS_MAX);
    assert_int_equal(f->keyring->info.n_api_servers, KT_API_SERVERS_MAX);
    f->keyring->info.keys[1].state = KT_KEY_RETIRING;
    const struct kt_edit full = edit_key(KT_EDIT_ARCHIVE, key_at(f, 1)->id);
    expect_refused(f, &full, 1, KT_E_REFUSED, "the archive is full");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_found_refuses),
        EACH(test_founded_keyrings_differ),
        EACH(test_founds_every_type),
        EACH(test_next_generation),
        EACH(test_add),
        EACH(test_activate),
        EACH(test_last),
        EACH(test_retire_and_archive),
        EACH(test_states),
        EACH(test_hold),
        EACH(test_hold_that_changes),
        EACH(test_taking_back_what_never_encrypted),
        EACH(test_list_wide_edits),
        EACH(test_refused_edits),
        EACH(test_all_or_nothing),
        EACH(test_limits),
        EACH(test_keys_of_another_generation),
        EACH(test_bad_writer_and_time),
        EACH(test_written_with_the_recovery_key),
        EACH(test_largest_keyring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
