/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_attrs.h"

#include <errno.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

#define ACL "system.posix_acl_access"

static bool set_owner(int to, uid_t uid, gid_t gid, struct kt_error *err)
{
    struct stat now;

    if (fstat(to, &now) < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot look at the new file");
    if (uid == KT_ANY_UID)
        uid = now.st_uid;
    if (gid == (gid_t)-1)
        gid = now.st_gid;
    if (now.st_uid == uid && now.st_gid == gid)
        return true;
    if (fchown(to, uid, gid) < 0) {
        (void)kt_fail_errno(err, KT_E_PERMISSION, "uid %u cannot give it the owner %u:%u", (unsigned)geteuid(),
                            (unsigned)uid, (unsigned)gid);
        return kt_error_hint(err, "run it as root, or as uid %u", (unsigned)uid);
    }
    return true;
}

static bool set_mode(int to, mode_t mode, struct kt_error *err)
{
    if (fchmod(to, mode & 07777) < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot give it the mode %04o", (unsigned)(mode & 07777));
    return true;
}

bool kt_file_attrs_set(int to, const struct kt_file_attrs *attrs, struct kt_error *err)
{
    return set_owner(to, attrs->uid, attrs->gid, err) && set_mode(to, attrs->mode, err);
}

static bool is_copied(const char *name)
{
    static const char *const computed[] = {"security.ima", "security.evm", "security.capability"};
    static const char *const spaces[] = {"user.", "trusted.", "security."};

    for (size_t i = 0; i < KT_ARRAY_LEN(computed); i++) {
        if (strcmp(name, computed[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(spaces); i++) {
        if (strncmp(name, spaces[i], strlen(spaces[i])) == 0)
            return true;
    }
    return strcmp(name, ACL) == 0;
}

/* One that the new file already has (a label given by the directory's policy) need not be set, which may be forbidden.
 */
static bool copy_one(int from, int to, const char *name, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *value = malloc(2 * (size_t)XATTR_SIZE_MAX);

    if (!value)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    char *other = value + XATTR_SIZE_MAX;
    ssize_t len = fgetxattr(from, name, value, XATTR_SIZE_MAX);
    if (len < 0)
        return errno == ENODATA || errno == ENOTSUP ||
               kt_fail_errno(err, KT_E_PERMISSION, "cannot read its attribute %s", name);
    ssize_t other_len = fgetxattr(to, name, other, XATTR_SIZE_MAX);
    if (other_len == len && memcmp(value, other, (size_t)len) == 0)
        return true;
    if (fsetxattr(to, name, value, (size_t)len, 0) < 0 && errno != ENOTSUP)
        return kt_fail_errno(err, KT_E_PERMISSION, "cannot keep its attribute %s", name);
    return true;
}

/* An ACL may have come from the directory's default, and would let in those whom the old file kept out. */
static bool drop_acl(int to, struct kt_error *err)
{
    if (fremovexattr(to, ACL) < 0 && errno != ENODATA && errno != ENOTSUP)
        return kt_fail_errno(err, KT_E_PERMISSION, "cannot remove the ACL that the directory gives to new files");
    return true;
}

static bool copy_all(int from, int to, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *names = malloc(XATTR_LIST_MAX);
    bool has_acl = false;

    if (!names)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    ssize_t len = flistxattr(from, names, XATTR_LIST_MAX);
    if (len < 0 && errno != ENOTSUP)
        return kt_fail_errno(err, KT_E_IO, "cannot list its extended attributes");
    for (const char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
        if (!is_copied(name))
            continue;
        if (!copy_one(from, to, name, err))
            return false;
        has_acl = has_acl || strcmp(name, ACL) == 0;
    }
    return has_acl || drop_acl(to, err);
}

bool kt_file_attrs_copy(int from, const struct kt_file_attrs *attrs, int to, struct kt_error *err)
{
    return set_owner(to, attrs->uid, attrs->gid, err) && copy_all(from, to, err) && set_mode(to, attrs->mode, err);
}
