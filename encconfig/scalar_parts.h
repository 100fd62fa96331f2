/* SPDX-License-Identifier: Apache-2.0 */
/* The grammars of Go's libraries that scalar.c asks: private to scalar*.c. Texts hold no NUL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* strconv.ParseInt in base 0 (0x, 0o, 0b, leading 0), and go-yaml's own binary form. */
bool kt_scalar_int(const char *plain, int64_t *ret);
/* strconv.ParseUint in base 0, of what is beyond an int64. */
bool kt_scalar_is_uint(const char *plain);
/* go-yaml's own form of floats that start with a digit or a sign. */
bool kt_scalar_is_yaml_float(const char *plain);
/* strconv.ParseFloat, for a text that starts with a point. */
bool kt_scalar_is_point_float(const char *text, size_t len);
/* go-yaml's four forms of a timestamp. */
bool kt_scalar_is_timestamp(const char *text, size_t len);
