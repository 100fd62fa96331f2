/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The count of a store: so many objects of each kind, by the provider and the key that they are stored under. It is
 * told one value after the other, keeps none of them, and grows with the number of different kinds and keys alone.
 */
#pragma once

#include "cluster/storage_place.h"
#include "cluster/storage_value.h"

#define KT_TALLY_ROWS_MAX  16384u /* kinds times keys; a store with more is refused */
#define KT_TALLY_NAMES_MAX 512u

/* Objects of one kind under one key. */
struct kt_tally_row {
    const char *resource; /* may be any bytes but NUL: print it made printable */
    const char *group;
    bool known; /* the kind: see struct kt_storage_place */
    bool internal;
    enum kt_storage_provider provider;
    struct kt_slice name;   /* of the key, or of the KMS plugin */
    bool name_known;        /* it is one of the names that were given */
    struct kt_slice key_id; /* of KMS v2 */
    const char *problem;    /* UNKNOWN: why; static storage */
    uint64_t count;
};

/* One of them, while it is counted; in place. */
struct kt_tally_object {
    const struct kt_storage_place *place;
    const struct kt_tally_row *row;
    struct kt_slice key;   /* of the store */
    struct kt_slice value; /* as it is stored */
};
/* False ends the count; then *err is filled. */
typedef bool kt_tally_visit(void *context, const struct kt_tally_object *object, struct kt_error *err);

/* What was visited so far is void: it is counted anew. */
typedef void kt_tally_again(void *context);

struct kt_tally_options {
    const char *prefix;                  /* --etcd-prefix; NULL: the default */
    const struct kt_storage_name *names; /* in use, KT_TALLY_NAMES_MAX at most; they outlive the tally */
    size_t n_names;
    kt_tally_visit *visit; /* may be NULL */
    kt_tally_again *again; /* likewise */
    void *context;
};

struct kt_tally;
struct kt_tally *kt_tally_new(const struct kt_tally_options *options, struct kt_error *err) KT_MUST_CHECK;
void kt_tally_free(struct kt_tally *tally);
KT_DEFINE_CLEANUP(struct kt_tally *, kt_tally_free);

/* What every key that counts begins with. */
struct kt_slice kt_tally_prefix(const struct kt_tally *tally);
/* As if nothing had been counted; `again` is told. */
void kt_tally_clear(struct kt_tally *tally);
/* Fails where there are more than KT_TALLY_ROWS_MAX rows (KT_E_REFUSED), for want of memory, or as visit does. A key
 * that does not begin with the prefix is an error too (KT_E_IO). */
bool kt_tally_add(struct kt_tally *tally, struct kt_slice key, struct kt_slice value,
                  struct kt_error *err) KT_MUST_CHECK;

uint64_t kt_tally_objects(const struct kt_tally *tally);
/* How many of them may have been written under names[i]: kt_storage_value_fits. */
uint64_t kt_tally_fits(const struct kt_tally *tally, size_t i);
/* By group, resource, provider, name and key_id. Good until something is added. */
const struct kt_tally_row *const *kt_tally_rows(struct kt_tally *tally, size_t *ret_n);
