/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest of a static pod (core/v1 Pod in YAML or JSON), as kubeadm and RKE2 write one for kube-apiserver: the
 * words of its command, and where the paths that it names lie on the host.
 */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

#define KT_POD_FILE_MAX   ((size_t)1 << 20)
#define KT_POD_WORDS_MAX  512u
#define KT_POD_MOUNTS_MAX 128u
#define KT_POD_TEXT_MAX   16384u /* bytes of one word */

/* A hostPath volume and where the container sees it. */
struct kt_pod_mount {
    char *inside;
    char *host; /* with its subPath */
    char *type; /* "Directory", "DirectoryOrCreate", "File", ...; "": not said */
    bool read_only;
};

struct kt_static_pod {
    char **words; /* of command and args; ends with NULL */
    size_t n_words;
    struct kt_pod_mount *mounts;
    size_t n_mounts;
    bool has_user; /* it runs under another uid than the image says */
    uid_t user;
};
void kt_static_pod_done(struct kt_static_pod *pod);

/* The container of that name, or the first if none has it. what: the file, for messages. KT_E_CONFIG. */
bool kt_static_pod_parse(struct kt_slice text, const char *what, const char *container, struct kt_static_pod *ret,
                         struct kt_error *err) KT_MUST_CHECK;

/* The mount that a path of the container lies in, or a path of the host (inside false): the deepest one. *ret_rest is
 * what follows the mount's own path: "" if it is mounted itself, else it begins with '/'. NULL: none. Paths are
 * compared as text. */
const struct kt_pod_mount *kt_static_pod_mount(const struct kt_static_pod *pod, const char *path, bool inside,
                                               const char **ret_rest);
