/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_change.h"
#include "admin/fingerprint_ask.h"
#include "admin/look.h"
#include "admin/member.h"
#include "admin/rotation_run.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/printable.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define LOOK_MS  2000

struct rollback {
    const struct kt_options *options;
    struct kt_member_job job;
    struct kt_look *look;
    struct kt_wanted *wanted;
    struct kt_config_change change;
    struct kt_outcome outcome;
    bool loaded; /* by every API server */
};

static void rollback_done(struct rollback *rollback)
{
    kt_config_change_done(&rollback->change);
    kt_wanted_free(rollback->wanted);
    kt_look_free(rollback->look);
    kt_member_done(&rollback->job);
}

static bool prepare(struct rollback *r, struct kt_error *err)
{
    r->look = kt_look_open(r->options, r->job.config, err);
    if (!r->look)
        return false;
    if (r->look->config_file[0] == '\0') {
        kt_fail(err, KT_E_USAGE, "a file is needed");
        return kt_error_hint(err, "--encryption-config FILE, the one of kube-apiserver's --encryption-provider-config");
    }
    r->wanted = kt_wanted_new(r->job.config, err);
    return r->wanted &&
           kt_config_change_back(r->wanted, r->job.config->state_dir, r->look->config_file, &r->change, err);
}

static bool confirm(const struct rollback *r, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text shown = {.data = NULL};
    struct kt_error unreadable = KT_ERROR_INIT;
    const char *path = KT_PRINTABLE(r->change.path);
    if (!r->options->json && kt_config_change_show(&r->change, &shown, &unreadable))
        fprintf(stderr, "--- %s\n+++ %s, as it was before\n%s", path, path, shown.data);
    else if (!r->options->json)
        fprintf(stderr, "%s cannot be read as it is: it is replaced as a whole by the previous one\n", path);
    return r->options->dry_run || kt_confirm(r->options, "Put it back?", err);
}

static bool write_back(struct rollback *r, struct kt_error *err)
{
    struct kt_options inner = *r->options;
    struct kt_member_job job = r->job;
    const struct kt_member_edits edits = {.config_before = r->change.hash_before, .config_after = r->change.hash_after};
    inner.command = r->options->force ? "config rollback --force" : "config rollback";
    job.options = &inner;
    if (!kt_config_change_is_noted(&r->change, r->wanted->answer.audit) &&
        !kt_member_edit(&job, &edits, &r->outcome, err))
        return false;
    return kt_config_change_install(&r->change, r->job.config->state_dir, err);
}

/* The first that has not loaded it; n_apis: none. */
static size_t behind(const struct rollback *r)
{
    const struct kt_facts *facts = &r->look->facts;
    size_t i = 0;
    while (i < facts->n_apis && facts->apis[i].reachable && facts->apis[i].hash_known &&
           memcmp(facts->apis[i].hash, r->change.hash_after, KT_HASH_LEN) == 0)
        i++;
    return i;
}

static bool fail_waiting(const struct rollback *r, struct kt_error *err)
{
    const struct kt_look *look = r->look;
    const char *path = r->change.path;
    size_t i = behind(r);
    if (i < look->facts.n_apis) {
        kt_fail(err, KT_E_INCOMPLETE, "%s is as it was before; API server %.128s has not loaded it yet", path,
                look->facts.apis[i].name);
        return kt_error_hint(err, "keyturn status shows when it has");
    }
    kt_fail(err, KT_E_INCOMPLETE, "%s is as it was before; nothing shows that kube-apiserver has loaded it: %.200s",
            path, look->no_servers.code != KT_OK ? look->no_servers.message : "no API server is known");
    return kt_error_hint(err, "%.200s",
                         look->no_servers.hint[0] ? look->no_servers.hint : "name one with --api-server");
}

/* Without proof that what is there now was loaded. */
static bool go_on(const struct rollback *r, struct kt_error *err)
{
    (void)fail_waiting(r, err);
    fprintf(stderr, "keyturn: --force goes on: %s\n", KT_PRINTABLE(err->message));
    kt_error_clear(err);
    return true;
}

static bool wait_loaded(struct rollback *r, struct kt_error *err)
{
    uint64_t end = kt_clock_monotonic_ns() + r->options->timeout_s * NS_PER_S;
    for (;;) {
        if (!kt_look_take(r->look, r->wanted->answer.info, NULL, err))
            return false;
        const struct kt_facts *facts = &r->look->facts;
        r->loaded = facts->n_apis > 0 && facts->apis_complete && behind(r) == facts->n_apis;
        if (r->loaded)
            return true;
        if (r->options->force)
            return go_on(r, err);
        if (!r->look->kube || kt_clock_monotonic_ns() >= end)
            return fail_waiting(r, err);
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static bool run(struct rollback *r, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int lock = -1;
    if (!kt_member_start(r->options, &r->job, err))
        return false;
    lock = r->options->dry_run ? -1 : kt_rotation_lock(r->job.config, err);
    if ((lock < 0 && !r->options->dry_run) || !prepare(r, err))
        return false;
    if (r->change.differs && !confirm(r, err))
        return false;
    if (r->options->dry_run)
        return true;
    return (!r->change.differs || write_back(r, err)) && wait_loaded(r, err);
}

static bool print(const struct rollback *r, struct kt_error *err)
{
    bool written = r->change.differs && !r->options->dry_run;
    const char *loaded = r->loaded ? ", and loaded by every API server" : "";
    if (!r->options->json) {
        printf("%s: %s%s\n", KT_PRINTABLE(r->change.path),
               written             ? "put back"
               : r->change.differs ? "would be put back"
                                   : "is as it was before",
               loaded);
        return kt_output_done(err);
    }
    json_t *value = kt_json_new("ConfigRollback");
    if (value) {
        json_object_set_new(value, "file", kt_json_text(r->change.path));
        json_object_set_new(value, "changed", json_boolean(written));
        json_object_set_new(value, "wouldChange", json_boolean(r->change.differs && r->options->dry_run));
        json_object_set_new(value, "generation", json_integer((json_int_t)r->outcome.generation));
    }
    return kt_json_print(value, err);
}

int kt_command_config_rollback(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("config rollback"), .timeout_s = KT_ROTATION_TIMEOUT_S};
    KT_CLEANUP(rollback_done) struct rollback rollback = {.options = &line.options};
    struct kt_error err = KT_ERROR_INIT;
    kt_command_parse(&line, argc, argv);
    return run(&rollback, &err) && print(&rollback, &err) ? 0 : kt_print_error(&line.options, &err);
}
