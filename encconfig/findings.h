/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with an EncryptionConfiguration, in kube-apiserver's words where they are its own, and where in the
 * file. Never a key: where kube-apiserver would print one, it says REDACTED.
 */
#pragma once

#include "encconfig/pool.h"
#include "encconfig/source.h"

/* What is more is counted only. */
#define KT_FINDINGS_MAX 1000u

enum kt_finding_kind {
    KT_FINDING_DECODE,   /* the file does not decode; text in our own words */
    KT_FINDING_STRICT,   /* a field that is not known */
    KT_FINDING_REQUIRED, /* field validation: something is missing */
    KT_FINDING_INVALID,  /* field validation: a value is wrong */
    KT_FINDING_BUILD,    /* every part is right, but not together */
    KT_FINDING_WARNING,  /* kube-apiserver takes it */
};

struct kt_finding {
    enum kt_finding_kind kind;
    const char *path;   /* resources[0].providers[1].kms.name; "" where there is none */
    const char *text;   /* as printed behind the path; UTF-8 without control characters, but of any length */
    const char *advice; /* what to do; static; NULL: the text says it */
    struct kt_place place;
};

struct kt_findings {
    struct kt_pool pool;
    struct kt_finding *items;
    size_t n;
    size_t cap;
    size_t n_more; /* that did not fit */
    bool out_of_memory;
};
void kt_findings_done(struct kt_findings *findings);

/* path and text are copied, control characters of the text escaped as in JSON. */
void kt_findings_add(struct kt_findings *findings, enum kt_finding_kind kind, struct kt_place place, const char *path,
                     const char *text, const char *advice);
/* Without warnings. */
size_t kt_findings_count(const struct kt_findings *findings);
/* As kube-apiserver prints that it refuses the file of that name: with what went wrong in front ("error while parsing
 * file:
 * ..."), and several findings of field validation as [a, b], each once. Nothing is added where there is none. */
void kt_findings_print(const struct kt_findings *findings, const char *file, struct kt_text *out);
