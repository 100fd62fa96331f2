/* SPDX-License-Identifier: Apache-2.0 */
/* The other texts that strangers give cluster/; the first byte chooses. */
#include "base/yaml.h"
#include "cluster/apiservers_parts.h"
#include "cluster/kube_exec.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_url(struct kt_slice text)
{
    char copy[KT_HTTP_URL_MAX + 64] = "";
    struct kt_http_url url, again;
    if (text.len >= sizeof(copy) || memchr(text.data, 0, text.len))
        return;
    memcpy(copy, text.data, text.len);
    if (!kt_http_url_parse(copy, "fuzz", &url, NULL))
        return;
    must(url.port <= 65535 && strncmp(url.origin, "https://", 8) == 0);
    if (kt_http_url_parse(url.origin, "fuzz", &again, NULL))
        must(strcmp(url.origin, again.origin) == 0);
}

static void try_credential(struct kt_slice text)
{
    struct kt_kube_credential credential = {.token = NULL};
    if (kt_kube_credential_parse(text, "client.authentication.k8s.io/v1", &credential, NULL))
        must(credential.token || credential.key);
    kt_kube_credential_done(&credential);
}

static void try_lists(struct kt_slice text)
{
    KT_CLEANUP_JSON json_t *list = json_loadb((const char *)text.data, text.len, 0, NULL);
    KT_CLEANUP(kt_free_p) struct kt_apiservers *servers = calloc(1, sizeof(*servers));
    KT_CLEANUP(kt_free_p) struct kt_apiserver_leases *leases = calloc(1, sizeof(*leases));
    const struct kt_apiservers_options none = {.n_urls = 0};
    if (!list || !servers || !leases || !kt_apiservers_take_slices(servers, list, NULL) ||
        !kt_apiservers_take_leases(leases, list, 1795662100, NULL))
        return;
    must(servers->n <= KT_APISERVERS_MAX && leases->n <= KT_APISERVERS_MAX);
    if (kt_apiservers_match(servers, leases, &none, NULL))
        must(servers->n <= KT_APISERVERS_MAX);
}

/* Every node is reached through the accessors, aliases too, to a depth that they bound. */
static void walk(const struct kt_yaml *yaml, const struct kt_yaml_node *node, unsigned depth)
{
    const char *text = NULL;
    size_t n = 0;
    must(depth <= KT_YAML_DEPTH_MAX + 1);
    (void)kt_yaml_is_nothing(node);
    (void)!kt_yaml_text(yaml, node, 100, &text, NULL);
    (void)kt_yaml_get(node, "users");
    if (depth < 3 && kt_yaml_items(yaml, node, 8, &n, NULL))
        for (size_t i = 0; i < n; i++)
            walk(yaml, kt_yaml_item(node, i), depth + 1);
}

static void try_yaml(struct kt_slice text)
{
    KT_CLEANUP(kt_yaml_free_p) struct kt_yaml *yaml = kt_yaml_parse_foreign(text, "fuzz", KT_E_CONFIG, NULL);
    static const char *const KEYS[] = {"clusters", "users", "contexts"};
    if (!yaml)
        return;
    walk(yaml, kt_yaml_root(yaml), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(KEYS); i++)
        if (kt_yaml_get(kt_yaml_root(yaml), KEYS[i]))
            walk(yaml, kt_yaml_get(kt_yaml_root(yaml), KEYS[i]), 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const decoders[])(struct kt_slice) = {try_url, try_credential, try_lists, try_yaml};
    if (size > 1)
        decoders[data[0] % KT_ARRAY_LEN(decoders)](KT_SLICE(data + 1, size - 1));
    return 0;
}
