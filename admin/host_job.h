/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor, config wire and config unwire share: the host, how it is wired, kubeadm's configuration in the cluster.
 */
#pragma once

#include "admin/look.h"
#include "admin/member.h"
#include "wiring/wiring.h"

struct kt_host_job {
    struct kt_command_line line;
    const char *root; /* --root, without a slash at its end; "": this host */
    char *real_root;
    const char *distro; /* --distro; NULL: the one that is found */
    struct kt_config *config;
    struct kt_error no_config;         /* why there is none */
    struct kt_opener_answer described; /* the keyring; info NULL: see no_keyring */
    struct kt_error no_keyring;
    struct kt_look *look;          /* NULL: see no_config */
    struct kt_host *host;          /* NULL: no distribution is here */
    const char *kms_socket;        /* NULL: the keyring has no key of type kms */
    struct kt_kube_way way;        /* to the cluster; kube NULL: no way */
    json_t *kubeadm;               /* ConfigMap kubeadm-config; NULL: see no_kubeadm */
    struct kt_error no_kubeadm;    /* KT_OK: not kubeadm's host, or it is there */
    struct kt_bytes kubeadm_after; /* kt_host_job_kubeadm */
    bool kubeadm_differs;
};
extern const struct argp_option kt_host_options[];

/* Parses the command line; the command's own error, and what cannot be found out, is told in *job. */
void kt_host_job_parse(struct kt_host_job *job, int argc, char **argv);
/* For what has to be done before the host is looked at, as its lock; NULL: see no_config. */
const struct kt_config *kt_host_job_config(struct kt_host_job *job);
/* Fails where there are two distributions, or where something that was named is not as it should be. */
bool kt_host_job_open(struct kt_host_job *job, struct kt_error *err) KT_MUST_CHECK;
void kt_host_job_done(struct kt_host_job *job);
/* The keyring as it is now. */
bool kt_host_job_refresh(struct kt_host_job *job, struct kt_error *err) KT_MUST_CHECK;

/* Whether the daemon answers the uid that kube-apiserver runs under (kms.uids; groups are not looked at). */
bool kt_host_job_answers(const struct kt_host_job *job) KT_MUST_CHECK;

/* kubeadm's ClusterConfiguration with what the wiring has, or without it. */
bool kt_host_job_kubeadm(struct kt_host_job *job, const struct kt_wiring *wiring, bool in,
                         struct kt_error *err) KT_MUST_CHECK;
/* As it is in the cluster; NULL: there is none. */
const char *kt_host_job_kubeadm_text(const struct kt_host_job *job);
/* Writes it. KT_E_BUSY where another one changed it since it was read. */
bool kt_host_job_kubeadm_write(const struct kt_host_job *job, struct kt_slice text, struct kt_error *err) KT_MUST_CHECK;

/* The difference of a file, as diff -u tells it, with its two head lines; as: what the second one calls it. */
bool kt_host_job_diff(const char *name, const char *as, struct kt_slice before, struct kt_slice after, FILE *out,
                      struct kt_error *err) KT_MUST_CHECK;
