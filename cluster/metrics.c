/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/metrics.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 8u
#define VALUE_MAX  64u

enum series {
#define KT_METRIC(what, name) SERIES_##what,
#include "cluster/metrics.def"
#undef KT_METRIC
    SERIES_COUNT,
};

static const char *const NAMES[] = {
#define KT_METRIC(what, name) name,
#include "cluster/metrics.def"
#undef KT_METRIC
};

/* One line, in the line's own buffer, cut up by NULs. */
struct sample {
    enum series series;
    struct {
        const char *name;
        const char *value;
    } labels[LABELS_MAX];
    size_t n_labels;
    double value;
};

void kt_metrics_begin(struct kt_metrics_parser *parser, struct kt_metrics *metrics)
{
    memset(metrics, 0, sizeof(*metrics));
    memset(parser, 0, sizeof(*parser));
    parser->metrics = metrics;
}

static const char *label(const struct sample *sample, const char *name)
{
    for (size_t i = 0; i < sample->n_labels; i++)
        if (strcmp(sample->labels[i].name, name) == 0)
            return sample->labels[i].value;
    return "";
}

static char *skip_blanks(char *s)
{
    return s + strspn(s, " \t");
}

/* From behind the opening quote: takes the escapes out in place. NULL: it does not end. Else what follows it. */
static char *unquote(char *s)
{
    char *to = s;

    for (; *s != '"'; s++) {
        bool escaped = *s == '\\';
        s += escaped ? 1 : 0;
        if (*s == '\0')
            return NULL;
        *to++ = escaped && *s == 'n' ? '\n' : *s;
    }
    *to = '\0';
    return s + 1;
}

/* NAME="VALUE" and what follows it; NULL: something else. */
static char *read_label(char *s, struct sample *sample)
{
    char *name = s;
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    char *equals = skip_blanks(s + len);
    if (len == 0 || *equals != '=' || sample->n_labels == LABELS_MAX)
        return NULL;
    char *quote = skip_blanks(equals + 1);
    name[len] = '\0';
    if (*quote != '"')
        return NULL;
    char *after = unquote(quote + 1);
    sample->labels[sample->n_labels].name = name;
    sample->labels[sample->n_labels++].value = quote + 1;
    return after;
}

/* From behind '{'; what follows '}'. */
static char *read_labels(char *s, struct sample *sample)
{
    char *at = skip_blanks(s);

    while (*at != '}') {
        char *after = read_label(at, sample);
        if (!after)
            return NULL;
        at = skip_blanks(after);
        if (*at == ',')
            at = skip_blanks(at + 1);
        else if (*at != '}')
            return NULL;
    }
    return at + 1;
}

/* A number, and perhaps a time stamp behind it, which kube-apiserver does not write. */
static bool read_value(char *s, double *ret)
{
    char *end = NULL;

    s = skip_blanks(s);
    if (*s == '\0' || strspn(s, "0123456789+-.eEaAfFiInNxX \t\r") != strlen(s))
        return false;
    *ret = strtod(s, &end);
    if (end == s || (*end != '\0' && *end != ' ' && *end != '\t' && *end != '\r'))
        return false;
    return isfinite(*ret) && *ret >= 0;
}

static bool read_sample(char *rest, struct sample *sample)
{
    char *s = skip_blanks(rest);

    if (*s == '{')
        s = read_labels(s + 1, sample);
    return s && read_value(s, &sample->value);
}

static bool copy(struct kt_metrics *metrics, const char *text, char *ret, size_t cap)
{
    if (strlen(text) >= cap) {
        metrics->is_cut = true;
        return false;
    }
    memcpy(ret, text, strlen(text) + 1);
    return true;
}

static struct kt_metrics_key *find_key(struct kt_metrics *metrics, const char *provider, const char *hash)
{
    for (size_t i = 0; i < metrics->n_keys; i++)
        if (strcmp(metrics->keys[i].provider, provider) == 0 && strcmp(metrics->keys[i].key_id_hash, hash) == 0)
            return &metrics->keys[i];
    return NULL;
}

/* NULL: there is no room. */
static struct kt_metrics_key *get_key(struct kt_metrics *metrics, const struct sample *sample)
{
    const char *provider = label(sample, "provider_name");
    const char *hash = label(sample, "key_id_hash");
    struct kt_metrics_key *key = find_key(metrics, provider, hash);
    struct kt_metrics_key fresh = {.seen_at = 0};

    if (key)
        return key;
    if (metrics->n_keys == KT_METRICS_KEYS_MAX)
        metrics->is_cut = true;
    else if (copy(metrics, provider, fresh.provider, sizeof(fresh.provider)) &&
             copy(metrics, hash, fresh.key_id_hash, sizeof(fresh.key_id_hash))) {
        key = &metrics->keys[metrics->n_keys++];
        *key = fresh;
    }
    return key;
}

static void take_key(struct kt_metrics *metrics, const struct sample *sample)
{
    bool is_status = sample->series == SERIES_KEY_STATUS_AT;

    if (!is_status && strcmp(label(sample, "transformation_type"), "to_storage") != 0)
        return;
    struct kt_metrics_key *key = get_key(metrics, sample);
    if (!key)
        return;
    if (is_status)
        key->seen_at = sample->value;
    else if (sample->series == SERIES_KEY_AT)
        key->written_at = sample->value;
    else
        key->written_total = sample->value;
}

/* One series only is set, to the configuration in force. Two: we do not know. */
static void take_config(struct kt_metrics_parser *parser, const struct sample *sample)
{
    struct kt_metrics *metrics = parser->metrics;
    const char *hash = label(sample, "hash");

    if (sample->value == 0 || strcmp(metrics->config_hash, hash) == 0)
        return;
    if (metrics->config_hash[0] != '\0')
        parser->two_configs = true;
    (void)copy(metrics, hash, metrics->config_hash, sizeof(metrics->config_hash));
}

static void take_reload(struct kt_metrics *metrics, const struct sample *sample)
{
    const char *status = label(sample, "status");
    bool is_good = sample->series == SERIES_RELOADS_GOOD || strcmp(status, "success") == 0;
    bool is_bad = sample->series == SERIES_RELOADS_BAD || strcmp(status, "failure") == 0;
    struct kt_metrics_reload *reload = is_good ? &metrics->reload_good : &metrics->reload_bad;

    if (!is_good && !is_bad)
        return;
    reload->is_known = true;
    if (sample->series == SERIES_RELOAD_AT)
        reload->at = sample->value;
    else if (sample->value > reload->total)
        reload->total = sample->value;
}

static void take_sample(struct kt_metrics_parser *parser, const struct sample *sample)
{
    struct kt_metrics *metrics = parser->metrics;
    const char *id = label(sample, "apiserver_id_hash");

    if (metrics->id_hash[0] == '\0')
        (void)copy(metrics, id, metrics->id_hash, sizeof(metrics->id_hash));
    switch (sample->series) {
    case SERIES_KEY_TOTAL:
    case SERIES_KEY_AT:
    case SERIES_KEY_STATUS_AT:
        take_key(metrics, sample);
        break;
    case SERIES_CONFIG_INFO:
        take_config(parser, sample);
        break;
    case SERIES_RELOADS:
    case SERIES_RELOADS_GOOD:
    case SERIES_RELOADS_BAD:
    case SERIES_RELOAD_AT:
        take_reload(metrics, sample);
        break;
    case SERIES_PROCESS_START:
        metrics->process_start = sample->value;
        break;
    case SERIES_COUNT:
        break;
    }
}

/* Which of ours it is; *ret_len is the length of the name. */
static enum series find_series(const char *line, size_t *ret_len)
{
    size_t len = strcspn(line, "{ \t");

    *ret_len = len;
    for (size_t i = 0; i < SERIES_COUNT; i++)
        if (strlen(NAMES[i]) == len && memcmp(NAMES[i], line, len) == 0)
            return (enum series)i;
    return SERIES_COUNT;
}

static void take_line(struct kt_metrics_parser *parser)
{
    size_t len = 0;
    struct sample sample = {.n_labels = 0};

    parser->n_lines++;
    parser->line[parser->len] = '\0';
    sample.series = find_series(parser->line, &len);
    if (strncmp(parser->line, "apiserver_", strlen("apiserver_")) == 0)
        parser->is_apiserver = true;
    bool is_good = sample.series == SERIES_COUNT || (!parser->is_long && strlen(parser->line) == parser->len &&
                                                     read_sample(parser->line + len, &sample));
    if (!is_good && parser->bad_line == 0)
        parser->bad_line = parser->n_lines;
    else if (is_good && sample.series != SERIES_COUNT)
        take_sample(parser, &sample);
    parser->len = 0;
    parser->is_long = false;
}

void kt_metrics_feed(struct kt_metrics_parser *parser, struct kt_slice piece)
{
    while (piece.len > 0) {
        const uint8_t *newline = memchr(piece.data, '\n', piece.len);
        size_t n = newline ? (size_t)(newline - piece.data) : piece.len;
        size_t room = sizeof(parser->line) - 1 - parser->len;
        size_t kept = n < room ? n : room;

        memcpy(parser->line + parser->len, piece.data, kept);
        parser->len += kept;
        parser->is_long = parser->is_long || kept < n;
        if (newline)
            take_line(parser);
        n += newline ? 1 : 0;
        piece = KT_SLICE(piece.data + n, piece.len - n);
    }
}

bool kt_metrics_end(struct kt_metrics_parser *parser, struct kt_error *err)
{
    if (parser->two_configs)
        parser->metrics->config_hash[0] = '\0';
    if (parser->bad_line > 0)
        return kt_fail(err, KT_E_UNREACHABLE,
                       "/metrics: line %zu: expected NAME{LABEL=\"VALUE\",...} NUMBER, found another",
                       parser->bad_line);
    if (parser->len > 0)
        return kt_fail(err, KT_E_UNREACHABLE, "/metrics: it ends in the middle of line %zu", parser->n_lines + 1);
    if (!parser->is_apiserver)
        return kt_fail(err, KT_E_UNREACHABLE, "/metrics: expected those of a kube-apiserver, found none of its series");
    return true;
}

const struct kt_metrics_key *kt_metrics_seen(const struct kt_metrics *metrics, const char *provider)
{
    const struct kt_metrics_key *last = NULL;

    for (size_t i = 0; i < metrics->n_keys; i++) {
        const struct kt_metrics_key *key = &metrics->keys[i];
        if (key->seen_at > 0 && strcmp(key->provider, provider) == 0 && (!last || key->seen_at > last->seen_at))
            last = key;
    }
    return last;
}

const struct kt_metrics_key *kt_metrics_find(const struct kt_metrics *metrics, const char *provider,
                                             const char *key_id_hash)
{
    for (size_t i = 0; i < metrics->n_keys; i++)
        if (strcmp(metrics->keys[i].provider, provider) == 0 && strcmp(metrics->keys[i].key_id_hash, key_id_hash) == 0)
            return &metrics->keys[i];
    return NULL;
}

bool kt_metrics_hash(struct kt_slice bytes, char ret[KT_METRICS_HASH_MAX], struct kt_error *err)
{
    uint8_t digest[32];
    unsigned len = 0;

    if (EVP_Digest(bytes.data ? bytes.data : (const uint8_t *)"", bytes.len, digest, &len, EVP_sha256(), NULL) != 1)
        return kt_fail_openssl(err, KT_E_CRYPTO, "SHA-256");
    snprintf(ret, KT_METRICS_HASH_MAX, "sha256:");
    kt_hex_encode(KT_SLICE(digest, sizeof(digest)), ret + strlen("sha256:"));
    return true;
}
