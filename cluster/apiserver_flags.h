/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags that a kube-apiserver runs with, out of its words: a manifest's command and args, /proc/PID/cmdline, or
 * what k3s and RKE2 are told. Read as pflag does: --flag=value, --flag value (not for booleans), '_' for '-' in a name,
 * the last one of several counts, lists grow. What apiserver_flags.def does not name is passed over.
 */
#pragma once

#include "base/error.h"

#define KT_APISERVER_WORDS_MAX 512u
#define KT_APISERVER_VALUE_MAX 16384u /* bytes of a value, of a list put together */

enum kt_apiserver_flag {
#define KT_APISERVER_FLAG(name, kind, flag) KT_FLAG_##name,
#include "cluster/apiserver_flags.def"
#undef KT_APISERVER_FLAG
    KT_FLAG_COUNT,
};

struct kt_apiserver_flags {
    char *values[KT_FLAG_COUNT];   /* NULL: not given */
    unsigned given[KT_FLAG_COUNT]; /* how many times */
};
void kt_apiserver_flags_done(struct kt_apiserver_flags *flags);

/* More than KT_APISERVER_WORDS_MAX words or KT_APISERVER_VALUE_MAX bytes: KT_E_CONFIG. */
bool kt_apiserver_flags_read(char *const *words, size_t n, struct kt_apiserver_flags *ret,
                             struct kt_error *err) KT_MUST_CHECK;

/* "encryption-provider-config": without dashes. */
const char *kt_apiserver_flag_name(enum kt_apiserver_flag flag);
/* A boolean: given, and not as a false one. */
bool kt_apiserver_flag_on(const struct kt_apiserver_flags *flags, enum kt_apiserver_flag flag);
/* The file of --encryption-provider-config, or of its old name; NULL: none. */
const char *kt_apiserver_encryption_config(const struct kt_apiserver_flags *flags);
/* They store alike: the same encryption config, reload, and store. */
bool kt_apiserver_flags_same(const struct kt_apiserver_flags *a, const struct kt_apiserver_flags *b);
