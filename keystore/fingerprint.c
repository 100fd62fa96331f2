/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/fingerprint.h"

#include "base/buf.h"

#include <ctype.h>
#include <string.h>

static const char *const words[] = {
#define KT_WORD(text) text,
#include "keystore/fingerprint_words.def"
#undef KT_WORD
};
_Static_assert(KT_ARRAY_LEN(words) == 256, "a word for each byte");

void kt_fingerprint_words(const uint8_t fingerprint[KT_HASH_LEN], char ret[KT_FINGERPRINT_WORDS_LEN])
{
    size_t len = 0;
    for (size_t i = 0; i < KT_FINGERPRINT_WORDS; i++)
        len += (size_t)snprintf(ret + len, KT_FINGERPRINT_WORDS_LEN - len, "%s%s", i > 0 ? " " : "",
                                words[fingerprint[i]]);
}

bool kt_fingerprint_parse(const char *text, uint8_t ret[KT_HASH_LEN])
{
    static const char prefix[] = "sha256:";
    char lower[2 * KT_HASH_LEN + 1] = "";
    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1;
    if (strlen(text) != sizeof lower - 1)
        return false;
    for (size_t i = 0; i < sizeof lower; i++)
        lower[i] = (char)tolower((unsigned char)text[i]);
    return kt_hex_decode(kt_slice_str(lower), ret, KT_HASH_LEN);
}
