/* SPDX-License-Identifier: Apache-2.0 */
/* What `status` says of API servers, where there is a kubeconfig. */
#pragma once

#include "admin/look.h"
#include "admin/view.h"

struct kt_status_cluster {
    struct kt_look *look;  /* NULL: none could be asked */
    struct kt_error why;   /* why not, or not all */
    enum kt_hashes hashes; /* UNKNOWN where there is no look */
    char text[KT_HASHES_TEXT_MAX];
};
/* Fails where something was named that is not as it should be; that nobody answers is no failure of status. */
bool kt_status_cluster_get(const struct kt_options *options, const struct kt_view *view, struct kt_status_cluster *ret,
                           struct kt_error *err) KT_MUST_CHECK;
void kt_status_cluster_done(struct kt_status_cluster *cluster);

/* One line for each API server, with -v. */
void kt_status_cluster_print(const struct kt_status_cluster *cluster);
/* What is wrong with the config file, and which API servers cannot load it or do not answer; what to type. */
void kt_status_cluster_problems(const struct kt_status_cluster *cluster);
/* KT_E_FOUND with the first of them; an API server that does not answer is none of them. */
bool kt_status_cluster_healthy(const struct kt_status_cluster *cluster, struct kt_error *err) KT_MUST_CHECK;
/* hashmatch, hasherror, apiServers. */
void kt_status_cluster_json(json_t *value, const struct kt_status_cluster *cluster);

/* The three lines and the table of k3s, byte for byte (text/tabwriter with a padding of two), to standard output. */
void kt_status_print(const struct kt_keyring_info *info, const char *hashes);
