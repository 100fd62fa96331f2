/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts as the distributions lay them out: what comes in, what is there already, and out again. */
#include "base/buf.h"
#include "base/file.h"
#include "tests/unit/base/scratch.h"
#include "wiring/wiring.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SOCKET   "/run/keyturn/kms/kms.sock"
#define MANIFEST "etc/kubernetes/manifests/kube-apiserver.yaml"

static void read_file(const char *host, const char *path, struct kt_bytes *ret)
{
    static const struct kt_file_rules rules = {.max = 65536, .owner = KT_ANY_UID};
    char name[PATH_MAX];
    struct kt_error err = KT_ERROR_INIT;
    (void)snprintf(name, sizeof(name), "%s/%s/%s", KT_HOSTS, host, path);
    if (!kt_file_read(AT_FDCWD, name, &rules, ret, &err))
        fail_msg("%s", err.message);
}

static void put(const struct scratch *s, const char *path, struct kt_slice bytes)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    char folder[256];
    struct kt_error err = KT_ERROR_INIT;
    for (const char *c = path; (c = strchr(c, '/')); c++) {
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(c - path), path);
        (void)mkdirat(s->dir, folder, 0755);
    }
    assert_true(kt_file_replace(s->dir, path, bytes, &attrs, &err));
}

static struct kt_host *find(const char *root)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_host *host = NULL;
    if (!kt_host_find(root, &host, &err) || !host)
        fail_msg("%s: %s", root, err.message);
    return host;
}

static struct kt_host *fixture(const char *name)
{
    char root[PATH_MAX];
    (void)snprintf(root, sizeof(root), "%s/%s", KT_HOSTS, name);
    return find(root);
}

static void plan(const struct kt_host *host, const char *socket, bool in, struct kt_wiring *ret)
{
    struct kt_error err = KT_ERROR_INIT;
    if (!(in ? kt_wiring_plan(host, socket, ret, &err) : kt_wiring_plan_out(host, socket, ret, &err)))
        fail_msg("%s", err.message);
}

static bool is(const struct kt_bytes *bytes, struct kt_slice expected)
{
    return kt_slice_equal(kt_bytes_view(bytes), expected);
}

#define FLAG   "    - --encryption-provider-config="
#define RELOAD "    - --encryption-provider-config-automatic-reload=true\n"
#define LAST   "    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key\n"

/* The text with that line (or the one that begins so) behind the last flag, and by another name. */
static void move_to_end(char *text, size_t cap, const char *line, const char *as)
{
    char moved[16384];
    char *at = strstr(text, line);
    assert_non_null(at);
    memmove(at, strchr(at, '\n') + 1, strlen(strchr(at, '\n') + 1) + 1);
    char *last = strstr(text, LAST);
    assert_non_null(last);
    last += strlen(LAST);
    (void)snprintf(moved, sizeof(moved), "%.*s%s%s", (int)(last - text), text, as, last);
    assert_true(strlen(moved) < cap);
    memcpy(text, moved, strlen(moved) + 1);
}

/* With the name of our file, and flags at the end, it is the manifest that the tests of the host's findings say is
 * wired well. */
static void test_kubeadm(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP(kt_host_free_p) struct kt_host *host = fixture("kubeadm");
    KT_CLEANUP_WIRING struct kt_wiring in = {.makes_file = false};
    KT_CLEANUP_WIRING struct kt_wiring again = {.makes_file = false};
    KT_CLEANUP_WIRING struct kt_wiring out = {.makes_file = false};
    KT_CLEANUP_BYTES struct kt_bytes wired = {.data = NULL};
    char renamed[16384];
    plan(host, SOCKET, true, &in);
    assert_true(in.makes_file && in.differs);
    assert_string_equal(in.file + strlen(host->root), "/etc/kubernetes/keyturn/encryption-config.yaml");
    read_file("kubeadm-wired", MANIFEST, &wired);
    (void)snprintf(renamed, sizeof(renamed), "%s", (char *)wired.data);
    move_to_end(renamed, sizeof(renamed), RELOAD, RELOAD);
    move_to_end(renamed, sizeof(renamed), FLAG, FLAG "/etc/kubernetes/keyturn/encryption-config.yaml\n");
    if (!is(&in.after, kt_slice_str(renamed)))
        fail_msg("%.*s", (int)in.after.len, (const char *)in.after.data);
    put(s, MANIFEST, kt_bytes_view(&in.after));
    KT_CLEANUP(kt_host_free_p) struct kt_host *now = find(s->path);
    plan(now, SOCKET, true, &again);
    assert_false(again.differs || again.makes_file);
    plan(now, SOCKET, false, &out);
    assert_true(is(&out.after, kt_bytes_view(&in.before)));
}

/* One thing of the wired manifest is missing, and comes back; or it is in the way. */
static const struct {
    const char *from;
    const char *to;
    const char *words; /* of the error; NULL: it is mended */
} CHANGES[] = {
    {RELOAD, "", NULL},
    {"    - mountPath: /run/keyturn/kms\n      name: keyturn-socket\n", "", "keyturn-socket"},
    {"reload=true", "reload=false", "expected no flag that encrypts"},
    {"--encryption-provider-config=", "--experimental-encryption-provider-config=", "expected no flag that encrypts"},
    {"mountPath: /etc/kubernetes/keyturn\n", "mountPath: /other\n", "found it in none"},
    {"mountPath: /etc/kubernetes/keyturn\n",
     "mountPath: /etc/kubernetes/keyturn/encryption.yaml\n      subPath: encryption.yaml\n", "single file"},
    {"=/etc/kubernetes/keyturn/encryption.yaml", "=/etc/kubernetes/keyturn/a b.yaml", "letters, digits"},
};

static void test_half_wired(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP_BYTES struct kt_bytes wired = {.data = NULL};
    read_file("kubeadm-wired", MANIFEST, &wired);
    for (size_t i = 0; i < KT_ARRAY_LEN(CHANGES); i++) {
        KT_CLEANUP_WIRING struct kt_wiring in = {.makes_file = false};
        struct kt_error err = KT_ERROR_INIT;
        char text[16384];
        const char *at = strstr((char *)wired.data, CHANGES[i].from);
        assert_non_null(at);
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - (char *)wired.data), (char *)wired.data,
                       CHANGES[i].to, at + strlen(CHANGES[i].from));
        put(s, MANIFEST, kt_slice_str(text));
        KT_CLEANUP(kt_host_free_p) struct kt_host *host = find(s->path);
        if (kt_wiring_plan(host, SOCKET, &in, &err) != !CHANGES[i].words)
            fail_msg("%zu: %s", i, err.message);
        if (CHANGES[i].words &&
            (err.code != KT_E_REFUSED || !strstr(err.message, CHANGES[i].words) || err.hint[0] == '\0'))
            fail_msg("%zu: %s", i, err.message);
        if (CHANGES[i].words)
            continue;
        (void)snprintf(text, sizeof(text), "%s", (char *)wired.data);
        move_to_end(text, sizeof(text), CHANGES[i].from, CHANGES[i].from);
        if (!is(&in.after, kt_slice_str(text)))
            fail_msg("%zu: %.*s", i, (int)in.after.len, (const char *)in.after.data);
    }
}

static const struct {
    const char *host;
    const char *target;
    const char *file;
    const char *after; /* NULL: it is wired */
} DROP_INS[] = {
    {"k3s", "/etc/rancher/k3s/config.yaml.d/90-keyturn.yaml", "/etc/rancher/k3s/keyturn/encryption-config.yaml",
     "# Written by keyturn config wire; keyturn config unwire takes it out again.\nkube-apiserver-arg+:\n"
     "- encryption-provider-config=/etc/rancher/k3s/keyturn/encryption-config.yaml\n"
     "- encryption-provider-config-automatic-reload=true\n"},
    {"k3s-etcd", "/etc/rancher/k3s/config.yaml.d/90-keyturn.yaml", "/etc/rancher/k3s/keyturn/encryption.yaml", NULL},
    {"rke2", "/etc/rancher/rke2/config.yaml.d/90-keyturn.yaml", "/etc/rancher/rke2/keyturn/encryption-config.yaml",
     "# Written by keyturn config wire; keyturn config unwire takes it out again.\nkube-apiserver-arg+:\n"
     "- encryption-provider-config=/keyturn/encryption-config.yaml\n"
     "- encryption-provider-config-automatic-reload=true\nkube-apiserver-extra-mount+:\n"
     "- /etc/rancher/rke2/keyturn:/keyturn:ro\n- /run/keyturn/kms:/run/keyturn/kms\n"},
    {"rke2-wired", "/etc/rancher/rke2/config.yaml.d/90-keyturn.yaml", "/etc/rancher/rke2/keyturn/encryption.yaml",
     NULL},
};

static void test_drop_ins(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(DROP_INS); i++) {
        KT_CLEANUP(kt_host_free_p) struct kt_host *host = fixture(DROP_INS[i].host);
        KT_CLEANUP_WIRING struct kt_wiring in = {.makes_file = false};
        KT_CLEANUP_WIRING struct kt_wiring out = {.makes_file = false};
        plan(host, SOCKET, true, &in);
        assert_string_equal(in.target + strlen(host->root), DROP_INS[i].target);
        assert_string_equal(in.file + strlen(host->root), DROP_INS[i].file);
        assert_int_equal(in.differs, DROP_INS[i].after != NULL);
        if (DROP_INS[i].after && !is(&in.after, kt_slice_str(DROP_INS[i].after)))
            fail_msg("%s: %.*s", DROP_INS[i].host, (int)in.after.len, (const char *)in.after.data);
        plan(host, SOCKET, false, &out);
        assert_true(out.after.data == NULL && out.differs == (out.before.data != NULL));
    }
}

/* Somebody else's arguments are nothing that a drop-in could be added to. */
static void test_told_by_another(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP_WIRING struct kt_wiring in = {.makes_file = false};
    KT_CLEANUP_WIRING struct kt_wiring out = {.makes_file = false};
    struct kt_error err = KT_ERROR_INIT;
    put(s, "var/lib/rancher/k3s/server/cred/passwd", kt_slice_str("x"));
    put(s, "etc/rancher/k3s/config.yaml",
        kt_slice_str("kube-apiserver-arg: [encryption-provider-config=/etc/mine.yaml]\n"));
    KT_CLEANUP(kt_host_free_p) struct kt_host *host = find(s->path);
    assert_false(kt_wiring_plan(host, SOCKET, &in, &err));
    expect_error(&err, KT_E_REFUSED, "told by something else");
    assert_false(kt_wiring_plan_out(host, SOCKET, &out, &err));
    expect_error(&err, KT_E_REFUSED, "told by something else");
}

#define V3     "apiVersion: kubeadm.k8s.io/v1beta3\n"
#define V4     "apiVersion: kubeadm.k8s.io/v1beta4\n"
#define CONFIG "/etc/kubernetes/keyturn/encryption-config.yaml"
#define VOLUMES                                                                                               \
    "  extraVolumes:\n  - hostPath: /etc/kubernetes/keyturn\n    mountPath: /etc/kubernetes/keyturn\n"        \
    "    name: keyturn-config\n    pathType: Directory\n    readOnly: true\n  - hostPath: /run/keyturn/kms\n" \
    "    mountPath: /run/keyturn/kms\n    name: keyturn-socket\n    pathType: Directory\n"
#define LIST                                                   \
    "  - name: encryption-provider-config\n    value: " CONFIG \
    "\n  - name: encryption-provider-config-automatic-reload\n    value: \"true\"\n"
#define MAP "    encryption-provider-config: " CONFIG "\n    encryption-provider-config-automatic-reload: \"true\"\n"

static const struct {
    const char *before;
    const char *after; /* NULL: refused */
    const char *out;   /* what is left when it is taken out again; NULL: before */
} CONFIGS[] = {
    {V4 "apiServer: {}\nkind: ClusterConfiguration\n",
     V4 "apiServer:\n  extraArgs:\n" LIST VOLUMES "kind: ClusterConfiguration\n",
     V4 "apiServer:\nkind: ClusterConfiguration\n"},
    {V4 "kind: ClusterConfiguration\n", V4 "kind: ClusterConfiguration\napiServer:\n  extraArgs:\n" LIST VOLUMES,
     V4 "kind: ClusterConfiguration\napiServer:\n"},
    {V4 "apiServer:\n  extraArgs:\n  - name: authorization-mode\n    value: Node,RBAC\n  certSANs:\n  - a\nkind: x\n",
     V4 "apiServer:\n  extraArgs:\n  - name: authorization-mode\n    value: Node,RBAC\n" LIST
        "  certSANs:\n  - a\n" VOLUMES "kind: x\n",
     NULL},
    {V3 "apiServer:\n  extraArgs:\n    authorization-mode: Node,RBAC\n  timeoutForControlPlane: 4m0s\n",
     V3 "apiServer:\n  extraArgs:\n    authorization-mode: Node,RBAC\n" MAP "  timeoutForControlPlane: 4m0s\n" VOLUMES,
     NULL},
    {V3 "apiServer:\n  timeoutForControlPlane: 4m0s\n",
     V3 "apiServer:\n  timeoutForControlPlane: 4m0s\n  extraArgs:\n" MAP VOLUMES, NULL},
    {V4 "apiServer:\n  extraArgs:\n" LIST VOLUMES, V4 "apiServer:\n  extraArgs:\n" LIST VOLUMES, V4 "apiServer:\n"},
    {V4 "apiServer:\n  extraArgs:\n  - name: encryption-provider-config\n    value: /other\n", NULL, NULL},
    {V4 "apiServer: {extraArgs: [{name: a, value: b}]}\n", NULL, NULL},
    {"apiVersion: kubeadm.k8s.io/v1beta2\n", NULL, NULL},
    {"kind: x\n", NULL, NULL},
};

static void test_cluster_configuration(void **state)
{
    (void)state;
    KT_CLEANUP(kt_host_free_p) struct kt_host *host = fixture("kubeadm");
    KT_CLEANUP_WIRING struct kt_wiring in = {.makes_file = false};
    plan(host, SOCKET, true, &in);
    for (size_t i = 0; i < KT_ARRAY_LEN(CONFIGS); i++) {
        KT_CLEANUP_BYTES struct kt_bytes after = {.data = NULL};
        KT_CLEANUP_BYTES struct kt_bytes out = {.data = NULL};
        struct kt_error err = KT_ERROR_INIT;
        bool done = kt_wiring_kubeadm(&in, kt_slice_str(CONFIGS[i].before), &after, &err);
        if (done != (CONFIGS[i].after != NULL))
            fail_msg("%zu: %s", i, err.message);
        if (!done) {
            assert_int_equal(err.code, KT_E_REFUSED);
            assert_true(err.hint[0] != '\0');
            continue;
        }
        if (!is(&after, kt_slice_str(CONFIGS[i].after)))
            fail_msg("%zu: %.*s", i, (int)after.len, (const char *)after.data);
        if (!kt_wiring_kubeadm_out(&in, kt_bytes_view(&after), &out, &err))
            fail_msg("%zu: %s", i, err.message);
        if (!is(&out, kt_slice_str(CONFIGS[i].out ? CONFIGS[i].out : CONFIGS[i].before)))
            fail_msg("%zu: %.*s", i, (int)out.len, (const char *)out.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_kubeadm),
        SCRATCH_TEST(test_half_wired),
        SCRATCH_TEST(test_drop_ins),
        SCRATCH_TEST(test_told_by_another),
        SCRATCH_TEST(test_cluster_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
