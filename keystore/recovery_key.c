/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/recovery_key.h"

#include "keystore/kdf.h"

#include <string.h>

#define KEY_DIGITS   52u /* 256 bits and four zero bits */
#define CHECK_DIGITS 4u  /* 20 bits of a hash */
#define DIGITS       (KEY_DIGITS + CHECK_DIGITS)
#define GROUP        4u
#define TEXT_MAX     256u
#define NO_DIGIT     (-1)
#define SKIP         (-2)

_Static_assert(KT_RECOVERY_TEXT_LEN == DIGITS + DIGITS / GROUP - 1 + 1, "groups, dashes, NUL");

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Five bits of a key, from bit `at` on; beyond its end there are zeros. */
static unsigned bits_at(const uint8_t *bytes, size_t len, size_t at)
{
    const size_t i = at / 8;
    const unsigned high = i < len ? bytes[i] : 0;
    const unsigned low = i + 1 < len ? bytes[i + 1] : 0;
    return (((high << 8) | low) >> (11 - at % 8)) & 0x1f;
}

/* The digits' values of a whole key, check group included. */
static bool encode(const struct kt_secret *key, uint8_t ret[DIGITS], struct kt_error *err)
{
    static const char context[] = "keyturn.dev/v1 recovery-key"; /* with its NUL */
    const struct kt_slice parts[] = {
        KT_SLICE(context, sizeof(context)),
        KT_SLICE(kt_secret_view(key), KT_RECOVERY_KEY_BYTES),
    };
    uint8_t hash[32] = {0};
    if (!kt_sha256(parts, KT_ARRAY_LEN(parts), hash, err))
        return false;
    for (size_t i = 0; i < KEY_DIGITS; i++)
        ret[i] = (uint8_t)bits_at(kt_secret_view(key), KT_RECOVERY_KEY_BYTES, 5 * i);
    for (size_t i = 0; i < CHECK_DIGITS; i++)
        ret[KEY_DIGITS + i] = (uint8_t)bits_at(hash, sizeof(hash), 5 * i);
    kt_wipe(hash, sizeof(hash));
    return true;
}

static bool check_len(const struct kt_secret *key, struct kt_error *err)
{
    return kt_secret_len(key) == KT_RECOVERY_KEY_BYTES ||
           kt_fail(err, KT_E_INTERNAL, "a recovery key has %u bytes, not %zu", KT_RECOVERY_KEY_BYTES,
                   kt_secret_len(key));
}

struct kt_secret *kt_recovery_key_format(const struct kt_secret *key, struct kt_error *err)
{
    if (!check_len(key, err))
        return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *digits = kt_secret_new(DIGITS, err);
    if (!digits || !encode(key, kt_secret_bytes(digits), err))
        return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *text = kt_secret_new(KT_RECOVERY_TEXT_LEN, err);
    if (!text)
        return NULL;
    uint8_t *next = kt_secret_bytes(text);
    for (size_t i = 0; i < DIGITS; i++) {
        if (i > 0 && i % GROUP == 0)
            *next++ = '-';
        *next++ = (uint8_t)alphabet[kt_secret_view(digits)[i]];
    }
    return KT_TAKE_PTR(text); /* zero-filled: the NUL is there */
}

/* The value of a digit as people write it, SKIP or NO_DIGIT. */
static int digit_value(uint8_t c)
{
    if (c == '-' || c == ' ' || c == '\n' || c == '\r')
        return SKIP;
    if (c >= 'a' && c <= 'z')
        c = (uint8_t)(c - 'a' + 'A');
    if (c == 'O')
        return 0;
    if (c == 'I' || c == 'L')
        return 1;
    for (int i = 0; i < 32; i++) {
        if (alphabet[i] == (char)c)
            return i;
    }
    return NO_DIGIT;
}

static bool fail_count(size_t n, struct kt_error *err)
{
    kt_fail(err, KT_E_RECOVERY_KEY, "the recovery key is too %s: it has %u letters and digits, here are %zu",
            n < DIGITS ? "short" : "long", DIGITS, n);
    return kt_error_hint(err, "type all %u groups of %u, with or without the dashes", DIGITS / GROUP, GROUP);
}

static bool read_digits(struct kt_slice text, uint8_t ret[DIGITS], struct kt_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        const int value = digit_value(text.data[i]);
        if (value == SKIP)
            continue;
        if (value == NO_DIGIT) {
            kt_fail(err, KT_E_RECOVERY_KEY,
                    "position %zu of the recovery key (in group %zu) has a character that no recovery key has", i + 1,
                    n / GROUP + 1);
            return kt_error_hint(err, "it is made of 0-9 and A-Z without I, L, O and U");
        }
        if (n < DIGITS)
            ret[n] = (uint8_t)value;
        n++;
    }
    return n == DIGITS || fail_count(n, err);
}

static struct kt_secret *decode(const uint8_t digits[DIGITS], struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = kt_secret_new(KT_RECOVERY_KEY_BYTES, err);
    if (!key)
        return NULL;
    uint8_t *bytes = kt_secret_bytes(key);
    for (size_t bit = 0; bit / 8 < KT_RECOVERY_KEY_BYTES; bit++) {
        const unsigned value = ((unsigned)digits[bit / 5] >> (4 - bit % 5)) & 1u;
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] | (value << (7 - bit % 8)));
    }
    return KT_TAKE_PTR(key);
}

/* What was typed without the NUL that a string in a secret ends with. */
static struct kt_slice typed(const struct kt_secret *text)
{
    struct kt_slice slice = KT_SLICE(kt_secret_view(text), kt_secret_len(text));
    if (slice.data[slice.len - 1] == '\0')
        slice.len--;
    return slice;
}

struct kt_secret *kt_recovery_key_parse(const struct kt_secret *text, struct kt_error *err)
{
    const struct kt_slice slice = typed(text);
    if (slice.len > TEXT_MAX) {
        kt_fail(err, KT_E_RECOVERY_KEY, "the recovery key is too long: a text of at most %u bytes was expected",
                TEXT_MAX);
        return NULL;
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *digits = kt_secret_new(DIGITS, err);
    if (!digits || !read_digits(slice, kt_secret_bytes(digits), err))
        return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = decode(kt_secret_view(digits), err);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *again = key ? kt_secret_new(DIGITS, err) : NULL;
    if (!again || !encode(key, kt_secret_bytes(again), err))
        return NULL;
    /* Encoding again finds a wrong check group and the four bits that must be zero at once. */
    if (!kt_secret_equal(digits, again)) {
        kt_fail(err, KT_E_RECOVERY_KEY, "the recovery key's check group does not fit: a typing error");
        kt_error_hint(err, "compare each group with the paper; 8 and B, 5 and S, 2 and Z look alike");
        return NULL;
    }
    return KT_TAKE_PTR(key);
}

static struct kt_p256 *key_pair(const struct kt_secret *key, const char *info, struct kt_error *err)
{
    if (!check_len(key, err))
        return NULL;
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *prk = kt_hkdf_extract(kt_slice_str("keyturn.dev/v1 recovery"),
                                            KT_SLICE(kt_secret_view(key), KT_RECOVERY_KEY_BYTES), err);
    if (!prk)
        return NULL;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *ikm = kt_hkdf_expand(prk, kt_slice_str(info), 32, err);
    return ikm ? kt_p256_derive(ikm, err) : NULL;
}

struct kt_p256 *kt_recovery_key_recipient(const struct kt_secret *key, struct kt_error *err)
{
    return key_pair(key, "recipient", err);
}

struct kt_p256 *kt_recovery_key_owner(const struct kt_secret *key, struct kt_error *err)
{
    return key_pair(key, "owner", err);
}
