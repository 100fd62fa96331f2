/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of a store: what is read of it is what generated code makes of it, and lies within it. */
#include "cluster/etcd_answer.h"
#include "fuzz.h"
#include "proto/etcd.pb-c.h"

#include <stdlib.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool same(struct kt_slice ours, ProtobufCBinaryData theirs)
{
    return kt_slice_equal(ours, KT_SLICE(theirs.data, theirs.len));
}

/* A header, or a key, that comes twice in one message is merged there and replaced here: nobody sends one. */
static void compare(struct kt_etcd_answer *answer, const Etcdserverpb__RangeResponse *response)
{
    struct kt_etcd_kv kv;
    must(answer->n_kvs == response->n_kvs);
    must(answer->more == (response->more != 0));
    must(answer->count == response->count);
    for (size_t i = 0; i < response->n_kvs; i++) {
        must(kt_etcd_answer_next(answer, &kv));
        must(same(kv.key, response->kvs[i]->key) && same(kv.value, response->kvs[i]->value));
        must(kv.mod_revision == response->kvs[i]->mod_revision && kv.version == response->kvs[i]->version);
    }
    must(!kt_etcd_answer_next(answer, &kv));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_etcd_answer answer;
    if (!kt_etcd_answer_read(KT_SLICE(data, size), &answer))
        return 0;
    Etcdserverpb__RangeResponse *response = etcdserverpb__range_response__unpack(NULL, size, data);
    if (response) {
        compare(&answer, response);
        etcdserverpb__range_response__free_unpacked(response, NULL);
    }
    return 0;
}
