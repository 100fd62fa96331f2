/* SPDX-License-Identifier: Apache-2.0 */
/* The real keyturn-opener and keys that kube-apiserver has in its own file: who gets their bytes, and who does not. */
#include "opener_node.h"

static const struct kt_edit ADD_INLINE[] = {
    {.kind = KT_EDIT_ADD, .type = KT_KEY_AESCBC, .name = "aescbckey"},
    {.kind = KT_EDIT_ADD, .type = KT_KEY_SECRETBOX, .name = "secretboxkey"},
};

static struct kt_opener_request request_of(enum kt_opener_op op, const struct kt_bytes *current)
{
    return (struct kt_opener_request){.op = op, .current = kt_bytes_view(current)};
}

static void put_superseded(struct kt_opener_request *request, const struct kt_bytes *document)
{
    request->superseded[0] = kt_bytes_view(document);
    request->superseded_names[0] = "1-2.yaml";
    request->n_superseded = 1;
}

/* What each of the two operations gives of the listed keys: "-" nothing, else the length. */
static void expect_given(const struct kt_opener_answer *answer, const char *given)
{
    char found[2 * KT_KEYS_MAX + 1] = "";

    for (size_t i = 0; i < answer->info->n_keys; i++)
        found[i] = answer->keys[i] && kt_secret_len(answer->keys[i]) == KT_KEY_BYTES ? 'x' : '-';
    assert_string_equal(found, given);
}

static void test_each_gets_its_own(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_BYTES struct kt_bytes second = node_edit(n, &n->first, ADD_INLINE, 2);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer opened = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer rendered = {.info = NULL};
    const struct kt_opener_request open = request_of(KT_OPENER_OPEN, &second);
    const struct kt_opener_request render = request_of(KT_OPENER_RENDER, &second);

    node_expect(n, &open, &opened);
    expect_given(&opened, "x--");
    node_expect(n, &render, &rendered);
    expect_given(&rendered, "-xx");
    assert_false(kt_secret_equal(rendered.keys[1], rendered.keys[2]));
    assert_int_equal(rendered.info->generation, 2);
}

/* One that only a superseded keyring knows decrypts as before. */
static void test_superseded_ones_too(void **state)
{
    const struct node *n = *state;
    const struct kt_edit nothing = {.kind = KT_EDIT_ENABLED, .flag = true};
    KT_CLEANUP_BYTES struct kt_bytes second = node_edit(n, &n->first, ADD_INLINE, 2);
    KT_CLEANUP_BYTES struct kt_bytes branch = node_edit(n, &n->first, &nothing, 1);
    KT_CLEANUP_BYTES struct kt_bytes third = node_edit(n, &branch, &nothing, 1);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer opened = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer rendered = {.info = NULL};
    struct kt_opener_request open = request_of(KT_OPENER_OPEN, &third);
    struct kt_opener_request render = request_of(KT_OPENER_RENDER, &third);

    put_superseded(&open, &second);
    put_superseded(&render, &second);
    node_expect(n, &open, &opened);
    expect_given(&opened, "x--");
    node_expect(n, &render, &rendered);
    expect_given(&rendered, "-xx");
    assert_true(rendered.info->keys[1].superseded && rendered.info->keys[2].superseded);
}

/* What is rendered is installed as kube-apiserver's configuration: nothing but what is in force. */
static void test_only_what_is_in_force(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_BYTES struct kt_bytes second = node_edit(n, &n->first, ADD_INLINE, 2);
    struct kt_opener_request render = request_of(KT_OPENER_RENDER, &n->first);

    render.floor = node_floor(n, &second);
    node_expect_error(n, &render, KT_E_KEYRING_OLDER, "generation 2");
    render.accept_older = true;
    node_expect_error(n, &render, KT_E_REFUSED, "only the keyring in force");
    render = request_of(KT_OPENER_RENDER, &n->first);
    render.offered = kt_bytes_view(&second);
    node_expect_error(n, &render, KT_E_REFUSED, "only the keyring in force");
    render = (struct kt_opener_request){.op = KT_OPENER_RENDER};
    node_expect_error(n, &render, KT_E_KEYRING_MISSING, "there is no keyring");
}

/* The private half is what opens them: without it there is nothing to get. */
static void test_needs_the_private_half(void **state)
{
    const struct node *n = *state;
    KT_CLEANUP_BYTES struct kt_bytes second = node_edit(n, &n->first, ADD_INLINE, 2);
    const struct kt_opener_request render = request_of(KT_OPENER_RENDER, &second);

    assert_int_equal(unlinkat(n->s.dir, "state/opener/node.key", 0), 0);
    node_expect_error(n, &render, KT_E_NODE_KEY_LOST, "");
}

/* As keyturnd starts it for the keeper. */
static void test_keeper_gets_nothing_else(void **state)
{
    struct node *n = *state;
    KT_CLEANUP_BYTES struct kt_bytes second = node_edit(n, &n->first, ADD_INLINE, 2);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer opened = {.info = NULL};
    char script[1024];

    (void)snprintf(script, sizeof(script), "#!/bin/sh\nexec %s \"$@\" " KT_OPENER_OPEN_ONLY "\n", n->how.program);
    scratch_put(&n->s, "open-only", script, 0700);
    n->how.program = scratch_name(&n->s, "open-only");
    struct kt_opener_request request = request_of(KT_OPENER_OPEN, &second);
    node_expect(n, &request, &opened);
    expect_given(&opened, "x--");
    for (unsigned op = KT_OPENER_CREATE; op < KT_OPENER_OP_END; op++) {
        KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
        struct kt_error err = KT_ERROR_INIT;

        if (op == KT_OPENER_OPEN)
            continue;
        request = request_of((enum kt_opener_op)op, &second);
        assert_false(node_ask(n, &request, &answer, &err));
        if (err.code != KT_E_DENIED && err.code != KT_E_UNSUPPORTED)
            fail_msg("operation %u: %s: %s", op, kt_code_name(err.code), err.message);
    }
}

/* The bytes of a key to import take the same way as the recovery key: in locked memory, never in the request. */
static void test_import(void **state)
{
    const struct node *n = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = kt_secret_new_random(KT_KEY_BYTES, &err);
    const struct kt_secret *const keys[] = {key};
    const struct kt_edit edit = {.kind = KT_EDIT_IMPORT, .type = KT_KEY_AESCBC, .name = "from+elsewhere"};
    struct kt_opener_request request = request_of(KT_OPENER_EDIT, &n->first);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer written = {.info = NULL};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer rendered = {.info = NULL};

    request.node = "node-1";
    request.now = NODE_NOW;
    request.edits = &edit;
    request.n_edits = 1;
    node_expect_error(n, &request, KT_E_REFUSED, "expected the key's bytes with it");
    request.imports = keys;
    request.n_imports = 1;
    node_expect(n, &request, &written);
    /* The answer says what was written. */
    assert_int_equal(written.info->generation, 2);
    assert_string_equal(written.info->keys[1].name, "from+elsewhere");
    assert_int_equal(written.info->keys[1].state, KT_KEY_READY);
    const struct kt_opener_request render = request_of(KT_OPENER_RENDER, &written.document);
    node_expect(n, &render, &rendered);
    assert_true(kt_secret_equal(rendered.keys[1], key));
    request.current = kt_bytes_view(&written.document);
    node_expect_error(n, &request, KT_E_EXISTS, written.info->keys[1].id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODE_TEST(test_each_gets_its_own),        NODE_TEST(test_superseded_ones_too),
        NODE_TEST(test_only_what_is_in_force),    NODE_TEST(test_needs_the_private_half),
        NODE_TEST(test_keeper_gets_nothing_else), NODE_TEST(test_import),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
