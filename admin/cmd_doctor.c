/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/host_job.h"
#include "base/printable.h"
#include "cluster/host_findings.h"

#include <stdio.h>
#include <string.h>

#define MORE_MAX 3u

struct doctor {
    struct kt_host_job job;
    struct kt_host_encryption encryption;
    struct kt_host_findings *host;
    struct kt_host_finding more[MORE_MAX]; /* of what lies in the cluster, and of keyturn.yaml */
    size_t n_more;
    struct kt_wiring wiring;
    struct kt_error no_wiring; /* KT_OK: what would change is known */
};

static void doctor_done(struct doctor *doctor)
{
    kt_wiring_done(&doctor->wiring);
    free(doctor->host);
    kt_host_job_done(&doctor->job);
}

/* ---- kubeadm's configuration in the cluster ---- */

static void add(struct doctor *doctor, bool is_error, const char *message, const char *hint)
{
    struct kt_host_finding *finding = &doctor->more[doctor->n_more++];
    *finding = (struct kt_host_finding){.id = KT_HOST_FINDING_COUNT, .is_error = is_error};
    (void)snprintf(finding->message, sizeof(finding->message), "%.508s", message);
    (void)snprintf(finding->hint, sizeof(finding->hint), "%.380s", hint);
}

static bool look_at_kubeadm(struct doctor *doctor, struct kt_error *err)
{
    struct kt_host_job *job = &doctor->job;
    if (job->host->id != KT_DISTRO_KUBEADM || doctor->no_wiring.code != KT_OK)
        return true;
    if (doctor->encryption.flag && !job->kubeadm && job->no_kubeadm.code != KT_OK)
        add(doctor, false, "ConfigMap kubeadm-config was not read: it must have the same flags and mounts",
            job->no_kubeadm.message);
    if (!kt_host_job_kubeadm(job, &doctor->wiring, true, err))
        return false;
    if (doctor->encryption.flag && job->kubeadm_differs)
        add(doctor, true,
            "ConfigMap kubeadm-config lacks what the manifest has: the next kubeadm upgrade takes it out, and no "
            "encrypted "
            "object can be read any more",
            "keyturn config wire adds it; or kubectl -n kube-system edit configmap kubeadm-config");
    return true;
}

static bool examine(struct doctor *doctor, struct kt_error *err)
{
    struct kt_host_job *job = &doctor->job;
    if (!kt_host_job_open(job, err))
        return false;
    if (!job->host) {
        kt_fail(err, KT_E_CONFIG, "expected a host of kubeadm, k3s or RKE2, found none of their files");
        return kt_error_hint(err, "keyturn(1), WIRING, says what kube-apiserver has to be told");
    }
    doctor->host = calloc(1, sizeof(*doctor->host));
    if (!doctor->host)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    kt_host_encryption(job->host, &doctor->encryption);
    if (!kt_host_findings(job->host, job->kms_socket, doctor->host, err))
        return false;
    if (!kt_wiring_plan(job->host, job->kms_socket, &doctor->wiring, &doctor->no_wiring) &&
        doctor->no_wiring.code != KT_E_REFUSED)
        return kt_error_copy(err, &doctor->no_wiring);
    if (doctor->encryption.flag && !kt_host_job_answers(job))
        add(doctor, true, "the daemon does not answer the user under which kube-apiserver runs (runAsUser)",
            "kms.uids in keyturn.yaml, and systemctl restart keyturnd");
    return look_at_kubeadm(doctor, err);
}

/* ---- what came of it ---- */

static size_t count_errors(const struct doctor *doctor)
{
    size_t n = 0;
    for (size_t i = 0; i < doctor->host->n; i++)
        n += doctor->host->items[i].is_error;
    for (size_t i = 0; i < doctor->n_more; i++)
        n += doctor->more[i].is_error;
    return n;
}

static const char *state_of(const struct kt_host_encryption *encryption)
{
    return !encryption->flag    ? "none: objects are stored in clear"
           : encryption->is_own ? "the distribution's own"
           : encryption->reload ? "reloaded when it changes"
                                : "read at the start alone";
}

static const char *told_by(const struct kt_host *host)
{
    return host->manifest[0] != '\0' ? host->manifest : host->distro->config;
}

static void print_finding(const struct kt_host_finding *finding)
{
    printf("%s: %s\n", finding->is_error ? "error" : "note", KT_PRINTABLE(finding->message));
    if (finding->hint[0] != '\0')
        printf("  %s\n", KT_PRINTABLE(finding->hint));
}

/* Where they cannot be put into the file without changing how it is written. */
static void print_parts(const struct kt_wiring *wiring)
{
    if (wiring->n_args > 0)
        printf("what kube-apiserver is to be told:\n");
    for (size_t i = 0; i < wiring->n_args; i++)
        printf("  --%s=%s\n", wiring->args[i].name, KT_PRINTABLE(wiring->args[i].value));
    for (size_t i = 0; i < wiring->n_mounts; i++)
        printf("  the folder %s, mounted as %s%s\n", KT_PRINTABLE(wiring->mounts[i].host),
               KT_PRINTABLE(wiring->mounts[i].inside), wiring->mounts[i].read_only ? ", read-only" : "");
}

static bool print_lines(const struct doctor *doctor, struct kt_error *err)
{
    const struct kt_wiring *wiring = &doctor->wiring;
    const char *text = kt_host_job_kubeadm_text(&doctor->job);
    if (doctor->no_wiring.code != KT_OK) {
        printf("keyturn config wire would refuse: %s\n", KT_PRINTABLE(doctor->no_wiring.message));
        print_parts(wiring);
        return true;
    }
    if (!wiring->differs && !doctor->job.kubeadm_differs)
        return true;
    printf("what keyturn config wire would change:\n");
    return kt_host_job_diff(wiring->target, "wired", kt_bytes_view(&wiring->before), kt_bytes_view(&wiring->after),
                            stdout, err) &&
           (!doctor->job.kubeadm_differs || kt_host_job_diff("ConfigMap kubeadm-config", "wired", kt_slice_str(text),
                                                             kt_bytes_view(&doctor->job.kubeadm_after), stdout, err));
}

static bool print_text(const struct doctor *doctor, struct kt_error *err)
{
    const struct kt_host *host = doctor->job.host;
    const struct kt_host_encryption *encryption = &doctor->encryption;
    const char *file = encryption->file[0] != '\0' ? encryption->file : encryption->flag ? encryption->flag : "";
    printf("%s: %s\n", host->distro->name, KT_PRINTABLE(told_by(host)));
    printf("EncryptionConfiguration: %s%s%s\n", KT_PRINTABLE(file), file[0] != '\0' ? ", " : "", state_of(encryption));
    if (doctor->job.no_keyring.code != KT_OK)
        printf("note: no keyring: %s\n", KT_PRINTABLE(doctor->job.no_keyring.message));
    for (size_t i = 0; i < doctor->host->n; i++)
        print_finding(&doctor->host->items[i]);
    for (size_t i = 0; i < doctor->n_more; i++)
        print_finding(&doctor->more[i]);
    return print_lines(doctor, err) && kt_output_done(err);
}

static void add_findings(json_t *list, const struct kt_host_finding *findings, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(
            list,
            json_pack("{s:s,s:s,s:o,s:o}", "severity", findings[i].is_error ? "error" : "note", "name",
                      findings[i].id == KT_HOST_FINDING_COUNT ? "CONFIGURATION" : kt_host_finding_name(findings[i].id),
                      "message", kt_json_text(findings[i].message), "hint", kt_json_text(findings[i].hint)));
}

static bool print_json(const struct doctor *doctor, struct kt_error *err)
{
    const struct kt_host *host = doctor->job.host;
    json_t *value = kt_json_new("Doctor");
    json_t *findings = json_array();
    add_findings(findings, doctor->host->items, doctor->host->n);
    add_findings(findings, doctor->more, doctor->n_more);
    if (value) {
        json_object_set_new(value, "distribution", json_string(host->distro->name));
        json_object_set_new(value, "toldBy", kt_json_text(told_by(host)));
        json_object_set_new(value, "encryptionConfig", kt_json_text(doctor->encryption.file));
        json_object_set_new(value, "reload", json_boolean(doctor->encryption.reload));
        json_object_set_new(value, "wired",
                            json_boolean(doctor->encryption.flag && !doctor->encryption.is_own &&
                                         doctor->no_wiring.code == KT_OK && !doctor->wiring.differs &&
                                         !doctor->job.kubeadm_differs));
        json_object_set_new(value, "refusal", kt_json_text(doctor->no_wiring.message));
        json_object_set_new(value, "findings", findings);
    }
    return kt_json_print(value, err);
}

static bool tell(const struct doctor *doctor, struct kt_error *err)
{
    size_t n = count_errors(doctor);
    if (doctor->job.line.options.json ? !print_json(doctor, err) : !print_text(doctor, err))
        return false;
    if (n == 0)
        return true;
    kt_fail(err, KT_E_FOUND, "%s: %zu error%s in how kube-apiserver is told to encrypt", told_by(doctor->job.host), n,
            n == 1 ? "" : "s");
    return kt_error_hint(err, "each says above what to change");
}

int kt_command_doctor(int argc, char **argv)
{
    KT_CLEANUP(doctor_done) struct doctor doctor = {.job.line.command = kt_command_find("doctor")};
    struct kt_error err = KT_ERROR_INIT;
    kt_host_job_parse(&doctor.job, argc, argv);
    return examine(&doctor, &err) && tell(&doctor, &err) ? 0 : kt_print_error(&doctor.job.line.options, &err);
}
