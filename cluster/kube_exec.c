/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kube_exec.h"

#include "base/printable.h"
#include "base/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 4096u
#define INFO_NAME       "KUBERNETES_EXEC_INFO"

extern char **environ;

/* What is needed to start it, and to free afterwards. */
struct run {
    const struct kt_kubeconfig *config;
    bool stdin_is_ours;
    char *info; /* KUBERNETES_EXEC_INFO=... */
    const char *argv[KT_KUBE_EXEC_WORDS_MAX + 2];
    const char *envp[ENVIRONMENT_MAX + KT_KUBE_EXEC_WORDS_MAX + 2];
    pid_t pid;
    int out; /* what it prints */
};

static void run_done(struct run *run)
{
    if (run->pid > 0) {
        (void)kill(run->stdin_is_ours ? run->pid : -run->pid, SIGKILL);
        while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    kt_fd_close(run->out);
    free(run->info);
}

static bool fail_command(const struct kt_kube_exec *exec, enum kt_code code, struct kt_error *err, const char *what)
{
    (void)kt_fail(err, code, "the exec plugin %s: %s", KT_PRINTABLE(exec->command), what);
    if (exec->install_hint)
        return kt_error_hint(err, "%.300s", KT_PRINTABLE(exec->install_hint));
    return kt_error_hint(err, "the kubeconfig's user is made by that program: run it by hand, or log in again");
}

static json_t *make_cluster(const struct kt_kubeconfig *config)
{
    char server[sizeof(config->server.origin) + sizeof(config->server.path)];
    json_t *cluster = json_object();

    snprintf(server, sizeof(server), "%s%s", config->server.origin, config->server.path);
    (void)json_object_set_new(cluster, "server", json_string(server));
    if (config->tls_server_name[0] != '\0')
        (void)json_object_set_new(cluster, "tls-server-name", json_string(config->tls_server_name));
    if (config->insecure)
        (void)json_object_set_new(cluster, "insecure-skip-tls-verify", json_true());
    if (config->proxy[0] != '\0')
        (void)json_object_set_new(cluster, "proxy-url", json_string(config->proxy));
    KT_CLEANUP(kt_free_p) char *ca = calloc(1, kt_base64_len(config->ca.len) + 1);
    if (ca && config->ca.len > 0) {
        kt_base64_encode(kt_bytes_view(&config->ca), ca);
        (void)json_object_set_new(cluster, "certificate-authority-data", json_string(ca));
    }
    return cluster;
}

static bool make_info(struct run *run, struct kt_error *err)
{
    const struct kt_kube_exec *exec = run->config->exec;
    json_t *spec = json_pack("{s:b}", "interactive", run->stdin_is_ours);
    int n = -1;

    if (exec->cluster_info)
        (void)json_object_set_new(spec, "cluster", make_cluster(run->config));
    json_t *info =
        json_pack("{s:s, s:s, s:o}", "apiVersion", exec->api_version, "kind", "ExecCredential", "spec", spec);
    char *text = info ? json_dumps(info, JSON_COMPACT) : NULL;
    if (text)
        n = asprintf(&run->info, INFO_NAME "=%s", text);
    free(text);
    json_decref(info);
    if (n >= 0)
        return true;
    run->info = NULL;
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

/* Of NAME=VALUE. */
static bool same_name(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");

    return strcspn(b, "=") == len && memcmp(a, b, len) == 0;
}

static bool is_overridden(const struct run *run, const char *variable)
{
    const struct kt_kube_exec *exec = run->config->exec;

    for (size_t i = 0; exec->env[i]; i++)
        if (same_name(exec->env[i], variable))
            return true;
    return same_name(run->info, variable);
}

static void fill_environment(struct run *run)
{
    const struct kt_kube_exec *exec = run->config->exec;
    size_t n = 0;

    for (size_t i = 0; i < ENVIRONMENT_MAX && environ[i]; i++)
        if (!is_overridden(run, environ[i]))
            run->envp[n++] = environ[i];
    for (size_t i = 0; exec->env[i]; i++)
        if (!same_name(exec->env[i], run->info))
            run->envp[n++] = exec->env[i];
    run->envp[n] = run->info;
}

static void fill_arguments(struct run *run)
{
    const struct kt_kube_exec *exec = run->config->exec;

    run->argv[0] = exec->command;
    for (size_t i = 0; exec->args[i]; i++)
        run->argv[i + 1] = exec->args[i];
}

/* Signals as a program expects them, whatever we block or ignore; without a terminal, in a group of its own, so that a
 * signal meant for us does not end it, nor it us. */
static int set_attributes(posix_spawnattr_t *attributes, bool own_group)
{
    sigset_t none;
    sigset_t all;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_setsigmask(attributes, &none);
    (void)posix_spawnattr_setsigdefault(attributes, &all);
    if (own_group)
        flags |= POSIX_SPAWN_SETPGROUP;
    return posix_spawnattr_setflags(attributes, flags);
}

static int set_descriptors(posix_spawn_file_actions_t *actions, int out, bool stdin_is_ours)
{
    int code = posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO);

    if (code == 0 && !stdin_is_ours)
        code = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    return code;
}

static int spawn(struct run *run, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        code = set_attributes(&attributes, !run->stdin_is_ours);
        if (code == 0)
            code = set_descriptors(&actions, out, run->stdin_is_ours);
        /* It does not write to them: the type is history's. */
        if (code == 0)
            code = posix_spawnp(&run->pid, run->argv[0], &actions, &attributes, (char *const *)(uintptr_t)run->argv,
                                (char *const *)(uintptr_t)run->envp);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return code;
}

static bool start(struct run *run, struct kt_error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return kt_fail_errno(err, KT_E_IO, "pipe");
    run->out = ends[0];
    fill_arguments(run);
    fill_environment(run);
    int code = spawn(run, ends[1]);
    kt_fd_close(ends[1]);
    if (code == 0)
        return true;
    run->pid = 0;
    return fail_command(run->config->exec, KT_E_CONFIG, err, strerror(code));
}

/* Up to its end of the pipe; straight into locked memory. */
static bool read_output(const struct run *run, uint64_t deadline, struct kt_secret *room, size_t *ret,
                        struct kt_error *err)
{
    size_t len = 0;

    for (;;) {
        if (!kt_wait_fd(run->out, POLLIN, deadline, err))
            return fail_command(run->config->exec, KT_E_TIMEOUT, err, "it did not end in time");
        if (len == kt_secret_len(room))
            return fail_command(run->config->exec, KT_E_CONFIG, err, "it prints more than a credential");
        ssize_t n = read(run->out, kt_secret_bytes(room) + len, kt_secret_len(room) - len);
        if (n < 0 && errno != EINTR)
            return kt_fail_errno(err, KT_E_IO, "reading from the exec plugin");
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    *ret = len;
    return true;
}

/* It has closed its output, so it is at its end. */
static bool wait_end(struct run *run, uint64_t deadline, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int fd = pidfd_open(run->pid, 0);
    char what[64];
    int status = 0;

    if (fd < 0)
        return kt_fail_errno(err, KT_E_IO, "waiting for the exec plugin");
    if (!kt_wait_fd(fd, POLLIN, deadline, err))
        return fail_command(run->config->exec, KT_E_TIMEOUT, err, "it did not end in time");
    if (waitpid(run->pid, &status, 0) < 0)
        return kt_fail_errno(err, KT_E_IO, "waiting for the exec plugin");
    run->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    snprintf(what, sizeof(what), WIFEXITED(status) ? "it failed with exit status %d" : "it was ended by signal %d",
             WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return fail_command(run->config->exec, KT_E_DENIED, err, what);
}

bool kt_kube_exec_run(const struct kt_kubeconfig *config, struct kt_kube_credential *ret, struct kt_error *err)
{
    const struct kt_kube_exec *exec = config->exec;
    bool terminal = isatty(STDIN_FILENO) == 1;
    KT_CLEANUP(kt_free_p) struct run *on_heap = calloc(1, sizeof(*on_heap));
    uint64_t deadline = kt_wait_deadline((int)KT_KUBE_EXEC_SECONDS * 1000);
    size_t len = 0;

    if (!on_heap)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (exec->interactive == KT_KUBE_ALWAYS && !terminal)
        return fail_command(exec, KT_E_CONFIG, err, "it wants a terminal (interactiveMode: Always), and there is none");
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *room = kt_secret_new(KT_SECRET_MAX, err);
    if (!room)
        return false;
    on_heap->config = config;
    on_heap->stdin_is_ours = terminal && exec->interactive != KT_KUBE_NEVER;
    on_heap->out = -1;
    bool done = make_info(on_heap, err) && start(on_heap, err) && read_output(on_heap, deadline, room, &len, err) &&
                wait_end(on_heap, deadline, err);
    run_done(on_heap);
    if (!done)
        return false;
    return kt_kube_credential_parse(KT_SLICE(kt_secret_view(room), len), exec->api_version, ret, err) ||
           kt_error_prefix(err, "%s", KT_PRINTABLE(exec->command));
}
