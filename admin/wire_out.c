/* SPDX-License-Identifier: Apache-2.0 */
/* Whether kube-apiserver can do without the keyring: only where nothing is stored, or will be, under a key that it has
 * not by itself. */
#include "admin/census.h"
#include "admin/own_keys.h"
#include "admin/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static bool fail_uncounted(const struct kt_error *why, struct kt_error *err)
{
    kt_fail(
        err, KT_E_REFUSED,
        "expected the store to be counted, since kube-apiserver does not come up while a Secret is stored under a key "
        "that it does not have: %.280s",
        why->code != KT_OK ? why->message : "it is not known where the store is");
    return kt_error_hint(err,
                         "--etcd-endpoints and its certificates; or --force, where you know that nothing is encrypted");
}

/* What kube-apiserver reads when it is told of nothing: the distribution's own file, or nothing. */
static bool find_own(const struct kt_wire *wire, struct kt_own_first *ret, struct kt_error *err)
{
    char file[PATH_MAX];
    *ret = (struct kt_own_first){.type = 0};
    kt_own_keys_file(wire->job.host, file);
    if (file[0] == '\0' || access(file, F_OK) != 0)
        return true;
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(wire->job.config, err);
    return wanted && kt_own_keys_first(file, wanted, ret, err);
}

static bool stays_readable(int ref, const struct kt_own_first *own)
{
    return ref == KT_REF_IDENTITY || (ref >= KT_REF_KEYS && (own->decrypts & UINT64_C(1) << (ref - KT_REF_KEYS)) != 0);
}

/* Also under another plugin, and what is not understood: all providers go. */
static uint64_t unreadable(const struct kt_look *look, const struct kt_own_first *own)
{
    size_t n = 0;
    uint64_t found = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(look->census->tally, &n);
    for (size_t i = 0; i < n; i++)
        if (!rows[i]->internal && !stays_readable(kt_census_ref(look, rows[i]), own))
            found += rows[i]->count;
    return found;
}

/* What is written from now until kube-apiserver is started again has to be readable as well. */
static bool check_front(const struct kt_look *look, const struct kt_own_first *own, struct kt_error *err)
{
    const struct kt_facts_config *config = &look->facts.config;
    if (!config->present || config->n_items == 0 || (!config->mixed && stays_readable(config->items[0], own)))
        return true;
    kt_fail(
        err, KT_E_REFUSED,
        "%.300s: expected nothing to be written under a key that kube-apiserver will not have, found that it begins "
        "with one",
        look->config_file);
    return kt_error_hint(err, "keyturn disable puts identity first; keyturn migrate --to distro the own key of k3s or "
                              "RKE2");
}

/* "" where kube-apiserver reads none that can be seen here. */
static const char *wired_file(const struct kt_host *host, struct kt_host_encryption *ret)
{
    *ret = (struct kt_host_encryption){.flag = NULL};
    if (host)
        kt_host_encryption(host, ret);
    return ret->file;
}

bool kt_wire_check_stored(struct kt_wire *wire, struct kt_error *err)
{
    const struct kt_options *options = &wire->job.line.options;
    const struct kt_census_order order = {.snapshot = NULL};
    struct kt_look *look = wire->job.look;
    struct kt_host_encryption encryption;
    struct kt_own_first own;
    struct kt_error why = KT_ERROR_INIT;
    if (wire->in || options->force || options->dry_run)
        return true;
    if (!look && wire->job.no_config.code == KT_OK)
        (void)kt_fail(&why, KT_E_USAGE, "below another root the cluster is one that --kubeconfig names");
    if (!look || !look->store)
        return fail_uncounted(look ? &look->no_store : why.code != KT_OK ? &why : &wire->job.no_config, err);
    if (!wire->job.described.info)
        return fail_uncounted(&wire->job.no_keyring, err);
    look->info = wire->job.described.info;
    if (!find_own(wire, &own, err))
        return false;
    if (look->config_file[0] == '\0')
        (void)snprintf(look->config_file, sizeof(look->config_file), "%s", wired_file(wire->job.host, &encryption));
    if (!kt_look_config(look, &why) || !kt_census_take(look, &order, &why))
        return fail_uncounted(&why, err);
    uint64_t n = unreadable(look, &own);
    if (n == 0)
        return check_front(look, &own, err);
    kt_fail(
        err, KT_E_REFUSED,
        "expected nothing to be stored under a key that kube-apiserver will not have, without which it does not come "
        "up, found %" PRIu64 " objects",
        n);
    return kt_error_hint(err, "keyturn disable has them rewritten in clear, keyturn migrate --to distro under the own "
                              "key of k3s or RKE2; keyturn census --objects lists them");
}
