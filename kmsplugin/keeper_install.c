/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "kmsplugin/keeper.h"

#include <inttypes.h>
#include <string.h>

#define BUSY_RETRY_S 1u
#define RETRY_MOST_S 60u
#define REST_S       60u

static void job_done(struct kt_job *job)
{
    kt_bytes_done(&job->offered);
    kt_state_done(&job->state);
    kt_opener_call_free(job->call);
    *job = (struct kt_job){.kind = KT_JOB_NONE};
}

/* What may be gone by itself the next time. A keyring that does not verify stays so until somebody brings another one.
 */
static bool transient(enum kt_code code)
{
    static const enum kt_code codes[] = {KT_E_INTERNAL,   KT_E_IO,   KT_E_NOMEM,   KT_E_CRYPTO,   KT_E_PERMISSION,
                                         KT_E_INCOMPLETE, KT_E_BUSY, KT_E_TIMEOUT, KT_E_NODE_KEY, KT_E_NODE_KEY_LOST,
                                         KT_E_UNREACHABLE};
    for (size_t i = 0; i < KT_ARRAY_LEN(codes); i++) {
        if (codes[i] == code)
            return true;
    }
    return false;
}

static uint64_t retry_ns(unsigned failures, enum kt_code code)
{
    uint64_t delay = code == KT_E_BUSY ? BUSY_RETRY_S : UINT64_C(1) << (failures < 6 ? failures : 6);
    return kt_clock_monotonic_ns() + (delay < RETRY_MOST_S ? delay : RETRY_MOST_S) * KT_NS_PER_S;
}

static void retry_later(struct kt_keeper *k, enum kt_code code)
{
    k->start_ns = retry_ns(k->start_failures, code);
    k->start_failures++;
    k->want_start = transient(code);
}

static void note_disk(struct kt_keeper *k, bool good, const char *message)
{
    if (!good && (k->disk_ok || !k->disk_tested))
        kt_log(KT_LOG_ERROR, "keyring-on-disk-not-ok", KT_TEXT("message", message));
    k->disk_tested = true;
    k->disk_ok = good;
    k->disk_time = kt_clock_real_s();
    k->disk_ns = kt_clock_monotonic_ns() + k->config.selftest_keyring_s * KT_NS_PER_S;
    (void)snprintf(k->disk_message, sizeof(k->disk_message), "%s", message);
    if (good)
        k->disk_failures = 0;
}

/* An opener that could not work says little about the keyring: ask again soon, not tomorrow. */
static void note_disk_failure(struct kt_keeper *k, const struct kt_error *error)
{
    note_disk(k, false, error->message);
    if (transient(error->code))
        k->disk_ns = retry_ns(k->disk_failures++, error->code);
}

/* The first attempt, and each that follows while nothing is loaded. */
static void fail_load(struct kt_keeper *k, const struct kt_error *error)
{
    if (error->code != k->load_error.code || strcmp(error->message, k->load_error.message) != 0)
        kt_log_error(KT_LOG_ERROR, "keyring-not-opened", error);
    k->load_error = *error;
    retry_later(k, error->code);
}

/* What is left to do of an install is done by the next one. */
static void start_again_for_rest(struct kt_keeper *k)
{
    k->want_start = k->floor_error.code != KT_OK || k->audit_error.code != KT_OK;
    k->start_ns = kt_clock_monotonic_ns() + REST_S * KT_NS_PER_S;
}

static void fail_reload(struct kt_keeper *k, const struct kt_error *error)
{
    if (!k->keys) {
        fail_load(k, error);
        return;
    }
    k->reload_error = *error;
    note_disk_failure(k, error);
    kt_log_error(KT_LOG_ERROR, "keyring-not-taken-in", error);
    start_again_for_rest(k);
}

static void fail_offer(struct kt_keeper *k, const struct kt_error *error)
{
    kt_count(&k->page->offers_refused);
    kt_log_error(KT_LOG_WARNING, "offer-refused", error);
    /* It may be on the disk all the same, and then the next start would serve something else than we do. */
    k->want_disk = k->want_disk || error->code == KT_E_IO || error->code == KT_E_INCOMPLETE;
}

static void fail_disk(struct kt_keeper *k, const struct kt_error *error)
{
    note_disk_failure(k, error);
}

static void succeed_start(struct kt_keeper *k, bool changed)
{
    (void)changed;
    k->start_failures = 0;
    start_again_for_rest(k);
    note_disk(k, true, "");
}

static void succeed_offer(struct kt_keeper *k, bool changed)
{
    start_again_for_rest(k);
    k->want_disk = true;
    if (changed)
        kt_count(&k->page->offers_installed);
}

static bool swap(struct kt_keeper *k, struct kt_opener_answer *answer, bool *ret_changed, struct kt_error *err)
{
    return kt_keeper_swap(k, &k->job, answer, ret_changed, err);
}

/* Would the next boot serve what is served now? */
static bool compare(struct kt_keeper *k, struct kt_opener_answer *answer, bool *ret_changed, struct kt_error *err)
{
    *ret_changed = false;
    if (k->keys && answer->info && memcmp(answer->info->hash, k->keys->info->hash, KT_HASH_LEN) != 0)
        return kt_fail(err, KT_E_FOUND,
                       "keyring.yaml holds generation %" PRIu64 ", not the one that is served (%" PRIu64
                       "): reload (HUP) to take it in",
                       answer->info->generation, k->keys->info->generation);
    note_disk(k, true, "");
    kt_error_clear(&k->reload_error); /* there is nothing to take in any more */
    return true;
}

static void nothing(struct kt_keeper *k, bool changed)
{
    (void)k;
    (void)changed;
}

static const struct {
    bool (*use)(struct kt_keeper *k, struct kt_opener_answer *answer, bool *ret_changed, struct kt_error *err);
    void (*succeeded)(struct kt_keeper *k, bool changed);
    void (*failed)(struct kt_keeper *k, const struct kt_error *error);
} job_kinds[KT_JOB_COUNT] = {
    [KT_JOB_START] = {swap, succeed_start, fail_load},
    [KT_JOB_RELOAD] = {swap, succeed_start, fail_reload},
    [KT_JOB_OFFER] = {swap, succeed_offer, fail_offer},
    [KT_JOB_DISK] = {compare, nothing, fail_disk},
};

static void published_now(struct kt_keeper *k)
{
    k->attempted = true;
    kt_keeper_publish(k);
}

static void fail_job(struct kt_keeper *k, const struct kt_error *error)
{
    job_kinds[k->job.kind].failed(k, error);
    published_now(k);
    if (k->job.client) {
        struct kt_bytes reply = kt_keeper_pack_error(error);
        kt_keeper_reply(k, k->job.client, &reply);
    }
    job_done(&k->job);
}

static void succeed_job(struct kt_keeper *k, bool changed)
{
    job_kinds[k->job.kind].succeeded(k, changed);
    published_now(k);
    if (k->job.client) {
        struct kt_bytes reply = kt_keeper_pack_offer(k, changed);
        kt_keeper_reply(k, k->job.client, &reply);
    }
    job_done(&k->job);
}

/* Whoever replaces keyring.yaml by hand leaves keys in this process that are nowhere else; an install that was cut
 * short by a full disk leaves another one, too. */
static void keep_served(struct kt_keeper *k, const struct kt_state *state, bool *ret_written)
{
    struct kt_error error = KT_ERROR_INIT;
    struct kt_floor which = {.membership = 0};
    *ret_written = false;
    if (!k->keys)
        return;
    kt_floor_of(k->keys->info, &which);
    if (!kt_state_dir_keep(k->dir, state, kt_bytes_view(&k->document), &which, ret_written, &error))
        kt_log_error(KT_LOG_ERROR, "keyring-served-not-kept", &error);
    else if (*ret_written)
        kt_log(KT_LOG_WARNING, "keyring-served-kept", KT_NUM("generation", which.generation),
               KT_TEXT("message", "keyring.yaml is another one than is served, which is now in superseded/"));
}

/* Their keys are not served; why is told as long as it is so. */
static void note_left_out(struct kt_keeper *k, const struct kt_state *state)
{
    if (state->n_left_out > 0 && k->superseded_error.code == KT_OK)
        kt_log_error(KT_LOG_ERROR, "superseded-not-read", &state->left_out);
    if (state->n_left_out > 0)
        k->superseded_error = state->left_out;
    else
        kt_error_clear(&k->superseded_error);
    k->dirty = true;
}

static bool read_state(struct kt_keeper *k, struct kt_state *ret, struct kt_error *err)
{
    bool again = false;
    if (!kt_state_dir_read(k->dir, ret, err))
        return false;
    note_left_out(k, ret);
    keep_served(k, ret, &again);
    if (!again)
        return true;
    kt_state_done(ret);
    return kt_state_dir_read(k->dir, ret, err);
}

static void keep_at_end(struct kt_keeper *k)
{
    struct kt_state *state = k->dir && k->keys && !k->kept_at_end ? calloc(1, sizeof(*state)) : NULL;
    k->kept_at_end = true;
    if (state && read_state(k, state, NULL))
        kt_state_done(state);
    free(state);
}

static bool ask_for_opener(struct kt_keeper *k, struct kt_error *err)
{
    if (!k->dir) {
        *err = k->dir_error;
        return false;
    }
    if (!read_state(k, &k->job.state, err))
        return false;
    if (k->job.kind != KT_JOB_OFFER && !k->job.state.current.data) {
        (void)kt_fail(err, KT_E_KEYRING_MISSING, "there is no keyring.yaml in %.300s", k->config.state_dir);
        return kt_error_hint(
            err, "give this node the newest one, from another node, a backup or superseded/: keyturn keyring "
                 "offer FILE");
    }
    return kt_lifeline_send(KT_LIFELINE_FD, KT_LIFE_WANT_OPENER, (struct kt_slice){.data = NULL}, NULL, 0, err);
}

static bool start_call(struct kt_keeper *k, int fd, struct kt_error *err)
{
    struct kt_opener_request *request = calloc(1, sizeof(*request));
    if (!request) {
        kt_fd_close(fd);
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    kt_state_request(&k->job.state, kt_bytes_view(&k->job.offered), request);
    request->accept_older = k->job.kind != KT_JOB_OFFER && !k->keys;
    /* A set that is served decrypt only would fail its own test of the disk. */
    if (k->job.kind == KT_JOB_DISK && k->keys && k->keys->below_floor)
        request->accept_older = true;
    k->job.call = kt_opener_call_new(fd, request, err);
    free(request);
    return k->job.call != NULL;
}

void kt_keeper_opener(struct kt_keeper *k, int fd)
{
    struct kt_error error = KT_ERROR_INIT;
    if (k->job.kind == KT_JOB_NONE || k->job.call) {
        kt_fd_close(fd);
        return;
    }
    if (fd < 0) {
        (void)kt_fail(&error, KT_E_UNREACHABLE, "the opener could not be started");
        (void)kt_error_hint(&error, "keyturnd's log says why: journalctl -u keyturnd");
        fail_job(k, &error);
        return;
    }
    if (!start_call(k, fd, &error))
        fail_job(k, &error);
}

void kt_keeper_call_event(struct kt_keeper *k)
{
    struct kt_opener_answer *answer = calloc(1, sizeof(*answer));
    struct kt_error error = KT_ERROR_INIT;
    enum kt_opener_progress progress = KT_OPENER_WAITING;
    bool changed = false;
    if (!answer)
        return;
    bool good = kt_opener_call_step(k->job.call, answer, &progress, &error);
    if (good && progress == KT_OPENER_WAITING) {
        free(answer);
        return;
    }
    good = good && job_kinds[k->job.kind].use(k, answer, &changed, &error);
    kt_opener_answer_done(answer);
    free(answer);
    if (good)
        succeed_job(k, changed);
    else
        fail_job(k, &error);
}

static bool client_waits(const struct kt_keeper *k, struct kt_error *err)
{
    if (k->job.client == 0 && k->next.kind == KT_JOB_NONE)
        return false;
    (void)kt_fail(err, KT_E_BUSY, "another keyring is being taken in");
    (void)kt_error_hint(err, "wait for a moment and try again");
    return true;
}

bool kt_keeper_offer(struct kt_keeper *k, uint32_t client, struct kt_bytes *document, struct kt_error *err)
{
    if (client_waits(k, err))
        return false;
    k->next = (struct kt_job){.kind = KT_JOB_OFFER, .client = client, .offered = *document};
    *document = (struct kt_bytes){.data = NULL};
    return true;
}

bool kt_keeper_reload(struct kt_keeper *k, uint32_t client, struct kt_error *err)
{
    if (client_waits(k, err))
        return false;
    k->next = (struct kt_job){.kind = KT_JOB_RELOAD, .client = client};
    return true;
}

/* The job goes on: what was offered whole is installed, whether somebody still waits or not. A job that has not begun
 * does so too. */
void kt_keeper_client_gone(struct kt_keeper *k, uint32_t client)
{
    if (k->job.client == client)
        k->job.client = 0;
    if (k->next.client == client)
        k->next.client = 0;
}

static void open_dir(struct kt_keeper *k, uint64_t now)
{
    struct kt_error error = KT_ERROR_INIT;
    if (k->dir || !k->want_start || now < k->start_ns)
        return;
    k->dir = kt_state_dir_open(k->config.state_dir, &error);
    if (k->dir) {
        kt_error_clear(&k->dir_error);
        k->start_failures = 0;
        kt_usage_load(&k->usage, kt_state_dir_fd(k->dir));
        if (k->usage.trouble.code != KT_OK)
            kt_log_error(KT_LOG_WARNING, "usage-not-read", &k->usage.trouble);
        return;
    }
    if (error.code != k->dir_error.code)
        kt_log_error(KT_LOG_ERROR, "state-directory-not-opened", &error);
    k->dir_error = error;
    k->load_error = error;
    retry_later(k, error.code);
    k->want_start = true;
    published_now(k);
}

static enum kt_job_kind choose(struct kt_keeper *k, uint64_t now)
{
    if (k->want_reload)
        return KT_JOB_RELOAD;
    if (k->want_start && now >= k->start_ns)
        return k->keys ? KT_JOB_RELOAD : KT_JOB_START;
    if (k->keys && (k->want_disk || now >= k->disk_ns))
        return KT_JOB_DISK;
    return KT_JOB_NONE;
}

static bool pick(struct kt_keeper *k, uint64_t now)
{
    if (k->next.kind != KT_JOB_NONE) {
        k->job = k->next;
        k->next = (struct kt_job){.kind = KT_JOB_NONE};
        return true;
    }
    k->job.kind = k->dir ? choose(k, now) : KT_JOB_NONE;
    if (k->job.kind == KT_JOB_RELOAD)
        k->want_reload = false;
    if (k->job.kind == KT_JOB_DISK)
        k->want_disk = false;
    if (k->job.kind == KT_JOB_START || (k->job.kind == KT_JOB_RELOAD && k->keys))
        k->want_start = false;
    return k->job.kind != KT_JOB_NONE;
}

void kt_keeper_install_tick(struct kt_keeper *k, uint64_t now)
{
    struct kt_error error = KT_ERROR_INIT;
    if (k->draining)
        keep_at_end(k);
    if (k->draining || !k->configured)
        return;
    open_dir(k, now);
    if (k->job.kind == KT_JOB_NONE && pick(k, now) && !ask_for_opener(k, &error))
        fail_job(k, &error);
}

uint64_t kt_keeper_install_next(const struct kt_keeper *k)
{
    uint64_t next = KT_NEVER;
    if (k->draining || !k->configured || k->job.kind != KT_JOB_NONE)
        return next;
    if (k->next.kind != KT_JOB_NONE || (k->dir && (k->want_reload || (k->keys && k->want_disk))))
        return 0;
    if (k->want_start)
        next = k->start_ns;
    if (k->dir && k->keys && k->disk_ns < next)
        next = k->disk_ns;
    return next;
}
