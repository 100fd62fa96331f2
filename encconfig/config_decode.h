/* SPDX-License-Identifier: Apache-2.0 */
/* From values (encconfig/value.h) to fields: private to config*.c. */
#pragma once

#include "encconfig/config.h"
#include "encconfig/value.h"

/* Fills the config from the document's value, a map of the right kind. False: findings tell why; or, if there are none,
 * memory ran out. */
bool kt_encconfig_decode(struct kt_encconfig *config, const struct kt_value *root, struct kt_findings *findings);
