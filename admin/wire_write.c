/* SPDX-License-Identifier: Apache-2.0 */
/* What wiring writes, in an order in which nothing gets unreadable, and the wait for kube-apiserver. */
#include "admin/wire.h"
#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define LOOK_MS  2000

/* ---- write ---- */

static bool make_folder(const struct kt_wire *wire, struct kt_error *err)
{
    const struct kt_file_attrs folder = {.mode = 0755, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s", wire->wiring.file);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    return kt_dir_make(AT_FDCWD, path, &folder, err);
}

/* Whose kube-apiserver is not root reads it as its owner. */
static bool write_file(struct kt_wire *wire, struct kt_error *err)
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
static bool note(struct kt_wire *wire, struct kt_error *err)
{
    KT_CLEANUP(kt_member_done) struct kt_member_job member = {.config = NULL};
    const uint8_t none[KT_HASH_LEN] = {0};
    uint8_t hash[KT_HASH_LEN];
    struct kt_outcome outcome;
    if (!wire->makes_file)
        return true;
    const struct kt_member_edits edits = {.config_before = none, .config_after = hash};
    return kt_wire_hash(wire->rendered.text, hash, err) && kt_member_start(&wire->job.line.options, &member, err) &&
           kt_member_edit(&member, &edits, &outcome, err);
}

/* Outside any folder that kubelet reads. */
static bool keep(const struct kt_wire *wire, struct kt_error *err)
{
    const struct kt_file_attrs folder = {.mode = 0700, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_file_attrs file = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char path[KT_PATH_MAX + PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/" KT_WIRE_KEPT, wire->job.config->state_dir);
    if (!wire->wiring.before.data)
        return true;
    if (!kt_dir_make(AT_FDCWD, path, &folder, err))
        return false;
    (void)snprintf(path, sizeof(path), "%s/" KT_WIRE_KEPT "%s", wire->job.config->state_dir,
                   strrchr(wire->wiring.target, '/'));
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
bool kt_wire_write(struct kt_wire *wire, struct kt_error *err)
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

static bool hash_of_file(const struct kt_wire *wire, uint8_t ret[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *bytes = kt_file_read_secret(AT_FDCWD, wire->wiring.file, &rules, err);
    return bytes && kt_wire_hash(bytes, ret, err);
}

static bool is_ready(struct kt_wire *wire, const uint8_t hash[KT_HASH_LEN], struct kt_error *ret_why)
{
    struct kt_look *look = wire->job.look;
    if (!kt_look_take(look, wire->job.described.info, NULL, ret_why))
        return false;
    size_t i = look->servers ? kt_wire_local_server(wire) : 0;
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

static bool put_back(struct kt_wire *wire, const struct kt_error *why, struct kt_error *err)
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
        return kt_error_hint(err, "it is kept in %.200s/" KT_WIRE_KEPT, wire->job.config->state_dir);
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
bool kt_wire_wait(struct kt_wire *wire, struct kt_error *err)
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
