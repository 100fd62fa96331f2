/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_refusal.h"

#include <string.h>

#define ANY (-1)

/* The first line that fits counts. words NULL: the text itself. */
static const struct {
    int status;
    const char *part; /* of the text; NULL: any */
    enum kt_etcd_next next;
    enum kt_code code;
    const char *words;
    const char *hint;
} REFUSALS[] = {
    {ANY, "required revision has been compacted", KT_ETCD_IS_COMPACTED, KT_OK, NULL, NULL},
    {GRPC_STATUS_RESOURCE_EXHAUSTED, "larger than max", KT_ETCD_IS_TOO_LARGE, KT_OK, NULL, NULL},
    {GRPC_STATUS_PERMISSION_DENIED, NULL, KT_ETCD_GIVE_UP, KT_E_DENIED,
     "etcd does not let this certificate read that key",
     "etcd has users and roles; the common name of the client certificate must be a user that may read"},
    {GRPC_STATUS_UNAUTHENTICATED, NULL, KT_ETCD_GIVE_UP, KT_E_DENIED, "etcd wants a user and knows none of ours",
     "etcd has users and roles; give the certificate of a user that may read (--etcd-cert, --etcd-key)"},
    {ANY, "user name is empty", KT_ETCD_GIVE_UP, KT_E_DENIED, "etcd wants a user and was given none",
     "etcd has users and roles; give the certificate of a user that may read (--etcd-cert, --etcd-key)"},
    {GRPC_STATUS_DEADLINE_EXCEEDED, NULL, KT_ETCD_TRY_NEXT, KT_E_TIMEOUT, NULL, NULL},
    {GRPC_STATUS_UNAVAILABLE, "DNS resolution failed", KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE, "its name has no address",
     NULL},
    {ANY, "etcdserver:", KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE, NULL, "etcdctl endpoint health shows the state of etcd"},
    {GRPC_STATUS_UNAVAILABLE, NULL, KT_ETCD_ASK_WHY, KT_E_UNREACHABLE, NULL, NULL},
    {GRPC_STATUS_UNIMPLEMENTED, NULL, KT_ETCD_TRY_NEXT, KT_E_UNREACHABLE, "what answers there is no etcd of version 3",
     NULL},
    {ANY, NULL, KT_ETCD_ASK_WHY, KT_E_IO, NULL, NULL},
};

enum kt_etcd_next kt_etcd_refusal(grpc_status_code status, const char *details, unsigned timeout_ms,
                                  struct kt_error *ret_cause)
{
    size_t i = 0;
    while ((REFUSALS[i].status != ANY && REFUSALS[i].status != (int)status) ||
           (REFUSALS[i].part && !strstr(details, REFUSALS[i].part)))
        i++;
    if (REFUSALS[i].code == KT_E_TIMEOUT)
        (void)kt_fail(ret_cause, KT_E_TIMEOUT, "no answer within %u.%01u s", timeout_ms / 1000,
                      timeout_ms % 1000 / 100);
    else if (REFUSALS[i].words)
        (void)kt_fail(ret_cause, REFUSALS[i].code, "%s", REFUSALS[i].words);
    else if (REFUSALS[i].code != KT_OK)
        (void)kt_fail(ret_cause, REFUSALS[i].code, "%.200s (gRPC status %d)", details, (int)status);
    if (REFUSALS[i].hint)
        (void)kt_error_hint(ret_cause, "%s", REFUSALS[i].hint);
    return REFUSALS[i].next;
}
