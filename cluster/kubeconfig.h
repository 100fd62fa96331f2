/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kubeconfig files (client.authentication and clientcmd/api/v1 of k8s.io/client-go), as kubectl reads them:
 * --kubeconfig alone, else the files that $KUBECONFIG lists (those that are absent are passed over), else
 * ~/.kube/config. For each context, cluster and user the first file that has one of that name counts, whole; so does
 * the first current-context. Relative paths are relative to the file that they stand in. Fields that keyturn has no use
 * for are ignored. Refused, with what to do: user names with passwords, auth-provider and impersonation (as, as-groups,
 * ...).
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "cluster/http_url.h"

#define KT_KUBECONFIG_FILES_MAX 32u
#define KT_KUBECONFIG_FILE_MAX  ((size_t)4 << 20)
#define KT_KUBECONFIG_ITEMS_MAX 4096u /* contexts, clusters or users in one file */
#define KT_KUBECONFIG_NAME_MAX  256u  /* with the NUL */
#define KT_KUBECONFIG_TEXT_MAX  4096u /* of a path or an argument */
#define KT_KUBECONFIG_CA_MAX    ((size_t)1 << 20)
#define KT_KUBE_EXEC_WORDS_MAX  64u /* arguments, and likewise variables */

enum kt_kube_interactive { KT_KUBE_NEVER, KT_KUBE_IF_AVAILABLE, KT_KUBE_ALWAYS };

/* A program that makes credentials: client.authentication.k8s.io. */
struct kt_kube_exec {
    char *command;                          /* looked up in PATH if it has no slash */
    char *args[KT_KUBE_EXEC_WORDS_MAX + 1]; /* behind the command; ends with NULL */
    char *env[KT_KUBE_EXEC_WORDS_MAX + 1];  /* NAME=VALUE */
    const char *api_version;                /* static: client.authentication.k8s.io/v1 or /v1beta1 */
    enum kt_kube_interactive interactive;
    bool cluster_info;
    char *install_hint; /* may be NULL */
};

struct kt_kubeconfig {
    char context[KT_KUBECONFIG_NAME_MAX];
    /* The cluster. */
    struct kt_http_url server;
    char tls_server_name[KT_HTTP_HOST_MAX]; /* "": the server's host */
    char proxy[KT_HTTP_URL_MAX];            /* "": none is named */
    bool insecure;
    struct kt_bytes ca; /* PEM; none: the system's */
    /* The user: any of these, or none. */
    struct kt_bytes certificate; /* PEM */
    struct kt_secret *key;       /* PEM */
    struct kt_secret *token;
    char *token_file; /* counts more than token, where it can be read */
    struct kt_kube_exec *exec;
};

/* What stands on the command line; each may be NULL. */
struct kt_kubeconfig_options {
    const char *kubeconfig; /* --kubeconfig */
    const char *context;    /* --context */
};

/* Files are read now, but for token_file; nothing is executed. Errors: KT_E_CONFIG, KT_E_UNSUPPORTED, KT_E_IO,
 * KT_E_PERMISSION; they name file, line and field, never a value of a user. */
struct kt_kubeconfig *kt_kubeconfig_load(const struct kt_kubeconfig_options *options,
                                         struct kt_error *err) KT_MUST_CHECK;
void kt_kubeconfig_free(struct kt_kubeconfig *config);
KT_DEFINE_CLEANUP(struct kt_kubeconfig *, kt_kubeconfig_free);
