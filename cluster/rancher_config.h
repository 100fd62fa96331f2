/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What k3s and RKE2 are told at their start, put together as they do it (pkg/configfilearg of k3s, which both use):
 * config.yaml, then config.yaml.d/ in the order of names (those that end in .yaml or .yml), where a key replaces what
 * came before and "key+" adds to a list; then the words of the unit's ExecStart, which replace texts and add to lists.
 * The unit's environment counts where nothing else says anything. Files that are absent say nothing.
 *
 * The files hold tokens and passwords of databases: what is read is wiped, and no message shows a value.
 */
#pragma once

#include "base/error.h"

#define KT_RANCHER_ITEMS_MAX 512u
#define KT_RANCHER_TEXT_MAX  16384u
#define KT_RANCHER_FILES_MAX 256u

enum kt_rancher_key {
#define KT_RANCHER_KEY(name, kind, key, variable) KT_RANCHER_##name,
#include "cluster/rancher_keys.def"
#undef KT_RANCHER_KEY
    KT_RANCHER_KEY_COUNT,
};

struct kt_rancher_list {
    char **items; /* ends with NULL */
    size_t n;
};
struct kt_rancher_config {
    struct kt_rancher_list values[KT_RANCHER_KEY_COUNT]; /* a text has at most one */
};
void kt_rancher_config_done(struct kt_rancher_config *config);

/* Where to look; names of files. */
struct kt_rancher_places {
    const char *program;              /* "k3s" or "rke2": its variables begin with it in capitals */
    const char *config;               /* config.yaml, if neither the unit nor its environment names another */
    const char *root;                 /* before names that the unit gives; "": none */
    const char *unit;                 /* NULL: none was found */
    const char *const *unit_drop_ins; /* in the order in which systemd reads them; ends with NULL; NULL: none */
    const char *const *environments;  /* files of the unit's environment; ends with NULL */
};
/* KT_E_CONFIG, KT_E_IO, KT_E_PERMISSION. */
bool kt_rancher_config_read(const struct kt_rancher_places *places, struct kt_rancher_config *ret,
                            struct kt_error *err) KT_MUST_CHECK;

/* The text of a key; NULL: nothing says anything. */
const char *kt_rancher_text(const struct kt_rancher_config *config, enum kt_rancher_key key);

/* kube-apiserver's words out of the distribution's own ones ("name=value") and kube-apiserver-arg: one that is named
 * there replaces the own one; "name+" and "name-" add to it, behind or before. The caller frees the list with
 * kt_rancher_list_done. */
bool kt_rancher_apiserver_words(const char *const *own, const struct kt_rancher_config *config,
                                struct kt_rancher_list *ret, struct kt_error *err) KT_MUST_CHECK;
void kt_rancher_list_done(struct kt_rancher_list *list);
