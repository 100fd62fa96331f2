/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/rotation_run.h"

#include "admin/audit_since.h"
#include "admin/control_client.h"
#include "admin/opener_local.h"
#include "admin/own_keys.h"
#include "admin/under_way.h"
#include "base/clock.h"
#include "base/file.h"
#include "keystore/key_name.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S    UINT64_C(1000000000)
#define NS_PER_MS   UINT64_C(1000000)
#define LOOK_NS     (2 * NS_PER_S)
#define ASK_DAEMON  5u
#define OFFER_S     30u
#define DESCRIBES   5u
#define AGAIN_MS    100
#define SIGNALS_MAX 3u

static volatile sig_atomic_t interrupted;

const volatile sig_atomic_t *kt_rotation_interrupted(void)
{
    return &interrupted;
}

static void note_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* The second one does what it always does. */
static void catch_signals(void)
{
    static const int numbers[SIGNALS_MAX] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction catcher = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < SIGNALS_MAX; i++) {
        struct sigaction before;
        (void)sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* as nohup(1) wants it */
            (void)sigaction(numbers[i], &catcher, NULL);
    }
}

/* ---- look ---- */

static bool describe(struct kt_rotation *r, struct kt_error *err)
{
    struct kt_opener_request request = {.op = KT_OPENER_DESCRIBE};
    if (!kt_member_refresh(&r->job, err))
        return false;
    request.offered = kt_bytes_view(&r->job.state->current);
    kt_opener_answer_done(&r->described);
    r->described = (struct kt_opener_answer){.info = NULL};
    return kt_opener_local(r->job.config, r->job.config->path, &request, &r->described, err);
}

static bool is_newer(const Keyturn__Control__V1__Status *status, const struct kt_keyring_info *info)
{
    return status && (status->membership > info->membership ||
                      (status->membership == info->membership && status->generation > info->generation));
}

/* What the audit log says changes with a generation only. */
static bool look_back(struct kt_rotation *r, struct kt_error *err)
{
    uint64_t generation = r->described.info->generation;
    if (r->encrypted_generation != generation &&
        !kt_audit_encrypted_since(r->described.audit, r->job.config->state_dir, &r->encrypted_since, err))
        return false;
    r->encrypted_generation = generation;
    r->look->facts.encrypted_since = r->encrypted_since;
    return true;
}

/* The daemon of this node may be about to install what a command before this one, which was killed, has offered: what
 * it serves then is newer than what was on the disk a moment ago. */
static bool look(struct kt_rotation *r, struct kt_error *err)
{
    struct kt_error silent = KT_ERROR_INIT;
    for (unsigned tries = 1;; tries++) {
        r->look_ns = kt_clock_monotonic_ns();
        if (!describe(r, err))
            return false;
        KT_CLEANUP(kt_control_reply_free_p)
        Keyturn__Control__V1__Reply *reply =
            kt_control_ask(r->job.config, KT_CONTROL_STATUS, (struct kt_slice){.data = NULL}, ASK_DAEMON, &silent);
        const Keyturn__Control__V1__Status *status = reply ? reply->status : NULL;
        if (is_newer(status, r->described.info) && tries < DESCRIBES) {
            (void)poll(NULL, 0, AGAIN_MS);
            continue;
        }
        r->served = status && status->generation == r->described.info->generation;
        if (!kt_look_take(r->look, r->described.info, status, err))
            return false;
        if (r->look->no_config.code == KT_OK)
            return look_back(r, err);
        return kt_error_copy(err, &r->look->no_config); /* what stands there is unknown, and part of every decision */
    }
}

static void decide(struct kt_rotation *r)
{
    const struct kt_keyring_info *info = r->described.info;
    enum kt_key_type type = r->order.new_type ? r->order.new_type : info->keys[0].type;
    kt_key_name_next(info, type, r->look->facts.now, r->new_name);
    r->order.new_name = r->new_name;
    kt_rotation_next(&r->look->facts, &r->order, &r->next);
    memcpy(r->order.rotating, r->next.rotating, sizeof(r->order.rotating));
}

/* ---- act ---- */

/* The pace of the looks, not a wait for anything. */
static void pause_until_look(const struct kt_rotation *r)
{
    uint64_t now = kt_clock_monotonic_ns();
    if (!interrupted && now < r->look_ns + LOOK_NS)
        (void)poll(NULL, 0, (int)((r->look_ns + LOOK_NS - now) / NS_PER_MS) + 1);
}

/* By what it last waited for: a look that did not come to its end says nothing. */
static bool fail_waiting(const struct kt_rotation *r, const char *what, struct kt_error *err)
{
    const struct kt_error *why = &r->waits_for;
    if (why->code != KT_OK)
        kt_fail(err, KT_E_INCOMPLETE, "%s: %.440s", what, why->message);
    else
        kt_fail(err, KT_E_INCOMPLETE, "%s: %s is not done yet", what, kt_order_text(r->order.kind));
    return kt_error_hint(err, "run it again: it goes on from here%s%.560s", why->hint[0] ? "; " : "", why->hint);
}

/* A file that an API server cannot load must not be the one that it finds when it starts the next time. */
static bool fail_out_of_time(struct kt_rotation *r, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    bool back = false;
    if (kt_rotation_put_back(r, &back, &why))
        return fail_waiting(r, back ? "out of time, and the previous config file was put back" : "out of time", err);
    (void)fail_waiting(r, "out of time", err);
    struct kt_error whole = *err;
    return kt_error_hint(err, "%.440s; the previous config file was not put back: %.150s", whole.hint, why.message);
}

/* What is known to come later than this run may wait needs no waiting. */
static bool is_out_of_time(const struct kt_rotation *r)
{
    uint64_t waited = kt_clock_monotonic_ns() - r->begun_ns - r->worked_ns, limit = r->options->timeout_s * NS_PER_S;
    uint64_t now = r->look->facts.now;
    bool later = r->next.step == KT_STEP_WAIT && r->next.until > now && waited < limit &&
                 r->next.until - now > (limit - waited) / NS_PER_S;
    return waited > limit || later;
}

static bool is_stale(const struct kt_rotation *r)
{
    return kt_clock_monotonic_ns() - r->look_ns > KT_ROTATION_STEP_S * NS_PER_S;
}

/* k3s and RKE2 go on rotating keys of their own where somebody tells them to, whatever kube-apiserver reads. */
static bool check_own_keys(const struct kt_rotation *r, struct kt_error *err)
{
    const struct kt_host *host = r->look->host;
    if (!host || !host->own_encryption)
        return true;
    KT_CLEANUP(kt_wanted_free_p) struct kt_wanted *wanted = kt_wanted_new(r->job.config, err);
    return wanted && kt_own_keys_check(host, wanted, NULL, err);
}

static bool act(struct kt_rotation *r, struct kt_error *err)
{
    unsigned canary_before = r->canary_before;
    bool writes = r->next.step == KT_STEP_GENERATION || r->next.step == KT_STEP_CONFIG;
    r->canary_before = 0;
    if (writes && !check_own_keys(r, err))
        return false;
    switch (r->next.step) {
    case KT_STEP_GENERATION:
        return is_stale(r) || kt_rotation_write(r, err);
    case KT_STEP_CANARY:
        kt_progress_wait(r);
        if (canary_before == r->next.subject + 1)
            pause_until_look(r);
        r->canary_before = r->next.subject + 1;
        return kt_look_canary(r->look, r->next.subject, err);
    case KT_STEP_POKE: /* each look asks every API server for /healthz/kms-providers */
    case KT_STEP_WAIT:
        kt_progress_wait(r);
        pause_until_look(r);
        return true;
    case KT_STEP_CONFIG:
        return is_stale(r) || kt_rotation_config(r, err);
    case KT_STEP_CENSUS:
        return kt_rotation_census(r, err);
    case KT_STEP_REWRITE:
        return kt_rotation_rewrite(r, err);
    case KT_STEP_REWRITE_ALL:
        return kt_rotation_rewrite_all(r, err);
    default:
        kt_fail(err, KT_E_UNSUPPORTED, "this takes a step that this release does not have yet: %s",
                kt_step_text(r->next.step));
        return kt_error_hint(err, "nothing is lost: what is listed stays listed");
    }
}

/* Of a part nothing is to follow: what retires, retires as a whole. */
static bool is_narrowed_end(const struct kt_rotation *r)
{
    const struct kt_next *next = &r->next;
    bool finishes =
        next->step == KT_STEP_GENERATION && (next->recipe == KT_RECIPE_FINISH || next->recipe == KT_RECIPE_FINISH_SKIP);
    return kt_rotation_is_narrowed(r) &&
           (finishes || (next->step == KT_STEP_REWRITE && r->look->census && kt_rotation_stale(r) == 0));
}

/* One turn. *ret_done: nothing is left to do. */
static bool turn(struct kt_rotation *r, bool *ret_done, struct kt_error *err)
{
    bool wrote = false;
    if (!look(r, err) || !kt_rotation_forget(r, &wrote, err))
        return false;
    if (wrote)
        return true;
    bool took = false;
    if (!kt_rotation_take_in(r, &took, err))
        return false;
    r->takes = took && r->options->dry_run;
    if (!took && !kt_rotation_is_migrated(r, &r->migrated, err))
        return false;
    *ret_done = r->migrated;
    if (took || r->migrated)
        return true;
    decide(r);
    r->narrowed_end = is_narrowed_end(r);
    if (!kt_rotation_keep_own(r, &r->kept_own, err))
        return false;
    *ret_done = r->next.step == KT_STEP_DONE || r->narrowed_end || r->kept_own;
    if (r->next.step == KT_STEP_REFUSE) {
        kt_rotation_why(r, err);
        return false;
    }
    if (r->options->dry_run)
        r->n_plan = kt_rotation_plan(&r->look->facts, &r->order, r->plan);
    if (!kt_rotation_confirm(r, err))
        return false;
    if (r->options->dry_run)
        return kt_rotation_estimate(r, err) && (r->next.step != KT_STEP_CONFIG || kt_rotation_config(r, err));
    if (*ret_done)
        return true;
    kt_rotation_why(r, &r->waits_for);
    if (interrupted)
        return fail_waiting(r, "interrupted", err);
    if (is_out_of_time(r))
        return fail_out_of_time(r, err);
    return act(r, err);
}

/* What was refused after a change was not refused as a whole; what failed because of ^C, which the opener gets as well,
 * failed by that. */
static bool end(struct kt_rotation *r, struct kt_error *err)
{
    kt_progress_end(&r->progress);
    if (interrupted && err->code != KT_E_INCOMPLETE)
        return fail_waiting(r, "interrupted", err);
    if (r->changed && kt_code_exit(err->code) == kt_code_exit(KT_E_REFUSED))
        err->code = KT_E_INCOMPLETE;
    return false;
}

static bool loop(struct kt_rotation *r, struct kt_error *err)
{
    bool done = false;
    while (!done) {
        if (!turn(r, &done, err))
            return end(r, err);
        if (r->options->dry_run)
            return true;
    }
    kt_progress_end(&r->progress);
    kt_rotation_tell_end(r);
    return r->order.kind != KT_ORDER_RETIRE || kt_rotation_forget_copies(r, err);
}

static void tell_command(int lock, const char *command)
{
    json_t *what = command ? json_pack("{s:s}", "command", command) : json_object();
    if (what)
        kt_under_way_tell(lock, what);
    json_decref(what);
}

int kt_rotation_lock(const struct kt_config *config, struct kt_error *err)
{
    char path[KT_KEYRING_PATH_MAX];
    snprintf(path, sizeof(path), "%s/rotation.lock", config->state_dir);
    int fd = kt_lock_take(AT_FDCWD, path, err);
    if (fd < 0 && err->code == KT_E_BUSY) {
        (void)kt_error_prefix(err, "another keyturn is changing keys");
        kt_error_hint(err, "let it end; keyturn status shows what it does, and what came of it");
    }
    tell_command(fd, NULL); /* what the one before said is not said of this one */
    return fd;
}

/* A rotation that is under way is gone on with, however young its key is. */
static bool ask_age(struct kt_rotation *r, struct kt_error *err)
{
    if (r->asked->older_than == 0)
        return true;
    if (!describe(r, err))
        return false;
    const struct kt_keyring_info *info = r->described.info;
    uint64_t now = kt_clock_real_s(), made = info->keys[0].created;
    bool rests = info->stage == KT_STAGE_START || info->stage == KT_STAGE_REENCRYPT_FINISHED;
    r->young = rests && (made > now || now - made < r->asked->older_than);
    return true;
}

bool kt_rotation_run(const struct kt_options *options, const struct kt_rotation_order *order, struct kt_rotation *ret,
                     struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int lock = -1;
    *ret = (struct kt_rotation){.options = options, .inner = *options, .asked = order, .order = order->order};
    snprintf(ret->command, sizeof(ret->command), "%s%s", kt_rotation_name(ret), options->force ? " --force" : "");
    ret->order.force = options->force;
    ret->inner.command = ret->command;
    ret->inner.timeout_s = options->timeout_s < OFFER_S ? options->timeout_s : OFFER_S;
    ret->progress.quiet = options->json;
    ret->progress.terminal = isatty(STDERR_FILENO) == 1;
    ret->begun_ns = kt_clock_monotonic_ns();
    if (!kt_member_start(&ret->inner, &ret->job, err))
        return false;
    lock = options->dry_run ? -1 : kt_rotation_lock(ret->job.config, err);
    ret->lock = lock;
    if (lock < 0 && !options->dry_run)
        return false;
    tell_command(lock, kt_rotation_name(ret));
    if (!ask_age(ret, err))
        return false;
    if (ret->young)
        return true;
    ret->look = kt_look_open(options, ret->job.config, err);
    if (!ret->look)
        return false;
    ret->look->compares = true;
    catch_signals();
    return kt_rotation_check_resource(ret, err) && loop(ret, err);
}

void kt_rotation_end(struct kt_rotation *rotation)
{
    json_decref(rotation->left);
    kt_look_free(rotation->look);
    kt_opener_answer_done(&rotation->described);
    kt_member_done(&rotation->job);
}
