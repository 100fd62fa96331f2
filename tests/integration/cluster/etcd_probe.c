/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of cluster/etcd.h, driven by a script: options as arguments, a command on each line of standard input, an
 * answer as one line of JSON. The process lives on between them, so its connection does too.
 *
 *   key RESOURCE NAMESPACE NAME   {"key":}, as cluster/storage_key.h makes it; NAMESPACE "-": none
 *   get KEY                       {"found":,"value":base64,"mod":,"version":,"revision":,"provider":,"name":}
 *   range PREFIX BYTES REVISION STEP   {"keys":[...],"pages":,"revision":,"compacted":,"bytes":}; before each STEP-th
 * key,
 *                                 {"at":N}, and it goes on with the next line (STEP 0: never)
 *   count PREFIX BYTES            {"keys":N,"pages":,"values":bytes,"peak":KiB}
 *   either, failed                {"error":code,"message":,"hint":}
 */
#include "base/arena.h"
#include "base/harden.h"
#include "cluster/etcd_range.h"
#include "cluster/storage_key.h"
#include "cluster/storage_value.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static char line[8192];

static bool read_line(void)
{
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

static void answer(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(object);
}

static void answer_error(const struct kt_error *err)
{
    answer(json_pack("{s:s, s:s, s:s}", "error", kt_code_name(err->code), "message", err->message, "hint", err->hint));
}

static void get(struct kt_etcd *etcd, const char *key)
{
    KT_CLEANUP(kt_etcd_value_done) struct kt_etcd_value value = {.found = false};
    struct kt_error err = KT_ERROR_INIT;
    if (!kt_etcd_get(etcd, kt_slice_str(key), &value, &err)) {
        answer_error(&err);
        return;
    }
    KT_CLEANUP(kt_free_p) char *text = calloc(1, kt_base64_len(value.bytes.len) + 1);
    kt_base64_encode(kt_bytes_view(&value.bytes), text);
    struct kt_storage_value stored;
    kt_storage_value_read(kt_bytes_view(&value.bytes), NULL, 0, &stored);
    answer(json_pack("{s:b, s:s, s:I, s:I, s:I, s:s, s:s%}", "found", value.found, "value", text, "mod",
                     (json_int_t)value.mod_revision, "version", (json_int_t)value.version, "revision",
                     (json_int_t)value.revision, "provider", kt_storage_provider_name(stored.provider), "name",
                     stored.name.len > 0 ? (const char *)stored.name.data : "", stored.name.len));
}

struct seen {
    json_t *keys;
    uint64_t step;
    uint64_t n;
    uint64_t bytes;
};

static bool see(void *context, const struct kt_etcd_kv *kv, struct kt_error *err)
{
    struct seen *seen = context;
    if (seen->step > 0 && seen->n > 0 && seen->n % seen->step == 0) {
        answer(json_pack("{s:I}", "at", (json_int_t)seen->n));
        if (!read_line())
            return kt_fail(err, KT_E_INTERNAL, "no more commands");
        if (strcmp(line, "stop") == 0)
            return kt_fail(err, KT_E_REFUSED, "stopped by the visitor");
    }
    seen->n++;
    seen->bytes += kv->value.len;
    if (seen->keys)
        json_array_append_new(seen->keys, json_stringn((const char *)kv->key.data, kv->key.len));
    return true;
}

static void range(struct kt_etcd *etcd, const char *words, bool count)
{
    char prefix[4096] = "";
    struct seen seen = {.keys = count ? NULL : json_array()};
    struct kt_etcd_passed passed = {.keys = 0};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_etcd_pass pass = {.visit = see, .context = &seen, .page_bytes = KT_ETCD_PAGE_BYTES};
    struct rusage usage;
    (void)sscanf(words, "%4095s %zu %" SCNd64 " %" SCNu64, prefix, &pass.page_bytes, &pass.revision, &seen.step);
    pass.prefix = kt_slice_str(prefix);
    if (!kt_etcd_range(etcd, &pass, &passed, &err)) {
        json_decref(seen.keys);
        answer_error(&err);
        return;
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    answer(json_pack("{s:o, s:I, s:I, s:b, s:I, s:I, s:I}", "keys",
                     count ? json_integer((json_int_t)passed.keys) : seen.keys, "pages", (json_int_t)passed.pages,
                     "revision", (json_int_t)passed.revision, "compacted", passed.compacted, "bytes",
                     (json_int_t)passed.bytes, "values", (json_int_t)seen.bytes, "peak", (json_int_t)usage.ru_maxrss));
}

static void make_key(const char *words)
{
    char resource[512] = "", namespace[512] = "", name[512] = "", key[KT_STORAGE_KEY_MAX];
    struct kt_storage_resource parsed;
    struct kt_error err = KT_ERROR_INIT;
    (void)sscanf(words, "%511s %511s %511s", resource, namespace, name);
    if (!kt_storage_resource_parse(resource, &parsed, &err) ||
        !kt_storage_key(NULL, &parsed, strcmp(namespace, "-") == 0 ? NULL : namespace, name, key, &err))
        answer_error(&err);
    else
        answer(json_pack("{s:s}", "key", key));
}

static void serve(struct kt_etcd *etcd)
{
    while (read_line()) {
        KT_CLEANUP(kt_free_p) char *command = strdup(line);
        char *rest = strchr(command, ' ');
        if (rest)
            *rest++ = '\0';
        if (strcmp(command, "get") == 0 && rest)
            get(etcd, rest);
        else if (strcmp(command, "key") == 0 && rest)
            make_key(rest);
        else if ((strcmp(command, "range") == 0 || strcmp(command, "count") == 0) && rest)
            range(etcd, rest, command[0] == 'c');
        else
            answer(json_pack("{s:s}", "error", "no such command"));
    }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"endpoints", required_argument, NULL, 'e'},
                                          {"cacert", required_argument, NULL, 'a'},
                                          {"cert", required_argument, NULL, 'c'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"server-name", required_argument, NULL, 'n'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    KT_CLEANUP(kt_etcd_endpoints_done) struct kt_etcd_endpoints endpoints = {.items = NULL};
    struct kt_etcd_options options = {.endpoints = &endpoints, .timeout_ms = KT_ETCD_TIMEOUT};
    struct kt_error err = KT_ERROR_INIT;
    const char *list = "";
    /* As keyturn does it: what TLS needs must fit. */
    if (!kt_harden_process(&err) || !kt_arena_install((size_t)4 << 20, &err)) {
        answer_error(&err);
        return 1;
    }
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        const char **text[] = {['e'] = &list,
                               ['a'] = &options.tls.ca,
                               ['c'] = &options.tls.cert,
                               ['k'] = &options.tls.key,
                               ['n'] = &options.server_name};
        if (c == '?')
            return 2;
        if (c == 't')
            options.timeout_ms = (unsigned)strtoul(optarg, NULL, 10);
        else
            *text[c] = optarg;
    }
    KT_CLEANUP(kt_etcd_free_p)
    struct kt_etcd *etcd = kt_etcd_endpoints_parse(list, ',', &endpoints, &err) ? kt_etcd_new(&options, &err) : NULL;
    if (!etcd) {
        answer_error(&err);
        return 1;
    }
    answer(json_pack("{s:b}", "ready", true));
    serve(etcd);
    size_t used = 0, peak = 0;
    kt_arena_usage(&used, &peak);
    answer(json_pack("{s:I}", "arena_peak", (json_int_t)peak));
    return 0;
}
