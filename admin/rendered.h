/* SPDX-License-Identifier: Apache-2.0 */
/* The EncryptionConfiguration that this node's keyring makes, for whoever shows it or brings it into place. */
#pragma once

#include "base/secret.h"
#include "keystore/config.h"
#include "keystore/opener.h"

enum kt_rendered_as {
    KT_RENDERED_WHOLE,
    KT_RENDERED_MASKED,
    KT_RENDERED_PLAIN_FIRST, /* whole, with identity in the first place: each API server decrypts, and none encrypts yet
                              */
};

struct kt_rendered {
    struct kt_secret *text; /* the file's bytes */
    bool has_keys;          /* inline keys are in it, or, masked, would be */
    uint64_t membership;    /* of the keyring that it was made from */
    uint64_t generation;
    char notes[KT_NOTES_MAX][KT_NOTE_LEN]; /* what wants a human: a superseded keyring that does not open */
    size_t n_notes;
};
/* Keys from superseded keyrings included. Where there is an inline key, or a superseded keyring, it is opened with this
 * node's private half (root, or whom the state directory belongs to), also where it is masked: what does not open would
 * not be complete. KT_E_KEYRING_OLDER where a newer one was installed. */
bool kt_rendered_get(const struct kt_config *config, enum kt_rendered_as as, struct kt_rendered *ret,
                     struct kt_error *err) KT_MUST_CHECK;
/* What it is made from: the keyring that is installed with the bytes of its inline keys. The same holds; free with
 * kt_opener_answer_done. */
bool kt_rendered_keys(const struct kt_config *config, struct kt_opener_answer *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_rendered_done(struct kt_rendered *rendered);
