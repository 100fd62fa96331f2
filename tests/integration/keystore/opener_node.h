/* SPDX-License-Identifier: Apache-2.0 */
/* A node with its own directory, and the real keyturn-opener to ask. Included last, as scratch.h is. */
#pragma once

#include "base/file.h"
#include "keystore/keyring_internal.h"
#include "keystore/opener.h"
#include "keystore/recipient.h"
#include "keystore/recovery_key.h"
#include "keystore/state_dir.h"
#include "tests/unit/base/scratch.h"

#define NODE_NOW        UINT64_C(1795424400) /* 2026-11-23T09:00:00Z */
#define NODE_TIMEOUT_MS 60000

struct node {
    struct scratch s;
    char config[128];
    struct kt_opener_run how;
    struct kt_secret *recovery_key;
    struct kt_bytes first; /* generation 1, after node_create */
    uint8_t owner[KT_HASH_LEN];
};

/* state/ and state/opener/ with their modes, and a keyturn.yaml without an owner. */
int node_setup_empty(void **state);
/* The same with a founded keyring (not installed) and the owner in keyturn.yaml. */
int node_setup(void **state);
int node_teardown(void **state);
#define EMPTY_TEST(f) cmocka_unit_test_setup_teardown(f, node_setup_empty, node_teardown)
#define NODE_TEST(f)  cmocka_unit_test_setup_teardown(f, node_setup, node_teardown)

void node_write_config(const struct node *n, const uint8_t *owner);
struct kt_opener_request node_create_request(const struct node *n);
/* Asks; false and *err as the opener says. */
bool node_ask(const struct node *n, const struct kt_opener_request *request, struct kt_opener_answer *ret,
              struct kt_error *err);
/* Must succeed, or must fail with that code and these words in its message. */
void node_expect(const struct node *n, const struct kt_opener_request *request, struct kt_opener_answer *ret);
void node_expect_error(const struct node *n, const struct kt_opener_request *request, enum kt_code code,
                       const char *part);
/* The generation after `from`. */
struct kt_bytes node_edit(const struct node *n, const struct kt_bytes *from, const struct kt_edit *edits,
                          size_t n_edits);
/* Likewise, after harm was done to what `from` says: correctly signed, and wrong. */
typedef void node_harm(struct kt_keyring *keyring, struct kt_keyring_keys *keys);
struct kt_bytes node_forge(const struct node *n, const struct kt_bytes *from, node_harm *harm,
                           const struct kt_edit *edits, size_t n_edits);
struct kt_floor node_floor(const struct node *n, const struct kt_bytes *document);
/* The id of listed key number index. */
void node_key_id(const struct node *n, const struct kt_bytes *document, size_t index, char ret[KT_KEY_ID_LEN + 1]);
/* Fails if there is a child, dead or alive. */
void expect_no_children(void);
