/* SPDX-License-Identifier: Apache-2.0 */
/* What the lists say, and who is who once all were asked; without a network. */
#include "cluster/apiservers_parts.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1795662100u /* 2026-11-26T03:01:40Z */

static struct kt_apiservers *servers;
static struct kt_apiserver_leases *leases;

static int setup(void **state)
{
    (void)state;
    servers = calloc(1, sizeof(*servers));
    leases = calloc(1, sizeof(*leases));
    return servers && leases ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(servers);
    free(leases);
    return 0;
}

static json_t *json(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

static void takes_endpoint_slices(void **state)
{
    (void)state;
    KT_CLEANUP_JSON json_t *list =
        json("{\"items\":[{\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"http\",\"port\":80},{\"name\":\"https\","
             "\"port\":6443}],"
             "\"endpoints\":[{\"addresses\":[\"10.0.0.1\",\"10.0.0.2\"],\"conditions\":{\"ready\":true}},"
             "{\"addresses\":[\"10.0.0.3\"],\"conditions\":{\"ready\":false}},{\"addresses\":[\"10.0.0.1\"]}]},"
             "{\"addressType\":\"IPv6\",\"ports\":[{\"name\":\"https\",\"port\":6443}],\"endpoints\":[{\"addresses\":["
             "\"fd00::1\"]}]},"
             "{\"ports\":[{\"name\":\"https\",\"port\":70000}],\"endpoints\":[{\"addresses\":[\"10.0.0.9\"]}]},"
             "{\"ports\":[{\"name\":\"https\",\"port\":6443}],\"endpoints\":[{\"addresses\":[\"evil.example.com\",7,"
             "null]},7]},"
             "7,null]}");
    static const char *const EXPECTED[] = {"https://10.0.0.1:6443", "https://10.0.0.2:6443", "https://10.0.0.3:6443",
                                           "https://[fd00::1]:6443"};
    assert_true(kt_apiservers_take_slices(servers, list, NULL));
    assert_int_equal(servers->n, KT_ARRAY_LEN(EXPECTED));
    for (size_t i = 0; i < servers->n; i++) {
        assert_string_equal(servers->list[i].address, EXPECTED[i]);
        assert_int_equal(servers->list[i].sources, KT_APISERVER_ENDPOINT);
    }
    struct kt_http_url url;
    assert_true(kt_http_url_address("10.0.0.2", 6443, &url, NULL));
    assert_true(kt_apiservers_add(servers, &url, KT_APISERVER_NAMED, NULL));
    assert_int_equal(servers->n, KT_ARRAY_LEN(EXPECTED));
    assert_int_equal(servers->list[1].sources, KT_APISERVER_ENDPOINT | KT_APISERVER_NAMED);
}

#define LEASE(name, renewed, rest)                                                                                   \
    "{\"metadata\":{\"name\":\"" name "\"" rest "},\"spec\":{\"leaseDurationSeconds\":3600,\"renewTime\":\"" renewed \
    "\"}}"

static void takes_leases(void **state)
{
    (void)state;
    KT_CLEANUP_JSON json_t *list = json("{\"items\":[" LEASE(
        "apiserver-a", "2026-11-26T03:01:30.123456Z",
        ",\"labels\":{\"kubernetes.io/hostname\":\"node-a\"},\"annotations\":"
        "{\"kubernetes.io/peer-advertise-address\":\"10.0.0.1:6443\"}") "," LEASE("apiserver-b", "2026-11-26T02:30:00Z",
                                                                                  ",\"annotations\":{\"kubernetes.io/"
                                                                                  "peer-advertise-address\":\"evil."
                                                                                  "example.com:6443\"}") "," LEASE("api"
                                                                                                                   "ser"
                                                                                                                   "ver"
                                                                                                                   "-go"
                                                                                                                   "ne",
                                                                                                                   "202"
                                                                                                                   "6-"
                                                                                                                   "11-"
                                                                                                                   "26T"
                                                                                                                   "01:"
                                                                                                                   "59:"
                                                                                                                   "59."
                                                                                                                   "000"
                                                                                                                   "000"
                                                                                                                   "Z",
                                                                                                                   "") "," LEASE("apiserver-odd",
                                                                                                                                 "yesterday",
                                                                                                                                 "") ",{\"metadata\":{}},7]}");
    assert_true(kt_apiservers_take_leases(leases, list, NOW, NULL));
    assert_int_equal(leases->n, 3);
    assert_string_equal(leases->list[0].name, "apiserver-a");
    assert_string_equal(leases->list[0].host, "node-a");
    assert_true(leases->list[0].has_url);
    assert_string_equal(leases->list[0].url.origin, "https://10.0.0.1:6443");
    assert_int_equal(leases->list[0].renewed_s, 1795662090);
    assert_string_equal(leases->list[1].name, "apiserver-b");
    assert_false(leases->list[1].has_url);
    assert_string_equal(leases->list[2].name, "apiserver-odd");
    assert_int_equal(leases->list[2].renewed_s, 0);
}

static void bounds_both(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_JSON json_t *slices =
        json("{\"items\":[{\"ports\":[{\"name\":\"https\",\"port\":1}],\"endpoints\":[{\"addresses\":[]}]}]}");
    KT_CLEANUP_JSON json_t *list = json("{\"items\":[]}");
    json_t *endpoint =
        json_array_get(json_object_get(json_array_get(json_object_get(slices, "items"), 0), "endpoints"), 0);
    for (unsigned i = 0; i <= KT_APISERVERS_MAX; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.0.%u", i);
        json_array_append_new(json_object_get(endpoint, "addresses"), json_string(text));
        json_array_append_new(json_object_get(list, "items"), json_pack("{s:{s:s}}", "metadata", "name", text));
    }
    assert_false(kt_apiservers_take_slices(servers, slices, &err));
    assert_int_equal(err.code, KT_E_BUSY);
    assert_false(kt_apiservers_take_leases(leases, list, NOW, &err));
    assert_int_equal(err.code, KT_E_BUSY);
}

/* A scene: servers by letter, as they answered. */
static struct kt_apiserver *put(const char *address, unsigned sources, const char *lease, double start)
{
    struct kt_apiserver *server = &servers->list[servers->n++];
    snprintf(server->address, sizeof(server->address), "%s", address);
    server->sources = sources;
    server->state = start > 0 ? KT_APISERVER_ASKED : KT_APISERVER_UNREACHABLE;
    server->has_metrics = start > 0;
    server->metrics.process_start = start;
    if (lease)
        assert_true(kt_metrics_hash(kt_slice_str(lease), server->metrics.id_hash, NULL));
    return server;
}

static void put_lease(const char *name, const char *address)
{
    struct kt_apiserver_lease *lease = &leases->list[leases->n++];
    snprintf(lease->name, sizeof(lease->name), "%s", name);
    lease->renewed_s = NOW;
    lease->has_url = address && kt_http_url_parse(address, "t", &lease->url, NULL);
}

static void match(const struct kt_apiserver_known *known, size_t n)
{
    const struct kt_apiservers_options options = {.known = known, .n_known = n};
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_apiservers_match(servers, leases, &options, &err))
        fail_msg("%s", err.message);
}

static void expect(size_t i, const char *id, const char *address, enum kt_apiserver_state state)
{
    assert_true(i < servers->n);
    assert_string_equal(servers->list[i].id, id);
    assert_string_equal(servers->list[i].address, address);
    assert_int_equal(servers->list[i].state, state);
}

static void matches_by_hash(void **state)
{
    (void)state;
    put("https://1", KT_APISERVER_ENDPOINT, "lease-b", 10);
    put("https://10.0.0.2:443", KT_APISERVER_ENDPOINT, "lease-a", 20);
    put("https://vip", KT_APISERVER_KUBECONFIG, "lease-a", 20);
    put_lease("lease-a", NULL);
    put_lease("lease-b", "https://10.0.0.2:443"); /* a Lease's address counts less than the server's own word */
    match(NULL, 0);
    assert_int_equal(servers->n, 2);
    expect(0, "lease-b", "https://1", KT_APISERVER_ASKED);
    expect(1, "lease-a", "https://10.0.0.2:443", KT_APISERVER_ASKED);
    assert_int_equal(servers->list[1].sources, KT_APISERVER_ENDPOINT | KT_APISERVER_KUBECONFIG | KT_APISERVER_LEASE);
}

/* Hosts that are all called localhost: one id, and still two servers. */
static void keeps_two_processes_of_one_name(void **state)
{
    (void)state;
    put("https://1", KT_APISERVER_ENDPOINT, "lease", 10);
    put("https://2", KT_APISERVER_ENDPOINT, "lease", 10.5);
    put("https://1b", KT_APISERVER_NAMED, "lease", 10);
    put_lease("lease", NULL);
    match(NULL, 0);
    assert_int_equal(servers->n, 2);
    expect(0, "lease", "https://1", KT_APISERVER_ASKED);
    expect(1, "lease", "https://2", KT_APISERVER_ASKED);
}

static void names_those_that_do_not_answer(void **state)
{
    (void)state;
    static const struct kt_apiserver_known KNOWN[] = {{"lease-c", "https://3"}, {"lease-d", ""}, {"", "https://9"}};
    put("https://1", KT_APISERVER_ENDPOINT, "lease-a", 10);
    put("https://10.0.0.2:443", KT_APISERVER_LEASE, NULL, 0);
    put("https://3", KT_APISERVER_KNOWN, NULL, 0);
    put("https://4", KT_APISERVER_NAMED, NULL, 0);
    put_lease("lease-a", NULL);
    put_lease("lease-b", "https://10.0.0.2");
    put_lease("lease-e", NULL);
    match(KNOWN, KT_ARRAY_LEN(KNOWN));
    assert_int_equal(servers->n, 6);
    expect(1, "lease-b", "https://10.0.0.2:443", KT_APISERVER_UNREACHABLE);
    expect(2, "lease-c", "https://3", KT_APISERVER_UNREACHABLE);
    expect(3, "https://4", "https://4", KT_APISERVER_UNREACHABLE);
    expect(4, "lease-e", "", KT_APISERVER_NO_ADDRESS);
    assert_non_null(strstr(servers->list[4].why.message, "renewed 2026-11-26T03:01:40Z"));
    expect(5, "lease-d", "", KT_APISERVER_NO_ADDRESS);
    assert_non_null(strstr(servers->list[5].why.hint, "--forget-api-server lease-d"));
}

/* One that is remembered and has another address now is there once; if another one took its address, it is missing. */
static void follows_those_that_move(void **state)
{
    (void)state;
    static const struct kt_apiserver_known KNOWN[] = {{"lease-a", "https://1"}, {"lease-b", "https://2"}};
    put("https://1", KT_APISERVER_KNOWN, NULL, 0);
    put("https://5", KT_APISERVER_ENDPOINT, "lease-a", 10);
    put("https://2", KT_APISERVER_KNOWN | KT_APISERVER_ENDPOINT, "lease-new", 20);
    put_lease("lease-a", NULL);
    put_lease("lease-new", NULL);
    match(KNOWN, KT_ARRAY_LEN(KNOWN));
    assert_int_equal(servers->n, 3);
    expect(0, "lease-a", "https://5", KT_APISERVER_ASKED);
    expect(1, "lease-new", "https://2", KT_APISERVER_ASKED);
    expect(2, "lease-b", "", KT_APISERVER_NO_ADDRESS);
}

/* Before encryption is configured nobody tells who he is. */
static void counts_the_anonymous(void **state)
{
    (void)state;
    put("https://1", KT_APISERVER_ENDPOINT, NULL, 10);
    put("https://2", KT_APISERVER_ENDPOINT, NULL, 20);
    put("https://vip", KT_APISERVER_KUBECONFIG, NULL, 10);
    put_lease("lease-a", NULL);
    put_lease("lease-b", NULL);
    match(NULL, 0);
    assert_int_equal(servers->n, 2);
    expect(0, "https://1", "https://1", KT_APISERVER_ASKED);
    expect(1, "https://2", "https://2", KT_APISERVER_ASKED);
    put_lease("lease-c", NULL);
    match(NULL, 0);
    assert_int_equal(servers->n, 5);
}

static void keeps_the_only_server(void **state)
{
    (void)state;
    put("https://vip", KT_APISERVER_KUBECONFIG, NULL, 0);
    match(NULL, 0);
    assert_int_equal(servers->n, 1);
    expect(0, "https://vip", "https://vip", KT_APISERVER_UNREACHABLE);
}

/* Its Lease is not there (any more), but it says who it is. */
static void takes_a_hash_without_a_lease(void **state)
{
    (void)state;
    put("https://1", KT_APISERVER_KUBECONFIG, "lease-x", 10);
    put("https://2", KT_APISERVER_ENDPOINT, "lease-y", 10);
    match(NULL, 0);
    assert_int_equal(servers->n, 2);
    assert_memory_equal(servers->list[0].id, "id:sha256:", 10);
    assert_string_equal(servers->list[0].id + 3, servers->list[0].metrics.id_hash);
}

static void tells_who_meets_a_condition(void **state)
{
    (void)state;
    struct kt_apiserver *server = put("https://1", KT_APISERVER_ENDPOINT, "lease", 10);
    struct kt_metrics *m = &server->metrics;
    struct kt_apiservers_wait wait = {.provider = "keyturn"};
    m->n_keys = 2;
    snprintf(m->config_hash, sizeof(m->config_hash), "sha256:c");
    for (size_t i = 0; i < 2; i++) {
        snprintf(m->keys[i].provider, sizeof(m->keys[i].provider), "keyturn");
        snprintf(m->keys[i].key_id_hash, sizeof(m->keys[i].key_id_hash), "sha256:%zu", i);
        m->keys[i].seen_at = (double)(i + 1);
    }
    assert_true(kt_apiserver_meets(server, &wait));
    wait.key_id_hash = "sha256:1";
    wait.config_hash = "sha256:c";
    assert_true(kt_apiserver_meets(server, &wait));
    wait.config_hash = "sha256:d";
    assert_false(kt_apiserver_meets(server, &wait));
    wait.config_hash = NULL;
    wait.key_id_hash = "sha256:0"; /* seen, but not last */
    assert_false(kt_apiserver_meets(server, &wait));
    wait.provider = "other";
    assert_false(kt_apiserver_meets(server, &wait));
    wait.key_id_hash = NULL;
    server->has_metrics = false;
    assert_false(kt_apiserver_meets(server, &wait));
    server->has_metrics = true;
    server->state = KT_APISERVER_UNREACHABLE;
    assert_false(kt_apiserver_meets(server, &wait));
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(takes_endpoint_slices),
        SCENE(takes_leases),
        SCENE(bounds_both),
        SCENE(matches_by_hash),
        SCENE(keeps_two_processes_of_one_name),
        SCENE(names_those_that_do_not_answer),
        SCENE(follows_those_that_move),
        SCENE(counts_the_anonymous),
        SCENE(keeps_the_only_server),
        SCENE(takes_a_hash_without_a_lease),
        SCENE(tells_who_meets_a_condition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
