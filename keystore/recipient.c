/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/recipient.h"

static const struct kt_recipient_ops *const KINDS[] = {&kt_recipient_file, &kt_recipient_recovery, &kt_recipient_tpm2};

const struct kt_recipient_ops *kt_recipient_find(enum kt_recipient_kind kind)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(KINDS); i++)
        if (KINDS[i]->kind == kind)
            return KINDS[i];
    return NULL;
}
