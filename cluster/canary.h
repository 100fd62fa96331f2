/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A canary: an object of our own that is written through one given API server, so that somebody can look into the store
 * for the key that this server writes with. Each write changes it (a random nonce, no secret), since kube-apiserver
 * does not store what did not change. Its name is made from the server's id, so each server has its own; it carries the
 * label app.kubernetes.io/managed-by=keyturn, without which an object of that name is not touched.
 */
#pragma once

#include "cluster/kube.h"

#define KT_CANARY_LABEL     "app.kubernetes.io/managed-by"
#define KT_CANARY_MANAGER   "keyturn"
#define KT_CANARY_NAMESPACE "kube-system"
#define KT_CANARY_TEXT_MAX  256u

enum kt_canary_kind { KT_CANARY_SECRET, KT_CANARY_CONFIGMAP };

struct kt_canary {
    enum kt_canary_kind kind;
    char namespace[KT_CANARY_TEXT_MAX];
    char name[KT_CANARY_TEXT_MAX];
    char key[2 * KT_CANARY_TEXT_MAX + 32]; /* in the store, behind its prefix (/registry): "/secrets/NAMESPACE/NAME" */
    /* After a write, of what was stored: */
    char uid[KT_CANARY_TEXT_MAX];
    char resource_version[KT_CANARY_TEXT_MAX]; /* etcd's mod_revision */
    char nonce[33];
};

/* server_id: any text that tells API servers apart (struct kt_apiserver). space: a namespace, NULL for
 * KT_CANARY_NAMESPACE. KT_E_USAGE: no name of a namespace. */
bool kt_canary_init(struct kt_canary *canary, enum kt_canary_kind kind, const char *space, const char *server_id,
                    struct kt_error *err) KT_MUST_CHECK;
/* Through that server: makes it, or changes it. KT_E_EXISTS: it is there and not ours. */
bool kt_canary_write(struct kt_canary *canary, const struct kt_kube_way *way, struct kt_error *err) KT_MUST_CHECK;
/* Takes it away, if it is ours; it need not be there. */
bool kt_canary_remove(struct kt_canary *canary, const struct kt_kube_way *way, struct kt_error *err) KT_MUST_CHECK;
