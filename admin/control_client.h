/* SPDX-License-Identifier: Apache-2.0 */
/* Asking keyturnd over its control socket (proto/control.h). */
#pragma once

#include "base/buf.h"
#include "keystore/config.h"
#include "proto/control.h"
#include "proto/control.pb-c.h"

/* One request, one answer, within timeout_s. An error that the daemon answered becomes *err with its own code, message
 * and hint; one that does not answer is KT_E_UNREACHABLE. Free with kt_control_reply_free. */
Keyturn__Control__V1__Reply *kt_control_ask(const struct kt_config *config, enum kt_control_op op,
                                            struct kt_slice document, unsigned timeout_s,
                                            struct kt_error *err) KT_MUST_CHECK;
void kt_control_reply_free(Keyturn__Control__V1__Reply *reply);
KT_DEFINE_CLEANUP(Keyturn__Control__V1__Reply *, kt_control_reply_free);
