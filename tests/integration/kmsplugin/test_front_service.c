/* SPDX-License-Identifier: Apache-2.0 */
/* The front's gRPC service, over a socket pair, when there is no memory for the next call. */
#include "base/ipc.h"
#include "front_rig.h"
#include "kmsplugin/front_call.h"
#include "kmsplugin/front_service.h"
#include "tests/unit/base/unit.h"

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define UNKNOWN "/v2.KeyManagementService/Rotate" /* refused without a keeper */
#define MANY    20u                               /* more than are posted for a method */

/* Between the two processes. */
struct shared {
    atomic_bool serves;
    atomic_bool no_memory;
};
static struct shared *shared;

/* The linker's names. */
struct kt_call *__real_kt_call_take(struct kt_call_pool *pool, enum kt_method method);
struct kt_call *__wrap_kt_call_take(struct kt_call_pool *pool, enum kt_method method);

struct kt_call *__wrap_kt_call_take(struct kt_call_pool *pool, enum kt_method method)
{
    return atomic_load(&shared->no_memory) ? NULL : __real_kt_call_take(pool, method);
}

static struct rig rig; /* the client's half of it; the front is the service alone */

static void serve(int fd)
{
    static struct kt_front_page page;
    static struct kt_supervisor_page supervisor;
    const struct kt_service_options options = {
        .streams = 100, .request_bytes = 65536, .page = &page, .supervisor = &supervisor};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    grpc_init();
    struct kt_service *service = kt_service_new(&options, NULL);
    if (!service)
        _exit(1);
    kt_service_admit(service, fd);
    atomic_store(&shared->serves, true);
    for (;;)
        (void)pause();
}

static void connect_client(int fd)
{
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    rig.channel = grpc_channel_create_from_fd("test", fd, credentials, NULL);
    rig.queue = grpc_completion_queue_create_for_next(NULL);
    grpc_channel_credentials_release(credentials);
}

static int start(void **state)
{
    int pair[2];
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !kt_ipc_pair(SOCK_STREAM, pair, NULL))
        return -1;
    rig.front = fork();
    if (rig.front == 0) {
        kt_fd_close(pair[1]);
        serve(pair[0]);
    }
    kt_fd_close(pair[0]);
    grpc_init();
    connect_client(pair[1]);
    while (!atomic_load(&shared->serves) && waitpid(rig.front, NULL, WNOHANG) == 0)
        rig_turn(&rig, NULL, 5);
    return atomic_load(&shared->serves) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    grpc_channel_destroy(rig.channel);
    grpc_completion_queue_shutdown(rig.queue);
    while (grpc_completion_queue_next(rig.queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type != GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(rig.queue);
    grpc_shutdown_blocking();
    (void)kill(rig.front, SIGKILL);
    return waitpid(rig.front, NULL, 0) == rig.front ? 0 : -1;
}

static void test_calls_go_on_when_there_is_memory_again(void **state)
{
    (void)state;
    static struct rig_call calls[MANY];
    size_t done = 0;
    atomic_store(&shared->no_memory, true);
    for (size_t i = 0; i < MANY; i++)
        rig_call_start(&rig, &calls[i], UNKNOWN, KT_SLICE("", 0), RIG_WAIT_MS);
    rig_call_finish(&rig, &calls[0]);
    rig_turn(&rig, NULL, 100);
    for (size_t i = 0; i < MANY; i++)
        done += calls[i].done;
    assert_true(done < MANY); /* all that was posted is used up */
    atomic_store(&shared->no_memory, false);
    for (size_t i = 1; i < MANY; i++)
        rig_call_finish(&rig, &calls[i]);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(calls[i].status, GRPC_STATUS_UNIMPLEMENTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_go_on_when_there_is_memory_again),
    };
    return cmocka_run_group_tests_name("front_service", tests, start, stop);
}
