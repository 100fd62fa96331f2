/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_file.h"

#include "base/file.h"
#include "base/secret.h"
#include "encconfig/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

void kt_config_file_done(struct kt_bytes *bytes)
{
    if (bytes->data)
        kt_wipe(bytes->data, bytes->len);
    kt_bytes_done(bytes);
}

bool kt_config_file_read(const char *file, struct kt_bytes *ret, mode_t *ret_mode, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SOURCE_BYTES_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP(kt_free_p) char *path = realpath(file, NULL);
    struct stat st = {0};
    if (!path || stat(path, &st) != 0)
        return kt_fail_errno(err, KT_E_IO, "%s", file);
    if (ret_mode)
        *ret_mode = st.st_mode;
    return kt_file_read(AT_FDCWD, path, &rules, ret, err);
}
