/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/config_edit.h"
#include "base/cleanup.h"
#include "tests/unit/base/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "apiVersion: keyturn.dev/v1\nkind: Config\nnode: a\n"

static const struct {
    const char *before;
    const char *after;
} cases[] = {
    /* Not there at all. */
    {HEAD "recipient: file\n", HEAD "recipient: tpm2\ntpm:\n  pcrSignature: \"/p\"\n  tcti: \"swtpm:path=/s\"\n"},
    {HEAD "recipient: file", HEAD "recipient: tpm2\ntpm:\n  pcrSignature: \"/p\"\n  tcti: \"swtpm:path=/s\"\n"},
    {HEAD, HEAD "recipient: tpm2\ntpm:\n  pcrSignature: \"/p\"\n  tcti: \"swtpm:path=/s\"\n"},
    /* There: order, comments and depth stay. */
    {"# ours\n" HEAD "tpm: # the board's\n    # which\n    tcti: device:/dev/tpm0 # old\n\n    pcrSignature: \"\"\n"
     "recipient: file\nlog:\n  level: info\n",
     "# ours\n" HEAD "tpm: # the board's\n    # which\n    tcti: \"swtpm:path=/s\"\n\n    pcrSignature: \"/p\"\n"
     "recipient: tpm2\nlog:\n  level: info\n"},
    /* One of the group. */
    {HEAD "recipient: file\ntpm:\n   pcrSignature: /x\nprovider: keyturn\n",
     HEAD "recipient: tpm2\ntpm:\n   tcti: \"swtpm:path=/s\"\n   pcrSignature: \"/p\"\nprovider: keyturn\n"},
    /* What only looks like it. */
    {HEAD "recipient: file\nmetrics:\n  textfile: \"/tcti: x\"\ntpm:\n  pcrSignature: \"\"", HEAD
     "recipient: tpm2\nmetrics:\n  textfile: \"/tcti: x\"\ntpm:\n  tcti: \"swtpm:path=/s\"\n  pcrSignature: \"/p\"\n"},
};

static const char *const fields[] = {"recipient", "tpm.tcti", "tpm.pcrSignature", NULL};

static void fill(struct kt_config *config)
{
    kt_config_defaults(config);
    (void)snprintf(config->node, sizeof(config->node), "a");
    config->recipient = KT_RECIPIENT_TPM2;
    (void)snprintf(config->tpm_tcti, sizeof(config->tpm_tcti), "swtpm:path=/s");
    (void)snprintf(config->tpm_pcr_signature, sizeof(config->tpm_pcr_signature), "/p");
}

static void test_several(void **state)
{
    const struct scratch *s = *state;
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    struct kt_error err = KT_ERROR_INIT;

    assert_non_null(config);
    fill(config);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        scratch_put(s, "c", cases[i].before, 0644);
        if (!kt_config_edit_from(scratch_name(s, "c"), fields, config, &err))
            fail_msg("case %zu: %s", i, err.message);
        scratch_expect(s, "c", cases[i].after);
    }
}

/* Whatever cannot be written so stays as it is, and is said. */
static void test_refused(void **state)
{
    static const char *const texts[] = {HEAD "tpm: {tcti: \"device:/dev/tpm0\"}\n", HEAD "\"recipient\": file\n"};
    const struct scratch *s = *state;
    KT_CLEANUP(kt_free_p) struct kt_config *config = calloc(1, sizeof(*config));
    struct kt_error err = KT_ERROR_INIT;

    assert_non_null(config);
    fill(config);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        scratch_put(s, "c", texts[i], 0644);
        kt_error_clear(&err);
        assert_false(kt_config_edit_from(scratch_name(s, "c"), fields, config, &err));
        expect_error(&err, KT_E_CONFIG, "changed");
        assert_non_null(strstr(err.hint, "recipient: tpm2; tpm.tcti: \"swtpm:path=/s\"; tpm.pcrSignature: \"/p\""));
        scratch_expect(s, "c", texts[i]);
    }
}

static void test_one(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;

    scratch_put(s, "c", HEAD "provider: one\n", 0640);
    assert_true(kt_config_edit_line(scratch_name(s, "c"), "provider", "two", &err));
    scratch_expect(s, "c", HEAD "provider: two\n");
    assert_false(kt_config_edit_line(scratch_name(s, "c"), "provider", "a:b", &err));
    scratch_expect(s, "c", HEAD "provider: two\n");
    scratch_put(s, "c", HEAD, 0666);
    assert_false(kt_config_edit_line(scratch_name(s, "c"), "provider", "two", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {SCRATCH_TEST(test_several), SCRATCH_TEST(test_refused), SCRATCH_TEST(test_one)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
