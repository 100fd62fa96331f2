/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of `secrets-encrypt status` in the references of k3s and RKE2, byte for byte, for the same situation. */
#include "admin/status_cluster.h"
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <string.h>

static const char SINGLE[] = "Encryption Status: Enabled\n"
                             "Current Rotation Stage: start\n"
                             "Server Encryption Hashes: All hashes match\n"
                             "\n"
                             "Active  Key Type  Name\n"
                             "------  --------  ----\n"
                             " *      AES-CBC   aescbckey\n"
                             "\n";
static const char ROTATED[] = "Encryption Status: Enabled\n"
                              "Current Rotation Stage: rotate\n"
                              "Server Encryption Hashes: hash does not match between node-1 and node-2\n"
                              "\n"
                              "Active  Key Type  Name\n"
                              "------  --------  ----\n"
                              " *      AES-CBC   aescbckey-2021-12-10T22:54:38Z\n"
                              "        AES-CBC   aescbckey\n"
                              "\n";

struct situation {
    struct kt_keyring_info info;
    struct kt_facts_node nodes[2];
    struct kt_facts_api apis[2];
};

static void add_key(struct kt_keyring_info *info, const char *name, enum kt_key_type type, enum kt_key_state state)
{
    struct kt_key_info *key = &info->keys[info->n_keys++];
    snprintf(key->name, sizeof(key->name), "%s", name);
    snprintf(key->id, sizeof(key->id), "%032zu", info->n_keys);
    key->type = type;
    key->state = state;
}

static int setup(void **state)
{
    struct situation *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->info.enabled = true;
    s->info.stage = KT_STAGE_START;
    s->info.generation = 2;
    for (size_t i = 0; i < 2; i++) {
        s->nodes[i] = (struct kt_facts_node){
            .name = i == 0 ? "node-1" : "node-2", .reachable = true, .generation = 2, .stage = KT_STAGE_START};
        s->apis[i] = (struct kt_facts_api){.name = i == 0 ? "node-1" : "node-2", .reachable = true, .hash_known = true};
    }
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* What goes to standard output. */
static char *print(const struct situation *s, size_t n_nodes, size_t n_apis)
{
    const struct kt_facts facts = {
        .keyring = &s->info, .nodes = s->nodes, .n_nodes = n_nodes, .apis = s->apis, .n_apis = n_apis};
    char hashes[KT_HASHES_TEXT_MAX];
    FILE *real = stdout;
    char *data = NULL;
    size_t len = 0;
    (void)kt_rotation_hashes(&facts, hashes);
    stdout = open_memstream(&data, &len);
    assert_non_null(stdout);
    kt_status_print(&s->info, hashes);
    (void)fclose(stdout);
    stdout = real;
    return data;
}

static void expect(const struct situation *s, size_t n_nodes, size_t n_apis, const char *text)
{
    char *said = print(s, n_nodes, n_apis);
    assert_string_equal(said, text);
    free(said);
}

static void a_single_server(void **state)
{
    struct situation *s = *state;
    add_key(&s->info, "aescbckey", KT_KEY_AESCBC, KT_KEY_ACTIVE);
    expect(s, 1, 1, SINGLE);
    expect(s, 2, 2, SINGLE);
}

static void rotate(struct situation *s)
{
    s->info.stage = KT_STAGE_ROTATE;
    add_key(&s->info, "aescbckey-2021-12-10T22:54:38Z", KT_KEY_AESCBC, KT_KEY_ACTIVE);
    add_key(&s->info, "aescbckey", KT_KEY_AESCBC, KT_KEY_READY);
}

static void several_after_rotate(void **state)
{
    struct situation *s = *state;
    rotate(s);
    s->nodes[0].stage = KT_STAGE_ROTATE;
    expect(s, 2, 2, ROTATED);
    /* Likewise where the nodes agree, and an API server has not loaded the file yet. */
    s->nodes[1].stage = KT_STAGE_ROTATE;
    s->apis[1].hash[0] = 1;
    expect(s, 2, 2, ROTATED);
}

static void no_star_while_disabled_and_nothing_claimed(void **state)
{
    struct situation *s = *state;
    s->info.enabled = false;
    add_key(&s->info, "kmskey", KT_KEY_KMS, KT_KEY_ACTIVE);
    add_key(&s->info, "secretboxkey", KT_KEY_SECRETBOX, KT_KEY_READY);
    expect(s, 1, 0,
           "Encryption Status: Disabled\n"
           "Current Rotation Stage: start\n"
           "Server Encryption Hashes: unknown\n"
           "\n"
           "Active  Key Type           Name\n"
           "------  --------           ----\n"
           "        KMS-v2             kmskey\n"
           "        XSalsa20-POLY1305  secretboxkey\n"
           "\n");
}

static void names_that_would_move_the_cursor(void **state)
{
    struct situation *s = *state;
    add_key(&s->info, "a\x1b[2Jb", KT_KEY_AESCBC, KT_KEY_ACTIVE);
    s->nodes[1].name = "node\n2";
    s->nodes[1].stage = KT_STAGE_ROTATE;
    char *said = print(s, 2, 0);
    assert_null(strchr(said, '\x1b'));
    assert_non_null(strstr(said, "between node-1 and node\\n2\n"));
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_single_server, setup, teardown),
        cmocka_unit_test_setup_teardown(several_after_rotate, setup, teardown),
        cmocka_unit_test_setup_teardown(no_star_while_disabled_and_nothing_claimed, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_would_move_the_cursor, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
