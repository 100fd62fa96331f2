/* SPDX-License-Identifier: Apache-2.0 */
/* Making a keyring the one in force on this node: by its daemon, or on disk where none runs. */
#pragma once

#include "admin/command.h"

/* What an offer came to, by whichever way it went. */
struct kt_outcome {
    bool changed;
    bool served; /* a daemon serves it now */
    uint64_t membership;
    uint64_t generation;
    char key_id[KT_KEY_ID_LEN + 1];
};

/* To the daemon; where none listens, into the state directory under its lock (root, or who owns it). With --dry-run
 * only what would come of it. */
bool kt_offer_run(const struct kt_options *options, const struct kt_config *config, struct kt_slice document,
                  struct kt_outcome *ret, struct kt_error *err) KT_MUST_CHECK;
