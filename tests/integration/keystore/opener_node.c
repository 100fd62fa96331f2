/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/keystore/opener_node.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void need(bool ok, const char *what, const struct kt_error *err)
{
    if (!ok)
        fail_msg("%s: %s: %s", what, kt_code_name(err->code), err->message);
}

void node_write_config(const struct node *n, const uint8_t *owner)
{
    char hash[KT_HASH_TEXT_LEN] = "";
    char text[1024];

    if (owner)
        kt_hash_format(owner, hash);
    (void)snprintf(text, sizeof(text),
                   "apiVersion: keyturn.dev/v1\nkind: Config\nnode: node-1\n%s%s\nstateDir: %s/state\n"
                   "opener: {timeout: 60s}\n",
                   owner ? "owner: " : "", hash, n->s.path);
    scratch_put(&n->s, "keyturn.yaml", text, 0644);
}

static const char *opener_program(void)
{
    static char path[512];
    const char *build = getenv("KEYTURN_BUILD");

    (void)snprintf(path, sizeof(path), "%s/libexec/keyturn/keyturn-opener", build ? build : ".");
    return path;
}

int node_setup_empty(void **state)
{
    struct node *n = calloc(1, sizeof(*n));
    struct kt_error err = KT_ERROR_INIT;
    void *scratch = NULL;

    if (!n || scratch_setup(&scratch) != 0)
        return -1;
    n->s = *(struct scratch *)scratch;
    free(scratch);
    (void)snprintf(n->config, sizeof(n->config), "%s/keyturn.yaml", n->s.path);
    n->how = (struct kt_opener_run){.program = opener_program(),
                                    .config = n->config,
                                    .account = {.uid = KT_SAME_UID},
                                    .timeout_ms = NODE_TIMEOUT_MS};
    n->recovery_key = kt_secret_new_random(KT_RECOVERY_KEY_BYTES, &err);
    if (!n->recovery_key || mkdirat(n->s.dir, "state", 0755) < 0 || mkdirat(n->s.dir, "state/opener", 0700) < 0)
        return -1;
    node_write_config(n, NULL);
    *state = n;
    return 0;
}

int node_setup(void **state)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct node *n = NULL;

    if (node_setup_empty(state) != 0)
        return -1;
    n = *state;
    const struct kt_opener_request request = node_create_request(n);
    node_expect(n, &request, &answer);
    n->first = answer.document;
    answer.document = (struct kt_bytes){.data = NULL};
    memcpy(n->owner, answer.owner, KT_HASH_LEN);
    node_write_config(n, n->owner);
    return 0;
}

int node_teardown(void **state)
{
    struct node *n = *state;
    struct scratch *copy = malloc(sizeof(*copy));
    void *scratch = copy;

    if (!copy)
        return -1;
    *copy = n->s;
    kt_secret_free(n->recovery_key);
    kt_bytes_done(&n->first);
    free(n);
    return scratch_teardown(&scratch);
}

struct kt_opener_request node_create_request(const struct node *n)
{
    return (struct kt_opener_request){.op = KT_OPENER_CREATE,
                                      .recovery_key = n->recovery_key,
                                      .node = "node-1",
                                      .kind = KT_RECIPIENT_FILE,
                                      .type = KT_KEY_KMS,
                                      .key_name = "kmskey",
                                      .now = NODE_NOW};
}

bool node_ask(const struct node *n, const struct kt_opener_request *request, struct kt_opener_answer *ret,
              struct kt_error *err)
{
    bool ok = kt_opener_run(&n->how, request, ret, err);

    expect_no_children();
    return ok;
}

void node_expect(const struct node *n, const struct kt_opener_request *request, struct kt_opener_answer *ret)
{
    struct kt_error err = KT_ERROR_INIT;

    need(node_ask(n, request, ret, &err), "the opener", &err);
}

void node_expect_error(const struct node *n, const struct kt_opener_request *request, enum kt_code code,
                       const char *part)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_error err = KT_ERROR_INIT;

    assert_false(node_ask(n, request, &answer, &err));
    expect_error(&err, code, part);
    assert_null(answer.info);
}

struct kt_bytes node_edit(const struct node *n, const struct kt_bytes *from, const struct kt_edit *edits,
                          size_t n_edits)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    const struct kt_opener_request request = {.op = KT_OPENER_EDIT,
                                              .current = kt_bytes_view(from),
                                              .node = "node-1",
                                              .edits = edits,
                                              .n_edits = n_edits,
                                              .now = NODE_NOW + 60};
    struct kt_bytes document = {.data = NULL};

    node_expect(n, &request, &answer);
    document = answer.document;
    answer.document = (struct kt_bytes){.data = NULL};
    return document;
}

struct kt_bytes node_forge(const struct node *n, const struct kt_bytes *from, node_harm *harm,
                           const struct kt_edit *edits, size_t n_edits)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_fd_close_p) int folder = openat(n->s.dir, "state/opener", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    KT_CLEANUP(kt_p256_free_p)
    struct kt_p256 *own = kt_recipient_file.load(&(struct kt_recipient_source){.dirfd = folder}, &err);
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = kt_keyring_verify(kt_bytes_view(from), n->owner, &err);
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    const struct kt_keyring_change change = {
        .edits = edits, .n_edits = n_edits, .writer = "node-1", .now = NODE_NOW + 120};
    struct kt_bytes document = {.data = NULL};

    need(own && keyring, "load and verify", &err);
    keys = kt_keyring_open(keyring, own, &err);
    need(keys != NULL, "open", &err);
    harm(keyring, keys);
    need(kt_keyring_write(keyring, keys, &change, &document, &err), "write", &err);
    return document;
}

static struct kt_keyring *verify(const struct node *n, const struct kt_bytes *document)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_keyring *keyring = kt_keyring_verify(kt_bytes_view(document), n->owner, &err);

    need(keyring != NULL, "verify", &err);
    return keyring;
}

struct kt_floor node_floor(const struct node *n, const struct kt_bytes *document)
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = verify(n, document);
    struct kt_floor floor = {.membership = 0};

    kt_floor_of(kt_keyring_info(keyring), &floor);
    return floor;
}

void node_key_id(const struct node *n, const struct kt_bytes *document, size_t index, char ret[KT_KEY_ID_LEN + 1])
{
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = verify(n, document);

    assert_true(index < kt_keyring_info(keyring)->n_keys);
    memcpy(ret, kt_keyring_info(keyring)->keys[index].id, KT_KEY_ID_LEN + 1);
}

void expect_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}
