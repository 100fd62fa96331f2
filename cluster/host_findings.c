/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/host_findings.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
    const char *name;
    bool is_error;
    const char *message;
    const char *hint;
} FINDINGS[] = {
#define KT_HOST_FINDING(name, is_error, message, hint) {#name, is_error, message, hint},
#include "cluster/host_findings.def"
#undef KT_HOST_FINDING
};

struct look {
    const struct kt_host *host;
    const char *kms_socket;
    struct kt_host_encryption encryption;
    struct kt_host_findings *findings;
};

const char *kt_host_finding_name(enum kt_host_finding_id id)
{
    return FINDINGS[id].name;
}

/* ---- words ---- */

static const char *word_of(const struct look *look, char letter, const char *about)
{
    switch (letter) {
    case 'F':
        return look->encryption.flag ? look->encryption.flag : "";
    case 'H':
        return look->encryption.file;
    case 'M':
        return look->host->manifest[0] != '\0' ? look->host->manifest : look->host->distro->config;
    case 'S':
        return look->host->distro->service;
    default:
        return about;
    }
}

static void fill(const struct look *look, const char *form, const char *about, char *ret, size_t cap)
{
    size_t len = 0;
    ret[0] = '\0';
    for (const char *c = form; *c && len + 1 < cap; c++) {
        bool is_word = *c == '%' && c[1] != '\0';
        int n = is_word ? snprintf(ret + len, cap - len, "%s", word_of(look, *++c, about))
                        : snprintf(ret + len, cap - len, "%c", *c);
        len += (size_t)n;
    }
}

static void find(struct look *look, enum kt_host_finding_id id, const char *about)
{
    struct kt_host_findings *all = look->findings;
    if (all->n == KT_HOST_FINDINGS_MAX)
        return;
    struct kt_host_finding *finding = &all->items[all->n++];
    finding->id = id;
    finding->is_error = FINDINGS[id].is_error;
    fill(look, FINDINGS[id].message, about, finding->message, sizeof(finding->message));
    fill(look, FINDINGS[id].hint, about, finding->hint, sizeof(finding->hint));
}

/* ---- flags ---- */

static void look_at_flags(struct look *look)
{
    const struct kt_apiserver_flags *flags = &look->host->flags;
    if (flags->given[KT_FLAG_ENCRYPTION_CONFIG] + flags->given[KT_FLAG_ENCRYPTION_CONFIG_OLD] > 1)
        find(look, KT_FINDING_CONFIG_TWICE, "");
    if (flags->given[KT_FLAG_ENCRYPTION_CONFIG_OLD] > 0)
        find(look, KT_FINDING_CONFIG_OLD_FLAG, "");
    if (!look->encryption.flag && look->encryption.reload)
        find(look, KT_FINDING_RELOAD_ALONE, "");
    if (look->encryption.flag && !look->encryption.reload)
        find(look, KT_FINDING_RELOAD_OFF, "");
    if (look->host->own_encryption && look->encryption.flag && !look->encryption.is_own)
        find(look, KT_FINDING_OWN_ENCRYPTION, "");
}

/* ---- files ---- */

/* By the mode alone: whoever runs as another uid has, in a container, no group of the host's. */
static bool may_read(const struct stat *st, uid_t uid)
{
    mode_t bit = st->st_uid == uid ? S_IRUSR : S_IROTH;
    return uid == 0 || (st->st_mode & bit) != 0;
}

static void look_at_file(struct look *look)
{
    struct stat st;
    char uid[32];
    const struct kt_host *host = look->host;
    if (look->encryption.path == KT_HOST_PATH_UNMOUNTED)
        find(look, KT_FINDING_CONFIG_UNMOUNTED, "");
    if (look->encryption.path == KT_HOST_PATH_FILE)
        find(look, KT_FINDING_CONFIG_MOUNTED_ALONE, "");
    if (look->encryption.file[0] == '\0')
        return;
    if (stat(look->encryption.file, &st) < 0) {
        if (errno == ENOENT)
            find(look, KT_FINDING_CONFIG_ABSENT, "");
        return;
    }
    (void)snprintf(uid, sizeof(uid), "%u", (unsigned)host->pod.user);
    if (host->pod.has_user && !may_read(&st, host->pod.user))
        find(look, KT_FINDING_CONFIG_UNREADABLE, uid);
}

static void look_for_socket(struct look *look)
{
    struct stat st;
    char path[2 * PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s%s", look->host->root, look->kms_socket);
    if (stat(path, &st) < 0)
        find(look, KT_FINDING_SOCKET_ABSENT, look->kms_socket);
    else if (S_ISDIR(st.st_mode))
        find(look, KT_FINDING_SOCKET_FOLDER, look->kms_socket);
}

static void look_at_socket(struct look *look)
{
    char inside[PATH_MAX];
    if (!look->kms_socket || !look->encryption.flag || look->encryption.is_own)
        return;
    enum kt_host_path path = kt_host_inside(look->host, look->kms_socket, inside);
    if (path == KT_HOST_PATH_UNMOUNTED)
        find(look, KT_FINDING_SOCKET_UNMOUNTED, look->kms_socket);
    if (path == KT_HOST_PATH_FILE)
        find(look, KT_FINDING_SOCKET_MOUNTED_ALONE, look->kms_socket);
    look_for_socket(look);
}

/* ---- the manifests' folder ---- */

static bool runs_apiserver(int dir, const char *name, bool *ret, struct kt_error *err)
{
    static const struct kt_file_rules rules = {.max = KT_POD_FILE_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    struct kt_static_pod pod;
    *ret = false;
    if (!kt_file_read(dir, name, &rules, &text, err))
        return false;
    if (!kt_static_pod_parse(kt_bytes_view(&text), name, "kube-apiserver", &pod, NULL))
        return true; /* no pod: kubelet starts nothing from it */
    const char *command = pod.n_words > 0 ? pod.words[0] : "";
    const char *slash = strrchr(command, '/');
    *ret = strcmp(slash ? slash + 1 : command, "kube-apiserver") == 0;
    kt_static_pod_done(&pod);
    return true;
}

/* kubelet reads every regular file whose name begins with no dot. */
static bool look_at_folder(struct look *look, struct kt_error *err)
{
    char folder[PATH_MAX];
    const char *own = strrchr(look->host->manifest, '/');
    if (!own)
        return true;
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(own - look->host->manifest), look->host->manifest);
    KT_CLEANUP(closedir_p) DIR *dir = opendir(folder);
    if (!dir)
        return kt_fail_errno(err, KT_E_IO, "%s", folder);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        bool copy = false;
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, own + 1) == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (!runs_apiserver(dirfd(dir), entry->d_name, &copy, err))
            return false;
        if (copy)
            find(look, KT_FINDING_MANIFEST_COPY, entry->d_name);
    }
    return true;
}

/* ---- what runs ---- */

struct running {
    const struct kt_apiserver_flags *expected;
    bool any;
    bool same;
};

static bool compare(void *context, const struct kt_apiserver_flags *flags)
{
    struct running *running = context;
    running->any = true;
    running->same |= kt_apiserver_flags_same(flags, running->expected);
    return true;
}

/* Where several run (in containers of tests, say) one of them must be the host's. */
static bool look_at_processes(struct look *look, struct kt_error *err)
{
    struct running running = {.expected = &look->host->flags};
    if (look->host->pod.n_words == 0)
        return true;
    if (!kt_host_processes(look->host->root, "kube-apiserver", compare, &running, err))
        return false;
    if (running.any && !running.same)
        find(look, KT_FINDING_RUNNING_DIFFERS, "");
    return true;
}

/* RKE2's own words are those of its manifest but for the encryption, which is all that is compared. */
static bool same_encryption(const struct kt_apiserver_flags *a, const struct kt_apiserver_flags *b)
{
    const char *one = kt_apiserver_encryption_config(a);
    const char *other = kt_apiserver_encryption_config(b);
    bool same = (!one || !other) ? one == other : strcmp(one, other) == 0;
    return same &&
           kt_apiserver_flag_on(a, KT_FLAG_ENCRYPTION_RELOAD) == kt_apiserver_flag_on(b, KT_FLAG_ENCRYPTION_RELOAD);
}

bool kt_host_findings(const struct kt_host *host, const char *kms_socket, struct kt_host_findings *ret,
                      struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_host_findings *findings = calloc(1, sizeof(*findings));
    struct look look = {.host = host, .kms_socket = kms_socket, .findings = findings};
    if (!findings)
        return kt_fail(err, KT_E_NOMEM, "no memory to look at this host");
    kt_host_encryption(host, &look.encryption);
    look_at_flags(&look);
    look_at_file(&look);
    look_at_socket(&look);
    if (host->has_wanted && !same_encryption(&host->flags, &host->wanted))
        find(&look, KT_FINDING_RESTART_PENDING, "");
    if (!look_at_folder(&look, err) || !look_at_processes(&look, err))
        return false;
    *ret = *findings;
    return true;
}
