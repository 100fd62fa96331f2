/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the config file says about what is stored: which kinds its rules cover, which of the lists are ours, and which
 * names of keys and plugins are in use. And what something is stored under, in the terms of the state machine.
 */
#pragma once

#include "census/names.h"
#include "census/tally.h"
#include "encconfig/config.h"
#include "keystore/keyring.h"
#include "rotation/facts.h"

struct kt_stored_rule {
    char *text;    /* an element of `resources` */
    bool managed;  /* its list of providers is one of ours */
    bool encrypts; /* that list has another provider than identity */
};

/* Copied from the file. */
struct kt_stored_rules {
    bool known; /* there is a file, and it is valid */
    size_t n;
    struct kt_stored_rule *items;
    struct kt_names names; /* of its keys and plugins */
};
bool kt_stored_rules_read(const struct kt_encconfig *config, const bool *managed, struct kt_stored_rules *ret,
                          struct kt_error *err) KT_MUST_CHECK;
void kt_stored_rules_done(struct kt_stored_rules *rules);
/* The rule that covers it; NULL: none does, so kube-apiserver stores it in clear. */
const struct kt_stored_rule *kt_stored_rule_of(const struct kt_stored_rules *rules, const struct kt_tally_row *row);

/* One key is one name of these providers; 0 for others. */
enum kt_key_type kt_stored_key_type(enum kt_storage_provider provider);

/* By whom and under what. */
struct kt_stored_as {
    enum kt_storage_provider provider;
    struct kt_slice name;
    struct kt_slice key_id;
};
/* KT_REF_: a listed key as KT_REF_KEY(its index); KT_REF_STRANGER: a key of ours by its provider that the keyring does
 * not know; KT_REF_FOREIGN: another KMS plugin. The active key under the name of another plugin is FOREIGN: what is
 * stored so is not as it should be. provider: what our plugin is called. */
int kt_stored_ref(const struct kt_keyring_info *info, const char *provider, const struct kt_stored_as *as);
/* The superseded one (struct kt_key_info) that it is; NULL: none. */
const struct kt_key_info *kt_stored_superseded(const struct kt_keyring_info *info, const struct kt_stored_as *as);
/* Of KT_REF_ARCHIVED: which; NULL: another ref. */
const struct kt_archived_info *kt_stored_archived(const struct kt_keyring_info *info, const struct kt_stored_as *as);
