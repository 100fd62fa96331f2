/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which object a key of the store is of: the inverse of storage_key.h. Nothing is copied.
 *
 * kube-apiserver keeps a few lists of its own beside the objects (which addresses and ports are given out, which API
 * servers there are), and kine a key for its health. They are never encrypted, whatever the EncryptionConfiguration
 * says (seen with v1.36.2 and a rule for *.*).
 */
#pragma once

#include "base/buf.h"

struct kt_storage_place {
    struct kt_slice resource;  /* "secrets"; of a kind that is not known, its place */
    struct kt_slice group;     /* "", "apps", "stable.example.com" */
    struct kt_slice namespace; /* empty: the kind has none */
    struct kt_slice name;
    bool known;    /* built in and in storage_kinds.def, or with a group of its own */
    bool internal; /* one of kube-apiserver's own lists: resource is "masterleases", ... */
    bool odd;      /* the key has more or fewer parts than its kind has: namespace and name are empty */
};

/* prefix: from kt_storage_prefix. False if the key does not begin with it, or has nothing behind it. */
bool kt_storage_place_read(struct kt_slice prefix, struct kt_slice key, struct kt_storage_place *ret) KT_MUST_CHECK;
