/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two texts, as diff -u tells it: three lines around each difference. For a terminal: control
 * characters are escaped, the carriage return at the end of a line too. */
#pragma once

#include "base/buf.h"

/* Texts whose differing parts have more lines than this, multiplied, are told as all of one, then all of the other. */
#define KT_TEXT_DIFF_CELLS_MAX 4000000u

/* Adds nothing where they are the same. False: out of memory; out may be bad (over its bound) too. */
bool kt_text_diff(struct kt_slice before, struct kt_slice after, struct kt_text *out) KT_MUST_CHECK;
