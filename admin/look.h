/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the state machine of rotation/ is told, gathered: the keyring, this node's daemon, the config file, every API
 * server. One look after the other; what one run has seen of an API server is remembered between them
 * (rotation/facts.h says what "since" means there).
 *
 * Where things are: the cluster options; else $KUBECONFIG; else what the distribution of this host has
 * (cluster/distro.h); else ~/.kube/config. What nobody named and is not there is simply not seen; what was named and is
 * not there is an error.
 */
#pragma once

#include "admin/command.h"
#include "admin/stored.h"
#include "cluster/apiservers.h"
#include "cluster/canary.h"
#include "cluster/distro.h"
#include "cluster/store.h"
#include "proto/control.pb-c.h"
#include "rotation/facts.h"
#include "rotation/rotation.h"

#define KT_LOOK_WORDS 512u

/* What this run has seen of one API server: hosts of one name make servers of one id. */
struct kt_seen {
    char id[KT_APISERVER_ID_MAX];
    char address[KT_HTTP_HOST_MAX + 24];
    double process_start;
    uint64_t look_mono; /* the last look at which it answered */
    uint64_t alive_mono;
    uint8_t hash[KT_HASH_LEN];
    uint64_t hash_mono;
    int writes_ref; /* KT_REF_KEYS: the listed key writes_key */
    char writes_key[KT_KEY_ID_LEN + 1];
    uint64_t writes_mono;
    char reload_failure[KT_LOOK_WORDS];
};

struct kt_look {
    const struct kt_options *options;
    const struct kt_config *config;
    struct kt_host *host;            /* NULL: no distribution is here */
    struct kt_kube *kube;            /* NULL: no kubeconfig */
    struct kt_store *store;          /* NULL: it cannot be asked */
    char config_file[PATH_MAX];      /* "": none is known */
    uint64_t config_time;            /* of its last change, s */
    char prefix[KT_STORAGE_KEY_MAX]; /* --etcd-prefix; "": the default */
    char provider[KT_NAME_MAX + 1];  /* what our KMS provider is called there */
    bool compares; /* set it where the config file may come to be changed: keys of it are told by their bytes, too;
                      takes this node's private half where there are any */
    enum kt_canary_kind canary_kind; /* of a resource that is encrypted with our keys */
    bool canary_possible;            /* there is one of those kinds */
    struct kt_error no_servers;      /* why API servers were not all seen; KT_OK */
    struct kt_error no_store;        /* why the store cannot be asked */
    struct kt_error no_config;       /* why the config file is not known: KT_OK, where there is none */
    struct kt_error no_canary;       /* the last one that could not be written, or be found in the store */
    struct kt_apiservers *servers;   /* of the newest look; NULL: none */
    struct kt_stored_rules rules;    /* of the config file, at the newest look */
    struct kt_census *census;        /* the newest of this run; NULL: none */
    struct kt_facts_rewrite rewrite; /* likewise */
    const struct kt_keyring_info *info;
    struct kt_facts facts;
    struct kt_facts_api apis[KT_APISERVERS_MAX]; /* the first ones belong to servers->list, in its order */
    struct kt_facts_node nodes[KT_RECIPIENTS_MAX];
    size_t n_seen;
    struct kt_seen seen[KT_APISERVERS_MAX];
};

/* options and config outlive it. NULL with what was named and is not as it should be. */
struct kt_look *kt_look_open(const struct kt_options *options, const struct kt_config *config,
                             struct kt_error *err) KT_MUST_CHECK;
/* What lies on this host alone: no cluster and no store is looked for. */
struct kt_look *kt_look_open_files(const struct kt_options *options, const struct kt_config *config,
                                   struct kt_error *err) KT_MUST_CHECK;
void kt_look_free(struct kt_look *look);
KT_DEFINE_CLEANUP(struct kt_look *, kt_look_free);

/* Fills look->facts. info: the newest keyring, without superseded keys where it is to be changed; it outlives the
 * facts. status: the daemon's; NULL, if it does not answer. What cannot be seen is left out of the facts, with the
 * reason in no_servers and no_config. */
bool kt_look_take(struct kt_look *look, const struct kt_keyring_info *info, const Keyturn__Control__V1__Status *status,
                  struct kt_error *err) KT_MUST_CHECK;

/* Writes a canary through facts.apis[index] and finds out under what it was stored: from the store, or by that server's
 * own metric of writes. What came of it is in the facts of the next look; no_canary says why nothing did. */
bool kt_look_canary(struct kt_look *look, size_t index, struct kt_error *err) KT_MUST_CHECK;

/* The SHA-256 that metrics show of a key_id: "sha256:..." as bytes. */
bool kt_look_is_key(const char *key_id_hash, const char *key_id) KT_MUST_CHECK;

/* Parts of kt_look_open and kt_look_take. */
void kt_look_find_files(struct kt_look *look);
bool kt_look_find_sources(struct kt_look *look, struct kt_error *err) KT_MUST_CHECK;
bool kt_look_find_store(struct kt_look *look, struct kt_error *err) KT_MUST_CHECK;
bool kt_look_config(struct kt_look *look, struct kt_error *err) KT_MUST_CHECK;
void kt_look_servers(struct kt_look *look);
void kt_look_nodes(struct kt_look *look, const Keyturn__Control__V1__Status *status);
struct kt_seen *kt_look_seen(struct kt_look *look, const struct kt_apiserver *server);
