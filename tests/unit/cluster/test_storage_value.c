/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/storage_value.h"
#include "proto/encrypted_object.pb-c.h"
#include "tests/unit/base/unit.h"

#include <string.h>

#define MAX 8192u

/* A value: a text, then so many bytes of filling. */
struct value {
    uint8_t bytes[MAX];
    size_t len;
};

static struct kt_slice make(struct value *v, const char *prefix, size_t filling)
{
    v->len = strlen(prefix);
    memcpy(v->bytes, prefix, v->len);
    for (size_t i = 0; i < filling; i++)
        v->bytes[v->len++] = (uint8_t)(0x80 + i % 64);
    return KT_SLICE(v->bytes, v->len);
}

static struct kt_storage_value read_value(struct kt_slice value, const struct kt_storage_name *names, size_t n)
{
    struct kt_storage_value ret;
    memset(&ret, 0xff, sizeof(ret));
    kt_storage_value_read(value, names, n, &ret);
    assert_true((ret.provider == KT_STORAGE_UNKNOWN) == (ret.problem != NULL));
    return ret;
}

static const struct {
    const char *prefix;
    size_t filling;
    enum kt_storage_provider provider;
    const char *name;
} VALUES[] = {
    {"{", 0, KT_STORAGE_PLAIN, ""},
    {"{\"kind\":\"Widget\"}", 0, KT_STORAGE_PLAIN, ""},
    {"\xd9\xd9\xf7\xa1", 3, KT_STORAGE_PLAIN, ""},
    {"k8s:enc:aescbc:v1:aescbckey:", 48, KT_STORAGE_AESCBC, "aescbckey"},
    {"k8s:enc:aescbc:v1:k:", 32, KT_STORAGE_AESCBC, "k"},
    {"k8s:enc:aesgcm:v1:key1:", 28, KT_STORAGE_AESGCM, "key1"},
    {"k8s:enc:secretbox:v1:secretboxkey:", 40, KT_STORAGE_SECRETBOX, "secretboxkey"},
    {"k8s:enc:aescbc:v1:a key with blanks:", 32, KT_STORAGE_AESCBC, "a key with blanks"},
    /* k3s's names, in both forms of a time. */
    {"k8s:enc:aescbc:v1:aescbckey-2022-04-21T23:01:02-07:00:", 32, KT_STORAGE_AESCBC,
     "aescbckey-2022-04-21T23:01:02-07:00"},
    {"k8s:enc:aescbc:v1:aescbckey-2022-04-21T23:01:02Z:", 64, KT_STORAGE_AESCBC, "aescbckey-2022-04-21T23:01:02Z"},
    {"k8s:enc:secretbox:v1:secretboxkey-2025-12-31T00:00:00+02:00:", 41, KT_STORAGE_SECRETBOX,
     "secretboxkey-2025-12-31T00:00:00+02:00"},
    {"k8s:enc:secretbox:v1:-2025-12-31T00:00:00+02:00:", 41, KT_STORAGE_SECRETBOX, "-2025-12-31T00:00:00+02:00"},
    /* Nearly one: only the first colon is known to end the name. */
    {"k8s:enc:secretbox:v1:k-2025-12-31T00:00:00*02:00:", 41, KT_STORAGE_SECRETBOX, "k-2025-12-31T00"},
    {"k8s:enc:secretbox:v1:k-2025-12-31T00:00:00+02:0:", 41, KT_STORAGE_SECRETBOX, "k-2025-12-31T00"},
    {"k8s:enc:secretbox:v1:k-2025-12-31T00:00:00Zz", 41, KT_STORAGE_SECRETBOX, "k-2025-12-31T00"},
    {"k8s:enc:secretbox:v1:k-20a5-12-31T00:00:00Z:", 41, KT_STORAGE_SECRETBOX, "k-20a5-12-31T00"},
    /* The blocks of AES-CBC say where a name of another form ends. */
    {"k8s:enc:aescbc:v1:team:blue:", 32, KT_STORAGE_AESCBC, "team:blue"},
    /* kms v1: the two bytes are the length of the wrapped key. */
    {"k8s:enc:kms:v1:vault:\x01\x02", 300, KT_STORAGE_KMS_V1, "vault"},
    /* What nobody can read. */
    {"", 0, KT_STORAGE_UNKNOWN, ""},
    {"k8", 0, KT_STORAGE_UNKNOWN, ""},
    {"k8s", 0, KT_STORAGE_UNKNOWN, ""},
    {"1234", 0, KT_STORAGE_UNKNOWN, ""},
    {"\xd9\xd9", 0, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:", 0, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aessiv:v1:key1:", 64, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aescbc:v2:key1:", 64, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:kms:v3:key1:", 64, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aescbc:v1:", 0, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aescbc:v1:key1", 0, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aescbc:v1::", 32, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aescbc:v1:key1:", 31, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aescbc:v1:key1:", 33, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aescbc:v1:key1:", 16, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:aesgcm:v1:key1:", 27, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:secretbox:v1:key1:", 39, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:kms:v1:vault:\x01\x02", 285, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:kms:v1:vault:\xff\xff", 285, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:kms:v2:keyturn:", 0, KT_STORAGE_UNKNOWN, ""},
    {"k8s:enc:kms:v2:keyturn:", 300, KT_STORAGE_UNKNOWN, ""},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(VALUES); i++) {
        struct value v;
        struct kt_storage_value found = read_value(make(&v, VALUES[i].prefix, VALUES[i].filling), NULL, 0);
        if (found.provider != VALUES[i].provider || !kt_slice_equal(found.name, kt_slice_str(VALUES[i].name)) ||
            found.name_known || found.key_id.len != 0)
            fail_msg("value %zu (%s): %s, name '%.*s' %s", i, VALUES[i].prefix,
                     kt_storage_provider_name(found.provider), (int)found.name.len, (const char *)found.name.data,
                     found.problem ? found.problem : "");
    }
}

static void test_plain_protobuf(void **state)
{
    (void)state;
    assert_int_equal(read_value(KT_SLICE("k8s\0\n\x0e", 6), NULL, 0).provider, KT_STORAGE_PLAIN);
    assert_int_equal(read_value(KT_SLICE(NULL, 0), NULL, 0).provider, KT_STORAGE_UNKNOWN);
}

/* The names in use decide. */
static void test_known_names(void **state)
{
    (void)state;
    static const struct kt_storage_name names[] = {
        {KT_STORAGE_AESGCM, "team"},     {KT_STORAGE_AESGCM, "team:blue"}, {KT_STORAGE_AESGCM, "tea"},
        {KT_STORAGE_SECRETBOX, "other"}, {KT_STORAGE_KMS_V1, "a:b"},       {KT_STORAGE_AESGCM, ""},
    };
    struct value v;
    struct kt_slice value = make(&v, "k8s:enc:aesgcm:v1:team:blue:", 28);
    struct kt_storage_value found = read_value(value, names, KT_ARRAY_LEN(names));
    assert_int_equal(found.provider, KT_STORAGE_AESGCM);
    assert_true(kt_slice_equal(found.name, kt_slice_str("team:blue")));
    assert_true(found.name_known);
    /* It may be team's, with ciphertext that happens to begin with "blue:"; so both keys are still needed. */
    assert_true(kt_storage_value_fits(value, &names[0]));
    assert_true(kt_storage_value_fits(value, &names[1]));
    assert_false(kt_storage_value_fits(value, &names[2]));
    assert_false(kt_storage_value_fits(value, &names[3]));
    assert_false(kt_storage_value_fits(value, &names[5]));
    /* Without the longer one it is team's. */
    found = read_value(value, names, 1);
    assert_true(kt_slice_equal(found.name, kt_slice_str("team")));
    /* Known to another provider only: guessed. */
    found = read_value(make(&v, "k8s:enc:aesgcm:v1:other:", 28), names, KT_ARRAY_LEN(names));
    assert_true(kt_slice_equal(found.name, kt_slice_str("other")));
    assert_false(found.name_known);
    found = read_value(make(&v, "k8s:enc:kms:v1:a:b:\x01\x02", 300), names, KT_ARRAY_LEN(names));
    assert_true(kt_slice_equal(found.name, kt_slice_str("a:b")));
    assert_true(found.name_known);
    /* The longest one counts only if what is left can be its ciphertext. */
    found = read_value(make(&v, "k8s:enc:aesgcm:v1:team:blue:", 27), names, KT_ARRAY_LEN(names));
    assert_int_equal(found.provider, KT_STORAGE_AESGCM);
    assert_true(kt_slice_equal(found.name, kt_slice_str("team")));
    assert_true(kt_storage_value_fits(KT_SLICE(v.bytes, v.len), &names[1])); /* and yet nothing is said to be unused */
}

static void test_fits_hostile(void **state)
{
    (void)state;
    static const struct kt_storage_name odd[] = {{KT_STORAGE_PLAIN, "x"}, {KT_STORAGE_UNKNOWN, "x"}, {99, "x"}};
    for (size_t i = 0; i < KT_ARRAY_LEN(odd); i++)
        assert_false(kt_storage_value_fits(kt_slice_str("k8s:enc:aescbc:v1:x:0123456789abcdef"), &odd[i]));
    static const struct kt_storage_name key = {KT_STORAGE_AESCBC, "key1"};
    assert_false(kt_storage_value_fits(kt_slice_str("k8s:enc:aescbc:v1:key1"), &key));
    assert_false(kt_storage_value_fits(kt_slice_str("k8s:enc:aescbc:v1:"), &key));
    assert_false(kt_storage_value_fits(KT_SLICE(NULL, 0), &key));
    assert_true(kt_storage_value_fits(kt_slice_str("k8s:enc:aescbc:v1:key1:"), &key));
}

/* ---- KMS v2 ---- */

static uint8_t some[32768] = {1, 2, 3};
static char some_id[] = "0123456789abcdef";

static Encrypted__EncryptedObject good_object(void)
{
    Encrypted__EncryptedObject object;
    encrypted__encrypted_object__init(&object);
    object.encrypted_data = (ProtobufCBinaryData){.data = some, .len = 268};
    object.key_id = some_id;
    object.encrypted_dek_source = (ProtobufCBinaryData){.data = some, .len = 60};
    object.encrypted_dek_source_type = 1;
    return object;
}

static struct kt_slice stored(struct value *v, const Encrypted__EncryptedObject *object)
{
    make(v, "k8s:enc:kms:v2:keyturn:", 0);
    assert_true(v->len + encrypted__encrypted_object__get_packed_size(object) <= MAX);
    v->len += encrypted__encrypted_object__pack(object, v->bytes + v->len);
    return KT_SLICE(v->bytes, v->len);
}

static void test_kms_v2(void **state)
{
    (void)state;
    struct value v;
    Encrypted__EncryptedObject object = good_object();
    Encrypted__EncryptedObject__AnnotationsEntry entry;
    encrypted__encrypted_object__annotations_entry__init(&entry);
    Encrypted__EncryptedObject__AnnotationsEntry *entries[] = {&entry, &entry};
    entry.key = (char[]){"ver.kms.example.com"};
    entry.value = (ProtobufCBinaryData){.data = some, .len = 1000};
    object.annotations = entries;
    object.n_annotations = 2;
    static const struct kt_storage_name names[] = {{KT_STORAGE_KMS_V2, "keyturn"}};
    struct kt_storage_value found = read_value(stored(&v, &object), names, 1);
    assert_int_equal(found.provider, KT_STORAGE_KMS_V2);
    assert_true(kt_slice_equal(found.name, kt_slice_str("keyturn")));
    assert_true(found.name_known);
    assert_true(kt_slice_equal(found.key_id, kt_slice_str("0123456789abcdef")));
    /* in place */
    assert_true(found.key_id.data > v.bytes && found.key_id.data < v.bytes + v.len);
    /* A provider that nobody named. */
    found = read_value(stored(&v, &object), NULL, 0);
    assert_int_equal(found.provider, KT_STORAGE_KMS_V2);
    assert_false(found.name_known);
}

/* A key_id with a NUL is another key than the one before the NUL. */
static void test_kms_v2_key_id_with_nul(void **state)
{
    (void)state;
    struct value v;
    Encrypted__EncryptedObject object = good_object();
    stored(&v, &object);
    uint8_t *at = memmem(v.bytes, v.len, "0123456789", 10);
    at[4] = '\0';
    struct kt_storage_value found = read_value(KT_SLICE(v.bytes, v.len), NULL, 0);
    assert_int_equal(found.provider, KT_STORAGE_KMS_V2);
    assert_int_equal(found.key_id.len, 16);
}

static void test_kms_v2_limits(void **state)
{
    (void)state;
    struct value v;
    char long_id[1026];
    memset(long_id, 'k', sizeof(long_id));
    long_id[1025] = '\0';
    Encrypted__EncryptedObject object = good_object();
    object.key_id = long_id;
    assert_int_equal(read_value(stored(&v, &object), NULL, 0).provider, KT_STORAGE_UNKNOWN);
    long_id[1024] = '\0';
    assert_int_equal(read_value(stored(&v, &object), NULL, 0).key_id.len, 1024);
    object.key_id = (char[]){""};
    assert_int_equal(read_value(stored(&v, &object), NULL, 0).provider, KT_STORAGE_UNKNOWN);
    object = good_object();
    object.encrypted_dek_source.len = 1025;
    assert_int_equal(read_value(stored(&v, &object), NULL, 0).provider, KT_STORAGE_UNKNOWN);
    object.encrypted_dek_source.len = 0;
    assert_int_equal(read_value(stored(&v, &object), NULL, 0).provider, KT_STORAGE_UNKNOWN);
    object = good_object();
    object.encrypted_data.len = 0;
    assert_int_equal(read_value(stored(&v, &object), NULL, 0).provider, KT_STORAGE_UNKNOWN);
}

/* Cut anywhere, it is no value of a key: never one of another key. */
static void test_kms_v2_cut(void **state)
{
    (void)state;
    struct value v;
    Encrypted__EncryptedObject object = good_object();
    struct kt_slice whole = stored(&v, &object);
    for (size_t len = 0; len < whole.len; len++) {
        /* Without its last field, the type, it is whole: the type is then 0. */
        enum kt_storage_provider expected = len == whole.len - 2 ? KT_STORAGE_KMS_V2 : KT_STORAGE_UNKNOWN;
        assert_int_equal(read_value(KT_SLICE(v.bytes, len), NULL, 0).provider, expected);
    }
}

static void test_kms_v2_wrong_type(void **state)
{
    (void)state;
    struct value v;
    Encrypted__EncryptedObject object = good_object();
    stored(&v, &object);
    v.bytes[v.len++] = 2 << 3; /* field 2 again, as a number */
    v.bytes[v.len++] = 1;
    assert_int_equal(read_value(KT_SLICE(v.bytes, v.len), NULL, 0).provider, KT_STORAGE_UNKNOWN);
}

static void test_provider_names(void **state)
{
    (void)state;
    assert_string_equal(kt_storage_provider_name(KT_STORAGE_PLAIN), "plain");
    assert_string_equal(kt_storage_provider_name(KT_STORAGE_KMS_V2), "kms-v2");
    assert_string_equal(kt_storage_provider_name(99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_plain_protobuf),
        cmocka_unit_test(test_known_names),
        cmocka_unit_test(test_fits_hostile),
        cmocka_unit_test(test_kms_v2),
        cmocka_unit_test(test_kms_v2_key_id_with_nul),
        cmocka_unit_test(test_kms_v2_limits),
        cmocka_unit_test(test_kms_v2_cut),
        cmocka_unit_test(test_kms_v2_wrong_type),
        cmocka_unit_test(test_provider_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
