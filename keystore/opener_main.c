/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn-opener: one request on descriptor 3, one answer, the end (keystore/opener.h). */
#include "base/arena.h"
#include "base/clock.h"
#include "base/harden.h"
#include "base/ipc.h"
#include "base/log.h"
#include "keystore/opener_ops.h"
#include "keystore/opener_wire.h"

#include <stdlib.h>
#include <string.h>

#define SOCKET_FD  3
#define ARENA_SIZE ((size_t)2 * 1024 * 1024)
#define REPLY_S    5u /* to take a refusal */

static const char *const allowed[] = {
#define KT_SYSCALL(name) #name,
#include "keystore/opener_syscalls.def"
#undef KT_SYSCALL
    NULL};
/* Where this node's key is in a TPM: tpm2-tss loads a module and talks to a device, or a simulator's socket. */
static const char *const allowed_tpm[] = {
#define KT_SYSCALL(name) #name,
#include "keystore/opener_syscalls.def"
#include "keystore/opener_syscalls_tpm.def"
#undef KT_SYSCALL
    NULL};
static const char *const denied[] = {NULL};

static bool prepare(struct kt_error *err)
{
    enum kt_memory_lock lock = KT_MEMORY_SECRETS;

    /* Its log would go to our standard error, and at its higher levels it shows what is sealed. */
    if (setenv("TSS2_LOG", "all+NONE", 1) != 0)
        return kt_fail(err, KT_E_NOMEM, "no memory for the environment");
    return kt_harden_process(err) && kt_arena_install(ARENA_SIZE, err) && kt_harden_memory(&lock, err);
}

/* Who started it says what may be asked for over the socket, which the keeper may hold. */
static bool configure(int argc, char **argv, struct kt_config *ret, bool *ret_open_only, struct kt_error *err)
{
    *ret_open_only = argc == 4 && strcmp(argv[3], KT_OPENER_OPEN_ONLY) == 0;
    if ((argc != 3 && !*ret_open_only) || strcmp(argv[1], "--config") != 0)
        return kt_fail(err, KT_E_USAGE,
                       "keyturn-opener is started by keyturnd and keyturn, with --config FILE and a "
                       "socket as descriptor 3");
    return kt_config_load(argv[2], ret, err);
}

static uint64_t deadline_in(uint64_t seconds)
{
    return kt_clock_monotonic_ns() + seconds * UINT64_C(1000000000);
}

static bool confine(const struct kt_config *config, struct kt_error *err)
{
    bool active = false;

    return kt_harden_filter(config->recipient == KT_RECIPIENT_TPM2 ? allowed_tpm : allowed, denied, &active, err);
}

static bool serve(struct kt_opener_ops *ops, uint64_t deadline_ns, struct kt_opener_answer *ret, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes body = {.data = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *frame = NULL;
    KT_CLEANUP(kt_opener_secrets_done) struct kt_opener_secrets secrets = {.recovery_key = NULL};
    struct kt_opener_storage storage = {.node = ""};
    struct kt_opener_request request = {.op = 0};

    if (!kt_frame_recv(SOCKET_FD, KT_OPENER_REQUEST_MAX, deadline_ns, &body, err) ||
        !kt_opener_request_decode(kt_bytes_view(&body), &storage, &request, err))
        return false;
    frame = kt_frame_recv_secret(SOCKET_FD, KT_OPENER_SECRETS_MAX, deadline_ns, err);
    if (!frame || !kt_opener_secrets_decode(frame, &secrets, err))
        return false;
    kt_opener_secrets_put(&secrets, &request);
    return kt_opener_perform(ops, &request, ret, err);
}

static bool reply(const struct kt_opener_answer *answer, const struct kt_error *failure, uint64_t deadline_ns,
                  struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes public = {.data = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *keys = NULL;

    if (!kt_opener_answer_encode(answer, failure, &public, err) ||
        !kt_frame_send(SOCKET_FD, kt_bytes_view(&public), deadline_ns, err))
        return false;
    if (failure)
        return true;
    keys = kt_opener_keys_encode(answer, err);
    return keys && kt_frame_send(SOCKET_FD, KT_SLICE(kt_secret_view(keys), kt_secret_len(keys)), deadline_ns, err);
}

static bool run(int argc, char **argv, struct kt_config *config, struct kt_error *err)
{
    KT_CLEANUP(kt_opener_ops_done) struct kt_opener_ops ops = {.config = config, .folder = -1};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    uint64_t deadline_ns = 0;

    if (!configure(argc, argv, config, &ops.open_only, err) || !confine(config, err))
        return false;
    deadline_ns = deadline_in(config->opener_timeout_s);
    if (!serve(&ops, deadline_ns, &answer, err))
        return false;
    if (reply(&answer, NULL, deadline_ns, err))
        return true;
    kt_opener_undo(&ops);
    return false;
}

int main(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    bool prepared = prepare(&err);
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));

    if (prepared && !config)
        (void)kt_fail(&err, KT_E_NOMEM, "no memory for the configuration");
    if (prepared && config && run(argc, argv, config, &err))
        return 0;
    if (reply(NULL, &err, deadline_in(REPLY_S), NULL))
        return 0;
    kt_log_init("opener", KT_LOG_TEXT, KT_LOG_INFO);
    kt_log_error(KT_LOG_ERROR, "opener.failed", &err);
    return 1;
}
