/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/recipient.h"
#include "keystore/recovery_key.h"

static struct kt_p256 *load(const struct kt_recipient_source *source, struct kt_error *err)
{
    if (!source->recovery_key) {
        kt_fail(err, KT_E_RECOVERY_KEY, "expected the recovery key, found none");
        kt_error_hint(err, "give it with --key-file FILE, or --key-file - to read it from standard input");
        return NULL;
    }
    return kt_recovery_key_recipient(source->recovery_key, err);
}

/* make: the recovery key is no node's own; keyturn init makes it. */
const struct kt_recipient_ops kt_recipient_recovery = {.kind = KT_RECIPIENT_RECOVERY, .load = load, .make = NULL};
