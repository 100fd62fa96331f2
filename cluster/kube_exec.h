/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials from an exec plugin: the program gets KUBERNETES_EXEC_INFO (an ExecCredential) in its environment and
 * prints an ExecCredential with a status (client.authentication.k8s.io v1 and v1beta1). Its standard error is ours. It
 * gets our standard input where its mode wants that and it is a terminal, else /dev/null. Killed after
 * KT_KUBE_EXEC_SECONDS. What it prints stays in locked memory.
 */
#pragma once

#include "cluster/kubeconfig.h"

#define KT_KUBE_EXEC_SECONDS 300u

struct kt_kube_credential {
    struct kt_secret *token;     /* NULL, or */
    struct kt_bytes certificate; /* PEM, with */
    struct kt_secret *key;       /* its key; or both kinds */
    uint64_t expires_s;          /* seconds since the epoch; 0: it did not say */
};
void kt_kube_credential_done(struct kt_kube_credential *credential);

/* config->exec must be set. KT_E_CONFIG: cannot be run, or prints no credential; KT_E_DENIED: it failed; KT_E_TIMEOUT.
 */
bool kt_kube_exec_run(const struct kt_kubeconfig *config, struct kt_kube_credential *ret,
                      struct kt_error *err) KT_MUST_CHECK;
/* Of what it printed. version: the apiVersion that was asked for. */
bool kt_kube_credential_parse(struct kt_slice text, const char *version, struct kt_kube_credential *ret,
                              struct kt_error *err) KT_MUST_CHECK;
