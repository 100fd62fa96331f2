/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "base/locked.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define ALIGNMENT 16u

struct kt_secret {
    struct kt_locked pages;
    uint8_t *bytes;
    size_t len;
};

struct kt_secret *kt_secret_new(size_t len, struct kt_error *err)
{
    if (len == 0 || len > KT_SECRET_MAX) {
        (void)kt_fail(err, KT_E_INTERNAL, "expected a secret of 1 to %u bytes, found %zu", KT_SECRET_MAX, len);
        return NULL;
    }
    struct kt_secret *secret = calloc(1, sizeof(*secret));
    if (!secret) {
        (void)kt_fail(err, KT_E_NOMEM, "out of memory for the handle of a secret");
        return NULL;
    }
    if (!kt_locked_map(len, &secret->pages, err)) {
        free(secret);
        return NULL;
    }
    /* At the end of the pages, so that running over the end meets the guard page. */
    size_t room = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    secret->bytes = secret->pages.body + secret->pages.len - room;
    secret->len = len;
    return secret;
}

struct kt_secret *kt_secret_new_random(size_t len, struct kt_error *err)
{
    struct kt_secret *secret = kt_secret_new(len, err);
    if (secret && !kt_random(secret->bytes, len, err)) {
        kt_secret_free(secret);
        return NULL;
    }
    return secret;
}

struct kt_secret *kt_secret_new_copy(const void *bytes, size_t len, struct kt_error *err)
{
    struct kt_secret *secret = kt_secret_new(len, err);
    if (secret)
        memcpy(secret->bytes, bytes, len);
    return secret;
}

void kt_secret_free(struct kt_secret *secret)
{
    if (!secret)
        return;
    kt_locked_unmap(&secret->pages);
    free(secret);
}

uint8_t *kt_secret_bytes(struct kt_secret *secret)
{
    return secret->bytes;
}

const uint8_t *kt_secret_view(const struct kt_secret *secret)
{
    return secret->bytes;
}

size_t kt_secret_len(const struct kt_secret *secret)
{
    return secret->len;
}

void kt_wipe(void *bytes, size_t len)
{
    if (bytes)
        explicit_bzero(bytes, len);
}

bool kt_random(void *bytes, size_t len, struct kt_error *err)
{
    uint8_t *next = bytes;
    size_t left = len;
    while (left > 0) {
        ssize_t n = getrandom(next, left, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            (void)kt_fail_errno(err, KT_E_INTERNAL, "the kernel gives no random bytes");
            kt_wipe(bytes, len);
            return false;
        }
        next += n;
        left -= (size_t)n;
    }
    return true;
}
