/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn.yaml: whatever is taken is written again as a file that reads back as the same. */
#include "fuzz.h"
#include "keystore/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    KT_CLEANUP(kt_free_p) struct kt_config *first = calloc(1, sizeof(*first));
    KT_CLEANUP(kt_free_p) struct kt_config *second = calloc(1, sizeof(*second));
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};

    if (!first || !second || !kt_config_parse(KT_SLICE(data, size), first, NULL))
        return 0;
    if (!kt_config_format(first, &text, NULL) || !kt_config_parse(kt_bytes_view(&text), second, NULL) ||
        memcmp(first, second, sizeof(*first)) != 0)
        abort();
    return 0;
}
