/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/endpoint.h"

#include <stdio.h>

bool kt_encconfig_endpoint(const char *socket, char ret[KT_ENCCONFIG_ENDPOINT_MAX], struct kt_error *err)
{
    int len = snprintf(ret, KT_ENCCONFIG_ENDPOINT_MAX, "unix://%s%s", socket[0] == '@' ? "/" : "", socket);
    return (len >= 0 && (size_t)len < KT_ENCCONFIG_ENDPOINT_MAX) ||
           kt_fail(err, KT_E_USAGE, "the socket's path is too long");
}
