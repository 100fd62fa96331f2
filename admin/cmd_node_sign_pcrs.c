/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn node sign-pcrs: signs PCR values for a signed policy. Values that are not given are read from the TPM. */
#include "admin/opener_local.h"
#include "admin/tpm_option.h"
#include "base/file.h"
#include "keystore/tpm_report.h"
#include "keystore/tpm_signature.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_SIGNING_KEY = 0x200, OPTION_PCRS, OPTION_PCR, OPTION_OUT };

#define PEM_MAX 16384u

static const struct argp_option own_options[] = {
    {.name = "signing-key",
     .key = OPTION_SIGNING_KEY,
     .arg = "KEY.pem",
     .doc = "Private key (mode 0600) of the policy"},
    {.name = "pcrs", .key = OPTION_PCRS, .arg = "BANK:N,N...", .doc = "Which PCRs, such as sha256:11"},
    {.name = "pcr",
     .key = OPTION_PCR,
     .arg = "N=HEX",
     .doc = "The value of one of them; may be repeated. Without any, all are read from the TPM"},
    {.name = "out", .key = OPTION_OUT, .arg = "FILE", .doc = "The signature file; made, or extended"},
    {0},
};

struct arguments {
    char *key;
    char *pcrs_text;
    char *out;
    char *values[KT_TPM_PCRS];
    size_t n_values;
};

static error_t take(int key, char *arg, void *closure)
{
    struct arguments *arguments = closure;
    switch (key) {
    case OPTION_SIGNING_KEY:
        arguments->key = arg;
        return 0;
    case OPTION_PCRS:
        arguments->pcrs_text = arg;
        return 0;
    case OPTION_PCR:
        if (arguments->n_values == KT_TPM_PCRS)
            return EINVAL;
        arguments->values[arguments->n_values++] = arg;
        return 0;
    case OPTION_OUT:
        arguments->out = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool fail_value(struct kt_error *err)
{
    kt_fail(err, KT_E_USAGE,
            "--pcr: expected N=HEX with one of the PCRs of --pcrs, each once, and a digest of its bank");
    return kt_error_hint(err, "--pcrs sha256:11 --pcr 11=64 hex digits");
}

static bool take_value(const char *text, struct kt_tpm_pcrs *pcrs, uint32_t *given, struct kt_error *err)
{
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end != '=' || number >= KT_TPM_PCRS || !(pcrs->mask >> number & 1) || (*given >> number & 1) ||
        !kt_hex_decode(kt_slice_str(end + 1), pcrs->digests[number], kt_tpm_bank_len(pcrs->bank)))
        return fail_value(err);
    *given |= UINT32_C(1) << number;
    return true;
}

static bool given_values(const struct arguments *arguments, struct kt_tpm_pcrs *pcrs, struct kt_error *err)
{
    uint32_t given = 0;
    for (size_t i = 0; i < arguments->n_values; i++) {
        if (!take_value(arguments->values[i], pcrs, &given, err))
            return false;
    }
    return given == pcrs->mask || fail_value(err);
}

static bool measured_values(const struct kt_options *options, struct kt_tpm_pcrs *pcrs, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(options, err);
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    if (!config)
        return false;
    if (config->recipient != KT_RECIPIENT_TPM2) {
        kt_fail(err, KT_E_CONFIG, "this node does not use a TPM (recipient: file), so there are no PCRs to read");
        return kt_error_hint(err, "give the values: --pcr N=HEX");
    }
    const struct kt_opener_request request = {.op = KT_OPENER_CHECK, .tpm_pcrs = *pcrs};
    if (!kt_opener_local(config, config->path, &request, &answer, err))
        return false;
    *pcrs = answer.tpm->present;
    return true;
}

static bool sign(const struct arguments *arguments, const struct kt_tpm_pcrs *pcrs, bool dry_run, struct kt_error *err)
{
    const struct kt_file_rules key_rules = {.max = PEM_MAX, .owner = geteuid(), .forbidden_mode = 0077};
    const struct kt_file_rules file_rules = {.max = KT_TPM_SIGNATURE_FILE_MAX, .owner = KT_ANY_UID};
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *pem = kt_file_read_secret(AT_FDCWD, arguments->key, &key_rules, err);
    KT_CLEANUP_BYTES struct kt_bytes before = {0};
    KT_CLEANUP_BYTES struct kt_bytes after = {0};
    enum kt_file_state state;
    if (!pem || !kt_file_read_if(AT_FDCWD, arguments->out, &file_rules, &before, &state, err))
        return false;
    const struct kt_slice key = KT_SLICE(kt_secret_view(pem), kt_secret_len(pem));
    if (!kt_tpm_signature_add(kt_bytes_view(&before), arguments->out, key, pcrs, &after, err))
        return false;
    return dry_run || kt_file_replace(AT_FDCWD, arguments->out, kt_bytes_view(&after), &attrs, err);
}

static bool run(const struct kt_options *options, const struct arguments *arguments, struct kt_tpm_pcrs *pcrs,
                struct kt_error *err)
{
    if (!arguments->key || !arguments->pcrs_text || !arguments->out) {
        kt_fail(err, KT_E_USAGE, "--signing-key, --pcrs and --out are needed");
        return kt_error_hint(err, "keyturn node sign-pcrs --signing-key KEY.pem --pcrs sha256:11 --out FILE");
    }
    if (!kt_tpm_pcrs_parse(arguments->pcrs_text, pcrs, err))
        return false;
    bool known = arguments->n_values > 0 ? given_values(arguments, pcrs, err) : measured_values(options, pcrs, err);
    return known && sign(arguments, pcrs, options->dry_run, err);
}

static bool print(const struct kt_options *options, const struct arguments *arguments, const struct kt_tpm_pcrs *pcrs,
                  struct kt_error *err)
{
    uint8_t digest[32];
    char hex[65];
    if (!kt_tpm_pcr_digest(pcrs, digest, err))
        return false;
    kt_hex_encode(KT_SLICE(digest, sizeof(digest)), hex);
    if (options->json) {
        json_t *value = kt_json_new("NodeSignPcrs");
        if (value) {
            json_object_set_new(value, "changed", json_boolean(!options->dry_run));
            json_object_set_new(value, "file", json_string(arguments->out));
            json_object_set_new(value, "policy", json_string(hex));
        }
        return kt_json_print(value, err);
    }
    printf("%s %s of %s (policy %s).\n", arguments->out,
           options->dry_run ? "would get the signature" : "has the signature", arguments->pcrs_text, hex);
    return kt_output_done(err);
}

int kt_command_node_sign_pcrs(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct kt_command_line line = {
        .command = kt_command_find("node sign-pcrs"), .own = own_options, .take = take, .closure = &arguments};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_tpm_pcrs pcrs = {0};
    if (!run(&line.options, &arguments, &pcrs, &err) || !print(&line.options, &arguments, &pcrs, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}
