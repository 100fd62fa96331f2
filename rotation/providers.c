/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation/rotation.h"

size_t kt_rotation_providers(const struct kt_keyring_info *keyring, int ret[KT_KEYS_MAX + 2])
{
    size_t n = 0;
    bool has_kms = false;
    if (!keyring->enabled)
        ret[n++] = KT_REF_IDENTITY;
    for (size_t i = 0; i < keyring->n_keys && i < KT_KEYS_MAX && !keyring->keys[i].superseded; i++) {
        if (keyring->keys[i].type != KT_KEY_KMS)
            ret[n++] = KT_REF_KEY(i);
        else if (!has_kms)
            ret[n++] = KT_REF_KMS;
        has_kms = has_kms || keyring->keys[i].type == KT_KEY_KMS;
    }
    if (keyring->enabled && !keyring->strict)
        ret[n++] = KT_REF_IDENTITY;
    return n;
}
