/* SPDX-License-Identifier: Apache-2.0 */
/* The gRPC service in this process, over a socket pair, when there is no memory for the next call. */
#include "base/ipc.h"
#include "front_rig.h"
#include "kmsplugin/front_call.h"
#include "kmsplugin/front_service.h"
#include "tests/unit/base/unit.h"

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <sys/socket.h>

#define UNKNOWN "/v2.KeyManagementService/Rotate" /* refused without a keeper */
#define MANY    20u                               /* more than are posted for a method */

static atomic_bool no_memory;

/* The linker's names. */
struct kt_call *__real_kt_call_take(struct kt_call_pool *pool, enum kt_method method);
struct kt_call *__wrap_kt_call_take(struct kt_call_pool *pool, enum kt_method method);

struct kt_call *__wrap_kt_call_take(struct kt_call_pool *pool, enum kt_method method)
{
    return atomic_load(&no_memory) ? NULL : __real_kt_call_take(pool, method);
}

static struct rig rig; /* the client's half of it */

static int start(void **state)
{
    static struct kt_front_page page;
    static struct kt_supervisor_page supervisor;
    const struct kt_service_options options = {
        .streams = 100, .request_bytes = 65536, .page = &page, .supervisor = &supervisor};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    int pair[2];
    (void)state;
    struct kt_service *service = kt_service_new(&options, NULL);
    if (!service || !kt_ipc_pair(SOCK_STREAM, pair, NULL))
        return -1;
    kt_service_admit(service, pair[0]);
    rig.channel = grpc_channel_create_from_fd("test", pair[1], credentials, NULL);
    rig.queue = grpc_completion_queue_create_for_next(NULL);
    grpc_channel_credentials_release(credentials);
    return 0;
}

static void test_calls_go_on_when_there_is_memory_again(void **state)
{
    (void)state;
    static struct rig_call calls[MANY];
    size_t done = 0;
    atomic_store(&no_memory, true);
    for (size_t i = 0; i < MANY; i++)
        rig_call_start(&rig, &calls[i], UNKNOWN, KT_SLICE("", 0), RIG_WAIT_MS);
    rig_call_finish(&rig, &calls[0]);
    rig_turn(&rig, NULL, 100);
    for (size_t i = 0; i < MANY; i++)
        done += calls[i].done;
    assert_true(done < MANY); /* all that was posted is used up */
    atomic_store(&no_memory, false);
    for (size_t i = 1; i < MANY; i++)
        rig_call_finish(&rig, &calls[i]);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(calls[i].status, GRPC_STATUS_UNIMPLEMENTED);
}

/* The service's thread never ends: nothing is torn down around it. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_go_on_when_there_is_memory_again),
    };
    grpc_init();
    int failed = cmocka_run_group_tests_name("front_service", tests, start, NULL);
    (void)fflush(NULL);
    _exit(failed);
}
