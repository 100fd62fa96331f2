/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's parts, private to keyturn-exporter. It sees the pages of counters, read-only, and nothing else. */
#pragma once

#include "kmsplugin/counters.h"

#define KT_METRICS_MAX      1048576u
#define KT_TEXTFILE_EVERY_S 15u

struct kt_pages {
    const struct kt_supervisor_page *supervisor;
    const struct kt_front_page *front;
    const struct kt_keeper_page *keeper;
};

/* exporter_metrics.c: everything, in Prometheus' text format 0.0.4. now: seconds since the epoch. */
void kt_metrics_format(const struct kt_pages *pages, uint64_t now, struct kt_text *out);
/* Front and keeper run, and healthz is ok or there is nothing to serve; ret_text says it in words, without a line end.
 */
bool kt_metrics_ready(const struct kt_pages *pages, char *ret_text, size_t size);

/* exporter_http.c: HTTP over a listening socket (taken over), driven from the caller's poll loop. */
struct kt_http;
struct kt_http *kt_http_new(int listen_fd, const struct kt_pages *pages, struct kt_error *err) KT_MUST_CHECK;
void kt_http_free(struct kt_http *http);
/* What to poll for input: the connections, and the listening socket (-1: not now). */
int kt_http_fd(const struct kt_http *http);
int kt_http_listen_fd(const struct kt_http *http);
/* Milliseconds until kt_http_run is due without an event; -1: none. */
int kt_http_timeout(const struct kt_http *http);
void kt_http_run(struct kt_http *http);

/* exporter_textfile.c: the same figures as a node_exporter text file, replaced whole. */
bool kt_textfile_write(const char *path, const struct kt_pages *pages, struct kt_error *err) KT_MUST_CHECK;
