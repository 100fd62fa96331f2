/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values as somebody may have put them into the store: each is a byte with the length of the key, the key
 * behind
 * "/registry/", a byte with the length of the value, the value. What is found of a key lies in it, and an object that
 * has a place in the API is where kube-apiserver looks for it. Nothing is counted twice, or not at all. */
#include "census/tally.h"
#include "cluster/storage_key.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "/registry/"

static const struct kt_storage_name NAMES[] = {
    {KT_STORAGE_AESCBC, "a"}, {KT_STORAGE_AESCBC, "a:b"}, {KT_STORAGE_KMS_V2, "keyturn"}};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_lie_within(struct kt_slice part, struct kt_slice whole)
{
    must(part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len));
}

static bool copy(struct kt_slice part, char ret[KT_STORAGE_SEGMENT_MAX])
{
    if (part.len >= KT_STORAGE_SEGMENT_MAX || (part.len > 0 && memchr(part.data, 0, part.len)))
        return false;
    if (part.len > 0)
        memcpy(ret, part.data, part.len);
    ret[part.len] = '\0';
    return true;
}

/* Built in kinds and those with a group; upper case is no kind of any API. */
static void must_be_there(const struct kt_storage_place *place, struct kt_slice key)
{
    struct kt_storage_resource resource;
    char namespace[KT_STORAGE_SEGMENT_MAX], name[KT_STORAGE_SEGMENT_MAX], made[KT_STORAGE_KEY_MAX];
    struct kt_error ignored = KT_ERROR_INIT;
    if (!place->known || place->internal || place->odd || !copy(place->group, resource.group) ||
        !copy(place->resource, resource.resource) || !copy(place->namespace, namespace) || !copy(place->name, name))
        return;
    for (const char *at = resource.resource; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            return;
    if (kt_storage_key(NULL, &resource, place->namespace.len > 0 ? namespace : NULL, name, made, &ignored))
        must(kt_slice_equal(kt_slice_str(made), key));
}

static bool visit(void *context, const struct kt_tally_object *object, struct kt_error *err)
{
    size_t *visited = context;
    (void)err;
    must_lie_within(object->place->namespace, object->key);
    must_lie_within(object->place->name, object->key);
    must(object->place->resource.len > 0 && object->row->count > 0);
    must(object->place->odd == (object->place->name.len == 0));
    must_be_there(object->place, object->key);
    (*visited)++;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t visited = 0, added = 0, n = 0;
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_tally_options options = {
        .names = NAMES, .n_names = KT_ARRAY_LEN(NAMES), .visit = visit, .context = &visited};
    KT_CLEANUP(kt_tally_free_p) struct kt_tally *tally = kt_tally_new(&options, &err);
    must(tally != NULL);
    while (size > 0) {
        char key[sizeof(PREFIX) + 255] = PREFIX;
        size_t key_len = data[0] < size - 1 ? data[0] : size - 1;
        memcpy(key + strlen(PREFIX), data + 1, key_len);
        data += 1 + key_len;
        size -= 1 + key_len;
        size_t value_len = size == 0 ? 0 : data[0] < size - 1 ? data[0] : size - 1;
        struct kt_slice value = KT_SLICE(size > 0 ? data + 1 : data, value_len);
        added += kt_tally_add(tally, KT_SLICE(key, strlen(PREFIX) + key_len), value, &err);
        data += size > 0 ? 1 + value_len : 0;
        size -= size > 0 ? 1 + value_len : 0;
    }
    must(added == visited && added == kt_tally_objects(tally));
    uint64_t counted = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(tally, &n);
    for (size_t i = 0; i < n; i++)
        counted += rows[i]->count;
    must(counted == added);
    return 0;
}
