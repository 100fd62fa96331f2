/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint field of a KMS provider. */
#pragma once

#include "base/error.h"

#define KT_ENCCONFIG_ENDPOINT_MAX 512u

/* socket: absolute path, or "@name" of an abstract socket, which kube-apiserver writes as unix:///@name. KT_E_USAGE: it
 * is too long. */
bool kt_encconfig_endpoint(const char *socket, char ret[KT_ENCCONFIG_ENDPOINT_MAX], struct kt_error *err) KT_MUST_CHECK;
