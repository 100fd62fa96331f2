/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and unsealing by the library itself: many random rounds, both kinds of parents, and what the wire shows. */
#include "base/clock.h"
#include "base/file.h"
#include "keystore/tpm_seal.h"
#include "tests/integration/tpm/simulator.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef KT_SANITIZED
#define ROUNDS 250 /* a minute is enough */
#else
#define ROUNDS 1000
#endif
#define TIMEOUT_S  30u
#define SECRET_LEN 32u
#define WIRE_MAX   ((size_t)16 * 1024 * 1024)

static const struct kt_tpm_signature_source nothing = {.what = ""};

static void need(bool ok, const char *what, const struct kt_error *err)
{
    if (!ok)
        fail_msg("%s: %s: %s", what, kt_code_name(err->code), err->message);
}

static void round_trip(struct kt_tpm *tpm, const struct kt_secret *secret, const struct kt_tpm_policy *policy)
{
    KT_CLEANUP(kt_tpm_sealed_done) struct kt_tpm_sealed sealed = {.public_part = {.data = NULL}};
    KT_CLEANUP_BYTES struct kt_bytes bytes = {.data = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *back = NULL;
    struct kt_tpm_blob blob;
    struct kt_error err = KT_ERROR_INIT;

    need(kt_tpm_seal(tpm, secret, policy, &sealed, &err), "seal", &err);
    need(kt_tpm_blob_encode(&sealed.blob, &bytes, &err), "encode", &err);
    need(kt_tpm_blob_decode(kt_bytes_view(&bytes), &blob, &err), "decode", &err);
    back = kt_tpm_unseal(tpm, &blob, &nothing, &err);
    need(back != NULL, "unseal", &err);
    assert_true(kt_secret_equal(back, secret));
}

/* The rarely seen: secrets that begin or end with zeros. */
static struct kt_secret *secret_of_round(int i)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_secret *secret = kt_secret_new_random(SECRET_LEN, &err);

    need(secret != NULL, "secret", &err);
    if (i % 8 == 1)
        kt_secret_bytes(secret)[0] = 0;
    if (i % 8 == 2)
        kt_secret_bytes(secret)[SECRET_LEN - 1] = 0;
    return secret;
}

static void test_rounds(void **state)
{
    const struct simulator *sim = *state;
    const struct kt_tpm_policy policies[] = {
        {.kind = KT_TPM_POLICY_NONE},
        {.kind = KT_TPM_POLICY_PCR, .pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << 7 | 1u << 14}},
        {.kind = KT_TPM_POLICY_PCR, .pcrs = {.bank = KT_TPM_SHA384, .mask = 0xffffffu}}};
    KT_CLEANUP(kt_tpm_done) struct kt_tpm tpm;
    uint64_t begin = kt_clock_monotonic_ns();

    kt_tpm_init(&tpm, sim->tcti, TIMEOUT_S);
    for (int i = 0; i < ROUNDS; i++) {
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = secret_of_round(i);

        round_trip(&tpm, secret, &policies[i % 10 == 0 ? 1 : i % 10 == 5 ? 2 : 0]);
    }
    print_message("figures: %d rounds of sealing and unsealing, %.1f ms each\n", ROUNDS,
                  (double)(kt_clock_monotonic_ns() - begin) / 1e6 / ROUNDS);
}

static bool contains(const struct kt_bytes *bytes, const struct kt_secret *secret)
{
    return memmem(bytes->data, bytes->len, kt_secret_view(secret), kt_secret_len(secret)) != NULL;
}

static void read_wire(const struct simulator *sim, struct kt_bytes *ret)
{
    const struct kt_file_rules rules = {.max = WIRE_MAX, .owner = KT_ANY_UID};
    struct kt_error err = KT_ERROR_INIT;

    need(kt_file_read(sim->s.dir, "wire", &rules, ret, &err), "wire", &err);
}

/* The same as kt_tpm_seal and kt_tpm_unseal, by password and in clear: so that the test below can fail. */
static void seal_in_clear(struct kt_tpm *tpm, const struct kt_secret *secret)
{
    const TPM2B_DATA outside = {.size = 0};
    const TPML_PCR_SELECTION pcrs = {.count = 0};
    TPM2B_SENSITIVE_CREATE sensitive = {.size = 0};
    TPM2B_PUBLIC wanted = {.size = 0};
    TPM2B_PRIVATE *private_part = NULL;
    TPM2B_PUBLIC *public_part = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    ESYS_TR parent = ESYS_TR_NONE;

    sensitive.sensitive.data.size = SECRET_LEN;
    memcpy(sensitive.sensitive.data.buffer, kt_secret_view(secret), SECRET_LEN);
    wanted.publicArea.type = TPM2_ALG_KEYEDHASH;
    wanted.publicArea.nameAlg = TPM2_ALG_SHA256;
    wanted.publicArea.objectAttributes =
        TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA | TPMA_OBJECT_USERWITHAUTH;
    wanted.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
    assert_int_equal(Esys_TR_FromTPMPublic(tpm->esys, 0x81000001u, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &parent),
                     0);
    assert_int_equal(Esys_Create(tpm->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &wanted,
                                 &outside, &pcrs, &private_part, &public_part, &data, &hash, &ticket),
                     0);
    Esys_Free(private_part);
    Esys_Free(public_part);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
}

static void test_the_wire_shows_no_secret(void **state)
{
    const struct simulator *sim = *state;
    const struct kt_tpm_policy policies[] = {
        {.kind = KT_TPM_POLICY_NONE}, {.kind = KT_TPM_POLICY_PCR, .pcrs = {.bank = KT_TPM_SHA256, .mask = 1u << 16}}};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *secret = secret_of_round(0);
    KT_CLEANUP_BYTES struct kt_bytes wire = {.data = NULL};
    KT_CLEANUP_BYTES struct kt_bytes clear = {.data = NULL};
    KT_CLEANUP(kt_tpm_done) struct kt_tpm tpm;
    char options[128];
    char tcti[512];

    (void)snprintf(options, sizeof(options), "wire=%s/wire", sim->s.path);
    simulator_faulty(sim, options, tcti, sizeof(tcti));
    kt_tpm_init(&tpm, tcti, TIMEOUT_S);
    for (size_t i = 0; i < KT_ARRAY_LEN(policies); i++)
        round_trip(&tpm, secret, &policies[i]);
    read_wire(sim, &wire);
    assert_in_range(wire.len, 2000, WIRE_MAX);
    assert_false(contains(&wire, secret));
    seal_in_clear(&tpm, secret);
    read_wire(sim, &clear);
    assert_true(contains(&clear, secret));
}

static void test_pcrs_and_boots(void **state)
{
    const struct simulator *sim = *state;
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_tpm_done) struct kt_tpm tpm;
    struct kt_tpm_pcrs pcrs = {.bank = KT_TPM_SHA256, .mask = 0xffffffu};
    static const uint8_t zeros[32];
    uint32_t first = 0;
    uint32_t second = 0;

    kt_tpm_init(&tpm, sim->tcti, TIMEOUT_S);
    need(kt_tpm_read_pcrs(&tpm, &pcrs, &err), "PCRs", &err);
    assert_memory_equal(pcrs.digests[0], zeros, 32);
    assert_int_equal(pcrs.digests[17][0], 0xff); /* PCRs 17 to 22 begin with ones */
    assert_int_equal(pcrs.digests[22][31], 0xff);
    assert_memory_equal(pcrs.digests[23], zeros, 32);
    need(kt_tpm_reset_count(&tpm, &first, &err), "reset count", &err);
    need(kt_tpm_reset_count(&tpm, &second, &err), "reset count", &err);
    assert_int_equal(first, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIMULATOR_TEST(test_pcrs_and_boots),
        SIMULATOR_TEST(test_the_wire_shows_no_secret),
        SIMULATOR_TEST(test_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
