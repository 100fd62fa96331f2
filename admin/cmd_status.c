/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/status_cluster.h"
#include "admin/under_way.h"
#include "base/printable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct arguments {
    unsigned wait_s;
};

#define WAIT_MAX_S 3600ul

static const struct argp_option own_options[] = {
    {.name = "wait", .key = 'w', .arg = "SECONDS", .doc = "Wait up to so long for a daemon that serves"},
    {0},
};

static error_t take(int key, char *arg, void *closure)
{
    struct arguments *arguments = closure;
    if (key != 'w')
        return ARGP_ERR_UNKNOWN;
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(arg, &end, 10);
    if (errno || end == arg || *end || arg[0] == '-' || value > WAIT_MAX_S)
        return EINVAL;
    arguments->wait_s = (unsigned)value;
    return 0;
}

static void print_processes(const Keyturn__Control__V1__Status *status)
{
    for (size_t i = 0; i < status->n_processes; i++) {
        const Keyturn__Control__V1__Process *p = status->processes[i];
        if (p->pid == 0 && strcmp(p->role, "opener") == 0)
            continue; /* it runs only while a keyring is opened */
        printf("Process: %s pid %" PRIu32 " uid %" PRIu32 " restarts %" PRIu64 "\n", KT_PRINTABLE(p->role), p->pid,
               p->uid, p->restarts);
    }
}

static void print_verbose(const struct kt_view *view, const struct kt_status_cluster *cluster)
{
    const Keyturn__Control__V1__Status *status = kt_view_status(view);
    if (view->info) {
        char id[2 * KT_KEYRING_ID_LEN + 1];
        kt_hex_encode(KT_SLICE(view->info->keyring_id, sizeof(view->info->keyring_id)), id);
        printf("Keyring: %s membership %" PRIu64 " generation %" PRIu64 "\n", id, view->info->membership,
               view->info->generation);
    }
    printf("Node: %s\n", view->config->node);
    kt_status_cluster_print(cluster);
    if (!status)
        return;
    printf("Daemon: %s, key_id %s, healthz %s\n", KT_PRINTABLE(status->release), KT_PRINTABLE(status->key_id),
           KT_PRINTABLE(status->healthz));
    printf("Memory: %s\n", strcmp(status->memory, "all") == 0
                               ? "all of the key-holding process is locked"
                               : "only keys are locked (RLIMIT_MEMLOCK is too low for all)");
    if (status->single_uid)
        puts("Accounts: all processes run under one uid; the accounts of keyturn.yaml would keep them apart");
    print_processes(status);
    printf("Metrics: %s\n", KT_PRINTABLE(status->metrics));
}

static void print_problem(const struct kt_view *view, const struct kt_error *problem)
{
    printf("%s: %s\n", view->config->node, KT_PRINTABLE(problem->message));
    if (problem->hint[0])
        printf("  %s\n", KT_PRINTABLE(problem->hint));
}

/* What is wrong, on which node, what to type: nothing where all is well. */
static void print_problems(const struct kt_view *view)
{
    struct kt_error problem = KT_ERROR_INIT;
    const Keyturn__Control__V1__Status *status = kt_view_status(view);
    size_t n_warnings = status ? status->n_warnings : 0;
    bool healthy = kt_view_healthy(view, &problem);
    if (!healthy && (n_warnings == 0 || strcmp(problem.message, status->warnings[0]) != 0))
        print_problem(view, &problem);
    for (size_t i = 0; i < n_warnings; i++)
        printf("%s: %s\n", view->config->node, KT_PRINTABLE(status->warnings[i]));
}

static void print_under_way(const struct kt_view *view)
{
    char text[KT_UNDER_WAY_MAX + 256];
    json_t *what = kt_under_way(view->config);
    if (!what)
        return;
    kt_under_way_text(what, text, sizeof(text));
    printf("%s: %s\n", view->config->node, KT_PRINTABLE(text));
    json_decref(what);
}

static bool print_text(const struct kt_options *options, const struct kt_view *view,
                       const struct kt_status_cluster *cluster, struct kt_error *err)
{
    if (view->info) {
        kt_status_print(view->info, cluster->text);
    } else {
        printf("Encryption Status: unknown\n");
        /* A daemon says in its own words why it has no keyring: once is enough. */
        if (!kt_view_status(view))
            print_problem(view, &view->unknown);
    }
    if (options->verbose)
        print_verbose(view, cluster);
    print_problems(view);
    kt_status_cluster_problems(cluster);
    print_under_way(view);
    return kt_output_done(err);
}

static void add_titles(json_t *value, const struct kt_keyring_info *info)
{
    json_t *inactive = json_array();
    json_object_set_new(value, "activekey", json_string(""));
    for (size_t i = 0; i < info->n_keys; i++) {
        char title[KT_KEY_NAME_MAX + 32];
        kt_view_key_title(&info->keys[i], title, sizeof(title));
        if (info->keys[i].state == KT_KEY_ACTIVE && !info->keys[i].superseded && info->enabled)
            json_object_set_new(value, "activekey", kt_json_text(title));
        else
            json_array_append_new(inactive, kt_json_text(title));
    }
    json_object_set_new(value, "inactivekeys", inactive);
}

static bool print_json(const struct kt_view *view, const struct kt_status_cluster *cluster, struct kt_error *err)
{
    json_t *value = kt_json_new("Status");
    if (!value)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (view->info) {
        json_object_set_new(value, "enable", json_boolean(view->info->enabled));
        json_object_set_new(value, "stage", json_string(kt_stage_text(view->info->stage)));
        add_titles(value, view->info);
    } else {
        json_object_set_new(value, "enable", json_null());
        json_object_set_new(value, "stage", json_null());
        json_object_set_new(value, "activekey", json_null());
        json_object_set_new(value, "inactivekeys", json_array());
    }
    json_object_set_new(value, "node", kt_json_text(view->config->node));
    kt_status_cluster_json(value, cluster);
    json_object_set_new(value, "keyring", kt_view_json_keyring(view));
    json_object_set_new(value, "keys", kt_view_json_keys(view));
    json_object_set_new(value, "daemon", kt_view_json_daemon(view));
    json_t *under_way = kt_under_way(view->config);
    json_object_set_new(value, "underWay", under_way ? under_way : json_null());
    return kt_json_print(value, err);
}

int kt_command_status(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct kt_command_line line = {
        .command = kt_command_find("status"), .own = own_options, .take = take, .closure = &arguments};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_view_done) struct kt_view view = {0};
    KT_CLEANUP(kt_status_cluster_done) struct kt_status_cluster cluster = {.look = NULL};
    if (!kt_view_get(&line.options, arguments.wait_s, &view, &err) ||
        !kt_status_cluster_get(&line.options, &view, &cluster, &err))
        return kt_print_error(&line.options, &err);
    bool printed =
        line.options.json ? print_json(&view, &cluster, &err) : print_text(&line.options, &view, &cluster, &err);
    if (!printed)
        return kt_print_error(&line.options, &err);
    if (kt_view_healthy(&view, &err) && kt_status_cluster_healthy(&cluster, &err))
        return 0;
    /* The text has said it already. */
    return line.options.json ? kt_print_error(&line.options, &err) : kt_code_exit(err.code);
}
