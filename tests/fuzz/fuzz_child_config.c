/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as children get it: what is taken is encoded again to the same bytes. */
#include "fuzz.h"
#include "kmsplugin/children.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    KT_CLEANUP(kt_free_p) struct kt_child_config *config = calloc(1, sizeof(*config));
    KT_CLEANUP(kt_free_p) uint8_t *written = malloc(KT_IPC_MESSAGE_MAX);
    struct kt_reader r;
    struct kt_writer w;
    if (!config || !written)
        abort();
    kt_reader_init(&r, KT_SLICE(data, size));
    if (!kt_child_config_decode(&r, config))
        return 0;
    kt_writer_init(&w, written, KT_IPC_MESSAGE_MAX);
    if (!kt_child_config_encode(config, &w) || w.len > size || memcmp(written, data, w.len) != 0)
        abort();
    return 0;
}
