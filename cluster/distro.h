/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host that keyturn runs on: which distribution set up its kube-apiserver, and how that one stores. Found by its
 * files, below a root that tests lay out ("": the host's own). All names of files that come out of here begin with the
 * root and can be opened as they are.
 *
 * In force is what kube-apiserver was last started with: of a static pod its manifest, of k3s, whose API server is no
 * process of its own, what k3s is told. What RKE2 is told counts when it starts the next time; host_findings.h says
 * where that differs, and where the running process does.
 */
#pragma once

#include "base/cleanup.h"
#include "cluster/apiserver_flags.h"
#include "cluster/rancher_config.h"
#include "cluster/static_pod.h"

#include <limits.h>

/* Static facts; NULL where a distribution has no such thing. %D in a path is the data directory. */
struct kt_distro {
    const char *name;
    const char *service;    /* what to restart: a systemd unit */
    const char *kubeconfig; /* of an admin */
    const char *manifest;   /* of kube-apiserver's static pod */
    const char *marker;     /* is there if a server of this distribution was set up here */
    const char *config;     /* config.yaml */
    const char *drop_ins;   /* its drop-in folder */
    const char *data_dir;
    const char *own_encryption_config; /* the distribution's own EncryptionConfiguration */
    const char *kine_socket;
    const char *etcd_data;         /* is there if etcd is the distribution's own */
    const char *encryption_folder; /* where our EncryptionConfiguration goes, and what kube-apiserver sees it as */
    const char *encryption_inside;
    const char *etcd_ca; /* for etcd of the distribution's own */
    const char *etcd_cert;
    const char *etcd_key;
};

enum kt_distro_id {
#define KT_DISTRO(name, ...) KT_DISTRO_##name,
#include "cluster/distros.def"
#undef KT_DISTRO
    KT_DISTRO_COUNT,
};
const struct kt_distro *kt_distro_facts(enum kt_distro_id id);

struct kt_host {
    enum kt_distro_id id;
    const struct kt_distro *distro;
    char root[PATH_MAX];
    char data_dir[PATH_MAX]; /* "" if there is none */
    char manifest[PATH_MAX]; /* "" if there is none */
    char kubeconfig[PATH_MAX];
    struct kt_apiserver_flags flags; /* in force */
    bool has_wanted;
    struct kt_apiserver_flags wanted; /* RKE2: at the next start */
    struct kt_static_pod pod;         /* no words if there is no manifest */
    struct kt_rancher_config rancher; /* k3s and RKE2: what it is told */
    bool own_encryption;              /* k3s and RKE2 encrypt by themselves (secrets-encryption) */
};

/* *ret is NULL if no distribution is found. Two are an error (KT_E_CONFIG): what is right for one is wrong for the
 * other. */
bool kt_host_find(const char *root, struct kt_host **ret, struct kt_error *err) KT_MUST_CHECK;
/* One that is named: KT_E_CONFIG if it is not here. */
struct kt_host *kt_host_read(const char *root, enum kt_distro_id id, struct kt_error *err) KT_MUST_CHECK;
void kt_host_free(struct kt_host *host);
KT_DEFINE_CLEANUP(struct kt_host *, kt_host_free);

/* ---- what is wired ---- */

enum kt_host_path {
    KT_HOST_PATH_NONE,      /* it is not set */
    KT_HOST_PATH_UNMOUNTED, /* the container cannot see it */
    KT_HOST_PATH_FILE,      /* mounted by itself: a rename over it is not seen inside */
    KT_HOST_PATH_FOLDER,    /* in a folder that is mounted, or no container is between */
};
struct kt_host_encryption {
    const char *flag; /* as kube-apiserver was told; NULL: nothing encrypts */
    enum kt_host_path path;
    char file[PATH_MAX]; /* on the host; "" unless path is _FILE or _FOLDER */
    bool reload;         /* automatic reload is on */
    bool is_own;         /* it is the distribution's own file */
};
/* The EncryptionConfiguration in force. */
void kt_host_encryption(const struct kt_host *host, struct kt_host_encryption *ret);
/* What kube-apiserver sees a file or a socket of the host as; ret is "" if it does not see it. */
enum kt_host_path kt_host_inside(const struct kt_host *host, const char *path, char ret[PATH_MAX]);

/* ---- the store: defaults for --etcd-* ---- */

struct kt_host_store {
    char endpoints[KT_APISERVER_VALUE_MAX]; /* as --etcd-endpoints takes them; "": not known */
    char ca[PATH_MAX];                      /* "": none */
    char cert[PATH_MAX];
    char key[PATH_MAX];
    char prefix[1024];     /* "": kube-apiserver's default */
    const char *overrides; /* of --etcd-servers-overrides; NULL: none */
};
/* KT_E_CONFIG. */
bool kt_host_store(const struct kt_host *host, struct kt_host_store *ret, struct kt_error *err) KT_MUST_CHECK;
