/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says in which pieces /metrics arrives. What is read must not depend on it, and keeps its bounds. */
#include "cluster/metrics.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static struct kt_metrics_parser parser;

static bool parse(struct kt_slice text, size_t piece, struct kt_metrics *ret)
{
    kt_metrics_begin(&parser, ret);
    for (size_t at = 0; at < text.len; at += piece)
        kt_metrics_feed(&parser, KT_SLICE(text.data + at, text.len - at < piece ? text.len - at : piece));
    return kt_metrics_end(&parser, NULL);
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kt_metrics whole, pieces;
    if (size < 1)
        return 0;
    const struct kt_slice text = KT_SLICE(data + 1, size - 1);
    bool good = parse(text, text.len + 1, &whole);
    must(parse(text, data[0] % 64u + 1, &pieces) == good);
    must(memcmp(&whole, &pieces, sizeof(whole)) == 0);
    must(whole.n_keys <= KT_METRICS_KEYS_MAX);
    for (size_t i = 0; i < whole.n_keys; i++)
        must(kt_metrics_find(&whole, whole.keys[i].provider, whole.keys[i].key_id_hash) == &whole.keys[i]);
    return 0;
}
