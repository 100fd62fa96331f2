/* SPDX-License-Identifier: Apache-2.0 */
/* config wire, config unwire. */
#include "admin/config_change.h"
#include "admin/fingerprint_ask.h"
#include "admin/host_job.h"
#include "admin/own_keys.h"
#include "admin/rendered.h"
#include "admin/rotation_run.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/printable.h"
#include "cluster/host_findings.h"
#include "keystore/kdf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define LOOK_MS  2000
#define KEPT     "wiring-previous"

struct wire {
    struct kt_host_job job;
    bool in; /* wire, not unwire */
    struct kt_wiring wiring;
    bool encrypts;   /* with the file as it is, or as it is made, kube-apiserver encrypts at once */
    bool takes_keys; /* of the distribution's own */
    bool makes_file; /* the EncryptionConfiguration is not there yet */
    struct kt_rendered rendered;
    bool changed;
    bool ready; /* kube-apiserver was seen to run so */
};

static void wire_done(struct wire *wire)
{
    kt_wiring_done(&wire->wiring);
    kt_rendered_done(&wire->rendered);
    kt_host_job_done(&wire->job);
}

/* ---- the EncryptionConfiguration ---- */

/* This host's API server, by where it says that others find it; n: none of them. k3s does not say. */
static size_t local_server(const struct wire *wire)
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
static bool others_have(struct wire *wire, const uint8_t hash[KT_HASH_LEN])
{
    struct kt_look *look = wire->job.look;
    struct kt_error ignored = KT_ERROR_INIT;
    if (!look || !look->kube || !kt_look_take(look, wire->job.described.info, NULL, &ignored) ||
        !look->facts.apis_complete || !look->servers)
        return false;
    size_t local = local_server(wire), n = 0;
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

static bool hash_of(const struct kt_secret *bytes, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
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
static bool check_file(struct wire *wire, const struct kt_wanted *wanted, struct kt_error *err)
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

/* A key is listed everywhere before it comes first anywhere (docs/rotation.md): so identity comes first, unless the
 * others have the keys, or kube-apiserver encrypts already. */
static bool render(struct wire *wire, struct kt_error *err)
{
    bool first = true;
    uint8_t hash[KT_HASH_LEN];
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(wire->job.config, err);
    if (!wanted || !kt_own_keys_check(wire->job.host, wanted, &first, err))
        return false;
    if (!wire->makes_file)
        return !wire->wiring.makes_file || check_file(wire, wanted, err);
    if (!kt_rendered_get(wire->job.config, KT_RENDERED_WHOLE, &wire->rendered, err) ||
        !hash_of(wire->rendered.text, hash, err))
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
static bool take_keys(struct wire *wire, struct kt_error *err)
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
        !kt_own_keys_import(&member, &keys, err))
        return false;
    wire->changed = true;
    return kt_host_job_refresh(job, err);
}

/* ---- what is to be done ---- */

static bool check_host(const struct wire *wire, struct kt_error *err)
{
    const struct kt_host_job *job = &wire->job;
    if (!job->host) {
        kt_fail(err, KT_E_CONFIG, "expected a host of kubeadm, k3s or RKE2, found none of their files");
        return kt_error_hint(err, "keyturn(1), WIRING, says what kube-apiserver has to be told");
    }
    if (job->no_keyring.code != KT_OK)
        return kt_error_copy(err, &job->no_keyring);
    if (wire->in && !kt_host_job_answers(job)) {
        kt_fail(err, KT_E_REFUSED,
                "expected kms.uids in %.256s to have uid %u, under which kube-apiserver runs, found others",
                job->config->path, (unsigned)job->host->pod.user);
        return kt_error_hint(err, "add it there, keyturnd reads it at its next start; and see keyturnd-kms.socket");
    }
    if (job->host->id != KT_DISTRO_KUBEADM || job->kubeadm || job->line.options.force)
        return true;
    kt_fail(err, KT_E_INCOMPLETE, "ConfigMap kubeadm-config must be changed too, and was not read: %.300s",
            job->no_kubeadm.code != KT_OK ? job->no_kubeadm.message : "no kubeconfig was named");
    return kt_error_hint(err, "without it the next kubeadm upgrade undoes the manifest; --force goes on");
}

/* kubelet runs both, and which one serves is chance. */
static bool check_copies(const struct wire *wire, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_host_findings *findings = calloc(1, sizeof(*findings));
    if (!findings)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_host_findings(wire->job.host, NULL, findings, err))
        return false;
    for (size_t i = 0; i < findings->n; i++) {
        if (findings->items[i].id != KT_FINDING_MANIFEST_COPY)
            continue;
        kt_fail(err, KT_E_REFUSED, "%s", findings->items[i].message);
        return kt_error_hint(err, "%s", findings->items[i].hint);
    }
    return true;
}

static bool check_force(const struct wire *wire, struct kt_error *err)
{
    if (wire->in || wire->job.line.options.force || wire->job.line.options.dry_run)
        return true;
    kt_fail(
        err, KT_E_REFUSED,
        "expected --force: this release cannot count what is stored under the keys; where a Secret is, kube-apiserver "
        "does not come up without them, and cannot read it");
    return kt_error_hint(err, "keyturn disable, and every object rewritten, come first");
}

static bool plan(struct wire *wire, struct kt_error *err)
{
    struct kt_host_job *job = &wire->job;
    if (!check_copies(wire, err) || (wire->in && !take_keys(wire, err)))
        return false;
    bool planned = wire->in ? kt_wiring_plan(job->host, job->kms_socket, &wire->wiring, err)
                            : kt_wiring_plan_out(job->host, job->kms_socket, &wire->wiring, err);
    if (!planned || !kt_host_job_kubeadm(job, &wire->wiring, wire->in, err))
        return false;
    wire->makes_file = wire->in && access(wire->wiring.file, F_OK) != 0 && errno == ENOENT;
    if (!wire->in || (wire->takes_keys && job->line.options.dry_run))
        return true; /* they would be in the file */
    return render(wire, err);
}

static bool is_done(const struct wire *wire)
{
    return !wire->wiring.differs && !wire->makes_file && !wire->job.kubeadm_differs;
}

static bool show(const struct wire *wire, struct kt_error *err)
{
    const struct kt_wiring *wiring = &wire->wiring;
    const char *text = kt_host_job_kubeadm_text(&wire->job);
    const char *as = wire->in ? "wired" : "unwired";
    if (wire->job.line.options.json)
        return true;
    if (wire->makes_file)
        fprintf(stderr, "%s: to be made, as keyturn config show prints it%s\n", KT_PRINTABLE(wiring->file),
                wire->encrypts ? "" : ", but with identity in the first place: nothing is encrypted yet");
    return (!wiring->differs || kt_host_job_diff(wiring->target, as, kt_bytes_view(&wiring->before),
                                                 kt_bytes_view(&wiring->after), stderr, err)) &&
           (!wire->job.kubeadm_differs || kt_host_job_diff("ConfigMap kubeadm-config", as, kt_slice_str(text),
                                                           kt_bytes_view(&wire->job.kubeadm_after), stderr, err));
}

static bool confirm(const struct wire *wire, struct kt_error *err)
{
    const struct kt_options *options = &wire->job.line.options;
    if (!show(wire, err))
        return false;
    if (wire->in)
        return options->dry_run || kt_confirm(options, "Write it?", err);
    return options->dry_run ||
           kt_confirm(options, "Take it out, with every object that is still encrypted unreadable?", err);
}

/* ---- write ---- */

static bool make_folder(const struct wire *wire, struct kt_error *err)
{
    const struct kt_file_attrs folder = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s", wire->wiring.file);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    return kt_dir_make(AT_FDCWD, path, &folder, err);
}

/* Whose kube-apiserver is not root reads it as its owner. */
static bool write_file(struct wire *wire, struct kt_error *err)
{
    const struct kt_static_pod *pod = &wire->job.host->pod;
    const struct kt_secret *text = wire->rendered.text;
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = pod->has_user ? pod->user : KT_ANY_UID, .gid = (gid_t)-1};
    if (!wire->makes_file)
        return true;
    wire->changed = true;
    return make_folder(wire, err) && kt_file_create(AT_FDCWD, wire->wiring.file,
                                                    KT_SLICE(kt_secret_view(text), kt_secret_len(text)), &attrs, err);
}

/* Its hashes are in the audit log before it is there. */
static bool note(struct wire *wire, struct kt_error *err)
{
    KT_CLEANUP(kt_member_done) struct kt_member_job member = {.config = NULL};
    const uint8_t none[KT_HASH_LEN] = {0};
    uint8_t hash[KT_HASH_LEN];
    struct kt_outcome outcome;
    if (!wire->makes_file)
        return true;
    const struct kt_member_edits edits = {.config_before = none, .config_after = hash};
    return hash_of(wire->rendered.text, hash, err) && kt_member_start(&wire->job.line.options, &member, err) &&
           kt_member_edit(&member, &edits, &outcome, err);
}

/* Outside any folder that kubelet reads. */
static bool keep(const struct wire *wire, struct kt_error *err)
{
    const struct kt_file_attrs folder = {.mode = 0700, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_file_attrs file = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char path[KT_PATH_MAX + PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/" KEPT, wire->job.config->state_dir);
    if (!wire->wiring.before.data)
        return true;
    if (!kt_dir_make(AT_FDCWD, path, &folder, err))
        return false;
    (void)snprintf(path, sizeof(path), "%s/" KEPT "%s", wire->job.config->state_dir, strrchr(wire->wiring.target, '/'));
    return kt_file_replace(AT_FDCWD, path, kt_bytes_view(&wire->wiring.before), &file, err);
}

/* Nobody else wrote it since. */
static bool is_still(const struct kt_wiring *wiring, const struct kt_bytes *bytes, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_POD_FILE_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP_BYTES struct kt_bytes now = {.data = NULL};
    enum kt_file_state state = KT_FILE_ABSENT;
    if (!kt_file_read_if(AT_FDCWD, wiring->target, &rules, &now, &state, err))
        return false;
    if (kt_slice_equal(kt_bytes_view(&now), kt_bytes_view(bytes)))
        return true;
    kt_fail(err, KT_E_BUSY, "%s: another one changed it at the same time, and this one did not write it",
            wiring->target);
    return kt_error_hint(err, "see who did; then run it again");
}

/* A manifest is replaced by way of a dot file, which kubelet does not read. */
static bool put(const struct kt_wiring *wiring, const struct kt_bytes *bytes, struct kt_error *err)
{
    const struct kt_file_attrs folder = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char path[PATH_MAX];
    if (!bytes->data)
        return kt_file_remove(AT_FDCWD, wiring->target, err);
    (void)snprintf(path, sizeof(path), "%s", wiring->target);
    *strrchr(path, '/') = '\0';
    return kt_dir_make(AT_FDCWD, path, &folder, err) &&
           kt_file_replace(AT_FDCWD, wiring->target, kt_bytes_view(bytes), &attrs, err);
}

/* kubeadm's configuration has it first on the way in, and keeps it last on the way out: an upgrade in between leaves
 * nothing unreadable. */
static bool write_all(struct wire *wire, struct kt_error *err)
{
    const struct kt_host_job *job = &wire->job;
    struct kt_slice kubeadm = kt_bytes_view(&job->kubeadm_after);
    bool with = job->kubeadm_differs;
    if (!note(wire, err) || !write_file(wire, err) ||
        (wire->in && with && !kt_host_job_kubeadm_write(job, kubeadm, err)))
        return false;
    wire->changed = wire->changed || with;
    if (wire->wiring.differs && (!keep(wire, err) || !is_still(&wire->wiring, &wire->wiring.before, err) ||
                                 !put(&wire->wiring, &wire->wiring.after, err)))
        return false;
    wire->changed = true;
    return wire->in || !with || kt_host_job_kubeadm_write(job, kubeadm, err);
}

/* ---- wait ---- */

static bool hash_of_file(const struct wire *wire, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *bytes = kt_file_read_secret(AT_FDCWD, wire->wiring.file, &rules, err);
    return bytes && hash_of(bytes, ret, err);
}

static bool is_ready(struct wire *wire, const uint8_t hash[KT_HASH_LEN], struct kt_error *ret_why)
{
    struct kt_look *look = wire->job.look;
    if (!kt_look_take(look, wire->job.described.info, NULL, ret_why))
        return false;
    size_t i = look->servers ? local_server(wire) : 0;
    if (!look->servers || i >= look->servers->n || i >= look->facts.n_apis)
        return kt_fail(ret_why, KT_E_INCOMPLETE, "no API server of this host answers");
    const struct kt_apiserver *server = &look->servers->list[i];
    const struct kt_facts_api *api = &look->facts.apis[i];
    if (!api->reachable || server->ready == KT_VERDICT_BAD)
        return kt_fail(ret_why, KT_E_INCOMPLETE, "API server %.128s is not ready: %.256s", api->name,
                       api->reachable ? server->ready_words : server->why.message);
    bool loaded = api->hash_known && memcmp(api->hash, hash, KT_HASH_LEN) == 0;
    return loaded ||
           kt_fail(ret_why, KT_E_INCOMPLETE, "API server %.128s has not loaded %.256s", api->name, wire->wiring.file);
}

static bool put_back(struct wire *wire, const struct kt_error *why, struct kt_error *err)
{
    const char *text = kt_host_job_kubeadm_text(&wire->job);
    if (!wire->wiring.differs) {
        kt_fail(err, KT_E_INCOMPLETE, "out of time: %.256s", why->message);
        return kt_error_hint(err, "its log says why; keyturn doctor");
    }
    if (wire->encrypts) {
        kt_fail(err, KT_E_INCOMPLETE,
                "out of time: %.256s. %.256s was not put back: objects may be stored under the keys already",
                why->message, wire->wiring.target);
        return kt_error_hint(err, "its log says why; keyturn doctor");
    }
    bool back = is_still(&wire->wiring, &wire->wiring.after, err) && put(&wire->wiring, &wire->wiring.before, err);
    if (!back) {
        (void)kt_error_prefix(err, "%.256s; and what it was could not be put back", why->message);
        return kt_error_hint(err, "it is kept in %.200s/" KEPT, wire->job.config->state_dir);
    }
    if (text && wire->job.kubeadm_differs)
        kt_fail(err, KT_E_INCOMPLETE,
                "out of time, and %.256s was put back; ConfigMap kubeadm-config keeps what was added: %.256s",
                wire->wiring.target, why->message);
    else
        kt_fail(err, KT_E_INCOMPLETE, "out of time, and %.256s was put back: %.256s", wire->wiring.target,
                why->message);
    return kt_error_hint(err, "its log says why; keyturn doctor, then run it again");
}

/* k3s and RKE2 read their drop-ins at the next start, which is not ours to choose. */
static bool wait_ready(struct wire *wire, struct kt_error *err)
{
    const struct kt_options *options = &wire->job.line.options;
    uint64_t end = kt_clock_monotonic_ns() + options->timeout_s * NS_PER_S;
    uint8_t hash[KT_HASH_LEN];
    if (!wire->in || wire->job.host->distro->drop_ins || (!wire->wiring.differs && !wire->makes_file) ||
        !wire->job.look || !wire->job.look->kube)
        return true;
    if (!hash_of_file(wire, hash, err))
        return false;
    (void)snprintf(wire->job.look->config_file, sizeof(wire->job.look->config_file), "%s", wire->wiring.file);
    for (;;) {
        struct kt_error why = KT_ERROR_INIT;
        wire->ready = is_ready(wire, hash, &why);
        if (wire->ready)
            return true;
        if (kt_clock_monotonic_ns() >= end)
            return put_back(wire, &why, err);
        (void)poll(NULL, 0, LOOK_MS);
    }
}

/* Before anything is looked at: what is decided then is for what stands there still. */
static bool lock(struct wire *wire, int *ret_fd, struct kt_error *err)
{
    const struct kt_config *config = kt_host_job_config(&wire->job);
    if (!config || wire->job.line.options.dry_run)
        return true;
    *ret_fd = kt_rotation_lock(config, err);
    return *ret_fd >= 0;
}

static bool run(struct wire *wire, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = -1;
    if (!lock(wire, &fd, err) || !kt_host_job_open(&wire->job, err) || !check_force(wire, err) ||
        !check_host(wire, err) || !plan(wire, err))
        return false;
    if (is_done(wire))
        return true;
    if (!confirm(wire, err))
        return false;
    return wire->job.line.options.dry_run || (write_all(wire, err) && wait_ready(wire, err));
}

/* ---- what came of it ---- */

static void print_next(const struct wire *wire)
{
    const struct kt_host *host = wire->job.host;
    if (host->distro->drop_ins)
        printf("next: systemctl restart %s\n", host->distro->service);
    if (!wire->in)
        return;
    if (host->own_encryption)
        printf("from then on %s secrets-encrypt no longer applies: its status is about a file that nobody reads.\n"
               "its keys stay in clear in %s/server/cred, in the bootstrap data of the datastore, and in snapshots of "
               "it\n",
               host->distro->name, host->data_dir);
    if (wire->encrypts)
        printf("then: keyturn doctor; on the other control-plane nodes: keyturn config wire\n");
    else
        printf("then: on the other control-plane nodes, keyturn config wire; at last keyturn config apply, on each: "
               "from then on they encrypt, and it is done where it says so on the last\n");
}

static bool print(const struct wire *wire, struct kt_error *err)
{
    const struct kt_options *options = &wire->job.line.options;
    bool done = is_done(wire);
    if (!options->json) {
        const char *what = wire->in ? "wired" : "unwired";
        printf("%s: %s%s%s\n", KT_PRINTABLE(wire->wiring.target),
               done               ? "is "
               : options->dry_run ? "would be "
                                  : "",
               what,
               done          ? " already"
               : wire->ready ? ", and kube-apiserver runs with it"
                             : "");
        if (!done && !options->dry_run)
            print_next(wire);
        return kt_output_done(err);
    }
    json_t *value = kt_json_new("ConfigWire");
    if (value) {
        json_object_set_new(value, "distribution", json_string(wire->job.host->distro->name));
        json_object_set_new(value, "file", kt_json_text(wire->wiring.file));
        json_object_set_new(value, "toldBy", kt_json_text(wire->wiring.target));
        json_object_set_new(value, "changed", json_boolean(wire->changed));
        json_object_set_new(value, "wouldChange", json_boolean(options->dry_run && !done));
        json_object_set_new(value, "ready", json_boolean(wire->ready));
    }
    return kt_json_print(value, err);
}

static int command(struct wire *wire, int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    wire->job.line.timeout_s = KT_ROTATION_TIMEOUT_S;
    kt_host_job_parse(&wire->job, argc, argv);
    return run(wire, &err) && print(wire, &err) ? 0 : kt_print_error(&wire->job.line.options, &err);
}

int kt_command_config_wire(int argc, char **argv)
{
    KT_CLEANUP(wire_done) struct wire wire = {.in = true, .job.line.command = kt_command_find("config wire")};
    return command(&wire, argc, argv);
}

int kt_command_config_unwire(int argc, char **argv)
{
    KT_CLEANUP(wire_done) struct wire wire = {.in = false, .job.line.command = kt_command_find("config unwire")};
    return command(&wire, argc, argv);
}
