/* SPDX-License-Identifier: Apache-2.0 */
/* The file trees of hosts/: what is found in each, and what is wired. */
#include "cluster/distro.h"
#include "cluster/etcd_endpoint.h"
#include "cluster/host_findings.h"
#include "tests/unit/base/unit.h"

#include <string.h>

#define SOCKET "/run/keyturn/kms/kms.sock"

static const struct {
    const char *tree;
    enum kt_distro_id id;
    /* Below, paths are without the tree. */
    const char *kubeconfig;
    const char *flag;
    enum kt_host_path path;
    const char *file;
    bool reload;
    bool is_own;
    bool own_encryption;
    const char *endpoints;
    const char *ca;
    const char *cert;
    const char *key;
    const char *prefix;
    const char *findings; /* split by spaces */
} HOSTS[] = {
    {"kubeadm", KT_DISTRO_KUBEADM, "/etc/kubernetes/admin.conf", NULL, KT_HOST_PATH_NONE, "", false, false, false,
     "https://127.0.0.1:2379", "/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/apiserver-etcd-client.crt",
     "/etc/kubernetes/pki/apiserver-etcd-client.key", "", ""},
    {"kubeadm-wired", KT_DISTRO_KUBEADM, "/etc/kubernetes/admin.conf", "/etc/kubernetes/keyturn/encryption.yaml",
     KT_HOST_PATH_FOLDER, "/etc/kubernetes/keyturn/encryption.yaml", true, false, false, "https://127.0.0.1:2379",
     "/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/apiserver-etcd-client.crt",
     "/etc/kubernetes/pki/apiserver-etcd-client.key", "", "SOCKET_ABSENT"},
    {"k3s", KT_DISTRO_K3S, "/etc/rancher/k3s/k3s.yaml", NULL, KT_HOST_PATH_NONE, "", false, false, false,
     "unix://%R/var/lib/rancher/k3s/server/kine.sock", "", "", "", "", ""},
    {"k3s-etcd", KT_DISTRO_K3S, "/etc/rancher/k3s/k3s.yaml", "/etc/rancher/k3s/keyturn/encryption.yaml",
     KT_HOST_PATH_FOLDER, "/etc/rancher/k3s/keyturn/encryption.yaml", true, false, true, "https://127.0.0.1:2379",
     "/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt", "/var/lib/rancher/k3s/server/tls/etcd/client.crt",
     "/var/lib/rancher/k3s/server/tls/etcd/client.key", "/other", "OWN_ENCRYPTION SOCKET_ABSENT"},
    {"k3s-elsewhere", KT_DISTRO_K3S, "/etc/rancher/k3s/k3s.yaml", "/srv/k3s/server/cred/encryption-config.json",
     KT_HOST_PATH_FOLDER, "/srv/k3s/server/cred/encryption-config.json", true, true, true,
     "https://etcd-0.example:2379,https://etcd-1.example:2379", "/srv/etcd/ca.pem", "/srv/etcd/client.pem",
     "/srv/etcd/client.key", "", ""},
    {"rke2", KT_DISTRO_RKE2, "/etc/rancher/rke2/rke2.yaml", "/var/lib/rancher/rke2/server/cred/encryption-config.json",
     KT_HOST_PATH_FOLDER, "/var/lib/rancher/rke2/server/cred/encryption-config.json", true, true, true,
     "https://127.0.0.1:2379", "/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
     "/var/lib/rancher/rke2/server/tls/etcd/client.crt", "/var/lib/rancher/rke2/server/tls/etcd/client.key", "", ""},
    {"rke2-wired", KT_DISTRO_RKE2, "/etc/rancher/rke2/rke2.yaml", "/keyturn/encryption.yaml", KT_HOST_PATH_FOLDER,
     "/etc/rancher/rke2/keyturn/encryption.yaml", true, false, true, "https://127.0.0.1:2379",
     "/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt", "/var/lib/rancher/rke2/server/tls/etcd/client.crt",
     "/var/lib/rancher/rke2/server/tls/etcd/client.key", "", "OWN_ENCRYPTION SOCKET_ABSENT"},
};

static char root[1024];

static const char *rooted(const char *path)
{
    static char room[4][PATH_MAX];
    static unsigned next;
    char *text = room[next++ % 4];
    const char *mark = strstr(path, "%R");
    if (mark)
        (void)snprintf(text, PATH_MAX, "%.*s%s%s", (int)(mark - path), path, root, mark + 2);
    else
        (void)snprintf(text, PATH_MAX, "%s%s", path[0] == '/' ? root : "", path);
    return text;
}

static void check_encryption(size_t i, const struct kt_host *host)
{
    struct kt_host_encryption encryption;
    kt_host_encryption(host, &encryption);
    if (HOSTS[i].flag)
        assert_string_equal(encryption.flag, HOSTS[i].flag);
    else
        assert_null(encryption.flag);
    assert_int_equal(encryption.path, HOSTS[i].path);
    assert_string_equal(encryption.file, rooted(HOSTS[i].file));
    assert_int_equal(encryption.reload, HOSTS[i].reload);
    assert_int_equal(encryption.is_own, HOSTS[i].is_own);
}

static void check_store(size_t i, const struct kt_host *host)
{
    struct kt_host_store *store = calloc(1, sizeof(*store));
    struct kt_etcd_endpoints endpoints = {.items = NULL};
    struct kt_error err = KT_ERROR_INIT;
    if (!store || !kt_host_store(host, store, &err))
        fail_msg("%s", err.message);
    assert_string_equal(store->endpoints, rooted(HOSTS[i].endpoints));
    assert_string_equal(store->ca, rooted(HOSTS[i].ca));
    assert_string_equal(store->cert, rooted(HOSTS[i].cert));
    assert_string_equal(store->key, rooted(HOSTS[i].key));
    assert_string_equal(store->prefix, HOSTS[i].prefix);
    assert_null(store->overrides);
    /* A test's own root may be too long for a socket. */
    if (strncmp(store->endpoints, "unix://", 7) != 0)
        assert_true(kt_etcd_endpoints_parse(store->endpoints, ',', &endpoints, &err));
    kt_etcd_endpoints_done(&endpoints);
    free(store);
}

static void check_findings(size_t i, const struct kt_host *host)
{
    struct kt_host_findings *findings = calloc(1, sizeof(*findings));
    char found[512] = "";
    struct kt_error err = KT_ERROR_INIT;
    if (!findings || !kt_host_findings(host, SOCKET, findings, &err))
        fail_msg("%s", err.message);
    for (size_t f = 0; f < findings->n; f++)
        (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", f > 0 ? " " : "",
                       kt_host_finding_name(findings->items[f].id));
    assert_string_equal(found, HOSTS[i].findings);
    free(findings);
}

static void test_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(HOSTS); i++) {
        KT_CLEANUP(kt_host_free_p) struct kt_host *host = NULL;
        struct kt_error err = KT_ERROR_INIT;
        print_message("%s\n", HOSTS[i].tree);
        (void)snprintf(root, sizeof(root), "%s/%s", KT_HOSTS, HOSTS[i].tree);
        if (!kt_host_find(root, &host, &err))
            fail_msg("%s: %s", HOSTS[i].tree, err.message);
        assert_non_null(host);
        assert_int_equal(host->id, HOSTS[i].id);
        assert_string_equal(host->kubeconfig, rooted(HOSTS[i].kubeconfig));
        assert_int_equal(host->own_encryption, HOSTS[i].own_encryption);
        check_encryption(i, host);
        check_store(i, host);
        check_findings(i, host);
    }
}

static void test_none(void **state)
{
    (void)state;
    struct kt_host *host = (struct kt_host *)&root;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_host_find(KT_HOSTS "/absent", &host, &err));
    assert_null(host);
    assert_null(kt_host_read(KT_HOSTS "/k3s", KT_DISTRO_RKE2, &err));
    assert_non_null(strstr(err.message, "expected a server of rke2"));
}

static void test_inside(void **state)
{
    (void)state;
    static const struct {
        const char *tree;
        const char *path;
        enum kt_host_path kind;
        const char *inside;
    } cases[] = {
        {"kubeadm", SOCKET, KT_HOST_PATH_UNMOUNTED, ""},
        {"kubeadm-wired", SOCKET, KT_HOST_PATH_FOLDER, SOCKET},
        {"kubeadm-wired", "/run/keyturn/kms", KT_HOST_PATH_FILE, "/run/keyturn/kms"},
        {"k3s", SOCKET, KT_HOST_PATH_FOLDER, SOCKET},
        {"rke2", SOCKET, KT_HOST_PATH_UNMOUNTED, ""},
        {"rke2-wired", "/etc/rancher/rke2/keyturn/encryption.yaml", KT_HOST_PATH_FOLDER, "/keyturn/encryption.yaml"},
        {"rke2-wired", "/etc/rancher/rke2/rke2-pss.yaml", KT_HOST_PATH_FILE, "/etc/rancher/rke2/rke2-pss.yaml"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        KT_CLEANUP(kt_host_free_p) struct kt_host *host = NULL;
        char inside[PATH_MAX];
        (void)snprintf(root, sizeof(root), "%s/%s", KT_HOSTS, cases[i].tree);
        assert_true(kt_host_find(root, &host, NULL));
        assert_int_equal(kt_host_inside(host, cases[i].path, inside), cases[i].kind);
        assert_string_equal(inside, cases[i].inside);
        /* With the root before it, it is the same file. */
        assert_int_equal(kt_host_inside(host, rooted(cases[i].path), inside), cases[i].kind);
        assert_string_equal(inside, cases[i].inside);
    }
}

static void test_facts(void **state)
{
    (void)state;
    for (enum kt_distro_id id = 0; id < KT_DISTRO_COUNT; id++) {
        const struct kt_distro *facts = kt_distro_facts(id);
        assert_non_null(facts->name);
        assert_non_null(facts->service);
        assert_non_null(facts->marker);
        assert_true(facts->manifest || facts->config);
        assert_true(!facts->config == !facts->data_dir);
        assert_non_null(facts->encryption_folder);
        assert_non_null(facts->encryption_inside);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
