/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why an endpoint does not answer, in words. gRPC's own ("Socket closed", "Endpoint read failed") do not say that a
 * server wants a client certificate, trusts another CA, or speaks no TLS at all. So after a failure one connection is
 * made by hand, as far as an HTTP/2 server's first frame: addresses, TLS with the same files, and what comes back.
 */
#pragma once

#include "cluster/etcd_endpoint.h"
#include "cluster/etcd_tls.h"

/* *ret_cause: KT_E_UNREACHABLE, KT_E_TIMEOUT or KT_E_DENIED with a message (without the endpoint's name) and a hint;
 * KT_OK if nothing is wrong now. Takes timeout_ms at most, beside the time to look up a name. server_name: whose
 * certificate it must be. SIGPIPE must be ignored (base/harden.h sees to it). */
void kt_etcd_diagnose(const struct kt_etcd_endpoint *endpoint, const struct kt_etcd_tls *tls, const char *server_name,
                      unsigned timeout_ms, struct kt_error *ret_cause);
