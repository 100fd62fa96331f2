/* SPDX-License-Identifier: Apache-2.0 */
/* A host that is wired well, with one thing changed each time. */
#include "base/buf.h"
#include "base/file.h"
#include "cluster/host_findings.h"
#include "tests/unit/base/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SOCKET       "/run/keyturn/kms/kms.sock"
#define SOCKET_BELOW "run/keyturn/kms/kms.sock"
#define MANIFEST     "etc/kubernetes/manifests/kube-apiserver.yaml"
#define CONFIG       "    - --encryption-provider-config=/etc/kubernetes/keyturn/encryption.yaml\n"
#define RELOAD       "    - --encryption-provider-config-automatic-reload=true\n"

static void make_folders(const struct scratch *s, const char *path)
{
    char folder[256];
    for (const char *c = path; (c = strchr(c, '/')); c++) {
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(c - path), path);
        (void)mkdirat(s->dir, folder, 0755);
    }
}

static void put(const struct scratch *s, const char *path, struct kt_slice bytes)
{
    make_folders(s, path);
    int fd = openat(s->dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
    kt_fd_close(fd);
}

static void fixture(const char *path, struct kt_bytes *ret)
{
    static const struct kt_file_rules rules = {.max = 65536, .owner = KT_ANY_UID};
    char name[PATH_MAX];
    struct kt_error err = KT_ERROR_INIT;
    (void)snprintf(name, sizeof(name), "%s/kubeadm-wired/%s", KT_HOSTS, path);
    if (!kt_file_read(AT_FDCWD, name, &rules, ret, &err))
        fail_msg("%s", err.message);
}

/* The daemon's, under the root. */
static void make_socket(const struct scratch *s)
{
    make_folders(s, SOCKET_BELOW);
    (void)unlinkat(s->dir, SOCKET_BELOW, 0);
    assert_int_equal(mknodat(s->dir, SOCKET_BELOW, S_IFSOCK | 0660, 0), 0);
}

/* The manifest, with one text in place of another. */
static void lay_out(const struct scratch *s, const char *from, const char *to)
{
    KT_CLEANUP_BYTES struct kt_bytes manifest = {.data = NULL};
    struct kt_text changed;
    fixture(MANIFEST, &manifest);
    const char *text = (const char *)manifest.data;
    const char *at = strstr(text, from);
    assert_non_null(at);
    kt_text_init(&changed, 65536);
    kt_text_add_bytes(&changed, text, (size_t)(at - text));
    kt_text_add(&changed, "%s%s", to, at + strlen(from));
    put(s, MANIFEST, KT_SLICE(changed.data, changed.len));
    kt_text_done(&changed);
    put(s, "etc/kubernetes/keyturn/encryption.yaml", kt_slice_str("kind: EncryptionConfiguration\n"));
    make_socket(s);
}

static void expect(const struct scratch *s, const char *names, const char *part)
{
    KT_CLEANUP(kt_host_free_p) struct kt_host *host = NULL;
    KT_CLEANUP(kt_free_p) struct kt_host_findings *findings = calloc(1, sizeof(*findings));
    char found[512] = "";
    struct kt_error err = KT_ERROR_INIT;
    assert_non_null(findings);
    if (!kt_host_find(s->path, &host, &err) || !kt_host_findings(host, SOCKET, findings, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < findings->n; i++) {
        (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", i > 0 ? " " : "",
                       kt_host_finding_name(findings->items[i].id));
        assert_true(findings->items[i].hint[0] != '\0');
        assert_null(strchr(findings->items[i].message, '%'));
        assert_null(strchr(findings->items[i].hint, '%'));
    }
    if (strcmp(found, names) != 0)
        fail_msg("expected %s, found %s", names, found);
    if (part[0] != '\0' && !strstr(findings->items[0].message, part))
        fail_msg("%s: %s", names, findings->items[0].message);
}

static const struct {
    const char *from;
    const char *to;
    const char *names;
    const char *part; /* of the first message */
} CHANGES[] = {
    {"kind: Pod", "kind: Pod", "", ""},
    {CONFIG RELOAD, "", "", ""},
    {CONFIG, "", "RELOAD_ALONE", "does not start so"},
    {RELOAD, "", "RELOAD_OFF", "/etc/kubernetes/keyturn/encryption.yaml"},
    {"automatic-reload=true", "automatic-reload=false", "RELOAD_OFF", ""},
    {"--encryption-provider-config=", "--experimental-encryption-provider-config=", "CONFIG_OLD_FLAG", ""},
    {CONFIG, CONFIG CONFIG, "CONFIG_TWICE", "the last one"},
    {CONFIG, "    - --experimental-encryption-provider-config=/old\n" CONFIG, "CONFIG_TWICE CONFIG_OLD_FLAG", ""},
    {"mountPath: /etc/kubernetes/keyturn\n", "mountPath: /elsewhere\n", "CONFIG_UNMOUNTED", "no folder of the host"},
    {"keyturn/encryption.yaml\n", "keyturn/other.yaml\n", "CONFIG_ABSENT", "/etc/kubernetes/keyturn/other.yaml"},
    {"    - mountPath: /etc/kubernetes/keyturn\n      name: keyturn-config\n",
     "    - mountPath: /etc/kubernetes/keyturn/encryption.yaml\n      name: keyturn-config\n      subPath: "
     "encryption.yaml\n",
     "CONFIG_MOUNTED_ALONE", "single file"},
    {"mountPath: /run/keyturn/kms\n", "mountPath: /elsewhere\n", "", ""}, /* the folder is seen, under another name */
    {"path: /run/keyturn/kms\n", "path: /run/other\n", "SOCKET_UNMOUNTED", SOCKET},
    {"path: /run/keyturn/kms\n", "path: " SOCKET "\n", "SOCKET_MOUNTED_ALONE", SOCKET},
};

static void test_changes(void **state)
{
    const struct scratch *s = *state;
    for (size_t i = 0; i < KT_ARRAY_LEN(CHANGES); i++) {
        lay_out(s, CHANGES[i].from, CHANGES[i].to);
        expect(s, CHANGES[i].names, CHANGES[i].part);
    }
}

static void test_unreadable(void **state)
{
    const struct scratch *s = *state;
    lay_out(s, "  securityContext:\n", "  securityContext:\n    runAsUser: 65534\n");
    expect(s, "", "");
    assert_int_equal(fchmodat(s->dir, "etc/kubernetes/keyturn/encryption.yaml", 0640, 0), 0);
    expect(s, "CONFIG_UNREADABLE", "uid 65534");
    lay_out(s, "  securityContext:\n", "  securityContext:\n    runAsUser: 0\n");
    expect(s, "", "");
}

static void test_socket(void **state)
{
    const struct scratch *s = *state;
    lay_out(s, "kind: Pod", "kind: Pod");
    assert_int_equal(unlinkat(s->dir, SOCKET_BELOW, 0), 0);
    expect(s, "SOCKET_ABSENT", "cannot reach the daemon");
    assert_int_equal(mkdirat(s->dir, SOCKET_BELOW, 0755), 0);
    expect(s, "SOCKET_FOLDER", "kubelet");
    assert_int_equal(unlinkat(s->dir, SOCKET_BELOW, AT_REMOVEDIR), 0);
}

/* kubelet starts whatever is no dot file; what is no pod of kube-apiserver is nothing to us. */
static void test_copies(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP_BYTES struct kt_bytes manifest = {.data = NULL};
    fixture(MANIFEST, &manifest);
    lay_out(s, "kind: Pod", "kind: Pod");
    put(s, "etc/kubernetes/manifests/etcd.yaml",
        kt_slice_str("kind: Pod\nspec: {containers: [{name: etcd, command: [etcd]}]}\n"));
    put(s, "etc/kubernetes/manifests/notes", kt_slice_str("no pod\n"));
    put(s, "etc/kubernetes/manifests/.kube-apiserver.yaml.new", kt_bytes_view(&manifest));
    expect(s, "", "");
    put(s, "etc/kubernetes/manifests/kube-apiserver.yaml.bak", kt_bytes_view(&manifest));
    expect(s, "MANIFEST_COPY", "kube-apiserver.yaml.bak");
}

static void test_processes(void **state)
{
    const struct scratch *s = *state;
    static const char other[] = "/usr/local/bin/kube-apiserver\0--etcd-servers=https://127.0.0.1:2379\0";
    static const char unrelated[] = "/usr/bin/vi\0kube-apiserver\0";
    KT_CLEANUP_BYTES struct kt_bytes same = {.data = NULL};
    fixture("proc/4711/cmdline", &same);
    lay_out(s, "kind: Pod", "kind: Pod");
    put(s, "proc/1/cmdline", KT_SLICE(unrelated, sizeof(unrelated) - 1));
    put(s, "proc/2/cmdline", KT_SLICE("", 0));
    put(s, "proc/self/cmdline", KT_SLICE(other, sizeof(other) - 1));
    expect(s, "", "");
    put(s, "proc/300/cmdline", KT_SLICE(other, sizeof(other) - 1));
    expect(s, "RUNNING_DIFFERS", "has other flags");
    put(s, "proc/400/cmdline", kt_bytes_view(&same));
    expect(s, "", "");
}

static void test_restart_pending(void **state)
{
    const struct scratch *s = *state;
    static const char manifest[] =
        "kind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver]\n    args:\n"
        "    - --encryption-provider-config=/var/lib/rancher/rke2/server/cred/encryption-config.json\n"
        "    - --encryption-provider-config-automatic-reload=true\n"
        "    volumeMounts: [{name: a, mountPath: /var/lib/rancher/rke2/server}]\n"
        "  volumes: [{name: a, hostPath: {path: /var/lib/rancher/rke2/server}}]\n";
    put(s, "var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml", kt_slice_str(manifest));
    put(s, "var/lib/rancher/rke2/server/cred/encryption-config.json", kt_slice_str("{}"));
    expect(s, "", "");
    put(s, "etc/rancher/rke2/config.yaml.d/90-keyturn.yaml",
        kt_slice_str("kube-apiserver-arg+: [encryption-provider-config=/keyturn/encryption.yaml]\n"));
    expect(s, "RESTART_PENDING", "rke2-server is told something else");
}

static void test_two_distributions(void **state)
{
    const struct scratch *s = *state;
    struct kt_host *host = NULL;
    struct kt_error err = KT_ERROR_INIT;
    lay_out(s, "kind: Pod", "kind: Pod");
    put(s, "var/lib/rancher/k3s/server/cred/passwd", kt_slice_str(""));
    assert_false(kt_host_find(s->path, &host, &err));
    expect_error(&err, KT_E_CONFIG, "found kubeadm and k3s");
    KT_CLEANUP(kt_host_free_p) struct kt_host *named = kt_host_read(s->path, KT_DISTRO_KUBEADM, &err);
    assert_non_null(named);
}

/* A manifest that cannot be read is an error, never a host without one. */
static void test_broken_manifest(void **state)
{
    const struct scratch *s = *state;
    struct kt_host *host = NULL;
    struct kt_error err = KT_ERROR_INIT;
    put(s, MANIFEST, kt_slice_str("kind: Pod\nspec: [\n"));
    assert_false(kt_host_find(s->path, &host, &err));
    expect_error(&err, KT_E_CONFIG, "kube-apiserver.yaml");
    assert_null(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_changes),
        SCRATCH_TEST(test_unreadable),
        SCRATCH_TEST(test_socket),
        SCRATCH_TEST(test_copies),
        SCRATCH_TEST(test_processes),
        SCRATCH_TEST(test_restart_pending),
        SCRATCH_TEST(test_two_distributions),
        SCRATCH_TEST(test_broken_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
