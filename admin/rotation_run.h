/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that rotate: the loop look -> kt_rotation_next -> act of rotation/rotation.h, until it is done, refused,
 * out of time (--timeout) or interrupted (SIGINT, SIGTERM, SIGHUP). Ended anywhere, also by kill -9, the same command
 * run again goes on. One at a time: STATE/rotation.lock; and no generation is made over a keyring that is not the
 * newest any more. KT_E_BUSY in both cases.
 */
#pragma once

#include "admin/look.h"
#include "admin/member.h"
#include "cluster/rewriter.h"

#define KT_ROTATION_TIMEOUT_S 300u
#define KT_ROTATION_DONE_MAX  32u
/* So often in a row another one may be faster. */
#define KT_ROTATION_OVERTAKEN_MAX 5u

/* What is shown while it waits: on a terminal one line that is written over, else a line every few seconds. */
struct kt_progress {
    bool quiet; /* JSON */
    bool terminal;
    bool shown; /* on the terminal, a line is there to be written over */
    enum kt_step step;
    enum kt_gate gate;
    unsigned subject;
    uint64_t since_ns; /* this step of this gate */
    uint64_t said_ns;
    uint64_t told_ns; /* to admin/under_way.h */
};

struct kt_rotation_done {
    const char *change; /* static */
    uint64_t generation;
};

/* What a rotation command is asked for. */
struct kt_rotation_order {
    struct kt_order order;                  /* the kind and what belongs to it; force is taken from the options */
    const char *forget[KT_API_SERVERS_MAX]; /* API servers that are gone for good */
    size_t n_forget;
    /* reencrypt: only these, and then nothing retires; NULL: all. */
    const char *namespace;
    const char *resource; /* "secrets", "deployments.apps" */
    unsigned concurrency; /* requests at once, at most; 0: as many as the servers bear */
    unsigned max_rate;    /* requests a second; 0: any */
    bool migrates;        /* migrate: order.new_type, and keys of the config file are taken in before */
    bool to_distro;       /* migrate --to distro: to the key that the distribution's own file begins with */
    uint64_t older_than;  /* rotate-keys: begin only where the active key is as old as that, s; 0: whatever it is */
};

/* What a plan would have rewritten. */
struct kt_estimate {
    bool counted; /* the store could be */
    uint64_t objects;
    unsigned rate; /* a second: assumed */
    uint64_t seconds;
};

struct kt_rotation {
    const struct kt_options *options;
    struct kt_options inner; /* of each step: how long the daemon has for an answer, and what the audit log says */
    char command[KT_AUDIT_TEXT_MAX + 1];
    const struct kt_rotation_order *asked;
    struct kt_order order;
    char new_name[KT_KEY_NAME_MAX + 1];
    struct kt_member_job job;
    struct kt_look *look;
    struct kt_opener_answer described; /* the keyring as it was looked at */
    struct kt_next next;
    struct kt_progress progress;
    int lock;                  /* rotation.lock; -1: with --dry-run */
    struct kt_error waits_for; /* what it last waited for; KT_OK: nothing yet */
    bool changed;              /* a generation was written that changes keys or stage */
    bool served;               /* the daemon has the newest generation */
    bool wrote_config;         /* the config file, in this run: its hash then */
    uint8_t config_hash[KT_HASH_LEN];
    uint64_t confirmed; /* gates that --force was confirmed for */
    uint64_t begun_ns;
    uint64_t worked_ns;  /* of that, counting and rewriting, which --timeout is not about */
    uint64_t rewrite_ns; /* of that, rewriting */
    size_t n_rewritten;
    uint64_t encrypted_since; /* as of that generation */
    uint64_t encrypted_generation;
    size_t least_stale;     /* objects that a census of this run found to rewrite, at the least; 0: none was taken */
    unsigned n_vain;        /* passes since, in a row */
    json_t *left;           /* objects that the last pass could not rewrite; NULL: none was */
    size_t left_more;       /* of those, that are not in it */
    bool migrated;          /* it was so already */
    bool takes;             /* --dry-run: keys of the config file would be taken in first */
    bool young;             /* the active key is, and no rotation is under way: nothing is due */
    bool kept_own;          /* nothing can be archived: the distribution's own file lists what is due */
    bool narrowed_end;      /* what was asked for is rewritten, and no more was asked for */
    uint64_t look_ns;       /* when the newest look began */
    unsigned canary_before; /* 1 + the API server that the last step was a canary through; 0: it was another step */
    unsigned n_overtaken;   /* in a row */
    size_t n_done;
    struct kt_rotation_done done[KT_ROTATION_DONE_MAX];
    struct kt_estimate estimate; /* --dry-run */
    size_t n_plan;               /* likewise */
    struct kt_plan_line plan[KT_PLAN_MAX];
};

bool kt_rotation_run(const struct kt_options *options, const struct kt_rotation_order *order, struct kt_rotation *ret,
                     struct kt_error *err) KT_MUST_CHECK;
void kt_rotation_end(struct kt_rotation *rotation);
/* STATE/rotation.lock, held until it is closed; -1: KT_E_BUSY. */
int kt_rotation_lock(const struct kt_config *config, struct kt_error *err) KT_MUST_CHECK;

/* For rotation_run.c. */
const volatile sig_atomic_t *kt_rotation_interrupted(void);
bool kt_rotation_census(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
bool kt_rotation_rewrite(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
/* Everything that the API lists, where the store cannot be asked. */
bool kt_rotation_rewrite_all(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
/* --resource is a kind of the API: else a name that is mistyped would be a job that is done at once. */
bool kt_rotation_check_resource(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
bool kt_rotation_is_narrowed(const struct kt_rotation *rotation) KT_MUST_CHECK;
size_t kt_rotation_stale(const struct kt_rotation *rotation); /* objects that are asked for, by the newest census */
/* Events: of a pass, and of all of it when it is done. */
void kt_rotation_tell_pass(const struct kt_rotation *rotation);
void kt_rotation_tell_end(const struct kt_rotation *rotation);
/* The plan, or what was done. */
bool kt_rotation_report(const struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
/* What could not be rewritten, whatever the command ended with. */
void kt_rotation_report_left(const struct kt_rotation *rotation);
void kt_rotation_print_left(const struct kt_rotation *rotation);
void kt_progress_rewrite(struct kt_rotation *rotation, const struct kt_rewriter_progress *now);
bool kt_rotation_write(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK; /* the edits of next */
/* A generation with these edits, over the keyring that was looked at. *ret_wrote is false where another one was faster:
 * look again. KT_E_BUSY: so it was again and again. */
bool kt_rotation_write_edits(struct kt_rotation *rotation, const struct kt_member_edits *edits, const char *change,
                             bool *ret_wrote, struct kt_error *err) KT_MUST_CHECK;
/* The config file as the keyring has it; with --dry-run what would change in it. */
bool kt_rotation_config(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
/* Counts the store, where there is one and the plan rewrites. */
bool kt_rotation_estimate(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
/* migrate: one step of taking the config file's keys over. *ret_took: it was done, so look again; with --dry-run it
 * would be. */
bool kt_rotation_take_in(struct kt_rotation *rotation, bool *ret_took, struct kt_error *err) KT_MUST_CHECK;
/* The same of migrate --to distro: the key that the distribution's own file begins with becomes the prepared one. */
bool kt_rotation_take_distro(struct kt_rotation *rotation, bool *ret_took, struct kt_error *err) KT_MUST_CHECK;
/* It is there still, as often as it is looked at: k3s and RKE2 may go back to their own file. Out of next's edits go
 * the keys that it lists. *ret_none: nothing is left to archive. */
bool kt_rotation_keep_own(struct kt_rotation *rotation, bool *ret_none, struct kt_error *err) KT_MUST_CHECK;
/* Nothing is to be done any more, and was not in this run. */
bool kt_rotation_is_migrated(struct kt_rotation *rotation, bool *ret, struct kt_error *err) KT_MUST_CHECK;
/* A generation that was written in another way than by kt_rotation_write_edits. */
void kt_rotation_note(struct kt_rotation *rotation, const char *change, uint64_t generation);
/* What it is called: "migrate". */
const char *kt_rotation_name(const struct kt_rotation *rotation);
/* Archives the keys that next names; inline ones leave the config file as well. */
bool kt_rotation_archive(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
/* What was kept of the config file (admin/config_kept.h) and has archived keys in it is removed. */
bool kt_rotation_forget_copies(const struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
/* Where an API server says that it cannot load the file that this run wrote: the one before it, if nothing gets
 * unreadable by that. *ret: it was put back. */
bool kt_rotation_put_back(struct kt_rotation *rotation, bool *ret, struct kt_error *err) KT_MUST_CHECK;
/* *ret_again: something was to be written, so look again. */
bool kt_rotation_forget(struct kt_rotation *rotation, bool *ret_again, struct kt_error *err) KT_MUST_CHECK;
bool kt_rotation_confirm(struct kt_rotation *rotation, struct kt_error *err) KT_MUST_CHECK;
void kt_rotation_why(const struct kt_rotation *rotation, struct kt_error *ret); /* kt_rotation_explain, and more */
void kt_progress_wait(struct kt_rotation *rotation);
void kt_progress_say(struct kt_progress *progress, const char *what, const char *words); /* "FILE: written" */
void kt_progress_wrote(struct kt_rotation *rotation);
void kt_progress_end(struct kt_progress *progress);
