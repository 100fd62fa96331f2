/* SPDX-License-Identifier: Apache-2.0 */
/* The small decoders; the first byte chooses. What a decoder takes, its encoder writes again in the one canonical form.
 */
#include "base/clock.h"
#include "base/secret.h"
#include "fuzz.h"
#include "keystore/floor.h"
#include "keystore/recovery_key.h"

#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_floor(struct kt_slice text)
{
    struct kt_floor floor, again;
    char written[KT_FLOOR_TEXT_MAX];
    if (!kt_floor_parse(text, &floor, NULL))
        return;
    kt_floor_format(&floor, written);
    must(kt_slice_equal(text, kt_slice_str(written)));
    must(kt_floor_parse(kt_slice_str(written), &again, NULL));
}

static void try_recovery_key(struct kt_slice text)
{
    if (text.len == 0 || text.len > 1024)
        return;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *typed = kt_secret_new_copy(text.data, text.len, NULL);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = typed ? kt_recovery_key_parse(typed, NULL) : NULL;
    if (!key)
        return;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *written = kt_recovery_key_format(key, NULL);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *again = kt_recovery_key_parse(written, NULL);
    must(again && kt_secret_equal(key, again));
}

static void try_time(struct kt_slice text)
{
    char copy[64] = "", written[KT_TIME_LEN];
    uint64_t seconds;
    if (text.len >= sizeof(copy) || memchr(text.data, 0, text.len))
        return;
    memcpy(copy, text.data, text.len);
    if (kt_time_parse(copy, &seconds)) {
        kt_time_format(seconds, written);
        must(strcmp(copy, written) == 0);
    }
    (void)!kt_duration_parse(copy, &seconds);
}

static void try_base64(struct kt_slice text)
{
    uint8_t bytes[256];
    char written[512];
    size_t len;
    if (!kt_base64_decode(text, bytes, sizeof(bytes), &len))
        return;
    kt_base64_encode(KT_SLICE(bytes, len), written);
    must(kt_slice_equal(text, kt_slice_str(written)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const decoders[])(struct kt_slice) = {try_floor, try_recovery_key, try_time, try_base64};
    if (size > 1)
        decoders[data[0] % KT_ARRAY_LEN(decoders)](KT_SLICE(data + 1, size - 1));
    return 0;
}
