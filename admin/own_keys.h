/* SPDX-License-Identifier: Apache-2.0 */
/* k3s and RKE2 that encrypt by themselves: the keys in their own file, which objects may be stored under. */
#pragma once

#include "admin/wanted.h"
#include "cluster/distro.h"

/* Every key of that file must be in the keyring, by name and bytes, whatever was rotated there meanwhile: KT_E_REFUSED
 * names the first that is not. *ret_first, which may be NULL: whether the first key of it is the first of the keyring.
 * Nothing is looked at where the distribution has no such file, or does not use it. */
bool kt_own_keys_check(const struct kt_host *host, const struct kt_wanted *wanted, bool *ret_first,
                       struct kt_error *err) KT_MUST_CHECK;
