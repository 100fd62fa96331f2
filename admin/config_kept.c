/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_kept.h"

#include "admin/config_left.h"
#include "base/buf.h"
#include "base/file.h"
#include "keystore/kdf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER   "config-previous"
#define HEX      ((size_t)KT_HASH_LEN * 2)
#define NAME_CAP (KT_CONFIG_KEPT_NAME_MAX + 1 + HEX + 1)

/* The copies of one file. */
struct place {
    char folder[PATH_MAX];
    char prefix[NAME_CAP]; /* of their names */
};

void kt_config_kept_done(struct kt_config_kept *kept)
{
    kt_secret_free(KT_TAKE_PTR(kept->bytes));
}

static bool find_place(const char *state_dir, const char *path, struct place *ret, struct kt_error *err)
{
    size_t len = 0;
    int n = snprintf(ret->folder, sizeof(ret->folder), "%s/" FOLDER, state_dir);
    for (const char *p = path; *p && len <= KT_CONFIG_KEPT_NAME_MAX; p++) {
        bool escaped = *p == '/' || *p == '%';
        len += (size_t)(escaped ? snprintf(ret->prefix + len, NAME_CAP - len, "%%%02X", (unsigned)*p)
                                : snprintf(ret->prefix + len, NAME_CAP - len, "%c", *p));
    }
    if (len <= KT_CONFIG_KEPT_NAME_MAX && n > 0 && n < PATH_MAX - (int)NAME_CAP) {
        memcpy(ret->prefix + len, ".", 2);
        return true;
    }
    kt_fail(err, KT_E_CONFIG, "%s: its path is too long to keep the previous file under it", path);
    return kt_error_hint(err, "use a shorter path for kube-apiserver's --encryption-provider-config");
}

static bool write_copy(const char *state_dir, const char *path, const char *suffix, const struct kt_secret *bytes,
                       struct kt_error *err)
{
    const struct kt_file_attrs folder = {.mode = 0700, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_file_attrs file = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    struct place place = {.folder = ""};
    char name[PATH_MAX + NAME_CAP];
    if (!find_place(state_dir, path, &place, err) || !kt_dir_make(AT_FDCWD, place.folder, &folder, err))
        return false;
    snprintf(name, sizeof(name), "%s/%s%s", place.folder, place.prefix, suffix);
    return kt_file_replace(AT_FDCWD, name, KT_SLICE(kt_secret_view(bytes), kt_secret_len(bytes)), &file, err);
}

bool kt_config_keep(const char *state_dir, const char *path, const uint8_t became[KT_HASH_LEN],
                    const struct kt_secret *bytes, struct kt_error *err)
{
    char hex[HEX + 1];
    kt_hex_encode(KT_SLICE(became, KT_HASH_LEN), hex);
    return write_copy(state_dir, path, hex, bytes, err);
}

bool kt_config_keep_undone(const char *state_dir, const char *path, const struct kt_secret *bytes, struct kt_error *err)
{
    return write_copy(state_dir, path, "undone", bytes, err);
}

/* ---- what is kept ---- */

static bool is_copy(const struct place *place, const char *name, uint8_t ret_became[KT_HASH_LEN])
{
    size_t len = strlen(place->prefix);
    const char *hex = name + len;
    return strncmp(name, place->prefix, len) == 0 && strlen(hex) == HEX &&
           kt_hex_decode(KT_SLICE((const uint8_t *)hex, HEX), ret_became, KT_HASH_LEN);
}

/* An empty stream where nothing was ever kept: *ret NULL. */
static bool open_folder(const struct place *place, DIR **ret, struct kt_error *err)
{
    *ret = opendir(place->folder);
    return *ret || errno == ENOENT || kt_fail_errno(err, KT_E_IO, "%s", place->folder);
}

struct search {
    const struct kt_secret *now;
    uint8_t hash[KT_HASH_LEN]; /* of now */
    int rank;                  /* of what was found: the higher the better */
    struct timespec time;
    struct kt_config_kept *ret;
};

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static bool weigh(struct search *search, const char *path, const uint8_t became[KT_HASH_LEN], struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = geteuid(), .forbidden_mode = 0077};
    struct stat st;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_file_read_secret(AT_FDCWD, path, &rules, err);
    if (!bytes)
        return false;
    if (lstat(path, &st) != 0)
        return kt_fail_errno(err, KT_E_IO, "%s", path);
    int rank = memcmp(became, search->hash, KT_HASH_LEN) == 0 ? 3 : kt_secret_equal(bytes, search->now) ? 2 : 1;
    if (rank < search->rank || (rank == search->rank && !is_later(&st.st_mtim, &search->time)))
        return true;
    search->rank = rank;
    search->time = st.st_mtim;
    kt_config_kept_done(search->ret);
    search->ret->bytes = KT_TAKE_PTR(bytes);
    memcpy(search->ret->became, became, KT_HASH_LEN);
    return true;
}

bool kt_config_kept_find(const char *state_dir, const char *path, const struct kt_secret *now,
                         struct kt_config_kept *ret, struct kt_error *err)
{
    KT_CLEANUP(closedir_p) DIR *folder = NULL;
    const struct kt_slice slice = KT_SLICE(kt_secret_view(now), kt_secret_len(now));
    struct search search = {.now = now, .ret = ret};
    uint8_t became[KT_HASH_LEN];
    struct place place = {.folder = ""};
    char copy[PATH_MAX + NAME_MAX];
    *ret = (struct kt_config_kept){.bytes = NULL};
    if (!kt_sha256(&slice, 1, search.hash, err) || !find_place(state_dir, path, &place, err) ||
        !open_folder(&place, &folder, err))
        return false;
    for (const struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        int n = snprintf(copy, sizeof(copy), "%s/%s", place.folder, entry->d_name);
        if (n > 0 && is_copy(&place, entry->d_name, became) && !weigh(&search, copy, became, err))
            return false;
    }
    if (ret->bytes)
        return true;
    kt_fail(err, KT_E_REFUSED, "%s: keyturn has not changed it: there is no previous one", path);
    return kt_error_hint(err, "keyturn config apply writes what the keyring has");
}

/* Also what a run that was killed has left of one (base/file.h). */
static bool is_of(const struct place *place, const char *name)
{
    return strncmp(name + (name[0] == '.'), place->prefix, strlen(place->prefix)) == 0;
}

/* One that is not valid was never written by keyturn: nobody knows what it is. */
static bool has_archived(const char *path, const struct kt_keyring_info *info, bool *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = geteuid(), .forbidden_mode = 0077};
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    struct kt_error invalid = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_file_read_secret(AT_FDCWD, path, &rules, err);
    if (!bytes)
        return false;
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *config =
        kt_encconfig_parse(KT_SLICE(kt_secret_view(bytes), kt_secret_len(bytes)), &findings, &invalid);
    *ret = config && kt_config_has_archived(config, info);
    return true;
}

bool kt_config_kept_forget(const char *state_dir, const char *path, const struct kt_keyring_info *info,
                           struct kt_error *err)
{
    KT_CLEANUP(closedir_p) DIR *folder = NULL;
    struct place place = {.folder = ""};
    char copy[PATH_MAX + NAME_MAX];
    if (!find_place(state_dir, path, &place, err) || !open_folder(&place, &folder, err))
        return false;
    for (const struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        bool archived = false;
        int n = snprintf(copy, sizeof(copy), "%s/%s", place.folder, entry->d_name);
        if (n < 0 || !is_of(&place, entry->d_name))
            continue;
        if (!has_archived(copy, info, &archived, err) ||
            (archived && !kt_file_remove(dirfd(folder), entry->d_name, err)))
            return false;
    }
    return true;
}

bool kt_config_kept_prune(const char *state_dir, const char *path, const uint8_t became[KT_HASH_LEN],
                          struct kt_error *err)
{
    KT_CLEANUP(closedir_p) DIR *folder = NULL;
    uint8_t other[KT_HASH_LEN];
    struct place place = {.folder = ""};
    if (!find_place(state_dir, path, &place, err) || !open_folder(&place, &folder, err))
        return false;
    for (const struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        if (is_copy(&place, entry->d_name, other) && memcmp(other, became, KT_HASH_LEN) != 0 &&
            !kt_file_remove(dirfd(folder), entry->d_name, err))
            return false;
    }
    return true;
}
