/* SPDX-License-Identifier: Apache-2.0 */
/* The types of keys as an option of init and of key import. */
#pragma once

#include "keystore/key.h"

/* Whether a new list may have keys of that type: aesgcm only where it was allowed (KT_E_REFUSED, with the reason). */
bool kt_key_type_allowed(enum kt_key_type type, bool allow_aesgcm, struct kt_error *err) KT_MUST_CHECK;
