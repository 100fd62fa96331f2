/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler attributes under one-word names. */
#pragma once

#define KT_MUST_CHECK      __attribute__((warn_unused_result))
#define KT_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define KT_NORETURN        __attribute__((noreturn))
#define KT_COLD            __attribute__((cold))
#define KT_UNUSED          __attribute__((unused))

#define KT_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
