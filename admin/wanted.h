/* SPDX-License-Identifier: Apache-2.0 */
/* The list of providers that this node's keyring makes of an EncryptionConfiguration that is there (encconfig/edit.h).
 */
#pragma once

#include "encconfig/edit.h"
#include "encconfig/endpoint.h"
#include "keystore/config.h"
#include "keystore/opener.h"

struct kt_wanted {
    const struct kt_config *config;
    struct kt_opener_answer answer; /* the keyring */
    char endpoint[KT_ENCCONFIG_ENDPOINT_MAX];
    struct kt_encconfig_item items[KT_ENCCONFIG_ITEMS_MAX]; /* keys that only a superseded keyring has are among them */
    size_t n_items;
    struct kt_encconfig_item drops[KT_EDITS_MAX]; /* keys that leave it */
    size_t n_drops;
    bool behind_foreign; /* for now another plugin stays first: see struct kt_encconfig_list */
};

/* The provider in which keys of that type are listed. */
enum kt_encconfig_type kt_wanted_type(enum kt_key_type type);

/* Large: heap only. As kt_rendered_get() opens and fails. config must outlive it. */
struct kt_wanted *kt_wanted_new(const struct kt_config *config, struct kt_error *err) KT_MUST_CHECK;
void kt_wanted_free(struct kt_wanted *wanted);
KT_DEFINE_CLEANUP(struct kt_wanted *, kt_wanted_free);

/* What these edits archive is not wanted any more, and leaves the file. *ret: an inline key is among it. */
void kt_wanted_leave(struct kt_wanted *wanted, const struct kt_edit *edits, size_t n, bool *ret);

/* The file with each list that is managed (admin/managed.h) as it is wanted. Archived keys that it still lists leave
 * where the audit log knows the file (admin/config_left.h). *ret_n: how many lists those are; none is KT_E_REFUSED. */
struct kt_secret *kt_wanted_edit(const struct kt_wanted *wanted, const struct kt_encconfig *file, size_t *ret_n,
                                 struct kt_error *err) KT_MUST_CHECK;
