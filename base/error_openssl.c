/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

/* Only OpenSSL's fixed texts: the data that it attaches to an error may quote what it was given. */
static const char *reason_of(unsigned long code, char *buffer, size_t cap)
{
    if (ERR_SYSTEM_ERROR(code))
        return strerror_r(ERR_GET_REASON(code), buffer, cap);
    const char *reason = ERR_reason_error_string(code);
    if (reason)
        return reason;
    snprintf(buffer, cap, "error %#lx", code);
    return buffer;
}

bool kt_error_openssl(struct kt_error *err, enum kt_code code, const char *where, const char *what)
{
    char reasons[256] = "";
    size_t len = 0;
    unsigned long last = 0;
    for (unsigned long e = ERR_get_error(); e != 0; e = ERR_get_error()) {
        if (e == last || len >= sizeof(reasons) - 1)
            continue;
        char buffer[64] = "";
        int n = snprintf(reasons + len, sizeof(reasons) - len, "%s%s", len > 0 ? "; " : "",
                         reason_of(e, buffer, sizeof(buffer)));
        len += n > 0 ? (size_t)n : 0;
        last = e;
    }
    return kt_error_set(err, code, 0, where, "%s: %s", what, len > 0 ? reasons : "OpenSSL gives no reason");
}
