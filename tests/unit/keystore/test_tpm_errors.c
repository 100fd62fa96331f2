/* SPDX-License-Identifier: Apache-2.0 */
/* The messages for what a TPM answers: each row of tpm_errors.def by the codes as they come, and what is tried again.
 */
#include "keystore/tpm_errors.h"
#include "tests/unit/keystore/support.h"

#include <errno.h>
#include <stdio.h>

static const struct {
    enum kt_tpm_step step;
    uint32_t rc; /* as tpm2-tss returns it, with numbers and layer */
    enum kt_code code;
    const char *part;
} cases[] = {
    {KT_TPM_STEP_OPEN, 0xa000a, KT_E_UNREACHABLE, "the TPM does not answer"},
    {KT_TPM_STEP_OPEN, 0xa0015, KT_E_CONFIG, "no such TCTI module"},
    {KT_TPM_STEP_OPEN, 0xa0008, KT_E_UNREACHABLE, "resource manager"},
    {KT_TPM_STEP_OPEN, 0xa000b, KT_E_CONFIG, "refuses its configuration"},
    {KT_TPM_STEP_LOAD, 0xa000a, KT_E_UNREACHABLE, "stopped answering"},
    {KT_TPM_STEP_UNSEAL, 0x70007, KT_E_UNREACHABLE, "stopped answering"},
    {KT_TPM_STEP_UNSEAL, 0x101, KT_E_NODE_KEY, "failure mode"},
    {KT_TPM_STEP_READ_SRK, 0x100, KT_E_NODE_KEY, "not started"},
    {KT_TPM_STEP_READ_SRK, 0x18b, KT_E_NODE_KEY, "no key there"},
    {KT_TPM_STEP_MAKE_SRK, 0x9a2, KT_E_NODE_KEY, "owner hierarchy has a password"},
    {KT_TPM_STEP_KEEP_SRK, 0x9a2, KT_E_NODE_KEY, "owner hierarchy has a password"},
    {KT_TPM_STEP_MAKE_SRK, 0x185, KT_E_NODE_KEY, "owner hierarchy is disabled"},
    {KT_TPM_STEP_SEAL, 0x98e, KT_E_NODE_KEY, "SRK has a password"},
    {KT_TPM_STEP_LOAD, 0x98e, KT_E_NODE_KEY, "SRK has a password"},
    {KT_TPM_STEP_SEAL, 0x9a2, KT_E_NODE_KEY, "SRK has a password"},
    {KT_TPM_STEP_LOAD, 0x9a2, KT_E_NODE_KEY, "SRK has a password"},
    {KT_TPM_STEP_SESSION, 0x2c4, KT_E_NODE_KEY, "session's salt"},
    {KT_TPM_STEP_SESSION, 0x184, KT_E_NODE_KEY, "session's salt"},
    {KT_TPM_STEP_LOAD, 0x1df, KT_E_NODE_KEY_LOST, "does not fit the SRK"},
    {KT_TPM_STEP_UNSEAL, 0x921, KT_E_NODE_KEY, "locked out"},
    {KT_TPM_STEP_LOAD, 0x921, KT_E_NODE_KEY, "locked out"},
    {KT_TPM_STEP_UNSEAL, 0x99d, KT_E_NODE_KEY, "the PCRs are not those"},
    {KT_TPM_STEP_UNSEAL, 0xc099d, KT_E_NODE_KEY, "the PCRs are not those"},
    {KT_TPM_STEP_UNSEAL, 0x126, KT_E_NODE_KEY, "not fulfilled"},
    {KT_TPM_STEP_UNSEAL, 0x98e, KT_E_NODE_KEY_LOST, "password"},
    {KT_TPM_STEP_UNSEAL, 0x9a2, KT_E_NODE_KEY_LOST, "password"},
    {KT_TPM_STEP_UNSEAL, 0x12f, KT_E_NODE_KEY_LOST, "policy only"},
    {KT_TPM_STEP_VERIFY, 0x2db, KT_E_NODE_KEY, "signature is not the key's"},
    {KT_TPM_STEP_AUTHORIZE, 0x1c4, KT_E_NODE_KEY, "not over the present PCRs"},
    {KT_TPM_STEP_LOAD_KEY, 0x2d5, KT_E_CONFIG, "does not take that signing key"},
    {KT_TPM_STEP_POLICY_PCR, 0x2c4, KT_E_NODE_KEY, "no such PCR"},
    {KT_TPM_STEP_READ_PCRS, 0x1c4, KT_E_NODE_KEY, "no such PCR"},
    {KT_TPM_STEP_UNSEAL, 0x128, KT_E_NODE_KEY, "extended again and again"},
    {KT_TPM_STEP_LOAD, 0x902, KT_E_NODE_KEY, "no room for another key"},
    {KT_TPM_STEP_SESSION, 0x903, KT_E_NODE_KEY, "no room for another session"},
    {KT_TPM_STEP_LOAD, 0x904, KT_E_NODE_KEY, "out of memory"},
    {KT_TPM_STEP_SESSION, 0x905, KT_E_NODE_KEY, "no handle left for another session"},
    {KT_TPM_STEP_LOAD, 0x906, KT_E_NODE_KEY, "no handle left for another key"},
    {KT_TPM_STEP_KEEP_SRK, 0x920, KT_E_NODE_KEY, "more writes"},
    {KT_TPM_STEP_KEEP_SRK, 0x923, KT_E_NODE_KEY, "not available"},
    {KT_TPM_STEP_UNSEAL, 0x922, KT_E_NODE_KEY, "busy"},
    {KT_TPM_STEP_UNSEAL, 0x908, KT_E_NODE_KEY, "busy"},
    {KT_TPM_STEP_UNSEAL, 0x90a, KT_E_NODE_KEY, "busy"},
    {KT_TPM_STEP_UNSEAL, 0x909, KT_E_NODE_KEY, "cancelled"},
    {KT_TPM_STEP_UNSEAL, 0x7001b, KT_E_NODE_KEY, "forged"},
    {KT_TPM_STEP_READ_SRK, 0x80011, KT_E_NODE_KEY, "malformed"},
    {KT_TPM_STEP_READ_SRK, 0x90006, KT_E_NODE_KEY, "malformed"},
    {KT_TPM_STEP_UNSEAL, 0x1c1, KT_E_NODE_KEY, "the TPM refuses"},
};

/* healthz has room for so much of a message and so much of a hint (kmsplugin/keeper_publish.c). */
static void expect_short(const struct kt_error *err)
{
    assert_in_range(strlen(err->message), 1, KT_TPM_MESSAGE_MAX);
    assert_in_range(strlen(err->hint), 1, KT_TPM_HINT_MAX);
}

static void test_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        const struct kt_tpm_failure failure = {.step = cases[i].step, .rc = cases[i].rc, .handle = 0x81000001u};
        struct kt_error err = KT_ERROR_INIT;
        char code[16];
        assert_false(kt_tpm_error(&failure, &err));
        if (!strstr(err.message, cases[i].part))
            fail_msg("step %d, 0x%x: %s", (int)cases[i].step, cases[i].rc, err.message);
        assert_int_equal(err.code, cases[i].code);
        (void)snprintf(code, sizeof(code), "0x%x)", cases[i].rc);
        assert_non_null(strstr(err.message, code));
        assert_non_null(strstr(err.message, "SRK 0x81000001"));
        expect_short(&err);
    }
}

/* A row that no case above reaches would be one that nobody has seen. */
static void test_every_row_is_reached(void **state)
{
    static const char *const texts[] = {
#define KT_TPM_ERROR(step, rc, code, what, hint) what "\n" hint,
#include "keystore/tpm_errors.def"
#undef KT_TPM_ERROR
    };
    (void)state;
    for (size_t row = 0; row < KT_ARRAY_LEN(texts); row++) {
        bool reached = false;
        for (size_t i = 0; !reached && i < KT_ARRAY_LEN(cases); i++) {
            const struct kt_tpm_failure failure = {.step = cases[i].step, .rc = cases[i].rc};
            struct kt_error err = KT_ERROR_INIT;
            assert_false(kt_tpm_error(&failure, &err));
            size_t len = strcspn(texts[row], "\n");
            reached = strncmp(err.message, texts[row], len) == 0 && strcmp(err.hint, texts[row] + len + 1) == 0;
        }
        if (!reached)
            fail_msg("row %zu is not tested: %s", row, texts[row]);
    }
}

static void test_devices(void **state)
{
    static const struct {
        int number;
        enum kt_code code;
        const char *part;
    } devices[] = {{ENOENT, KT_E_UNREACHABLE, "no such device"},
                   {EACCES, KT_E_PERMISSION, "may not use"},
                   {EPERM, KT_E_PERMISSION, "may not use"},
                   {EBUSY, KT_E_UNREACHABLE, "another process"},
                   {ENXIO, KT_E_UNREACHABLE, "dead"},
                   {EIO, KT_E_UNREACHABLE, "dead"}};
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(devices); i++) {
        struct kt_error err = KT_ERROR_INIT;
        assert_false(kt_tpm_error_device("/dev/tpmrm0", devices[i].number, &err));
        assert_int_equal(err.code, devices[i].code);
        assert_non_null(strstr(err.message, devices[i].part));
        assert_non_null(strstr(err.message, "/dev/tpmrm0"));
        expect_short(&err);
    }
}

static void test_retries(void **state)
{
    static const struct {
        uint32_t rc;
        enum kt_tpm_retry retry;
    } retries[] = {
        {0x922, KT_TPM_RETRY_LATER},   {0x908, KT_TPM_RETRY_LATER},   {0x90a, KT_TPM_RETRY_LATER},
        {0x920, KT_TPM_RETRY_LATER},   {0x923, KT_TPM_RETRY_LATER},   {0x902, KT_TPM_RETRY_LATER},
        {0x903, KT_TPM_RETRY_LATER},   {0x904, KT_TPM_RETRY_LATER},   {0x905, KT_TPM_RETRY_LATER},
        {0x906, KT_TPM_RETRY_LATER},   {0x909, KT_TPM_RETRY_LATER},   {0xa000a, KT_TPM_RETRY_REOPEN},
        {0xc0922, KT_TPM_RETRY_LATER}, {0x128, KT_TPM_RETRY_POLICY},  {0x98e, KT_TPM_RETRY_NEVER},
        {0x921, KT_TPM_RETRY_NEVER},   {0x99d, KT_TPM_RETRY_NEVER},   {0x1df, KT_TPM_RETRY_NEVER},
        {0x2db, KT_TPM_RETRY_NEVER},   {0x901, KT_TPM_RETRY_NEVER},   {0x907, KT_TPM_RETRY_NEVER},
        {0x101, KT_TPM_RETRY_NEVER},   {0x7001b, KT_TPM_RETRY_NEVER}, {0xa0008, KT_TPM_RETRY_NEVER},
        {0xa0015, KT_TPM_RETRY_NEVER}, {0x70007, KT_TPM_RETRY_NEVER},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(retries); i++)
        assert_int_equal(kt_tpm_rc_retry(retries[i].rc), retries[i].retry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_every_row_is_reached),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_retries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
