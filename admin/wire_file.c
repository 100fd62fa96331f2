/* SPDX-License-Identifier: Apache-2.0 */
/* The EncryptionConfiguration of a host that is wired. */
#include "admin/config_change.h"
#include "admin/fingerprint_ask.h"
#include "admin/own_keys.h"
#include "admin/wire.h"
#include "base/printable.h"
#include "keystore/kdf.h"

#include <stdio.h>
#include <string.h>

size_t kt_wire_local_server(const struct kt_wire *wire)
{
    const struct kt_apiservers *servers = wire->job.look->servers;
    const struct kt_apiserver_flags *flags = &wire->job.host->flags;
    const char *host = flags->values[KT_FLAG_ADVERTISE_ADDRESS];
    const char *port = flags->values[KT_FLAG_SECURE_PORT];
    char address[KT_HTTP_HOST_MAX + 24];
    if (!host)
        return servers->n == 1 ? 0 : servers->n;
    bool is_v6 = strchr(host, ':') != NULL;
    (void)snprintf(address, sizeof(address), "https://%s%.200s%s:%.8s", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
                   port ? port : "6443");
    size_t i = 0;
    while (i < servers->n && strcmp(servers->list[i].address, address) != 0)
        i++;
    return i;
}

/* There are others, and each has loaded the very file that this one is to have. */
static bool others_have(struct kt_wire *wire, const uint8_t hash[KT_HASH_LEN])
{
    struct kt_look *look = wire->job.look;
    struct kt_error ignored = KT_ERROR_INIT;
    if (!look || !look->kube || !kt_look_take(look, wire->job.described.info, NULL, &ignored) ||
        !look->facts.apis_complete || !look->servers)
        return false;
    size_t local = kt_wire_local_server(wire), n = 0;
    for (size_t i = 0; i < look->facts.n_apis; i++) {
        const struct kt_facts_api *api = &look->facts.apis[i];
        if (i == local)
            continue;
        if (!api->reachable || !api->hash_known || memcmp(api->hash, hash, KT_HASH_LEN) != 0)
            return false;
        n++;
    }
    return n > 0;
}

bool kt_wire_hash(const struct kt_secret *bytes, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_slice slice = KT_SLICE(kt_secret_view(bytes), kt_secret_len(bytes));
    return kt_sha256(&slice, 1, ret, err);
}

static bool fail_first(const char *what, struct kt_error *err)
{
    kt_fail(
        err, KT_E_REFUSED,
        "%.512s: other API servers could not read what this one writes, and if it does not come up so, it could not go "
        "back",
        what);
    return kt_error_hint(err, "--force, if there is none that lacks the keys");
}

/* One that is there, and not read yet, must be what the keyring needs: it may be old. */
static bool check_file(struct kt_wire *wire, const struct kt_wanted *wanted, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    bool plain_first = false;
    uint8_t hash[KT_HASH_LEN];
    if (!kt_config_covers(wanted, wire->wiring.file, &plain_first, hash, &why)) {
        kt_fail(err, KT_E_REFUSED, "%.512s is there, and is not what the keyring has: %.300s", wire->wiring.file,
                why.message);
        return kt_error_hint(err,
                             "move it away, and a new one is made; or keyturn config diff --encryption-config FILE");
    }
    wire->encrypts = !plain_first;
    return plain_first || wire->job.host->own_encryption || wire->job.line.options.force || others_have(wire, hash) ||
           fail_first(wire->wiring.file, err);
}

/* One that kube-apiserver reads already. */
static void see_lack(struct kt_wire *wire, const struct kt_wanted *wanted)
{
    bool plain_first = false;
    uint8_t hash[KT_HASH_LEN];
    wire->lacks = !kt_config_covers(wanted, wire->wiring.file, &plain_first, hash, &wire->lack);
}

/* A key is listed everywhere before it comes first anywhere (docs/rotation.md): so identity comes first, unless the
 * others have the keys, or kube-apiserver encrypts already. */
bool kt_wire_render(struct kt_wire *wire, struct kt_error *err)
{
    bool first = true;
    uint8_t hash[KT_HASH_LEN];
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(wire->job.config, err);
    if (!wanted || !kt_own_keys_check(wire->job.host, wanted, &first, err))
        return false;
    if (!wire->makes_file && wire->wiring.makes_file)
        return check_file(wire, wanted, err);
    if (!wire->makes_file) {
        see_lack(wire, wanted);
        return true;
    }
    if (!kt_rendered_get(wire->job.config, KT_RENDERED_WHOLE, &wire->rendered, err) ||
        !kt_wire_hash(wire->rendered.text, hash, err))
        return false;
    wire->encrypts = others_have(wire, hash) || wire->job.host->own_encryption;
    if (wire->encrypts)
        return first || wire->job.line.options.force || others_have(wire, hash) ||
               fail_first("the first key of the keyring is not the one that the distribution encrypts with", err);
    kt_rendered_done(&wire->rendered);
    return kt_rendered_get(wire->job.config, KT_RENDERED_PLAIN_FIRST, &wire->rendered, err);
}

/* ---- keys of the distribution's own ---- */

static void show_keys(const struct kt_own_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        fprintf(stderr, "key %s (%s) of the distribution: to be taken into the keyring\n", KT_PRINTABLE(keys->names[i]),
                kt_key_type_text(keys->types[i]));
}

/* What is stored under them must stay readable. */
bool kt_wire_take_keys(struct kt_wire *wire, struct kt_error *err)
{
    struct kt_host_job *job = &wire->job;
    const struct kt_options *options = &job->line.options;
    KT_CLEANUP(kt_member_done) struct kt_member_job member = {.config = NULL};
    KT_CLEANUP_OWN_KEYS struct kt_own_keys keys = {.n = 0};
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(job->config, err);
    if (!wanted || !kt_own_keys_find(job->host, wanted, &keys, NULL, err))
        return false;
    wire->takes_keys = keys.n > 0;
    if (keys.n == 0)
        return true;
    if (!options->json)
        show_keys(&keys);
    if (options->dry_run)
        return true;
    if (!kt_confirm(options, "Take them in?", err) || !kt_member_start(options, &member, err) ||
        !kt_own_keys_import(&member, &keys, 0, err))
        return false;
    wire->changed = true;
    return kt_host_job_refresh(job, err);
}
