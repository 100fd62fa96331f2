/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "wiring/parts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char doctor[] = "keyturn doctor says what is wrong with it, and what to change";

void kt_wiring_done(struct kt_wiring *wiring)
{
    kt_bytes_done(&wiring->before);
    kt_bytes_done(&wiring->after);
}

/* ---- names ---- */

/* What needs no quotes in YAML, in a flag, and in "src:dst:ro". */
static bool is_plain(const char *path)
{
    for (const char *c = path; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("/._-+@", *c))
            return false;
    }
    return path[0] == '/';
}

static bool check_path(const char *path, struct kt_error *err)
{
    if (is_plain(path) && strlen(path) < PATH_MAX / 4)
        return true;
    kt_fail(err, KT_E_REFUSED, "expected an absolute path of letters, digits and /._-+@, found %.512s", path);
    return kt_error_hint(err, "wire it by hand, or use another path");
}

/* "/a/b" of "/a/b/c". */
static void folder_of(const char *path, char ret[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    (void)snprintf(ret, PATH_MAX, "%.*s", slash ? (int)(slash - path) : 0, path);
}

static bool expand(const struct kt_host *host, const char *folder, const char *name, char ret[PATH_MAX],
                   struct kt_error *err)
{
    bool below = strncmp(folder, "%D", 2) == 0;
    int n = snprintf(ret, PATH_MAX, "%s%s/%s", below ? host->data_dir : host->root, below ? folder + 2 : folder, name);
    return n < PATH_MAX || kt_fail(err, KT_E_CONFIG, "%s: too long a name", folder);
}

static const char *without_root(const struct kt_host *host, const char *path)
{
    return path + strlen(host->root);
}

/* ---- what belongs to it ---- */

static void add_arg(struct kt_wiring *wiring, const char *name, const char *value)
{
    struct kt_wiring_arg *arg = &wiring->args[wiring->n_args++];
    arg->name = name;
    (void)snprintf(arg->value, sizeof(arg->value), "%s", value);
}

static void add_mount(struct kt_wiring *wiring, const char *name, const char *host_file, const char *inside_file,
                      bool read_only)
{
    struct kt_wiring_mount *mount = &wiring->mounts[wiring->n_mounts++];
    mount->name = name;
    mount->read_only = read_only;
    folder_of(host_file, mount->host);
    folder_of(inside_file, mount->inside);
}

static bool find_file(const struct kt_host *host, const struct kt_host_encryption *now, struct kt_wiring *ret,
                      struct kt_error *err)
{
    const struct kt_distro *distro = host->distro;
    ret->makes_file = !now->flag || now->is_own;
    if (ret->makes_file) {
        (void)snprintf(ret->inside, sizeof(ret->inside), "%s/" KT_WIRING_FILE, distro->encryption_inside);
        return expand(host, distro->encryption_folder, KT_WIRING_FILE, ret->file, err);
    }
    if (now->path == KT_HOST_PATH_FOLDER) {
        (void)snprintf(ret->inside, sizeof(ret->inside), "%s", now->flag);
        (void)snprintf(ret->file, sizeof(ret->file), "%s", now->file);
        return true;
    }
    kt_fail(err, KT_E_REFUSED, "expected %.1024s in a folder that kube-apiserver's container sees, found it %s",
            now->flag, now->path == KT_HOST_PATH_FILE ? "mounted as a single file" : "in none");
    return kt_error_hint(err, "%s", doctor);
}

static bool list_parts(const struct kt_host *host, const char *kms_socket, struct kt_wiring *wiring,
                       struct kt_error *err)
{
    const char *file = without_root(host, wiring->file);
    if (!check_path(file, err) || !check_path(wiring->inside, err) || (kms_socket && !check_path(kms_socket, err)))
        return false;
    add_arg(wiring, kt_apiserver_flag_name(KT_FLAG_ENCRYPTION_CONFIG), wiring->inside);
    add_arg(wiring, kt_apiserver_flag_name(KT_FLAG_ENCRYPTION_RELOAD), "true");
    if (host->pod.n_words == 0)
        return true;
    add_mount(wiring, "keyturn-config", file, wiring->inside, true);
    if (kms_socket)
        add_mount(wiring, "keyturn-socket", kms_socket, kms_socket, false);
    return true;
}

/* ---- the file that tells it ---- */

static bool find_target(const struct kt_host *host, struct kt_wiring *ret, struct kt_error *err)
{
    if (host->distro->drop_ins)
        return expand(host, host->distro->drop_ins, KT_WIRING_DROP_IN, ret->target, err);
    (void)snprintf(ret->target, sizeof(ret->target), "%s", host->manifest);
    return true;
}

static bool read_target(struct kt_wiring *wiring, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_POD_FILE_MAX, .owner = KT_ANY_UID};
    enum kt_file_state state = KT_FILE_ABSENT;
    return kt_file_read_if(AT_FDCWD, wiring->target, &rules, &wiring->before, &state, err);
}

static bool begin(const struct kt_host *host, const char *kms_socket, struct kt_wiring *ret, struct kt_error *err)
{
    struct kt_host_encryption now;
    *ret = (struct kt_wiring){.makes_file = false};
    kt_host_encryption(host, &now);
    return find_file(host, &now, ret, err) && list_parts(host, kms_socket, ret, err) && find_target(host, ret, err) &&
           read_target(ret, err);
}

static bool end(struct kt_wiring *wiring)
{
    wiring->differs = !kt_slice_equal(kt_bytes_view(&wiring->before), kt_bytes_view(&wiring->after));
    return true;
}

bool kt_wiring_plan(const struct kt_host *host, const char *kms_socket, struct kt_wiring *ret, struct kt_error *err)
{
    if (!begin(host, kms_socket, ret, err))
        return false;
    bool planned = host->distro->drop_ins ? kt_wiring_drop_in(host, ret, err) : kt_wiring_manifest(host, ret, err);
    return planned && end(ret);
}

bool kt_wiring_plan_out(const struct kt_host *host, const char *kms_socket, struct kt_wiring *ret, struct kt_error *err)
{
    if (!begin(host, kms_socket, ret, err))
        return false;
    bool planned = host->distro->drop_ins ? kt_wiring_drop_in_out(ret, err) : kt_wiring_manifest_out(host, ret, err);
    return planned && end(ret);
}
