/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kubeconfig_entry.h"

#include "base/file.h"
#include "base/printable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool kt_kubeconfig_text(const struct kt_kubeconfig_entry *entry, const char *key, size_t max, const char **ret,
                        struct kt_error *err)
{
    const struct kt_yaml_node *node = kt_yaml_get(entry->node, key);
    const char *text = NULL;

    *ret = NULL;
    if (!node || kt_yaml_is_nothing(node))
        return true;
    if (!kt_yaml_text(entry->yaml, node, max, &text, err))
        return kt_error_prefix(err, "%s", key);
    *ret = text[0] != '\0' ? text : NULL;
    return true;
}

static bool read_flag(const struct kt_kubeconfig_entry *entry, const char *key, bool *ret, struct kt_error *err)
{
    const struct kt_yaml_node *node = kt_yaml_get(entry->node, key);

    if (!node || kt_yaml_is_nothing(node))
        return true;
    return kt_yaml_bool(entry->yaml, node, ret, err) || kt_error_prefix(err, "%s", key);
}

char *kt_kubeconfig_path(const char *directory, const char *path, struct kt_error *err)
{
    char *made = NULL;
    int n = path[0] == '/' ? asprintf(&made, "%s", path) : asprintf(&made, "%s/%s", directory, path);

    if (n >= 0)
        return made;
    (void)kt_fail(err, KT_E_NOMEM, "out of memory");
    return NULL;
}

/* So that messages name what the user wrote. */
static bool resolve(const char *path, char ret[PATH_MAX], struct kt_error *err)
{
    if (realpath(path, ret))
        return true;
    enum kt_code code = errno == EACCES ? KT_E_PERMISSION : KT_E_IO;
    return kt_fail_errno(err, code, "%s: cannot open it", KT_PRINTABLE(path));
}

bool kt_kubeconfig_read_file(const char *path, size_t max, struct kt_bytes *ret, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = max, .owner = KT_ANY_UID};
    char real[PATH_MAX];

    return resolve(path, real, err) && kt_file_read(AT_FDCWD, real, &rules, ret, err);
}

struct kt_secret *kt_kubeconfig_read_secret(const char *path, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KT_SECRET_MAX, .owner = KT_ANY_UID};
    char real[PATH_MAX];

    return resolve(path, real, err) ? kt_file_read_secret(AT_FDCWD, real, &rules, err) : NULL;
}

/* Base64 as Go reads it: line ends in it do not count. Decodes into what get(context, len) gives, so that the bytes of
 * a key are in locked memory from the beginning; the text itself is wiped with its tree. */
typedef uint8_t *get_room(void *context, size_t len, struct kt_error *err);

/* len: at least 4. */
static size_t decoded_len(const char *text, size_t len)
{
    size_t padding = 0;

    while (padding < 2 && text[len - 1 - padding] == '=')
        padding++;
    return len / 4 * 3 - padding;
}

static void wipe_text(char **text)
{
    if (*text)
        kt_wipe(*text, strlen(*text));
    free(*text);
}

static bool decode(const struct kt_kubeconfig_entry *entry, const char *key, get_room *get, void *context,
                   struct kt_error *err)
{
    const char *text = NULL;
    size_t len = 0;
    size_t got = 0;

    if (!kt_kubeconfig_text(entry, key, KT_KUBECONFIG_FILE_MAX, &text, err))
        return false;
    KT_CLEANUP(wipe_text) char *plain = text ? calloc(1, strlen(text) + 1) : NULL;
    if (!plain)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (const char *s = text; *s != '\0'; s++)
        if (*s != '\n' && *s != '\r')
            plain[len++] = *s;
    size_t wanted = len >= 4 && len % 4 == 0 ? decoded_len(plain, len) : 0;
    uint8_t *room = wanted > 0 ? get(context, wanted, err) : NULL;
    if (wanted > 0 && !room)
        return false;
    if (!room || !kt_base64_decode(KT_SLICE(plain, len), room, wanted, &got) || got != wanted)
        return kt_yaml_fail(entry->yaml, kt_yaml_get(entry->node, key), err, "%s: expected base64, found other text",
                            key);
    return true;
}

static uint8_t *get_bytes(void *context, size_t len, struct kt_error *err)
{
    struct kt_bytes *bytes = context;

    bytes->data = calloc(1, len + 1);
    bytes->len = len;
    if (!bytes->data)
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
    return bytes->data;
}

static uint8_t *get_secret(void *context, size_t len, struct kt_error *err)
{
    struct kt_secret **secret = context;

    if (len > KT_SECRET_MAX) {
        (void)kt_fail(err, KT_E_CONFIG, "expected a key of at most %u bytes, found %zu", KT_SECRET_MAX, len);
        return NULL;
    }
    *secret = kt_secret_new(len, err);
    return *secret ? kt_secret_bytes(*secret) : NULL;
}

/* What may stand in the file itself (key-data, which counts more) or in another one (key). */
struct pair {
    const char *path;
    const char *data;
};

static bool get_pair(const struct kt_kubeconfig_entry *entry, const struct pair *keys, struct pair *ret,
                     struct kt_error *err)
{
    return kt_kubeconfig_text(entry, keys->data, KT_KUBECONFIG_FILE_MAX, &ret->data, err) &&
           kt_kubeconfig_text(entry, keys->path, KT_KUBECONFIG_TEXT_MAX, &ret->path, err);
}

static bool read_pem(const struct kt_kubeconfig_entry *entry, const struct pair *keys, struct kt_bytes *ret,
                     struct kt_error *err)
{
    struct pair found;

    if (!get_pair(entry, keys, &found, err))
        return false;
    if (found.data)
        return decode(entry, keys->data, get_bytes, ret, err);
    if (!found.path)
        return true;
    KT_CLEANUP(kt_free_p) char *path = kt_kubeconfig_path(entry->directory, found.path, err);
    return path &&
           (kt_kubeconfig_read_file(path, KT_KUBECONFIG_CA_MAX, ret, err) || kt_error_prefix(err, "%s", keys->path));
}

static bool read_key(const struct kt_kubeconfig_entry *entry, const struct pair *keys, struct kt_secret **ret,
                     struct kt_error *err)
{
    struct pair found;

    if (!get_pair(entry, keys, &found, err))
        return false;
    if (found.data)
        return decode(entry, keys->data, get_secret, ret, err);
    if (!found.path)
        return true;
    KT_CLEANUP(kt_free_p) char *path = kt_kubeconfig_path(entry->directory, found.path, err);
    *ret = path ? kt_kubeconfig_read_secret(path, err) : NULL;
    return *ret || (path && kt_error_prefix(err, "%s", keys->path));
}

static bool copy_text(const struct kt_kubeconfig_entry *entry, const char *key, char *ret, size_t cap,
                      struct kt_error *err)
{
    const char *text = NULL;

    if (!kt_kubeconfig_text(entry, key, cap - 1, &text, err))
        return false;
    if (text)
        memcpy(ret, text, strlen(text) + 1);
    return true;
}

/* Go resolves names behind a socks5 proxy, libcurl before it. */
static bool read_proxy(const struct kt_kubeconfig_entry *entry, struct kt_kubeconfig *config, struct kt_error *err)
{
    static const char *const SCHEMES[][2] = {
        {"http://", "http://"}, {"https://", "https://"}, {"socks5://", "socks5h://"}};
    const char *text = NULL;

    if (!kt_kubeconfig_text(entry, "proxy-url", KT_HTTP_URL_MAX - 8, &text, err))
        return false;
    for (size_t i = 0; text && i < KT_ARRAY_LEN(SCHEMES); i++) {
        size_t len = strlen(SCHEMES[i][0]);
        if (strncmp(text, SCHEMES[i][0], len) != 0)
            continue;
        snprintf(config->proxy, sizeof(config->proxy), "%s%s", SCHEMES[i][1], text + len);
        return true;
    }
    return !text || kt_yaml_fail(entry->yaml, kt_yaml_get(entry->node, "proxy-url"), err,
                                 "proxy-url: expected http://, https:// or socks5://, found another");
}

bool kt_kubeconfig_read_cluster(const struct kt_kubeconfig_entry *entry, struct kt_kubeconfig *config,
                                struct kt_error *err)
{
    static const struct pair CA = {"certificate-authority", "certificate-authority-data"};
    const char *server = NULL;

    if (!kt_kubeconfig_text(entry, "server", KT_HTTP_URL_MAX - 1, &server, err))
        return false;
    if (!server)
        return kt_yaml_fail(entry->yaml, entry->node, err, "expected server: in the cluster, found none");
    if (!kt_http_url_parse(server, "server", &config->server, err) ||
        !copy_text(entry, "tls-server-name", config->tls_server_name, sizeof(config->tls_server_name), err) ||
        !read_proxy(entry, config, err) || !read_flag(entry, "insecure-skip-tls-verify", &config->insecure, err) ||
        !read_pem(entry, &CA, &config->ca, err))
        return false;
    if (config->insecure && config->ca.len > 0)
        return kt_yaml_fail(entry->yaml, entry->node, err,
                            "expected a certificate-authority or insecure-skip-tls-verify, found both");
    return true;
}

static const struct {
    const char *key;
    const char *why;
} REFUSED[] = {
    {"username", "API servers have no passwords any more: use a client certificate, a token or exec"},
    {"password", "API servers have no passwords any more: use a client certificate, a token or exec"},
    {"auth-provider", "kubectl has none any more: use exec"},
    {"as", "use a kubeconfig of that user: keyturn does not impersonate"},
    {"as-uid", "use a kubeconfig of that user: keyturn does not impersonate"},
    {"as-groups", "use a kubeconfig of that user: keyturn does not impersonate"},
    {"as-user-extra", "use a kubeconfig of that user: keyturn does not impersonate"},
};

static bool refuse_fields(const struct kt_kubeconfig_entry *entry, struct kt_error *err)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(REFUSED); i++) {
        const struct kt_yaml_node *node = kt_yaml_get(entry->node, REFUSED[i].key);
        if (!node || kt_yaml_is_nothing(node))
            continue;
        (void)kt_yaml_fail(entry->yaml, node, err, "the user has %s, which is not supported", REFUSED[i].key);
        return kt_error_hint(err, "%s", REFUSED[i].why);
    }
    return true;
}

static struct kt_secret *copy_secret(const char *text, struct kt_error *err)
{
    if (strlen(text) <= KT_SECRET_MAX)
        return kt_secret_new_copy(text, strlen(text), err);
    (void)kt_fail(err, KT_E_CONFIG, "expected a token of at most %u bytes, found a longer one", KT_SECRET_MAX);
    return NULL;
}

static bool read_token(const struct kt_kubeconfig_entry *entry, struct kt_kubeconfig *config, struct kt_error *err)
{
    const char *token = NULL;
    const char *file = NULL;

    if (!kt_kubeconfig_text(entry, "token", KT_KUBECONFIG_FILE_MAX, &token, err) ||
        !kt_kubeconfig_text(entry, "tokenFile", KT_KUBECONFIG_TEXT_MAX, &file, err))
        return false;
    config->token = token ? copy_secret(token, err) : NULL;
    config->token_file = file ? kt_kubeconfig_path(entry->directory, file, err) : NULL;
    return (!token || config->token) && (!file || config->token_file);
}

static bool read_exec(const struct kt_kubeconfig_entry *entry, struct kt_kubeconfig *config, struct kt_error *err)
{
    struct kt_kubeconfig_entry exec = *entry;

    exec.node = kt_yaml_get(entry->node, "exec");
    if (!exec.node || kt_yaml_is_nothing(exec.node))
        return true;
    config->exec = kt_kubeconfig_read_exec(&exec, err);
    return config->exec || kt_error_prefix(err, "exec");
}

bool kt_kubeconfig_read_user(const struct kt_kubeconfig_entry *entry, struct kt_kubeconfig *config,
                             struct kt_error *err)
{
    static const struct pair CERTIFICATE = {"client-certificate", "client-certificate-data"};
    static const struct pair KEY = {"client-key", "client-key-data"};

    if (!refuse_fields(entry, err) || !read_pem(entry, &CERTIFICATE, &config->certificate, err) ||
        !read_key(entry, &KEY, &config->key, err) || !read_token(entry, config, err) || !read_exec(entry, config, err))
        return false;
    if ((config->certificate.len > 0) != (config->key != NULL))
        return kt_yaml_fail(entry->yaml, entry->node, err,
                            "expected client-certificate and client-key together, found one of them");
    return true;
}
