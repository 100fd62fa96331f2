/* SPDX-License-Identifier: Apache-2.0 */
/* Documents with valid signatures that break a rule of docs/keyring-format.md §3 or §4. */
#include "keyring_fixture.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static struct fixture fixture;
static char id[2][KT_KEY_ID_LEN + 1]; /* listed: active, ready */
static char archived_id[KT_KEY_ID_LEN + 1];

/* Two listed keys and an archived one, so that each rule has something to be broken on. */
static int setup(void **state)
{
    struct kt_edit add[] = {
        {.kind = KT_EDIT_ADD, .name = "second", .type = KT_KEY_KMS},
        {.kind = KT_EDIT_ADD, .name = "third", .type = KT_KEY_SECRETBOX},
        {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_PREPARE},
    };
    (void)state;
    fixture_init(&fixture);
    fixture_write(&fixture, add, KT_ARRAY_LEN(add));
    struct kt_edit archive[] = {{.kind = KT_EDIT_ARCHIVE}, {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_START}};
    memcpy(archive[0].id, fixture.keyring->info.keys[2].id, sizeof archive[0].id);
    fixture_write(&fixture, archive, KT_ARRAY_LEN(archive));
    for (size_t i = 0; i < 2; i++)
        memcpy(id[i], fixture.keyring->info.keys[i].id, sizeof id[i]);
    memcpy(archived_id, archive[0].id, sizeof archived_id);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_done(&fixture);
    return 0;
}

/* What the changed and signed document is refused with; NULL says: it is accepted. */
struct content_case {
    const char *from;
    const char *to;
    enum kt_code code;
    const char *says;
};

static void check_forged(struct forgery *forgery, const struct content_case *c, size_t number)
{
    struct kt_error err = KT_ERROR_INIT;
    forgery_sign(forgery);
    struct kt_bytes document = forgery_join(forgery);
    struct kt_keyring *keyring = fixture_verify(&fixture, &document, &err);
    if (!c->says && !keyring)
        fail_msg("case %zu: expected it to be accepted; got %s: %s", number, kt_code_name(err.code), err.message);
    if (c->says && (keyring || err.code != c->code || !strstr(err.message, c->says)))
        fail_msg("case %zu: expected %s, %s; got %s: %s", number, kt_code_name(c->code), c->says,
                 kt_code_name(err.code), err.message);
    kt_keyring_free(keyring);
    kt_bytes_done(&document);
}

static void check_membership(const struct content_case *c, size_t number)
{
    struct forgery forgery = {0};
    forgery_init(&forgery, &fixture);
    forgery_replace(&forgery.membership, c->from, c->to);
    forgery_bind(&forgery);
    check_forged(&forgery, c, number);
    forgery_done(&forgery);
}

static void check_list(const struct content_case *c, size_t number)
{
    struct forgery forgery = {0};
    forgery_init(&forgery, &fixture);
    forgery_replace(&forgery.list, c->from, c->to);
    check_forged(&forgery, c, number);
    forgery_done(&forgery);
}

#define CONTENT KT_E_KEYRING_CONTENT

static void test_membership(void **state)
{
    static const struct content_case cases[] = {
        {"keyturn.dev/v1", "keyturn.dev/v2", KT_E_KEYRING_VERSION, "apiVersion"},
        {"format: 1", "format: 2", KT_E_KEYRING_VERSION, "part 1: expected format 1, found format 2"},
        {"format: 1", "format: 2\nnews: x", KT_E_KEYRING_VERSION, "found format 2"},
        {"format: 1", "format: one", CONTENT, "line 3"},
        {"kind: Membership", "kind: KeyList", CONTENT, "expected kind Membership"},
        {"keyring: ", "keyring: 0", CONTENT, "32 hex digits"},
        {"membership: 1\n", "membership: 0\n", CONTENT, "membership: expected at least 1"},
        {"membership: 1\n", "membership: 2\n", CONTENT, "madeOver.generation"},
        {"membership: 1\n", "membership: 9007199254740993\n", CONTENT, "line 5"},
        {"membership: 1\n", "", CONTENT, "membership"},
        {"membership: 1\n", "membership: 1\nmembership: 1\n", CONTENT, "once"},
        {"membership: 1\n", "membership: 1\nextra: 1\n", CONTENT, "known"},
        {"membership: 1\n", "membership: &a 1\n", CONTENT, "anchor"},
        {"generation: 0", "generation: 1", CONTENT, "madeOver.generation"},
        {"hash: sha256:00", "hash: sha256:10", CONTENT, "madeOver.hash"},
        {"hash: sha256:", "hash: sha512:", CONTENT, "hash: expected \"sha256:\""},
        {"signer: B", "signer: A", CONTENT, "signer: expected the 65-byte"},
        {"signer: B", "signer: *", CONTENT, "alias"},
        {"publicKey: B", "publicKey: C", CONTENT, "publicKey: expected the 65-byte"},
        {"name: node-1", "name: Node-1", CONTENT, "recipient 1: expected a name"},
        {"name: node-1", "name: -node", CONTENT, "recipient 1: expected a name"},
        {"name: node-1", "name: node-", CONTENT, "recipient 1: expected a name"},
        {"name: node-1", "name: a..b", CONTENT, "recipient 1: expected a name"},
        {"name: node-1", "name: \"\"", CONTENT, "recipient 1: expected a name"},
        {"name: node-1", "name: node-00000000000000000000000000000000000000000000000000000000001", CONTENT, "63"},
        {"name: node-1", "name: recovery", CONTENT, "recovery"},
        {"name: recovery", "name: other", CONTENT, "under the name recovery"},
        {"kind: file", "kind: floppy", CONTENT, "kind: expected file, tpm2 or recovery"},
        {"kind: file", "kind: recovery", CONTENT, "exactly one recipient of kind recovery, found 2"},
        {"kind: recovery", "kind: file", CONTENT, "exactly one recipient of kind recovery, found 0"},
        {"kind: file", "kind: tpm2", KT_OK, NULL},
        {"format: 1\n", "format: 1 # a comment\n", KT_OK, NULL},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++)
        check_membership(&cases[i], i);
}

static void test_recipients_twice_or_none(void **state)
{
    char *at = NULL;
    struct forgery forgery = {0};
    const struct content_case twice = {.code = CONTENT, .says = "node-1: expected each name once"};
    const struct content_case same_key = {.code = CONTENT, .says = "node-1 and node-2: expected different public keys"};
    const struct content_case none = {.code = CONTENT, .says = "expected 1 to 64 recipients, found none"};
    char entry[512] = "";
    (void)state;
    forgery_init(&forgery, &fixture);
    at = strstr(forgery.membership, "- name: node-1");
    snprintf(entry, sizeof entry, "%.*s- name: recovery", (int)(strstr(at, "- name: recovery") - at), at);
    forgery_replace(&forgery.membership, "- name: recovery", entry);
    forgery_bind(&forgery);
    check_forged(&forgery, &twice, 0);
    forgery_replace(&forgery.membership, "- name: node-1", "- name: node-2");
    forgery_replace(&forgery.membership, "- name: node-2", "- name: node-1");
    at = strstr(forgery.membership, "- name: node-1");
    strstr(at + 1, "- name: node-1")[13] = '2';
    forgery_bind(&forgery);
    check_forged(&forgery, &same_key, 1);
    *strstr(forgery.membership, "recipients:") = '\0';
    forgery_replace(&forgery.membership, "madeOver:", "recipients: []\nmadeOver:");
    forgery_bind(&forgery);
    check_forged(&forgery, &none, 2);
    forgery_done(&forgery);
}

static void test_list_head(void **state)
{
    static const struct content_case cases[] = {
        {"keyturn.dev/v1", "keyturn.dev/v9", KT_E_KEYRING_VERSION, "part 2"},
        {"format: 1", "format: 7", KT_E_KEYRING_VERSION, "part 2: expected format 1, found format 7"},
        {"format: 1", "format: 0", KT_E_KEYRING_VERSION, "found format 0"},
        {"kind: KeyList", "kind: Membership", CONTENT, "expected kind KeyList"},
        {"keyring: ", "keyring: 00000000000000000000000000000000 #", CONTENT, "the keyring id of part 1"},
        {"membershipHash: sha256:", "membershipHash: sha256:" ZEROS " #", CONTENT, "hash of part 1"},
        {"generation: 3", "generation: 0", CONTENT, "generation: expected at least 1"},
        {"generation: 3", "generation: 1", CONTENT, "previous to be zeros in generation 1"},
        {"generation: 3", "generation: -3", CONTENT, "whole number"},
        {"generation: 3", "generation: 03", CONTENT, "whole number"},
        {"generation: 3", "generation: \"3\"", CONTENT, "whole number"},
        {"previous: sha256:", "previous: sha256:" ZEROS " #", CONTENT, "previous to be zeros"},
        {"written: 2026", "written: yesterday #", CONTENT, "written: expected a time"},
        {"written: 2026-11-23T09:00:02Z", "written: 2026-11-23T09:00:02+01:00", CONTENT, "written: expected a time"},
        {"writer: node-1", "writer: Node 1", CONTENT, "writer: expected a name"},
        {"writer: node-1", "writer: null", CONTENT, "expected text"},
        {"writer: node-1", "writer: \"null\"", KT_OK, NULL},
        {"stage: start", "stage: finished", CONTENT, "stage: expected start"},
        {"enabled: true", "enabled: yes", CONTENT, "true or false"},
        {"strict: false", "strict: []", CONTENT, "true or false"},
        {"hold: 86400", "hold: 599", CONTENT, "hold: expected at least 600, found 599"},
        {"hold: 86400", "hold: 600", KT_OK, NULL},
        {"apiServers: []", "apiServers: {}", CONTENT, "expected a sequence"},
        {"apiServers: []", "apiServers: [a, b]", KT_OK, NULL},
        {"apiServers: []", "apiServers: [a, a]", CONTENT, "numbers 1 and 2: expected different names"},
        {"apiServers: []", "apiServers: [\"a b\"]", CONTENT, "printable ASCII"},
        {"apiServers: []", "apiServers: [\"\\u00e4\"]", CONTENT, "printable ASCII"},
        {"auditHead: sha256:", "auditHead: sha256:A", CONTENT, "auditHead: expected \"sha256:\""},
        {"auditHead: sha256:", "auditHead: sha256:" ZEROS " #", CONTENT, "auditHead to be the hash of the last line"},
        {"audit:\n", "audit: []\naudits:\n", CONTENT, "known"},
        {"\naudit:\n", "\naudit: {}\n#", CONTENT, "expected"},
        {"- '{\"v\":1,\"seq\":2,", "- ''\n- '{\"v\":1,\"seq\":2,", CONTENT, "audit: expected lines"},
        {"- '{\"v\":1,\"seq\":2,", "- '{\"v\":1,\"seq\":3,", CONTENT, "audit: expected line 2 of 3 to follow"},
        {"- '{\"v\":1,\"seq\":2,", "- '{\"v\":1, \"seq\":2,", CONTENT, "audit: line 2 of 3: byte 7"},
        {"\"event\":\"founded\"", "\"event\":\"changed\"", CONTENT, "audit: expected line 2 of 3 to follow"},
        {"\"event\":\"founded\"", "\"event\":\"found\td\"", CONTENT, "audit: line 1 of 3: byte "},
        {"commitment: ", "commitment: 0", CONTENT, "commitment: expected 64 hex digits"},
        {"commitment: ", "comitment: ", CONTENT, "known"},
        {"signerKey: ", "signerKey: AAAA #", CONTENT, "signerKey: expected 60 bytes, found 3"},
        {"statusKey: ", "statusKey: AAAA #", CONTENT, "statusKey: expected 60 bytes, found 3"},
        {"statusKey: ", "statusKey: \"\" #", CONTENT, "statusKey: expected a nonce"},
        {"statusKey: ", "statusKey: !!binary ", CONTENT, "tag"},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++)
        check_list(&cases[i], i);
}

static void test_list_entries(void **state)
{
    char ids[3][96] = {"", "", ""};
    char first[256] = "";
    snprintf(ids[0], sizeof ids[0], "- id: %s", id[0]);
    snprintf(ids[1], sizeof ids[1], "- id: %s", id[1]);
    snprintf(ids[2], sizeof ids[2], "- id: %s", archived_id);
    snprintf(first, sizeof first, "expected the active key to be the first, found key %s there", id[0]);
    const struct content_case cases[] = {
        {ids[1], ids[0], CONTENT, "expected each key id once in keys and archive"},
        {ids[2], ids[0], CONTENT, "expected each key id once in keys and archive"},
        {ids[0], "- id: 0123", CONTENT, "id: expected 32 hex digits"},
        {"name: second", "name: kmskey", CONTENT, "expected different names"},
        {"name: third", "name: kmskey", KT_OK, NULL},
        {"type: kms", "type: rot13", CONTENT, "type: expected kms, aescbc, aesgcm or secretbox"},
        {"algorithm: AES-256-GCM", "algorithm: AES-256-CBC", CONTENT, "expected AES-256-GCM, the only one of type kms"},
        {"type: kms", "type: aescbc", CONTENT, "expected AES-256-CBC, the only one of type aescbc"},
        {"type: secretbox", "type: kms", CONTENT, "expected AES-256-GCM"},
        {"state: active", "state: ready", CONTENT, "exactly one active key, found none"},
        {"state: ready", "state: active", CONTENT, "exactly one active key, found 2"},
        {"state: active", "state: asleep", CONTENT, "state: expected active"},
        {"state: ready", "state: retiring", CONTENT, "expected retiringSince beside the state retiring"},
        {"state: ready", "state: ready\n  retiringSince: 2026-11-23T09:00:00Z", CONTENT,
         "found it where state is ready"},
        {"state: ready", "state: retiring\n  retiringSince: 2026-11-23T09:00:00Z", KT_OK, NULL},
        {"state: ready", "state: retiring\n  retiringSince: soon", CONTENT, "retiringSince: expected a time"},
        {"state: ready", "state: compromised", KT_OK, NULL},
        {"  wrapped: ", "  wrapped: AAAA #", CONTENT, "expected wrapped to hold a key of type kms, found 3 bytes"},
        {"  wrapped: ", "  wrapped: ???? #", CONTENT, "base64"},
        {"  wrapped: ", "  wraped: ", CONTENT, "known"},
        {"  sealed: ", "  sealed: AAAA #", CONTENT, "expected sealed to hold a key of type secretbox, found 3 bytes"},
        {"  retired: 2026", "  retired: 26", CONTENT, "retired: expected a time"},
        {"- recipient: node-1", "- recipient: node-2", CONTENT, "expected the one for recipient node-1"},
        {"- recipient: node-1", "- recipient: recovery", CONTENT, "expected the one for recipient node-1"},
        {"wraps:\n", "wraps: []\n#", CONTENT, ""},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++)
        check_list(&cases[i], i);
    /* The active key second: both states at once. */
    struct forgery forgery = {0};
    const struct content_case not_first = {.code = CONTENT, .says = first};
    forgery_init(&forgery, &fixture);
    forgery_replace(&forgery.list, "state: ready", "state: acti-ve");
    forgery_replace(&forgery.list, "state: active", "state: ready");
    forgery_replace(&forgery.list, "state: acti-ve", "state: active");
    check_forged(&forgery, &not_first, 99);
    forgery_done(&forgery);
}

static void test_key_names(void **state)
{
    static const struct content_case cases[] = {
        {"name: second", "name: \"a\\tb\"", CONTENT, "expected a name of 1 to 253"},
        {"name: second", "name: \"a \"", CONTENT, "expected a name of 1 to 253"},
        {"name: second", "name: \"a\\u2028b\"", CONTENT, "expected a name of 1 to 253"},
        {"name: second", "name: \"\\u202eb\"", CONTENT, "expected a name of 1 to 253"},
        {"name: second", "name: \"\\U0001f511\"", CONTENT, "expected a name of 1 to 253"},
        {"name: second", "name: \"a\\0b\"", CONTENT, ""},
        {"name: third", "name: \"\"", CONTENT, "archived key"},
        {"name: second", "name: \"-:._\"", KT_OK, NULL},
        {"name: second", "name: \"a b\"", KT_OK, NULL},
        {"name: second", "name: aescbckey-2022-04-21T23:01:02+07:00", KT_OK, NULL},
        {"name: second", "name: \"\\u5bc6\\u94a5 1\"", KT_OK, NULL},
        {"name: second", "name: \xc3\xa4", KT_OK, NULL},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++)
        check_list(&cases[i], i);
}

/* From `from` up to `to` becomes `text`. */
static void cut_out(char **document, const char *from, const char *to, const char *text)
{
    char *start = strstr(*document, from);
    char *end = strstr(start, to);
    size_t cap = strlen(*document) + strlen(text) + 1;
    char *result = malloc(cap);
    assert_true(start && end && result);
    snprintf(result, cap, "%.*s%s%s", (int)(start - *document), *document, text, end);
    free(*document);
    *document = result;
}

static void test_zero_keys(void **state)
{
    struct forgery forgery = {0};
    const struct content_case none = {.code = CONTENT, .says = "expected 1 to 64 keys, found none"};
    (void)state;
    forgery_init(&forgery, &fixture);
    cut_out(&forgery.list, "keys:\n", "signerKey:", "keys: []\n");
    check_forged(&forgery, &none, 0);
    forgery_done(&forgery);
}

static void test_wraps_that_do_not_match(void **state)
{
    struct forgery forgery = {0};
    const struct content_case one = {.code = CONTENT, .says = "one wrap for each of the 2 recipients, found 1"};
    (void)state;
    forgery_init(&forgery, &fixture);
    cut_out(&forgery.list, "- recipient: node-1", "- recipient: recovery", "");
    check_forged(&forgery, &one, 0);
    forgery_done(&forgery);
}

static void test_not_yaml_at_all(void **state)
{
    static const char *const texts[] = {"text\n", "- a\n", "a: [\n", "{}\n", "\xff\xfe\n", "a: 1\n...\nb: 2\n"};
    (void)state;
    for (size_t i = 0; i < 2 * KT_ARRAY_LEN(texts); i++) {
        struct forgery forgery = {0};
        const struct content_case bad = {.code = CONTENT, .says = i % 2 ? "part 2" : "part 1"};
        forgery_init(&forgery, &fixture);
        char **part = i % 2 ? &forgery.list : &forgery.membership;
        free(*part);
        *part = strdup(texts[i / 2]);
        check_forged(&forgery, &bad, i);
        forgery_done(&forgery);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_membership),
        cmocka_unit_test(test_recipients_twice_or_none),
        cmocka_unit_test(test_list_head),
        cmocka_unit_test(test_list_entries),
        cmocka_unit_test(test_key_names),
        cmocka_unit_test(test_zero_keys),
        cmocka_unit_test(test_wraps_that_do_not_match),
        cmocka_unit_test(test_not_yaml_at_all),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
