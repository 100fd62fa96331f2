/* SPDX-License-Identifier: Apache-2.0 */
/* Running the opener from keyturn itself: to look at a keyring without a daemon, to found one, to prove a recovery key.
 */
#pragma once

#include "keystore/config.h"
#include "keystore/opener.h"

#define KT_KEYRING_PATH_MAX 4352u

/* Under accounts.opener, for opener.timeout at most; config_path: the file that the opener reads. */
bool kt_opener_local(const struct kt_config *config, const char *config_path, const struct kt_opener_request *request,
                     struct kt_opener_answer *ret, struct kt_error *err) KT_MUST_CHECK;

/* The keyring file of this node, whole. KT_E_KEYRING_MISSING with what to do if there is none. */
bool kt_keyring_file_read(const struct kt_config *config, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;

/* Verifies the keyring on disk and says what it holds; no private half is used. */
bool kt_keyring_describe(const struct kt_config *config, struct kt_opener_answer *ret,
                         struct kt_error *err) KT_MUST_CHECK;
