/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How kube-apiserver is told to encrypt with an EncryptionConfiguration of ours, and no more: the file that tells it,
 * as it is and as it would be. Nothing is written here.
 *
 * kubeadm: flags, mounts and volumes in the static pod's manifest, and the same in the ClusterConfiguration that
 * `kubeadm upgrade` makes the manifest from (ConfigMap kubeadm-config in kube-system). k3s and RKE2: a drop-in of ours
 * in config.yaml.d; their own encryption-config.json is never touched.
 *
 * Always folders are mounted, never single files: a file that is renamed over another one is not seen through a mount
 * of the old one.
 */
#pragma once

#include "cluster/distro.h"

#define KT_WIRING_ARGS_MAX   2u
#define KT_WIRING_MOUNTS_MAX 2u
#define KT_WIRING_FILE       "encryption-config.yaml"
#define KT_WIRING_DROP_IN    "90-keyturn.yaml"

struct kt_wiring_arg {
    const char *name; /* "encryption-provider-config" */
    char value[PATH_MAX];
};
struct kt_wiring_mount {
    const char *name; /* "keyturn-config" */
    char host[PATH_MAX];
    char inside[PATH_MAX];
    bool read_only;
};

struct kt_wiring {
    char file[PATH_MAX];    /* the EncryptionConfiguration, on the host, root included */
    char inside[PATH_MAX];  /* as kube-apiserver sees it: the flag's value */
    bool makes_file;        /* nothing encrypts, or the distribution by itself: it is a file that is not read yet */
    char target[PATH_MAX];  /* what tells kube-apiserver, root included */
    struct kt_bytes before; /* .data NULL: not there */
    struct kt_bytes after;  /* .data NULL: to be removed */
    bool differs;
    /* All that belongs to it, there already or not. */
    struct kt_wiring_arg args[KT_WIRING_ARGS_MAX];
    size_t n_args;
    struct kt_wiring_mount mounts[KT_WIRING_MOUNTS_MAX];
    size_t n_mounts;
};
void kt_wiring_done(struct kt_wiring *wiring);
#define KT_CLEANUP_WIRING KT_CLEANUP(kt_wiring_done)

/* Wired: what is missing comes in. kms_socket: the daemon's, on the host; NULL: no key is of type kms. An encryption
 * that is wired already keeps its file. KT_E_REFUSED: how it is wired cannot be added to; the hint says what to
 * change first. Before it is written, *ret was read again and seen to be right. */
bool kt_wiring_plan(const struct kt_host *host, const char *kms_socket, struct kt_wiring *ret,
                    struct kt_error *err) KT_MUST_CHECK;
/* Not wired: flags that encrypt and mounts of ours go out. */
bool kt_wiring_plan_out(const struct kt_host *host, const char *kms_socket, struct kt_wiring *ret,
                        struct kt_error *err) KT_MUST_CHECK;

/* kubeadm's ClusterConfiguration (v1beta3: extraArgs is a mapping; v1beta4: a list) with what the manifest has, or
 * without it. The caller frees *ret; the very bytes where nothing is different. */
bool kt_wiring_kubeadm(const struct kt_wiring *wiring, struct kt_slice config, struct kt_bytes *ret,
                       struct kt_error *err) KT_MUST_CHECK;
bool kt_wiring_kubeadm_out(const struct kt_wiring *wiring, struct kt_slice config, struct kt_bytes *ret,
                           struct kt_error *err) KT_MUST_CHECK;
