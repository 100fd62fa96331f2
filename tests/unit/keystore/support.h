/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: cmocka, bytes written as hex, assertions with our errors in them. */
#pragma once

#include "base/buf.h"
#include "base/secret.h"

/* cmocka.h needs these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#define HEX_MAX 512u /* bytes */

struct hex {
    uint8_t data[HEX_MAX];
    size_t len;
};

static inline struct hex hex(const char *text)
{
    struct hex ret = {.len = strlen(text) / 2};
    assert_in_range(ret.len, 0, HEX_MAX);
    assert_true(kt_hex_decode(kt_slice_str(text), ret.data, ret.len));
    return ret;
}

#define HEX_SLICE(h) KT_SLICE((h).data, (h).len)

static inline struct kt_secret *secret_copy(const void *bytes, size_t len)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_secret *secret = kt_secret_new_copy(bytes, len, &err);
    if (!secret)
        fail_msg("%s", err.message);
    return secret;
}

static inline struct kt_secret *secret_hex(const char *text)
{
    const struct hex bytes = hex(text);
    return secret_copy(bytes.data, bytes.len);
}

static inline void assert_secret_hex(const struct kt_secret *secret, const char *text)
{
    const struct hex expected = hex(text);
    assert_non_null(secret);
    assert_int_equal(kt_secret_len(secret), expected.len);
    assert_memory_equal(kt_secret_view(secret), expected.data, expected.len);
}

/* Both want a `struct kt_error err` in scope. */
#define assert_ok(call)                                                         \
    do {                                                                        \
        if (!(call))                                                            \
            fail_msg("%s: %s: %s", #call, kt_code_name(err.code), err.message); \
    } while (0)
#define assert_refused(call, expected)                                       \
    do {                                                                     \
        kt_error_clear(&err);                                                \
        if (call)                                                            \
            fail_msg("%s was not refused", #call);                           \
        assert_string_equal(kt_code_name(err.code), kt_code_name(expected)); \
        assert_string_not_equal(err.message, "");                            \
    } while (0)
