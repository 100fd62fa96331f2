/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/key_type.h"

bool kt_key_type_allowed(enum kt_key_type type, bool allow_aesgcm, struct kt_error *err)
{
    if (type != KT_KEY_AESGCM || allow_aesgcm)
        return true;
    kt_fail(err, KT_E_REFUSED,
            "aesgcm is not for long use: kube-apiserver takes random nonces, which are short, so such a key has to be "
            "rotated at least every 200,000 writes, and nothing counts them");
    return kt_error_hint(err, "--allow-aesgcm takes it all the same; kms, aescbc and secretbox have no such limit");
}
