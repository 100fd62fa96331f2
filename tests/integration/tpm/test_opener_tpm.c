/* SPDX-License-Identifier: Apache-2.0 */
/* The real keyturn-opener of a node whose key is in a TPM: one unseal for each opening, however many keys there are. */
#include "base/clock.h"
#include "base/file.h"
#include "keystore/opener.h"
#include "tests/integration/tpm/simulator.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define UNSEAL     "0x15e\n"
#define TIMEOUT_MS 60000
#define LOG_MAX    65536u

struct rig {
    const struct simulator *sim;
    struct kt_opener_run how;
    char program[512];
    char config[128];
    uint8_t owner[KT_HASH_LEN];
};

static void need(bool ok, const char *what, const struct kt_error *err)
{
    if (!ok)
        fail_msg("%s: %s: %s", what, kt_code_name(err->code), err->message);
}

static void write_config(const struct rig *rig, bool owned)
{
    char hash[KT_HASH_TEXT_LEN] = "";
    char options[128];
    char tcti[512];
    char text[2048];

    kt_hash_format(rig->owner, hash);
    (void)snprintf(options, sizeof(options), "log=%s/log", rig->sim->s.path);
    simulator_faulty(rig->sim, options, tcti, sizeof(tcti));
    (void)snprintf(text, sizeof(text),
                   "apiVersion: keyturn.dev/v1\nkind: Config\nnode: node-1\n%s%s\nstateDir: %s/state\nrecipient: tpm2\n"
                   "tpm: {tcti: \"%s\"}\n",
                   owned ? "owner: " : "", owned ? hash : "", rig->sim->s.path, tcti);
    scratch_put(&rig->sim->s, "keyturn.yaml", text, 0644);
}

static void rig_init(struct rig *rig, const struct simulator *sim)
{
    const char *build = getenv("KEYTURN_BUILD");

    *rig = (struct rig){.sim = sim};
    (void)snprintf(rig->program, sizeof(rig->program), "%s/libexec/keyturn/keyturn-opener", build ? build : ".");
    (void)snprintf(rig->config, sizeof(rig->config), "%s/keyturn.yaml", sim->s.path);
    rig->how = (struct kt_opener_run){
        .program = rig->program, .config = rig->config, .account = {.uid = KT_SAME_UID}, .timeout_ms = TIMEOUT_MS};
    assert_int_equal(mkdirat(sim->s.dir, "state", 0755), 0);
    assert_int_equal(mkdirat(sim->s.dir, "state/opener", 0700), 0);
    write_config(rig, false);
}

static struct kt_bytes take_document(struct kt_opener_answer *answer)
{
    struct kt_bytes document = answer->document;

    answer->document = (struct kt_bytes){.data = NULL};
    return document;
}

static struct kt_bytes create(struct rig *rig, const struct kt_secret *recovery_key)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opener_request request = {.op = KT_OPENER_CREATE,
                                              .recovery_key = recovery_key,
                                              .node = "node-1",
                                              .kind = KT_RECIPIENT_TPM2,
                                              .type = KT_KEY_KMS,
                                              .key_name = "kmskey",
                                              .now = kt_clock_real_s()};

    need(kt_opener_run(&rig->how, &request, &answer, &err), "create", &err);
    memcpy(rig->owner, answer.owner, KT_HASH_LEN);
    write_config(rig, true);
    return take_document(&answer);
}

static struct kt_bytes add_key(const struct rig *rig, const struct kt_bytes *from, int number)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_edit edit = {.kind = KT_EDIT_ADD, .type = KT_KEY_KMS};
    const struct kt_opener_request request = {.op = KT_OPENER_EDIT,
                                              .current = kt_bytes_view(from),
                                              .node = "node-1",
                                              .edits = &edit,
                                              .n_edits = 1,
                                              .now = kt_clock_real_s()};

    (void)snprintf(edit.name, sizeof(edit.name), "key-%d", number);
    need(kt_opener_run(&rig->how, &request, &answer, &err), "add", &err);
    return take_document(&answer);
}

static void count(const struct simulator *sim, unsigned *ret_commands, unsigned *ret_unseals)
{
    const struct kt_file_rules rules = {.max = LOG_MAX, .owner = KT_ANY_UID};
    KT_CLEANUP_BYTES struct kt_bytes log = {.data = NULL};
    struct kt_error err = KT_ERROR_INIT;

    *ret_commands = *ret_unseals = 0;
    need(kt_file_read(sim->s.dir, "log", &rules, &log, &err), "log", &err);
    for (const char *line = (const char *)log.data; *line; line = strchr(line, '\n') + 1) {
        ++*ret_commands;
        *ret_unseals += strncmp(line, UNSEAL, strlen(UNSEAL)) == 0;
    }
}

static void expect_one_unseal(const struct rig *rig, const struct kt_bytes *document, size_t keys)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opener_request request = {.op = KT_OPENER_OPEN, .offered = kt_bytes_view(document)};
    uint64_t begin = kt_clock_monotonic_ns();
    unsigned commands = 0;
    unsigned unseals = 0;

    scratch_put(&rig->sim->s, "log", "", 0600);
    need(kt_opener_run(&rig->how, &request, &answer, &err), "open", &err);
    count(rig->sim, &commands, &unseals);
    print_message("figures: %zu keys: %u TPM commands, %u unseal, %.1f ms\n", keys, commands, unseals,
                  (double)(kt_clock_monotonic_ns() - begin) / 1e6);
    assert_int_equal(answer.info->n_keys, keys);
    assert_int_equal(unseals, 1);
    assert_int_equal(answer.n_notes, 0);
}

static void test_one_unseal(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *recovery_key = kt_secret_new_random(32, &err);
    KT_CLEANUP_BYTES struct kt_bytes document = {.data = NULL};
    struct rig rig;

    assert_non_null(recovery_key);
    rig_init(&rig, *state);
    document = create(&rig, recovery_key);
    expect_one_unseal(&rig, &document, 1);
    for (int i = 2; i <= 20; i++) {
        struct kt_bytes next = add_key(&rig, &document, i);
        kt_bytes_done(&document);
        document = next;
    }
    expect_one_unseal(&rig, &document, 20);
}

/* CREATE over a sealed key that is there, and an answer that nobody takes, leave it alone. */
static void test_created_once(void **state)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *recovery_key = kt_secret_new_random(32, &err);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP_BYTES struct kt_bytes document = {.data = NULL};
    struct rig rig;

    rig_init(&rig, *state);
    document = create(&rig, recovery_key);
    const struct kt_opener_request again = {.op = KT_OPENER_CREATE,
                                            .recovery_key = recovery_key,
                                            .node = "node-1",
                                            .kind = KT_RECIPIENT_TPM2,
                                            .type = KT_KEY_KMS,
                                            .key_name = "kmskey"};
    assert_false(kt_opener_run(&rig.how, &again, &answer, &err));
    expect_error(&err, KT_E_EXISTS, "node.tpm");
    expect_one_unseal(&rig, &document, 1);
    const struct kt_opener_request wrong = {.op = KT_OPENER_CREATE,
                                            .recovery_key = recovery_key,
                                            .node = "node-1",
                                            .kind = KT_RECIPIENT_FILE,
                                            .type = KT_KEY_KMS,
                                            .key_name = "kmskey"};
    assert_false(kt_opener_run(&rig.how, &wrong, &answer, &err));
    expect_error(&err, KT_E_CONFIG, "recipient: tpm2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIMULATOR_TEST(test_one_unseal),
        SIMULATOR_TEST(test_created_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
