/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every API server of the cluster, and what each one says of itself. They are found by the EndpointSlice `kubernetes`
 * (namespace default), by the Leases that each keeps in kube-system (label apiserver.kubernetes.io/identity; since 1.36
 * an annotation there has its address), by what the user names, and by what is remembered. Each is then asked directly,
 * not through a load balancer. Which Lease is whose is told by apiserver_id_hash in its own metrics, which is SHA-256
 * of the Lease's name; servers that have none there yet (no encryption configured, or old) go by their addresses.
 *
 * The certificate of a server that was found must be for kubernetes.default.svc, as those of all common installers are,
 * or for the name that the kubeconfig trusts; its address alone is not enough, for kubelets have certificates of the
 * same authority. One that the user names may also be for the name in that URL.
 */
#pragma once

#include "cluster/kube.h"
#include "cluster/metrics.h"

#define KT_APISERVERS_MAX    64u
#define KT_APISERVER_ID_MAX  256u
#define KT_APISERVER_WORDS   512u
#define KT_APISERVER_TIMEOUT 10000u /* ms: kube-apiserver's own check of a KMS provider takes up to 3 s for each */

enum kt_apiserver_source {
    KT_APISERVER_NAMED = 1,       /* --api-server */
    KT_APISERVER_KNOWN = 2,       /* remembered */
    KT_APISERVER_ENDPOINT = 4,    /* EndpointSlice */
    KT_APISERVER_LEASE = 8,       /* Lease */
    KT_APISERVER_KUBECONFIG = 16, /* the kubeconfig's server: may be a load balancer in front of the others */
};

enum kt_apiserver_state {
    KT_APISERVER_NO_ADDRESS,  /* its Lease says that it is there, and nothing where */
    KT_APISERVER_UNREACHABLE, /* it cannot be asked: see why */
    KT_APISERVER_ASKED,
};

enum kt_verdict { KT_VERDICT_UNKNOWN, KT_VERDICT_GOOD, KT_VERDICT_BAD, KT_VERDICT_ABSENT };

struct kt_apiserver {
    char id[KT_APISERVER_ID_MAX];        /* its Lease's name; else "id:" and its id_hash; else its address */
    char address[KT_HTTP_HOST_MAX + 24]; /* "https://HOST:PORT", or "" */
    char host[KT_HTTP_HOST_MAX];         /* the name of the host, by its Lease; may be empty */
    unsigned sources;                    /* enum kt_apiserver_source */
    enum kt_apiserver_state state;
    struct kt_error why; /* not ASKED: why not */
    uint64_t renewed_s;  /* its Lease was renewed then, by the servers' clocks; 0: no Lease is known */
    uint64_t asked_s;    /* CLOCK_REALTIME */
    /* If ASKED: */
    char version[64];
    enum kt_verdict ready;                /* /readyz */
    char ready_words[KT_APISERVER_WORDS]; /* BAD: the checks that fail; UNKNOWN: why */
    enum kt_verdict kms;                  /* /healthz/kms-providers; ABSENT: there is no such check */
    char kms_words[KT_APISERVER_WORDS];   /* BAD: its own reason; UNKNOWN: why */
    bool has_metrics;
    char metrics_words[KT_APISERVER_WORDS]; /* why not */
    struct kt_metrics metrics;
    struct kt_http_peer peer; /* to ask it more; server_name is the one that its certificate has */
};

struct kt_apiservers {
    size_t n;
    struct kt_apiserver list[KT_APISERVERS_MAX];
    bool is_complete; /* every source could be asked; if not, there may be more servers: */
    struct kt_error why;
};

struct kt_apiserver_known {
    const char *id;
    const char *address; /* "https://HOST:PORT", or "" */
};

struct kt_apiservers_options {
    const char *const *urls; /* --api-server */
    size_t n_urls;
    const struct kt_apiserver_known *known;
    size_t n_known;
    unsigned timeout_ms; /* for each server, and for the lists; 0: KT_APISERVER_TIMEOUT */
};

/* Finds and asks all. Fails only where a URL is no URL, or where nothing at all could be found out. The caller frees
 * the result with free(3). */
struct kt_apiservers *kt_apiservers_find(struct kt_kube *kube, const struct kt_apiservers_options *options,
                                         struct kt_error *err) KT_MUST_CHECK;
/* Asks all that have an address once more, at the same time; none takes longer than timeout_ms. Asking for
 * /healthz/kms-providers makes a server ask the KMS plugin for its key_id, where its last answer is 20 s old. No other
 * requests may be on their way. */
bool kt_apiservers_ask(struct kt_kube *kube, struct kt_apiservers *servers, unsigned timeout_ms,
                       struct kt_error *err) KT_MUST_CHECK;

/* A condition on one server, and what is still to come, for whoever waits. */
struct kt_apiservers_wait {
    const char *provider;    /* KMS provider whose Status must last have returned the key with... */
    const char *key_id_hash; /* this hash; NULL: any */
    const char *config_hash; /* EncryptionConfiguration that must be loaded; NULL: any */
    unsigned timeout_s;
    unsigned ask_timeout_ms; /* 0: KT_APISERVER_TIMEOUT */
    /* After each round; false: stop waiting. */
    bool (*watch)(void *context, const struct kt_apiservers *servers);
    void *context;
};
/* Does that hold for it, by its own metrics? A key that Status returned is not yet one that is written with: see
 * canary.h. */
bool kt_apiserver_meets(const struct kt_apiserver *server, const struct kt_apiservers_wait *wait);
/* Asks all again and again until each meets it. *ret says whether they do. */
bool kt_apiservers_wait(struct kt_kube *kube, struct kt_apiservers *servers, const struct kt_apiservers_wait *wait,
                        bool *ret, struct kt_error *err) KT_MUST_CHECK;
