/* SPDX-License-Identifier: Apache-2.0 */
/* What kube-apiserver may send: the first byte chooses the method, the rest is the message. Whatever is taken is a
 * request that the keeper takes too; whatever is refused has a status and words. */
#include "fuzz.h"
#include "kmsplugin/front_methods.h"

#include <stdlib.h>

#define LIMIT 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kt_scratch scratch;
    if (!scratch.bytes && !kt_scratch_init(&scratch, kt_front_scratch_size(LIMIT), NULL))
        abort();
    if (size == 0 || size > LIMIT)
        return 0;
    enum kt_method method = data[0] % KT_METHOD_OTHER;
    struct kt_keeper_request request = {.tag = 1};
    struct kt_front_reply refusal = {.status = GRPC_STATUS_OK};
    if (kt_front_decode(method, KT_SLICE(data + 1, size - 1), &scratch, &request, &refusal)) {
        if (!kt_keeper_request_valid(&request, kt_keeper_request_size(request.len)))
            abort();
    } else if (refusal.status == GRPC_STATUS_OK || refusal.text[0] == '\0') {
        abort();
    }
    for (size_t i = 0; i < scratch.cap; i += 4096)
        if (scratch.used != 0 || scratch.bytes[i] != 0)
            abort(); /* the scratch is wiped after each message */
    return 0;
}
