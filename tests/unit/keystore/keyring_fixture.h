/* SPDX-License-Identifier: Apache-2.0 */
/* A founded keyring with all its private halves, and documents made from it by changing text and signing again. */
#pragma once

#include "keystore/keyring_internal.h"
#include "support.h"

#define FIXTURE_NOW UINT64_C(1795424400) /* 2026-11-23T09:00:00Z */

struct fixture {
    struct kt_secret *recovery_key;
    struct kt_p256 *own;      /* recipient node-1 */
    struct kt_p256 *recovery; /* recipient recovery */
    struct kt_p256 *owner_key;
    uint8_t owner[KT_HASH_LEN];
    struct kt_bytes document;
    struct kt_keyring *keyring;
    struct kt_keyring_keys *keys;
};

/* All of these abort the test program when something that cannot fail fails. */
void fixture_init(struct fixture *f);
void fixture_done(struct fixture *f);

/* The document that the change makes of f's, put in the place of f's. */
void fixture_write(struct fixture *f, const struct kt_edit *edits, size_t n_edits);

/* That document takes the place of f's. */
void fixture_take(struct fixture *f, struct kt_bytes *document);
/* Another key, "second", becomes the active one, and the first is archived. */
void fixture_archive_first(struct fixture *f);

/* One document, as three NUL-terminated texts. */
struct forgery {
    char *membership;
    char *list;
    char *signatures; /* what forgery_sign made, until a test changes it */
    struct kt_p256 *owner_key;
    struct kt_p256 *signer;
};
void forgery_init(struct forgery *forgery, const struct fixture *f);
void forgery_done(struct forgery *forgery);
/* In *text, the first `from` becomes `to`. */
void forgery_replace(char **text, const char *from, const char *to);
/* Puts the right membershipHash into the list again, after part 1 was changed. */
void forgery_bind(struct forgery *forgery);
/* Signatures over both parts as they stand now. */
void forgery_sign(struct forgery *forgery);
struct kt_bytes forgery_join(const struct forgery *forgery);

/* The whole way: verified by f's owner. */
struct kt_keyring *fixture_verify(const struct fixture *f, const struct kt_bytes *document, struct kt_error *err);
