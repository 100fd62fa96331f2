/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/keyring_internal.h"

#include <string.h>

#define HINT_COPY "copy the file again from a node that serves it (keyturn keyring show tells which)"

static bool is_separator(struct kt_slice line)
{
    return line.len == strlen(KT_KEYRING_SEPARATOR) && memcmp(line.data, KT_KEYRING_SEPARATOR, line.len) == 0;
}

/* Takes one line with its LF off *rest; an unfinished line is none. */
static bool take_line(struct kt_slice *rest, struct kt_slice *ret)
{
    const uint8_t *lf = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    if (!lf)
        return false;
    *ret = KT_SLICE(rest->data, (size_t)(lf - rest->data) + 1);
    *rest = KT_SLICE(rest->data + ret->len, rest->len - ret->len);
    return true;
}

static bool check_size(struct kt_slice document, struct kt_error *err)
{
    if (document.len == 0) {
        kt_fail(err, KT_E_KEYRING_FORMAT, "the keyring is empty: expected three parts, found no bytes");
        return kt_error_hint(err, HINT_COPY);
    }
    if (document.len > KT_KEYRING_MAX) {
        kt_fail(err, KT_E_KEYRING_FORMAT, "the keyring is too large: expected at most %u bytes, found %zu",
                KT_KEYRING_MAX, document.len);
        return kt_error_hint(err, "this is not a keyring, or something was appended to it; " HINT_COPY);
    }
    return true;
}

static bool find_separators(struct kt_slice document, struct kt_slice ret[2], struct kt_error *err)
{
    struct kt_slice rest = document;
    struct kt_slice line = {0};
    size_t n = 0;
    while (take_line(&rest, &line)) {
        if (!is_separator(line))
            continue;
        if (n < 2)
            ret[n] = line;
        n++;
    }
    if (n != 2) {
        kt_fail(err, KT_E_KEYRING_FORMAT,
                "the keyring has no three parts: expected two separator lines \"---\", found %zu", n);
        return kt_error_hint(err, n < 2 ? "the file is no keyring or was cut short; " HINT_COPY
                                        : "something was appended to the file; " HINT_COPY);
    }
    if (rest.len > 0) {
        kt_fail(err, KT_E_KEYRING_FORMAT, "the keyring ends in the middle of a line, after %zu bytes", document.len);
        return kt_error_hint(err, "the file was cut short; " HINT_COPY);
    }
    return true;
}

bool kt_keyring_split(struct kt_slice document, struct kt_keyring_parts *ret, struct kt_error *err)
{
    struct kt_slice lines[2] = {{0}};
    if (!check_size(document, err) || !find_separators(document, lines, err))
        return false;
    const uint8_t *list = lines[0].data + lines[0].len;
    const uint8_t *signatures = lines[1].data + lines[1].len;
    struct kt_keyring_parts parts = {
        .membership = KT_SLICE(document.data, (size_t)(lines[0].data - document.data)),
        .list = KT_SLICE(list, (size_t)(lines[1].data - list)),
        .signatures = KT_SLICE(signatures, document.len - (size_t)(signatures - document.data)),
    };
    const size_t lens[] = {parts.membership.len, parts.list.len, parts.signatures.len};
    for (unsigned i = 0; i < KT_ARRAY_LEN(lens); i++)
        if (lens[i] == 0) {
            kt_fail(err, KT_E_KEYRING_FORMAT, "part %u of the keyring is empty: expected lines, found none", i + 1);
            return kt_error_hint(err, HINT_COPY);
        }
    *ret = parts;
    return true;
}

/* Part 3, line by line. */
struct scan {
    struct kt_slice rest;
    unsigned line; /* of the last line that was taken, from 1 */
    struct kt_error *err;
};

static bool scan_fail(const struct scan *s, const char *expected)
{
    kt_fail(s->err, KT_E_KEYRING_FORMAT, "keyring, part 3, line %u: expected %s, found something else", s->line,
            expected);
    return kt_error_hint(s->err, "the file was damaged or cut short; " HINT_COPY);
}

/* The line without its LF. */
static bool scan_line(struct scan *s, const char *expected, struct kt_slice *ret)
{
    struct kt_slice line = {0};
    s->line++;
    if (!take_line(&s->rest, &line)) {
        kt_fail(s->err, KT_E_KEYRING_FORMAT, "keyring, part 3, line %u: expected %s, found the end", s->line, expected);
        return kt_error_hint(s->err, "the file was cut short; " HINT_COPY);
    }
    *ret = KT_SLICE(line.data, line.len - 1);
    return true;
}

static bool starts_with(struct kt_slice text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text.len >= n && memcmp(text.data, prefix, n) == 0;
}

static struct kt_slice after(struct kt_slice text, size_t n)
{
    return KT_SLICE(text.data + n, text.len - n);
}

static bool scan_fixed(struct scan *s, const char *text)
{
    struct kt_slice line = {0};
    if (!scan_line(s, text, &line))
        return false;
    return kt_slice_equal(line, kt_slice_str(text)) || scan_fail(s, text);
}

static bool scan_version(struct scan *s)
{
    static const char expected[] = "apiVersion: " KT_API_VERSION;
    struct kt_slice line = {0};
    if (!scan_line(s, expected, &line))
        return false;
    if (kt_slice_equal(line, kt_slice_str(expected)))
        return true;
    if (!starts_with(line, "apiVersion: keyturn.dev/"))
        return scan_fail(s, expected);
    kt_fail(s->err, KT_E_KEYRING_VERSION,
            "keyring, part 3, line %u: expected apiVersion " KT_API_VERSION ", found another version", s->line);
    return kt_error_hint(s->err, "a newer keyturn wrote this keyring: install that release on this node");
}

static bool decode_exact(struct kt_slice text, uint8_t *ret, size_t n)
{
    size_t len = 0;
    return kt_base64_decode(text, ret, n, &len) && len == n;
}

static bool scan_owner(struct scan *s, struct kt_slice entry, struct kt_signatures *ret)
{
    size_t i = ret->n_owners;
    size_t key_len = kt_base64_len(KT_P256_PUBLIC);
    if (i == KT_OWNERS_MAX)
        return scan_fail(s, "at most 64 owners");
    if (entry.len < key_len || !decode_exact(KT_SLICE(entry.data, key_len), ret->owners[i], KT_P256_PUBLIC))
        return scan_fail(s, "an owner's public key in base64");
    struct kt_slice link = after(entry, key_len);
    if (i == 0) {
        if (link.len > 0)
            return scan_fail(s, "the founding owner's public key and nothing else");
    } else if (!starts_with(link, " ") || !decode_exact(after(link, 1), ret->links[i], KT_SIGNATURE_LEN)) {
        return scan_fail(s, "an owner's public key, one space and a signature by the owner before it");
    }
    ret->n_owners++;
    return true;
}

static bool scan_signature(struct scan *s, struct kt_slice line, const char *expected, uint8_t ret[KT_SIGNATURE_LEN])
{
    if (!starts_with(line, expected) || !decode_exact(after(line, strlen(expected)), ret, KT_SIGNATURE_LEN))
        return kt_fail(s->err, KT_E_KEYRING_FORMAT,
                       "keyring, part 3, line %u: expected \"%s\" and a signature in base64, found something else",
                       s->line, expected) ||
               kt_error_hint(s->err, "the file was damaged; " HINT_COPY);
    return true;
}

bool kt_signatures_scan(struct kt_slice part, struct kt_signatures *ret, struct kt_error *err)
{
    struct scan s = {.rest = part, .err = err};
    struct kt_signatures found = {0};
    struct kt_slice line = {0};
    if (!scan_version(&s) || !scan_fixed(&s, "kind: KeyringSignatures") || !scan_fixed(&s, "owners:"))
        return false;
    for (;;) {
        if (!scan_line(&s, "an owner or the membership's signature", &line))
            return false;
        if (!starts_with(line, "- "))
            break;
        if (!scan_owner(&s, after(line, 2), &found))
            return false;
    }
    if (found.n_owners == 0)
        return scan_fail(&s, "the founding owner");
    if (!scan_signature(&s, line, "membership: ", found.membership) ||
        !scan_line(&s, "the key list's signature", &line) || !scan_signature(&s, line, "keyList: ", found.list))
        return false;
    if (s.rest.len > 0) {
        s.line++;
        return scan_fail(&s, "the end of the keyring");
    }
    *ret = found;
    return true;
}
