/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text as Go prints and reads it, so that findings read as kube-apiserver prints them: strconv.Quote, encoding/json,
 * time.Duration, strings.ToLower.
 */
#pragma once

#include "base/buf.h"

/* "..." as %q has it: any bytes, what is unprintable escaped. */
void kt_go_quote(struct kt_text *out, const char *text, size_t len);
/* "..." as json.Marshal has it, which also escapes <, > and &. */
void kt_go_json(struct kt_text *out, const char *text, size_t len);
/* Whether strings.ToLower would change it. */
bool kt_go_has_capital(const char *text, size_t len);

/* time.ParseDuration, in nanoseconds. */
bool kt_go_duration_parse(const char *text, size_t len, int64_t *ret) KT_MUST_CHECK;
/* Duration.String: 1m30s, 1.5ms, -3s, 0s. */
void kt_go_duration_print(struct kt_text *out, int64_t nanoseconds);
