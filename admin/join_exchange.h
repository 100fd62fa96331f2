/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node that rejoins: its new private half takes the place of the one in use by one exchange of the two folders
 * `opener/`, then the keyring that it opens is offered. From the exchange on, STATE.join holds the old one until that
 * keyring, or a newer one which the new private half opens too, is in force. Whether they have changed places is told
 * by a file in the folder that is new, so also while no TPM answers.
 */
#pragma once

#include "admin/join.h"

/* They have changed places, and the keyring that goes with it (keyring.yaml in STATE.join) may not be in force. */
bool kt_join_is_exchanged(const struct kt_join *join) KT_MUST_CHECK;
/* A rejoin with that very keyring was cut short there: only kt_join_finish is left. */
bool kt_join_is_half_done(const struct kt_join *join, struct kt_slice document) KT_MUST_CHECK;
/* Exchange, if it is not done, and offer. True also where a newer keyring is in force that the new private half opens.
 * KT_E_KEYRING_STALE: a newer one that it does not open; then the old one is in use again, and the new one back in
 * STATE.join. */
bool kt_join_exchange(struct kt_join *join, struct kt_slice document, struct kt_outcome *ret,
                      struct kt_error *err) KT_MUST_CHECK;
/* Brings a rejoin to its end that was cut short after the exchange, and removes STATE.join. *ret_done false: there is
 * none, or it was KT_E_KEYRING_STALE. */
bool kt_join_finish_earlier(struct kt_join *join, bool *ret_done, struct kt_outcome *ret,
                            struct kt_error *err) KT_MUST_CHECK;
/* The last step of all. */
void kt_join_remove_mark(const struct kt_join *join);
