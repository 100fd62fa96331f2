/* SPDX-License-Identifier: Apache-2.0 */
/* What is wired wrongly, or only half, on a host: for doctor, and before and after config wire. Nothing is changed. */
#pragma once

#include "cluster/distro.h"

#define KT_HOST_FINDINGS_MAX 32u

enum kt_host_finding_id {
#define KT_HOST_FINDING(name, is_error, message, hint) KT_FINDING_##name,
#include "cluster/host_findings.def"
#undef KT_HOST_FINDING
    KT_HOST_FINDING_COUNT,
};

struct kt_host_finding {
    enum kt_host_finding_id id;
    bool is_error; /* else something to know */
    char message[512];
    char hint[384];
};
struct kt_host_findings {
    struct kt_host_finding items[KT_HOST_FINDINGS_MAX];
    size_t n;
};

/* kms_socket: the daemon's, on the host; NULL: not to be looked at. What nothing encrypts with has no findings of its
 * own: an encryption that is not wired at all is no mistake. KT_E_IO, KT_E_PERMISSION, KT_E_NOMEM. */
bool kt_host_findings(const struct kt_host *host, const char *kms_socket, struct kt_host_findings *ret,
                      struct kt_error *err) KT_MUST_CHECK;
/* "CONFIG_TWICE". */
const char *kt_host_finding_name(enum kt_host_finding_id id);

/* The flags of the processes of that name, by ROOT/proc/PID/cmdline. f: for each; false from it ends the walk. False,
 * and *err, only if /proc cannot be read. */
typedef bool (*kt_host_process_visit)(void *context, const struct kt_apiserver_flags *flags);
bool kt_host_processes(const char *root, const char *name, kt_host_process_visit f, void *context,
                       struct kt_error *err) KT_MUST_CHECK;
