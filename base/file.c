/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include "base/path.h"
#include "base/printable.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* So that sizes can be added to without overflow, whatever a caller allows. */
#define FILE_MAX (SIZE_MAX / 4)

void kt_fd_close(int fd)
{
    if (fd < 0)
        return;
    int saved = errno;
    (void)close(fd);
    errno = saved;
}

bool kt_fd_is_at(int fd, int dirfd, const char *path)
{
    struct stat open_st;
    struct stat named_st;

    return fstat(fd, &open_st) == 0 && fstatat(dirfd, path, &named_st, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_st.st_dev == named_st.st_dev && open_st.st_ino == named_st.st_ino;
}

struct opened {
    int fd;
    size_t size;
    size_t max;
    struct kt_path_text shown;
};

static void opened_done(struct opened *file)
{
    kt_fd_close(file->fd);
}

static bool check_owner(const char *shown, const struct stat *st, const struct kt_file_rules *rules,
                        struct kt_error *err)
{
    if (rules->owner == KT_ANY_UID || st->st_uid == rules->owner || st->st_uid == 0)
        return true;
    if (rules->owner == 0)
        (void)kt_fail(err, KT_E_PERMISSION, "%s: is owned by uid %u, must be owned by root", shown,
                      (unsigned)st->st_uid);
    else
        (void)kt_fail(err, KT_E_PERMISSION, "%s: is owned by uid %u, must be owned by uid %u or root", shown,
                      (unsigned)st->st_uid, (unsigned)rules->owner);
    return kt_error_hint(err, "chown %u %s", (unsigned)rules->owner, KT_SHELL(shown));
}

static bool check_mode(const char *shown, const struct stat *st, const struct kt_file_rules *rules,
                       struct kt_error *err)
{
    unsigned mode = st->st_mode & 07777;
    unsigned wrong = mode & rules->forbidden_mode;

    if (wrong == 0)
        return true;
    (void)kt_fail(err, KT_E_PERMISSION, "%s: has mode %04o, must have none of the bits %04o", shown, mode,
                  (unsigned)rules->forbidden_mode);
    return kt_error_hint(err, "chmod %04o %s", mode & ~wrong, KT_SHELL(shown));
}

static bool fail_size(const struct opened *file, struct kt_error *err)
{
    errno = EFBIG;
    return kt_fail_errno(err, KT_E_IO, "%s: is larger than %zu bytes", file->shown.text, file->max);
}

static bool check(int dirfd, const char *path, const struct kt_file_rules *rules, struct opened *file,
                  struct kt_error *err)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot look at it", file->shown.text);
    if (!S_ISREG(st.st_mode))
        return kt_path_fail_kind(dirfd, path, st.st_mode, S_IFREG, err);
    if (!check_owner(file->shown.text, &st, rules, err) || !check_mode(file->shown.text, &st, rules, err))
        return false;
    file->max = rules->max < FILE_MAX ? rules->max : FILE_MAX;
    if ((uint64_t)st.st_size > file->max)
        return fail_size(file, err);
    file->size = (size_t)st.st_size;
    return true;
}

/* O_NONBLOCK, for opening a named pipe would wait for its writer. */
static bool open_checked(int dirfd, const char *path, const struct kt_file_rules *rules, struct opened *ret,
                         enum kt_file_state *ret_state, struct kt_error *err)
{
    (void)kt_path_show(dirfd, path, &ret->shown);
    ret->fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (ret->fd < 0 && errno == ENOENT) {
        *ret_state = KT_FILE_ABSENT;
        return true;
    }
    if (ret->fd < 0)
        return kt_path_fail_open(dirfd, path, S_IFREG, err);
    *ret_state = KT_FILE_READ;
    return check(dirfd, path, rules, ret, err);
}

static bool fail_absent(const struct opened *file, struct kt_error *err)
{
    errno = ENOENT;
    return kt_fail_errno(err, KT_E_IO, "%s: cannot open it", file->shown.text);
}

static bool read_some(const struct opened *file, void *buffer, size_t cap, size_t *ret, struct kt_error *err)
{
    ssize_t n;

    do
        n = read(file->fd, buffer, cap);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot read it", file->shown.text);
    *ret = (size_t)n;
    return true;
}

/* Room for one byte more than can be used now, so that the end shows as such; and for the NUL. */
static bool grow(struct kt_bytes *bytes, size_t *cap, size_t max, struct kt_error *err)
{
    size_t wanted = *cap * 2 < max + 1 ? *cap * 2 : max + 1;
    uint8_t *data = realloc(bytes->data, wanted + 1);

    if (!data)
        return kt_fail(err, KT_E_NOMEM, "out of memory: %zu bytes", wanted);
    bytes->data = data;
    *cap = wanted;
    return true;
}

/* The size is only a guess: the file may grow meanwhile, and files of the kernel's have none. */
static bool read_all(const struct opened *file, struct kt_bytes *ret, struct kt_error *err)
{
    size_t cap = file->size + 1;
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = malloc(cap + 1)};
    size_t n = 0;

    if (!bytes.data)
        return kt_fail(err, KT_E_NOMEM, "out of memory: %zu bytes", cap);
    do {
        if (bytes.len == cap && !grow(&bytes, &cap, file->max, err))
            return false;
        if (!read_some(file, bytes.data + bytes.len, cap - bytes.len, &n, err))
            return false;
        bytes.len += n;
        if (bytes.len > file->max)
            return fail_size(file, err);
    } while (n > 0);
    bytes.data[bytes.len] = 0;
    ret->len = bytes.len;
    ret->data = KT_TAKE_PTR(bytes.data);
    return true;
}

bool kt_file_read_if(int dirfd, const char *path, const struct kt_file_rules *rules, struct kt_bytes *ret,
                     enum kt_file_state *ret_state, struct kt_error *err)
{
    KT_CLEANUP(opened_done) struct opened file = {.fd = -1};
    enum kt_file_state state = KT_FILE_ABSENT;

    if (!open_checked(dirfd, path, rules, &file, &state, err))
        return false;
    if (state == KT_FILE_READ && !read_all(&file, ret, err))
        return false;
    *ret_state = state;
    return true;
}

bool kt_file_read(int dirfd, const char *path, const struct kt_file_rules *rules, struct kt_bytes *ret,
                  struct kt_error *err)
{
    KT_CLEANUP(opened_done) struct opened file = {.fd = -1};
    enum kt_file_state state = KT_FILE_ABSENT;

    if (!open_checked(dirfd, path, rules, &file, &state, err))
        return false;
    if (state == KT_FILE_ABSENT)
        return fail_absent(&file, err);
    return read_all(&file, ret, err);
}

static bool fail_changed(const struct opened *file, struct kt_error *err)
{
    return kt_fail(err, KT_E_IO, "%s: changed while it was read", file->shown.text);
}

/* A secret has a fixed size, so here the file must be as long as it was said to be. */
static bool read_exactly(const struct opened *file, uint8_t *bytes, struct kt_error *err)
{
    uint8_t more = 0;
    size_t n = 0;

    for (size_t len = 0; len < file->size; len += n) {
        if (!read_some(file, bytes + len, file->size - len, &n, err))
            return false;
        if (n == 0)
            return fail_changed(file, err);
    }
    if (!read_some(file, &more, 1, &n, err))
        return false;
    kt_wipe(&more, sizeof(more));
    return n == 0 || fail_changed(file, err);
}

static struct kt_secret *read_secret(const struct opened *file, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = NULL;

    if (file->size == 0) {
        (void)kt_fail(err, KT_E_IO, "%s: is empty", file->shown.text);
        return NULL;
    }
    secret = kt_secret_new(file->size, err);
    if (!secret || !read_exactly(file, kt_secret_bytes(secret), err))
        return NULL;
    return KT_TAKE_PTR(secret);
}

struct kt_secret *kt_file_read_secret(int dirfd, const char *path, const struct kt_file_rules *rules,
                                      struct kt_error *err)
{
    KT_CLEANUP(opened_done) struct opened file = {.fd = -1};
    struct kt_file_rules bounded = *rules;
    enum kt_file_state state = KT_FILE_ABSENT;

    if (bounded.max > KT_SECRET_MAX)
        bounded.max = KT_SECRET_MAX;
    if (!open_checked(dirfd, path, &bounded, &file, &state, err))
        return NULL;
    if (state == KT_FILE_ABSENT) {
        (void)fail_absent(&file, err);
        return NULL;
    }
    return read_secret(&file, err);
}
