/* SPDX-License-Identifier: Apache-2.0 */
/* What a gRPC status of etcd or kine means to us: in words, with a code, and whether another endpoint may do better. */
#pragma once

#include "base/error.h"

#include <grpc/grpc.h>

enum kt_etcd_next {
    KT_ETCD_TRY_NEXT, /* it is this endpoint's own trouble */
    KT_ETCD_ASK_WHY,  /* the same, and the text does not say what it is: kt_etcd_diagnose may find out */
    KT_ETCD_GIVE_UP,  /* every endpoint would say the same */
    KT_ETCD_IS_COMPACTED,
    KT_ETCD_IS_TOO_LARGE,
};

/* status: not GRPC_STATUS_OK. details: the peer's text, or gRPC's; shown where it is etcd's own. *ret_cause is filled
 * for the first three. */
enum kt_etcd_next kt_etcd_refusal(grpc_status_code status, const char *details, unsigned timeout_ms,
                                  struct kt_error *ret_cause);
