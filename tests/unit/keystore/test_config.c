/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "keystore/config.h"
#include "keystore/config_fields.h"
#include "tests/unit/keystore/support.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OWNER "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD  "apiVersion: keyturn.dev/v1\nkind: Config\n"
#define LEAST HEAD "node: node-1\nowner: " OWNER "\n"

static struct kt_config *parse(const char *text, struct kt_error *err)
{
    struct kt_config *config = calloc(1, sizeof(*config));

    assert_non_null(config);
    kt_error_clear(err);
    if (kt_config_parse(kt_slice_str(text), config, err))
        return config;
    free(config);
    return NULL;
}

static void test_defaults(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_config *c = parse(LEAST, &err);

    (void)state;
    if (!c)
        fail_msg("%s", err.message);
    assert_string_equal(c->node, "node-1");
    assert_true(c->has_owner);
    assert_int_equal(c->owner[1], 0x11);
    assert_string_equal(c->provider, "keyturn");
    assert_int_equal(c->recipient, KT_RECIPIENT_FILE);
    assert_string_equal(c->state_dir, "/var/lib/keyturn");
    assert_string_equal(c->kms_socket, "/run/keyturn/kms/kms.sock");
    assert_int_equal(c->kms_mode, 0660);
    assert_int_equal(c->kms_uids.n, 1);
    assert_int_equal(c->kms_uids.ids[0], 0);
    assert_int_equal(c->kms_gids.n, 0);
    assert_int_equal(c->kms_connections, 256);
    assert_int_equal(c->kms_streams, 100);
    assert_int_equal(c->kms_request_bytes, 65536);
    assert_string_equal(c->control_socket, "/run/keyturn/control.sock");
    assert_int_equal(c->control_uids.n, 0);
    assert_string_equal(c->metrics_listen, "127.0.0.1:9469");
    assert_string_equal(c->metrics_textfile, "");
    assert_string_equal(c->account_front, "keyturn-front");
    assert_string_equal(c->account_keeper, "keyturn");
    assert_int_equal(c->opener_timeout_s, 30);
    assert_int_equal(c->selftest_keys_s, 60);
    assert_int_equal(c->selftest_keyring_s, 86400);
    assert_int_equal(c->log_format, KT_LOG_TEXT);
    assert_int_equal(c->log_level, KT_LOG_INFO);
}

/* What is written reads back as the same, and being written again gives the same bytes. */
static void expect_round_trip(const char *text)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_config *first = parse(text, &err);
    KT_CLEANUP_BYTES struct kt_bytes written = {.data = NULL};
    KT_CLEANUP_BYTES struct kt_bytes again = {.data = NULL};

    if (!first)
        fail_msg("%s: %s", text, err.message);
    assert_ok(kt_config_format(first, &written, &err));
    KT_CLEANUP(kt_free_p) struct kt_config *second = parse((const char *)written.data, &err);
    if (!second)
        fail_msg("%s: %s", (const char *)written.data, err.message);
    assert_memory_equal(first, second, sizeof(*first));
    assert_ok(kt_config_format(second, &again, &err));
    assert_string_equal((const char *)written.data, (const char *)again.data);
}

static void test_round_trip(void **state)
{
    (void)state;
    expect_round_trip(LEAST);
    expect_round_trip(HEAD "node: a\n");
    expect_round_trip(LEAST
                      "provider: my.kms_1\nrecipient: tpm2\nstateDir: \"/srv/a \\\"b\\\\c'#: d\"\n"
                      "kms: {socket: /a, mode: \"0600\", uids: [0, 1000, 4294967294], gids: [], maxConnections: 1,"
                      " maxStreams: 1024, maxRequestBytes: 4096}\n"
                      "control: {socket: /b, uids: [7]}\n"
                      "metrics: {listen: \"[::1]:0\", textfile: /var/lib/x.prom}\n"
                      "accounts: {front: \"\", keeper: \"10:20\", opener: _kt-o, exporter: \"0:0\"}\n"
                      "opener: {timeout: 10m}\nselfTest: {keys: 90s, keyring: 7d}\n"
                      "log: {format: json, level: debug}\n");
}

static void test_values(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p)
    struct kt_config *c =
        parse(LEAST "kms: {mode: \"0640\", uids: []}\naccounts: {front: \"\"}\nopener: {timeout: 10m}\n"
                    "metrics: {listen: off}\nlog: {level: warning}\n",
              &err);

    (void)state;
    if (!c)
        fail_msg("%s", err.message);
    assert_int_equal(c->kms_mode, 0640);
    assert_int_equal(c->kms_uids.n, 0);
    assert_string_equal(c->account_front, "");
    assert_string_equal(c->account_keeper, "keyturn");
    assert_int_equal(c->opener_timeout_s, 600);
    assert_string_equal(c->metrics_listen, "off");
    assert_int_equal(c->log_level, KT_LOG_WARNING);
}

static void test_owner_may_be_missing(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_config *c = parse(HEAD "node: node-1\n", &err);

    (void)state;
    if (!c)
        fail_msg("%s", err.message);
    assert_false(c->has_owner);
    assert_refused(kt_config_need_owner(c, &err), KT_E_CONFIG);
    assert_non_null(strstr(err.hint, "init"));
}

/* Every refusal says where, and what it must be, but never repeats what stood there. */
static const struct {
    const char *text;
    const char *says;
} refused[] = {
    {"", ""},
    {"[]", ""},
    {"kind: Config\nnode: a\n", "apiVersion"},
    {"apiVersion: keyturn.dev/v1\nnode: a\n", "kind"},
    {"apiVersion: keyturn.dev/v2\nkind: Config\nnode: a\n", "apiVersion must be keyturn.dev/v1"},
    {"apiVersion: keyturn.dev/v1\nkind: Keyring\nnode: a\n", "kind must be Config"},
    {HEAD, "node"},
    {HEAD "node: \"\"\n", "node must be"},
    {HEAD "node: Node\n", "node must be"},
    {HEAD "node: -a\n", "node must be"},
    {HEAD "node: a..b\n", "node must be"},
    {HEAD "node: a-.b\n", "node must be"},
    {HEAD "node: a.\n", "node must be"},
    {HEAD "node: a234567890123456789012345678901234567890123456789012345678901234\n", "node must be"},
    {HEAD "node: a\nnode: b\n", ""},
    {HEAD "node: a\nowner: sha256:00\n", "owner must be sha256:"},
    {LEAST "provider: a:b\n", "provider must be"},
    {LEAST "provider: \"\"\n", "provider must be"},
    {LEAST "recipient: recovery\n", "recipient must be file or tpm2"},
    {LEAST "stateDir: var/lib\n", "stateDir must be an absolute path"},
    {LEAST "stateDir: \"/a\\nb\"\n", "stateDir must be"},
    {LEAST "stateDir: \"\"\n", "stateDir must be"},
    {LEAST "kms: {socket: a}\n", "kms.socket must be"},
    {LEAST "kms: {socket: \"@a\"}\n", "kms.socket must be"},
    {LEAST "kms: {socket: /a/}\n", "kms.socket must be"},
    {LEAST "kms: {mode: \"0777\"}\n", "kms.mode must be"},
    {LEAST "kms: {mode: \"0661\"}\n", "kms.mode must be"},
    {LEAST "kms: {mode: \"660\"}\n", "kms.mode must be"},
    {LEAST "kms: {mode: \"1660\"}\n", "kms.mode must be"},
    {LEAST "kms: {mode: \"0680\"}\n", "kms.mode must be"},
    {LEAST "kms: {uids: 0}\n", ""},
    {LEAST "kms: {uids: [root]}\n", "kms.uids must be"},
    {LEAST "kms: {uids: [-1]}\n", "kms.uids must be"},
    {LEAST "kms: {uids: [4294967295]}\n", "kms.uids must be"},
    {LEAST "kms: {uids: [[0]]}\n", ""},
    {LEAST "kms: {maxConnections: 0}\n", "from 1 to 4096"},
    {LEAST "kms: {maxConnections: 4097}\n", "from 1 to 4096"},
    {LEAST "kms: {maxConnections: 010}\n", "from 1 to 4096"},
    {LEAST "kms: {maxConnections: 18446744073709551617}\n", "from 1 to 4096"},
    {LEAST "kms: {maxRequestBytes: 100}\n", "from 4096 to 1048576"},
    {LEAST "kms:\n  sokcet: /a\n", "line 6, column 3"},
    {LEAST "kms:\n  sokcet: /a\n", "socket"},
    {LEAST "nodes: a\n", "line 5, column 1"},
    {LEAST "kms.socket: /a\n", ""},
    {LEAST "kms: /a\n", ""},
    {LEAST "opener: {timeout: 30}\n", "opener.timeout must be"},
    {LEAST "opener: {timeout: 0s}\n", "from 1s to 600s"},
    {LEAST "opener: {timeout: 11m}\n", "from 1s to 600s"},
    {LEAST "selfTest: {keyring: 1s}\n", "from 60s"},
    {LEAST "metrics: {listen: localhost:1}\n", "metrics.listen must be"},
    {LEAST "metrics: {listen: \"127.0.0.1:65536\"}\n", "metrics.listen must be"},
    {LEAST "metrics: {listen: \"::1:80\"}\n", "metrics.listen must be"},
    {LEAST "metrics: {listen: \"[::1:80\"}\n", "metrics.listen must be"},
    {LEAST "metrics: {listen: \"[]:80\"}\n", "metrics.listen must be"},
    {LEAST "metrics: {listen: \":80\"}\n", "metrics.listen must be"},
    {LEAST "metrics: {textfile: x}\n", "metrics.textfile must be"},
    {LEAST "accounts: {front: \"0\"}\n", NULL},
    {LEAST "accounts: {front: \"a:b\"}\n", "accounts.front must be"},
    {LEAST "accounts: {front: \"1:4294967295\"}\n", "accounts.front must be"},
    {LEAST "accounts: {front: \"1:2:3\"}\n", "accounts.front must be"},
    {LEAST "accounts: {front: \"-a\"}\n", "accounts.front must be"},
    {LEAST "accounts: {front: \"a b\"}\n", "accounts.front must be"},
    {LEAST "log: {format: xml}\n", "log.format must be"},
    {LEAST "log: {level: loud}\n", "log.level must be"},
    {LEAST "kms: {socket: /a}\ncontrol: {socket: /a}\n", "two different paths"},
    {LEAST "kms: {socket: /a}\nmetrics: {listen: /a}\n", "of its own"},
    {LEAST "---\n" LEAST, ""},
    {LEAST "provider: &a keyturn\n", ""},
    {LEAST "provider: !!str keyturn\n", ""},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(refused); i++) {
        struct kt_error err = KT_ERROR_INIT;
        KT_CLEANUP(kt_free_p) struct kt_config *c = parse(refused[i].text, &err);

        if (!refused[i].says && c)
            continue;
        if (c)
            fail_msg("not refused: %s", refused[i].text);
        if (err.code != KT_E_CONFIG || !refused[i].says || !strstr(err.message, refused[i].says))
            fail_msg("%s\ngave %s: %s", refused[i].text, kt_code_name(err.code), err.message);
    }
}

/* sun_path has 108 bytes, its NUL included. */
static void test_socket_length(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    char path[KT_PATH_MAX + 1] = "/";
    char text[512];

    (void)state;
    memset(path + 1, 'a', KT_PATH_MAX - 2);
    (void)snprintf(text, sizeof(text), LEAST "kms: {socket: %s}\n", path);
    KT_CLEANUP(kt_free_p) struct kt_config *fits = parse(text, &err);
    assert_non_null(fits);
    assert_string_equal(fits->kms_socket, path);
    path[KT_PATH_MAX - 1] = 'a';
    (void)snprintf(text, sizeof(text), LEAST "kms: {socket: %s}\n", path);
    KT_CLEANUP(kt_free_p) struct kt_config *over = parse(text, &err);
    assert_null(over);
    assert_int_equal(err.code, KT_E_CONFIG);
}

/* Of each character: whether RFC 3986 lets it stand in the path of a URI (pchar) and gRPC takes it for one of a path.
 */
static void test_socket_letters(void **state)
{
    static const char others[] = "-._~!$&'()*+;=:@/";

    (void)state;
    for (unsigned c = 1; c <= 0xff; c++) {
        struct kt_error err = KT_ERROR_INIT;
        char text[512];
        bool good = c < 0x80 && (isalnum((int)c) || strchr(others, (int)c));

        (void)snprintf(text, sizeof(text), LEAST "kms: {socket: \"/a\\x%02xb\"}\n", c);
        KT_CLEANUP(kt_free_p) struct kt_config *config = parse(text, &err);
        if (!config == good)
            fail_msg("character %02x: %s", c, good ? err.message : "not refused");
        if (!config)
            assert_non_null(strstr(err.message, "kms.socket must be"));
    }
}

static void test_rejected_value_is_not_repeated(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_config *c = parse(LEAST "provider: \"hunter2 hunter2\"\n", &err);

    (void)state;
    assert_null(c);
    assert_null(strstr(err.message, "hunter2"));
}

static void test_too_many_ids(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    char text[1024] = "";
    int len = snprintf(text, sizeof(text), LEAST "kms:\n  uids: [0");

    (void)state;
    for (size_t i = 0; i < KT_CONFIG_IDS_MAX - 1; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, ",1");
    (void)snprintf(text + len, sizeof(text) - (size_t)len, "]\n");
    KT_CLEANUP(kt_free_p) struct kt_config *full = parse(text, &err);
    assert_non_null(full);
    assert_int_equal(full->kms_uids.n, KT_CONFIG_IDS_MAX);
    (void)snprintf(text + len, sizeof(text) - (size_t)len, ",1]\n");
    KT_CLEANUP(kt_free_p) struct kt_config *over = parse(text, &err);
    assert_null(over);
    assert_int_equal(err.code, KT_E_CONFIG);
}

/* The output is untouched by a failure. */
static void test_failure_writes_nothing(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_config *c = parse(LEAST, &err);
    KT_CLEANUP(kt_free_p) struct kt_config *before = malloc(sizeof(*before));

    (void)state;
    assert_non_null(c);
    assert_non_null(before);
    memcpy(before, c, sizeof(*c));
    assert_refused(kt_config_parse(kt_slice_str(LEAST "provider: other\nlog: {level: loud}\n"), c, &err), KT_E_CONFIG);
    assert_memory_equal(before, c, sizeof(*c));
}

static void test_table(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_config *c = calloc(1, sizeof(*c));
    size_t n = 0;
    const struct kt_config_field *fields = kt_config_fields(&n);
    char expects[KT_CONFIG_EXPECTS_MAX];

    (void)state;
    assert_non_null(c);
    kt_config_defaults(c);
    for (size_t i = 0; i < n; i++) {
        assert_true(strlen(fields[i].doc) > 0);
        kt_config_expects(&fields[i], expects);
        assert_true(strlen(expects) > 0);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(fields[i].path, fields[j].path);
        if (fields[i].fallback && fields[i].kind != KT_CONFIG_IDS)
            assert_true(kt_config_set(&fields[i], fields[i].fallback, c));
    }
    (void)err;
}

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_load(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_free_p) struct kt_config *c = calloc(1, sizeof(*c));
    char dir[] = "/tmp/keyturn-config-XXXXXX";
    char path[64];
    char link_path[64];

    (void)state;
    assert_non_null(c);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/keyturn.yaml", dir);
    (void)snprintf(link_path, sizeof(link_path), "%s/link.yaml", dir);
    assert_refused(kt_config_load(path, c, &err), KT_E_CONFIG);
    assert_non_null(strstr(err.message, path));
    put_file(path, LEAST, 0644);
    assert_ok(kt_config_load(path, c, &err));
    assert_string_equal(c->path, path);
    assert_int_equal(chdir(dir), 0);
    assert_ok(kt_config_load("keyturn.yaml", c, &err));
    assert_string_equal(c->path, path);
    assert_int_equal(symlink(path, link_path), 0);
    assert_refused(kt_config_load(link_path, c, &err), KT_E_PERMISSION);
    assert_int_equal(chmod(path, 0664), 0);
    assert_refused(kt_config_load(path, c, &err), KT_E_PERMISSION);
    assert_int_equal(chmod(path, 0646), 0);
    assert_refused(kt_config_load(path, c, &err), KT_E_PERMISSION);
    if (geteuid() == 0) {
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(chown(path, 54321, 0), 0);
        assert_refused(kt_config_load(path, c, &err), KT_E_PERMISSION);
    }
    assert_refused(kt_config_load(dir, c, &err), KT_E_PERMISSION);
    put_file(path, LEAST "log: {level: loud}\n", 0644);
    assert_refused(kt_config_load(path, c, &err), geteuid() == 0 ? KT_E_PERMISSION : KT_E_CONFIG);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_path(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("KEYTURN_CONFIG"), 0);
    assert_string_equal(kt_config_path(NULL), KT_CONFIG_DEFAULT);
    assert_int_equal(setenv("KEYTURN_CONFIG", "/x.yaml", 1), 0);
    assert_string_equal(kt_config_path(NULL), "/x.yaml");
    assert_string_equal(kt_config_path("/y.yaml"), "/y.yaml");
    assert_int_equal(setenv("KEYTURN_CONFIG", "", 1), 0);
    assert_string_equal(kt_config_path(NULL), KT_CONFIG_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_values),         cmocka_unit_test(test_owner_may_be_missing),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_socket_length),
        cmocka_unit_test(test_socket_letters), cmocka_unit_test(test_rejected_value_is_not_repeated),
        cmocka_unit_test(test_too_many_ids),   cmocka_unit_test(test_failure_writes_nothing),
        cmocka_unit_test(test_table),          cmocka_unit_test(test_load),
        cmocka_unit_test(test_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
