/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/managed.h"

#include "encconfig/coverage.h"

size_t kt_managed_secrets(const struct kt_encconfig *file)
{
    return kt_encconfig_entry_of(file, kt_slice_str(""), kt_slice_str("secrets"));
}

size_t kt_managed_lists(const struct kt_encconfig *file, bool *managed)
{
    size_t n = 0;
    for (size_t i = 0; i < file->n_entries; i++)
        n += managed[i];
    size_t secrets = kt_managed_secrets(file);
    if (n > 0 || secrets == file->n_entries)
        return n;
    managed[secrets] = true;
    return 1;
}
