/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/children.h"
#include "tests/unit/base/unit.h"

#include <string.h>
#include <sys/socket.h>

static void fill(struct kt_child_config *config)
{
    memset(config, 0, sizeof(*config));
    memset(config->node, 'n', KT_NAME_MAX);
    memset(config->config_path, '/', sizeof(config->config_path) - 1);
    memset(config->state_dir, 's', sizeof(config->state_dir) - 1);
    memset(config->metrics_textfile, 't', sizeof(config->metrics_textfile) - 1);
    (void)snprintf(config->metrics_listen, sizeof(config->metrics_listen), "[::1]:9469");
    for (config->kms_uids.n = 0; config->kms_uids.n < KT_CONFIG_IDS_MAX; config->kms_uids.n++)
        config->kms_uids.ids[config->kms_uids.n] = (uint32_t)config->kms_uids.n * 7;
    config->kms_gids = config->kms_uids;
    config->control_uids = config->kms_uids;
    config->kms_connections = 256;
    config->kms_request_bytes = UINT32_MAX;
    config->opener_timeout_s = 30;
    config->log_format = KT_LOG_JSON;
    config->log_level = KT_LOG_DEBUG;
    config->single_uid = true;
}

struct fixture {
    struct kt_child_config config;
    struct kt_child_config back;
    uint8_t bytes[KT_LIFELINE_MAX];
    size_t len;
};

static int make(void **state)
{
    static struct fixture fixture;
    struct kt_writer w;
    fill(&fixture.config);
    memset(&fixture.back, 0, sizeof(fixture.back));
    kt_writer_init(&w, fixture.bytes, sizeof(fixture.bytes));
    if (!kt_child_config_encode(&fixture.config, &w))
        return -1;
    fixture.len = w.len;
    *state = &fixture;
    return 0;
}

static bool decode(struct fixture *f, size_t len)
{
    struct kt_reader r;
    kt_reader_init(&r, KT_SLICE(f->bytes, len));
    return kt_child_config_decode(&r, &f->back);
}

static void largest_config_fits_and_comes_back(void **state)
{
    struct fixture *f = *state;
    assert_true(f->len < KT_LIFELINE_MAX);
    assert_true(decode(f, f->len));
    assert_memory_equal(&f->back, &f->config, sizeof(f->config));
}

static void cut_or_longer_is_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t len = 0; len < f->len; len++)
        assert_false(decode(f, len));
    f->bytes[f->len] = 0;
    assert_false(decode(f, f->len + 1));
    assert_int_equal(f->back.kms_connections, 0); /* nothing was written */
}

static void bad_values_are_refused(void **state)
{
    struct fixture *f = *state;
    f->bytes[f->len - 1] = 2; /* a bool */
    assert_false(decode(f, f->len));
    f->bytes[f->len - 1] = 1;
    f->bytes[6] = 0; /* a NUL in node's name */
    assert_false(decode(f, f->len));
}

static void too_small_a_buffer_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct kt_writer w;
    kt_writer_init(&w, f->bytes, f->len - 1);
    assert_false(kt_child_config_encode(&f->config, &w));
}

static void messages_carry_type_body_and_descriptors(void **state)
{
    (void)state;
    int pair[2] = {-1, -1};
    uint8_t buffer[KT_LIFELINE_MAX];
    struct kt_lifeline_message message = {0};
    enum kt_ipc_got got = KT_IPC_MESSAGE;
    assert_true(kt_ipc_pair(SOCK_SEQPACKET, pair, NULL));
    assert_true(kt_lifeline_recv(pair[1], buffer, &message, &got, NULL));
    assert_int_equal(got, KT_IPC_NOTHING);
    assert_true(kt_lifeline_send(pair[0], KT_LIFE_PEER, KT_SLICE("abc", 3), (int[]){0, 1}, 2, NULL));
    assert_true(kt_lifeline_recv(pair[1], buffer, &message, &got, NULL));
    assert_int_equal(got, KT_IPC_MESSAGE);
    assert_int_equal(message.type, KT_LIFE_PEER);
    assert_true(kt_slice_equal(message.body, KT_SLICE("abc", 3)));
    assert_int_equal(message.n_fds, 2);
    int fd = kt_lifeline_take_fd(&message);
    assert_true(fd > 2);
    assert_int_equal(message.n_fds, 0);
    assert_int_equal(kt_lifeline_take_fd(&message), -1);
    kt_fd_close(fd);
    kt_fd_close(pair[0]);
    assert_true(kt_lifeline_recv(pair[1], buffer, &message, &got, NULL));
    assert_int_equal(got, KT_IPC_CLOSED);
    kt_fd_close(pair[1]);
}

static void too_long_a_message_is_refused(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = KT_ERROR_INIT;
    assert_false(kt_lifeline_send(-1, KT_LIFE_CONFIG, KT_SLICE(f->bytes, sizeof(f->bytes)), NULL, 0, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
}

static void roles_have_names(void **state)
{
    (void)state;
    assert_string_equal(kt_role_text(KT_ROLE_OPENER), "opener");
    assert_string_equal(kt_role_text(KT_ROLE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(largest_config_fits_and_comes_back, make),
        cmocka_unit_test_setup(cut_or_longer_is_refused, make),
        cmocka_unit_test_setup(bad_values_are_refused, make),
        cmocka_unit_test_setup(too_small_a_buffer_is_noticed, make),
        cmocka_unit_test_setup(too_long_a_message_is_refused, make),
        cmocka_unit_test(messages_carry_type_body_and_descriptors),
        cmocka_unit_test(roles_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
