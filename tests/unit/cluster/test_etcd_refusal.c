/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_refusal.h"
#include "tests/unit/base/unit.h"

#include <string.h>

static const struct {
    grpc_status_code status;
    const char *details;
    enum kt_etcd_next next;
    enum kt_code code;
    const char *part;
} REFUSALS[] = {
    {GRPC_STATUS_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", KT_ETCD_IS_COMPACTED, KT_OK,
     ""},
    {GRPC_STATUS_UNKNOWN, "etcdserver: mvcc: required revision has been compacted", KT_ETCD_IS_COMPACTED, KT_OK, ""},
    {GRPC_STATUS_OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision", KT_ETCD_TRY_NEXT,
     KT_E_UNREACHABLE, "future revision"},
    {GRPC_STATUS_RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 8)", KT_ETCD_IS_TOO_LARGE, KT_OK, ""},
    {GRPC_STATUS_RESOURCE_EXHAUSTED, "etcdserver: too many requests", KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE,
     "too many requests"},
    {GRPC_STATUS_PERMISSION_DENIED, "etcdserver: permission denied", KT_ETCD_GIVE_UP, KT_E_DENIED, "does not let"},
    {GRPC_STATUS_UNAUTHENTICATED, "etcdserver: invalid auth token", KT_ETCD_GIVE_UP, KT_E_DENIED, "wants a user"},
    {GRPC_STATUS_INVALID_ARGUMENT, "etcdserver: user name is empty", KT_ETCD_GIVE_UP, KT_E_DENIED, "wants a user"},
    {GRPC_STATUS_DEADLINE_EXCEEDED, "Deadline Exceeded", KT_ETCD_TRY_NEXT, KT_E_TIMEOUT, "no answer within 12.3 s"},
    {GRPC_STATUS_UNAVAILABLE, "etcdserver: no leader", KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE, "no leader"},
    {GRPC_STATUS_UNAVAILABLE, "Socket closed", KT_ETCD_ASK_WHY, KT_E_UNREACHABLE, "Socket closed"},
    {GRPC_STATUS_UNAVAILABLE, "DNS resolution failed for x", KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE, "no address"},
    {GRPC_STATUS_UNIMPLEMENTED, "unknown service etcdserverpb.KV", KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE,
     "no etcd of version 3"},
    {GRPC_STATUS_DATA_LOSS, "etcdserver: corrupt cluster", KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE, "corrupt cluster"},
    {GRPC_STATUS_INTERNAL, "odd", KT_ETCD_ASK_WHY, KT_E_IO, "odd"},
    {(grpc_status_code)99, "", KT_ETCD_ASK_WHY, KT_E_IO, "99"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSALS); i++) {
        struct kt_error cause = KT_ERROR_INIT;
        enum kt_etcd_next next = kt_etcd_refusal(REFUSALS[i].status, REFUSALS[i].details, 12345, &cause);
        if (next != REFUSALS[i].next || cause.code != REFUSALS[i].code || !strstr(cause.message, REFUSALS[i].part))
            fail_msg("refusal %zu: %d, %s: %s", i, next, kt_code_name(cause.code), cause.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
