/* SPDX-License-Identifier: Apache-2.0 */
/* config wire, config unwire. */
#include "admin/fingerprint_ask.h"
#include "admin/rotation_run.h"
#include "admin/wire.h"
#include "base/printable.h"
#include "cluster/host_findings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void wire_done(struct kt_wire *wire)
{
    kt_wiring_done(&wire->wiring);
    kt_rendered_done(&wire->rendered);
    kt_host_job_done(&wire->job);
}

/* ---- what is to be done ---- */

static bool check_host(const struct kt_wire *wire, struct kt_error *err)
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
static bool check_copies(const struct kt_wire *wire, struct kt_error *err)
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

static bool plan(struct kt_wire *wire, struct kt_error *err)
{
    struct kt_host_job *job = &wire->job;
    if (!check_copies(wire, err) || (wire->in && !kt_wire_take_keys(wire, err)))
        return false;
    bool planned = wire->in ? kt_wiring_plan(job->host, job->kms_socket, &wire->wiring, err)
                            : kt_wiring_plan_out(job->host, job->kms_socket, &wire->wiring, err);
    if (!planned || !kt_host_job_kubeadm(job, &wire->wiring, wire->in, err))
        return false;
    wire->makes_file = wire->in && access(wire->wiring.file, F_OK) != 0 && errno == ENOENT;
    if (!wire->in || (wire->takes_keys && job->line.options.dry_run))
        return true; /* they would be in the file */
    return kt_wire_render(wire, err);
}

static bool is_done(const struct kt_wire *wire)
{
    return !wire->wiring.differs && !wire->makes_file && !wire->job.kubeadm_differs;
}

static bool show(const struct kt_wire *wire, struct kt_error *err)
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

static bool confirm(const struct kt_wire *wire, struct kt_error *err)
{
    const struct kt_options *options = &wire->job.line.options;
    if (!show(wire, err))
        return false;
    if (wire->in)
        return options->dry_run || kt_confirm(options, "Write it?", err);
    const char *question =
        options->force ? "Take it out, with every object that is still encrypted unreadable?" : "Take it out?";
    return options->dry_run || kt_confirm(options, question, err);
}

/* Before anything is looked at: what is decided then is for what stands there still. */
static bool lock(struct kt_wire *wire, int *ret_fd, struct kt_error *err)
{
    const struct kt_config *config = kt_host_job_config(&wire->job);
    if (!config || wire->job.line.options.dry_run)
        return true;
    *ret_fd = kt_rotation_lock(config, err);
    return *ret_fd >= 0;
}

static bool run(struct kt_wire *wire, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = -1;
    if (!lock(wire, &fd, err) || !kt_host_job_open(&wire->job, err) || !kt_wire_check_stored(wire, err) ||
        !check_host(wire, err) || !plan(wire, err))
        return false;
    if (is_done(wire))
        return true;
    if (!confirm(wire, err))
        return false;
    return wire->job.line.options.dry_run || (kt_wire_write(wire, err) && kt_wire_wait(wire, err));
}

/* ---- what came of it ---- */

static void print_next(const struct kt_wire *wire)
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

static bool print(const struct kt_wire *wire, struct kt_error *err)
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
        if (wire->lacks)
            printf("%s: does not have all of the keyring: %s\n  keyturn config apply\n",
                   KT_PRINTABLE(wire->wiring.file), KT_PRINTABLE(wire->lack.message));
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
        json_object_set_new(value, "lacks", kt_json_text(wire->lacks ? wire->lack.message : ""));
    }
    return kt_json_print(value, err);
}

static int command(struct kt_wire *wire, int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    wire->job.line.timeout_s = KT_ROTATION_TIMEOUT_S;
    kt_host_job_parse(&wire->job, argc, argv);
    return run(wire, &err) && print(wire, &err) ? 0 : kt_print_error(&wire->job.line.options, &err);
}

int kt_command_config_wire(int argc, char **argv)
{
    KT_CLEANUP(wire_done)
    struct kt_wire wire = {.in = true, .lack = KT_ERROR_INIT, .job.line.command = kt_command_find("config wire")};
    return command(&wire, argc, argv);
}

int kt_command_config_unwire(int argc, char **argv)
{
    KT_CLEANUP(wire_done) struct kt_wire wire = {.in = false, .job.line.command = kt_command_find("config unwire")};
    return command(&wire, argc, argv);
}
