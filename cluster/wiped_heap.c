/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/wiped_heap.h"

#include <curl/curl.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void kt_wiped_free(void *block)
{
    if (block)
        explicit_bzero(block, malloc_usable_size(block));
    free(block);
}

void *kt_wiped_realloc(void *block, size_t len)
{
    size_t old = block ? malloc_usable_size(block) : 0;

    if (block && len > 0 && len <= old)
        return block;
    void *larger = len > 0 ? malloc(len) : NULL;
    if (len > 0 && !larger)
        return NULL;
    if (block && larger)
        memcpy(larger, block, old);
    kt_wiped_free(block);
    return larger;
}

bool kt_wiped_heap_use(struct kt_error *err)
{
    static bool used;

    if (used)
        return true;
    CURLcode code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, kt_wiped_free, kt_wiped_realloc, strdup, calloc);
    if (code != CURLE_OK)
        return kt_fail(err, KT_E_INTERNAL, "libcurl does not start: %s", curl_easy_strerror(code));
    json_set_alloc_funcs(malloc, kt_wiped_free);
    used = true;
    return true;
}
