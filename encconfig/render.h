/* SPDX-License-Identifier: Apache-2.0 */
/* EncryptionConfiguration (apiserver.config.k8s.io/v1) for a cluster that has none yet. */
#pragma once

#include "base/buf.h"

struct kt_encconfig_fresh {
    const char *provider;   /* KMS provider name, without ':' */
    const char *kms_socket; /* absolute path, or "@name" */
};
/* Both are quoted where a plain scalar would not read back as that very text; it has to be UTF-8.
 * Secrets under the KMS provider, identity last so that what is stored in clear can still be read. */
bool kt_encconfig_render_fresh(const struct kt_encconfig_fresh *fresh, struct kt_bytes *ret,
                               struct kt_error *err) KT_MUST_CHECK;
