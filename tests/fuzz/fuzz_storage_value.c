/* SPDX-License-Identifier: Apache-2.0 */
/* A value as somebody may have put it into the store: the first byte says which names are in use. Whatever is found
 * lies within the value; what generated code makes of the EncryptedObject is the same; and no key that a value is
 * counted under is ever said not to fit. */
#include "cluster/storage_value.h"
#include "fuzz.h"
#include "proto/encrypted_object.pb-c.h"

#include <stdlib.h>
#include <string.h>

static const struct kt_storage_name NAMES[] = {
    {KT_STORAGE_AESCBC, "aescbckey"},
    {KT_STORAGE_AESCBC, "aescbckey-2022-04-21T23:01:02-07:00"},
    {KT_STORAGE_AESGCM, "a"},
    {KT_STORAGE_AESGCM, "a:b"},
    {KT_STORAGE_SECRETBOX, "secretboxkey"},
    {KT_STORAGE_KMS_V1, "a:b"},
    {KT_STORAGE_KMS_V2, "keyturn"},
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_lie_within(struct kt_slice part, struct kt_slice value)
{
    must(part.len == 0 || (part.data >= value.data && part.data + part.len <= value.data + value.len));
}

/* A last field of the same number counts for both; where one field is cut short by a NUL, they differ rightly. */
static void compare(struct kt_slice value, const struct kt_storage_value *found)
{
    size_t head = (size_t)(found->name.data - value.data) + found->name.len + 1;
    Encrypted__EncryptedObject *object = encrypted__encrypted_object__unpack(NULL, value.len - head, value.data + head);
    if (object && !memchr(found->key_id.data, 0, found->key_id.len))
        must(kt_slice_equal(found->key_id, kt_slice_str(object->key_id)));
    if (object)
        encrypted__encrypted_object__free_unpacked(object, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_storage_value found;
    if (size == 0)
        return 0;
    struct kt_slice value = KT_SLICE(data + 1, size - 1);
    size_t n = data[0] % (KT_ARRAY_LEN(NAMES) + 1);
    kt_storage_value_read(value, NAMES, n, &found);
    must((found.provider == KT_STORAGE_UNKNOWN) == (found.problem != NULL));
    must_lie_within(found.name, value);
    must_lie_within(found.key_id, value);
    must((found.key_id.len > 0) == (found.provider == KT_STORAGE_KMS_V2));
    must(found.key_id.len <= KT_STORAGE_KEY_ID_MAX);
    if (found.provider == KT_STORAGE_KMS_V2)
        compare(value, &found);
    bool fits = false;
    for (size_t i = 0; i < n; i++)
        fits |= kt_slice_equal(found.name, kt_slice_str(NAMES[i].name)) && kt_storage_value_fits(value, &NAMES[i]);
    must(fits || !found.name_known);
    return 0;
}
