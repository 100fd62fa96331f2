/* SPDX-License-Identifier: Apache-2.0 */
/* net/url.Parse of Go 1.26: what it takes, what it finds, and how it complains. */
#pragma once

#include "base/buf.h"
#include "encconfig/pool.h"

struct kt_gourl {
    const char *scheme; /* lower case; empty: none. Lives in the pool */
    const char *path;   /* unescaped, any bytes; empty for a rootless one */
    size_t path_len;
};

/* False: *ret_error has grown by Go's text (`parse "...": ...`); or memory ran out, and it has not. */
bool kt_gourl_parse(const char *text, size_t len, struct kt_pool *pool, struct kt_gourl *ret,
                    struct kt_text *ret_error) KT_MUST_CHECK;
