/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "cluster/host_findings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define CMDLINE_MAX ((size_t)256 * 1024)

/* A file of /proc has no size. The text ends with a NUL whatever it holds. */
static char *read_cmdline(int proc, const char *pid, size_t *ret_len)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%.20s/cmdline", pid);
    KT_CLEANUP(kt_fd_close_p) int fd = openat(proc, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    KT_CLEANUP(kt_free_p) char *text = fd < 0 ? NULL : malloc(CMDLINE_MAX + 1);
    size_t len = 0;
    if (!text)
        return NULL;
    for (ssize_t n = 1; n > 0 && len<CMDLINE_MAX; len += n> 0 ? (size_t)n : 0)
        n = read(fd, text + len, CMDLINE_MAX - len);
    text[len] = '\0';
    *ret_len = len;
    return KT_TAKE_PTR(text);
}

static bool is_named(const char *word, const char *name)
{
    const char *slash = strrchr(word, '/');
    return strcmp(slash ? slash + 1 : word, name) == 0;
}

/* One that has ended meanwhile, or has too many words, is none. */
static bool visit_process(char *text, size_t len, kt_host_process_visit f, void *context)
{
    char *words[KT_APISERVER_WORDS_MAX];
    size_t n = 0;
    struct kt_apiserver_flags flags;
    for (char *at = text; at < text + len && n < KT_APISERVER_WORDS_MAX; at += strlen(at) + 1)
        words[n++] = at;
    if (!kt_apiserver_flags_read(words, n, &flags, NULL))
        return true;
    bool more = f(context, &flags);
    kt_apiserver_flags_done(&flags);
    return more;
}

bool kt_host_processes(const char *root, const char *name, kt_host_process_visit f, void *context, struct kt_error *err)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/proc", root);
    KT_CLEANUP(closedir_p) DIR *proc = opendir(path);
    if (!proc)
        return errno == ENOENT || kt_fail_errno(err, KT_E_IO, "%s", path);
    for (const struct dirent *entry; (entry = readdir(proc));) {
        size_t len = 0;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        KT_CLEANUP(kt_free_p) char *text = read_cmdline(dirfd(proc), entry->d_name, &len);
        if (text && len > 0 && is_named(text, name) && !visit_process(text, len, f, context))
            break;
    }
    return true;
}
