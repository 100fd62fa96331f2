/* SPDX-License-Identifier: Apache-2.0 */
/* The names by which stored values are told apart (cluster/storage_value.h), owned. */
#pragma once

#include "cluster/storage_value.h"

struct kt_names {
    size_t n;
    struct kt_storage_name *items;
    char **texts; /* that items point to */
};
/* Copies the name; one that is there already is not there twice. KT_E_NOMEM. */
bool kt_names_add(struct kt_names *names, enum kt_storage_provider provider, const char *name,
                  struct kt_error *err) KT_MUST_CHECK;
void kt_names_done(struct kt_names *names);
