/* SPDX-License-Identifier: Apache-2.0 */
/* A list of objects that are to be rewritten. */
#pragma once

#include "base/buf.h"

/* In one list; what is beyond waits for the next one. */
#define KT_STALE_MAX 262144u

/* Its place in the API, and what it is stored under. */
struct kt_stale_object {
    const char *group;
    const char *resource;
    const char *namespace; /* "": the kind has none */
    const char *name;
    char *under; /* in words, for whoever has to look after it; the other texts lie behind it */
    bool odd;    /* there is no telling its name: `name` is its key in the store */
};

struct kt_stale {
    size_t n;
    size_t cap;
    struct kt_stale_object *items;
    bool more; /* than are here */
};
void kt_stale_done(struct kt_stale *stale);
/* What it is stored under, and where. */
struct kt_stale_from {
    struct kt_slice group;
    struct kt_slice resource;
    struct kt_slice namespace;
    struct kt_slice name;
    bool odd;
    const char *under;
};
bool kt_stale_add(struct kt_stale *stale, const struct kt_stale_from *from, struct kt_error *err) KT_MUST_CHECK;
