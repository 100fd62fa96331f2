/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/managed.h"

#include <string.h>

static bool names_secrets(const struct kt_encconfig_entry *entry)
{
    static const char *const names[] = {"secrets", "*.", "*.*"};
    for (size_t i = 0; i < entry->n_resources; i++) {
        for (size_t k = 0; k < KT_ARRAY_LEN(names); k++) {
            if (strcmp(entry->resources[i].text, names[k]) == 0)
                return true;
        }
    }
    return false;
}

size_t kt_managed_secrets(const struct kt_encconfig *file)
{
    size_t i = 0;
    while (i < file->n_entries && !names_secrets(&file->entries[i]))
        i++;
    return i;
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
