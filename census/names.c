/* SPDX-License-Identifier: Apache-2.0 */
#include "census/names.h"

#include <stdlib.h>
#include <string.h>

static bool has(const struct kt_names *names, enum kt_storage_provider provider, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (names->items[i].provider == provider && strcmp(names->items[i].name, name) == 0)
            return true;
    return false;
}

static bool make_room(struct kt_names *names)
{
    struct kt_storage_name *items = realloc(names->items, (names->n + 1) * sizeof(*items));
    if (items)
        names->items = items;
    char **texts = realloc(names->texts, (names->n + 1) * sizeof(char *));
    if (texts)
        names->texts = texts;
    return items && texts;
}

bool kt_names_add(struct kt_names *names, enum kt_storage_provider provider, const char *name, struct kt_error *err)
{
    if (has(names, provider, name))
        return true;
    char *copy = make_room(names) ? strdup(name) : NULL;
    if (!copy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    names->texts[names->n] = copy;
    names->items[names->n++] = (struct kt_storage_name){.provider = provider, .name = copy};
    return true;
}

void kt_names_done(struct kt_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->texts[i]);
    free(names->items);
    free(names->texts);
    *names = (struct kt_names){.n = 0};
}
