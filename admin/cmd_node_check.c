/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn node check: will the key that is sealed in this node's TPM open at the next boot? node verify: does it now?
 */
#include "admin/tpm_option.h"
#include "admin/view.h"
#include "keystore/tpm_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool ask(const struct kt_options *options, enum kt_opener_op op, struct kt_opener_answer *ret,
                struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(options, err);
    struct kt_opener_request request = {.op = op};
    return config && kt_node_ask(config, &request, ret, err);
}

static const struct kt_tpm_policy *next_policy(const struct kt_tpm_report *report)
{
    return report->suspended ? &report->resume : &report->policy;
}

/* Of a literal policy: bit n is set where PCR n is not what the key is sealed to. */
static uint32_t differing(const struct kt_tpm_report *report)
{
    const struct kt_tpm_policy *policy = next_policy(report);
    uint32_t mask = 0;
    for (unsigned i = 0; policy->kind == KT_TPM_POLICY_PCR && i < KT_TPM_PCRS; i++) {
        if (memcmp(policy->pcrs.digests[i], report->present.digests[i], kt_tpm_bank_len(policy->pcrs.bank)) != 0)
            mask |= policy->pcrs.mask & UINT32_C(1) << i;
    }
    return mask;
}

/* Suspended, the next boot opens in any case, and literal PCRs are taken anew then. */
static bool will_open(const struct kt_tpm_report *report)
{
    return report->suspended || report->opens;
}

static const char blind[] =
    "What this cannot see: firmware, boot loader, kernel or Secure Boot databases that are installed "
    "but have not booted yet change PCRs only then.";

static void digest_text(const struct kt_tpm_pcrs *pcrs, unsigned pcr, char ret[2 * KT_TPM_DIGEST_MAX + 1])
{
    kt_hex_encode(KT_SLICE(pcrs->digests[pcr], kt_tpm_bank_len(pcrs->bank)), ret);
}

static void print_differences(const struct kt_tpm_report *report)
{
    const struct kt_tpm_policy *policy = next_policy(report);
    const uint32_t mask = differing(report);
    for (unsigned i = 0; i < KT_TPM_PCRS; i++) {
        char expected[2 * KT_TPM_DIGEST_MAX + 1];
        char actual[2 * KT_TPM_DIGEST_MAX + 1];
        if (!(mask >> i & 1))
            continue;
        digest_text(&policy->pcrs, i, expected);
        digest_text(&report->present, i, actual);
        printf("PCR %u (%s) differs:\n  sealed to %s\n  is now    %s\n", i, kt_tpm_bank_text(policy->pcrs.bank),
               expected, actual);
    }
}

static void print_text(const struct kt_tpm_report *report)
{
    char policy[KT_TPM_POLICY_TEXT];
    char parent[32] = "made again at each start";
    kt_tpm_policy_format(next_policy(report), policy);
    if (report->parent_handle)
        snprintf(parent, sizeof(parent), "at 0x%" PRIx32, report->parent_handle);
    printf("Storage root key: %s, %s; its name is the pinned one\n", report->parent_rsa ? "RSA" : "ECC P-256", parent);
    printf("Policy: %s\n", policy);
    if (report->suspended)
        printf("Suspended: sealed without a policy%s\n",
               report->booted ? "; the machine has booted since, the next start of keyturnd seals it again"
                              : " until the next boot");
    print_differences(report);
    if (report->why[0])
        printf("%s\n", report->why);
    printf("%s\n", will_open(report) ? "With these PCRs, the next boot opens."
                                     : "With these PCRs, the next boot does not open.");
    if (next_policy(report)->kind != KT_TPM_POLICY_NONE)
        puts(blind);
}

static json_t *pcrs_json(const struct kt_tpm_report *report)
{
    const struct kt_tpm_policy *policy = next_policy(report);
    const uint32_t mask = differing(report);
    json_t *list = json_array();
    for (unsigned i = 0; i < KT_TPM_PCRS; i++) {
        char expected[2 * KT_TPM_DIGEST_MAX + 1] = "";
        char actual[2 * KT_TPM_DIGEST_MAX + 1] = "";
        if (!(report->present.mask >> i & 1))
            continue;
        digest_text(&report->present, i, actual);
        json_t *item =
            json_pack("{s:i,s:s,s:s}", "pcr", (int)i, "bank", kt_tpm_bank_text(report->present.bank), "actual", actual);
        if (policy->kind == KT_TPM_POLICY_PCR) {
            digest_text(&policy->pcrs, i, expected);
            json_object_set_new(item, "expected", json_string(expected));
            json_object_set_new(item, "differs", json_boolean(mask >> i & 1));
        }
        json_array_append_new(list, item);
    }
    return list;
}

static bool print_json(const struct kt_tpm_report *report, struct kt_error *err)
{
    char policy[KT_TPM_POLICY_TEXT];
    char name[2 * KT_TPM_NAME_LEN + 1];
    json_t *value = kt_json_new("NodeCheck");
    kt_tpm_policy_format(next_policy(report), policy);
    kt_hex_encode(KT_SLICE(report->parent_name, KT_TPM_NAME_LEN), name);
    if (value) {
        json_object_set_new(value, "opens", json_boolean(will_open(report)));
        json_object_set_new(value, "policy", json_string(policy));
        json_object_set_new(value, "suspended", json_boolean(report->suspended));
        json_object_set_new(value, "pcrs", pcrs_json(report));
        json_object_set_new(value, "why", json_string(report->why));
        json_object_set_new(value, "parent",
                            json_pack("{s:I,s:s,s:s}", "handle", (json_int_t)report->parent_handle, "type",
                                      report->parent_rsa ? "rsa" : "ecc", "name", name));
    }
    return kt_json_print(value, err);
}

static bool judge(const struct kt_tpm_report *report, struct kt_error *err)
{
    char policy[KT_TPM_POLICY_TEXT];
    if (will_open(report))
        return true;
    kt_tpm_policy_format(next_policy(report), policy);
    kt_fail(err, KT_E_FOUND, "with the present PCRs the policy %s would not open this node's key", policy);
    if (next_policy(report)->kind == KT_TPM_POLICY_SIGNED)
        return kt_error_hint(err, "sign the present values: keyturn node sign-pcrs");
    return kt_error_hint(err,
                         "boot what it is sealed to, and keyturn node suspend before the change; or keyturn recovery "
                         "use --force, which seals to these; a daemon that runs serves on");
}

int kt_command_node_check(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("node check")};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!ask(&line.options, KT_OPENER_CHECK, &answer, &err))
        return kt_print_error(&line.options, &err);
    if (line.options.json && !print_json(answer.tpm, &err))
        return kt_print_error(&line.options, &err);
    if (!line.options.json)
        print_text(answer.tpm);
    if (!kt_output_done(&err) || !judge(answer.tpm, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}

int kt_command_node_verify(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("node verify")};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_opened opened = {.kind = "NodeVerification", .what = "This node's key"};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!ask(&line.options, KT_OPENER_NODE_VERIFY, &answer, &err) ||
        !kt_view_print_opened(&line.options, &opened, answer.info, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}
