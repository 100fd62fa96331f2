/* SPDX-License-Identifier: Apache-2.0 */
/* What something is stored under, and what an auditor may ask for. */
#include "admin/census_judge.h"
#include "admin/stored.h"
#include "tests/unit/base/unit.h"

#include <stdlib.h>
#include <string.h>

static void add_key(struct kt_keyring_info *info, const char *id, enum kt_key_type type, const char *name)
{
    struct kt_key_info *key = &info->keys[info->n_keys++];
    key->type = type;
    (void)snprintf(key->id, sizeof(key->id), "%s", id);
    (void)snprintf(key->name, sizeof(key->name), "%s", name);
}

static void test_refs(void **state)
{
    static const struct {
        enum kt_storage_provider provider;
        const char *name, *key_id;
        int ref;
    } STORED[] = {
        {KT_STORAGE_PLAIN, "", "", KT_REF_IDENTITY},
        {KT_STORAGE_UNKNOWN, "", "", KT_REF_UNKNOWN},
        {KT_STORAGE_KMS_V2, "keyturn", "id0", KT_REF_KEY(0)},
        {KT_STORAGE_KMS_V2, "keyturn", "id1", KT_REF_KEY(1)},
        {KT_STORAGE_KMS_V2, "keyturn", "id3", KT_REF_ARCHIVED},
        {KT_STORAGE_KMS_V2, "keyturn", "id", KT_REF_STRANGER},
        {KT_STORAGE_KMS_V2, "keyturn", "id9", KT_REF_STRANGER}, /* superseded */
        /* Under another name of the plugin: the key is needed, and what is under the active one is to be rewritten. */
        {KT_STORAGE_KMS_V2, "before", "id1", KT_REF_KEY(1)},
        {KT_STORAGE_KMS_V2, "before", "id0", KT_REF_FOREIGN},
        {KT_STORAGE_KMS_V2, "vault", "7", KT_REF_FOREIGN},
        {KT_STORAGE_KMS_V1, "keyturn", "", KT_REF_FOREIGN},
        {KT_STORAGE_AESCBC, "b", "", KT_REF_KEY(2)},
        {KT_STORAGE_AESGCM, "b", "", KT_REF_STRANGER},
        {KT_STORAGE_AESCBC, "k0", "", KT_REF_STRANGER}, /* the name of one of kms */
        {KT_STORAGE_SECRETBOX, "old", "", KT_REF_ARCHIVED},
    };
    struct kt_keyring_info *info = calloc(1, sizeof(*info));
    (void)state;
    assert_non_null(info);
    add_key(info, "id0", KT_KEY_KMS, "k0");
    add_key(info, "id1", KT_KEY_KMS, "k1");
    add_key(info, "id2", KT_KEY_AESCBC, "b");
    add_key(info, "id9", KT_KEY_KMS, "k9");
    info->keys[3].superseded = true;
    info->archive[0] = (struct kt_archived_info){.id = "id3", .name = "k3", .type = KT_KEY_KMS};
    info->archive[1] = (struct kt_archived_info){.id = "id4", .name = "old", .type = KT_KEY_SECRETBOX};
    info->n_archive = 2;
    for (size_t i = 0; i < KT_ARRAY_LEN(STORED); i++) {
        const struct kt_stored_as as = {.provider = STORED[i].provider,
                                        .name = kt_slice_str(STORED[i].name),
                                        .key_id = kt_slice_str(STORED[i].key_id)};
        int ref = kt_stored_ref(info, "keyturn", &as);
        if (ref != STORED[i].ref)
            fail_msg("%zu: %d, expected %d", i, ref, STORED[i].ref);
    }
    free(info);
}

static void test_asked(void **state)
{
    static const struct {
        const char *text;
        bool good;
        unsigned kinds;
        uint64_t older_than;
    } ASKED[] = {
        {"plaintext", true, KT_CENSUS_BIT(KT_CENSUS_PLAINTEXT), 0},
        {"unknown,other,uncovered", true,
         KT_CENSUS_BIT(KT_CENSUS_UNKNOWN) | KT_CENSUS_BIT(KT_CENSUS_OTHER) | KT_CENSUS_BIT(KT_CENSUS_UNCOVERED), 0},
        {"key-older-than=90d", true, KT_CENSUS_BIT(KT_CENSUS_OLD), 90 * 86400},
        {"key-older-than=2h,plaintext", true, KT_CENSUS_BIT(KT_CENSUS_OLD) | KT_CENSUS_BIT(KT_CENSUS_PLAINTEXT), 7200},
        {"", false, 0, 0},
        {"plain", false, 0, 0},
        {"plaintext2", false, 0, 0},
        {"plaintext,", false, 0, 0},
        {"key-older-than", false, 0, 0},
        {"key-older-than=", false, 0, 0},
        {"key-older-than=0d", false, 0, 0},
        {"key-older-than=-1d", false, 0, 0},
        {"key-older-than=90", false, 0, 0},
        {"key-older-than=90days", false, 0, 0},
        {"key-older-than=99999999999999999999d", false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(ASKED); i++) {
        struct kt_census_asked asked = {.kinds = 0};
        struct kt_error err = KT_ERROR_INIT;
        bool good = kt_census_asked_parse(ASKED[i].text, &asked, &err);
        if (good != ASKED[i].good ||
            (good && (asked.kinds != ASKED[i].kinds || asked.older_than != ASKED[i].older_than)))
            fail_msg("%s: %d %x %llu", ASKED[i].text, good, asked.kinds, (unsigned long long)asked.older_than);
        assert_int_equal(err.code, good ? KT_OK : KT_E_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refs), cmocka_unit_test(test_asked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
