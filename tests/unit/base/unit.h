/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka.h wants four headers before it, in an order that sorting does not keep. */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
