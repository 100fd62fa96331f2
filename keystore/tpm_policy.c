/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_policy.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint16_t bank;
    uint16_t len;
} banks[] = {{"sha256", KT_TPM_SHA256, 32}, {"sha384", KT_TPM_SHA384, 48}};

/* PCRs that a policy had better not name. with: the kinds to which it applies. */
static const struct {
    unsigned pcr;
    bool literal_only;
    bool refused;
    const char *why;
} rules[] = {
    {10, false, true, "PCR 10 grows with every file that IMA measures"},
    {11, true, true, "PCR 11 is extended at each phase of the boot (systemd-pcrphase)"},
    {15, false, true, "PCR 15 is extended while the machine runs (machine id, volumes)"},
    {7, true, false,
     "PCR 7 changes with every update of the Secure Boot databases, certificates and the shim: keep the recovery key "
     "at "
     "hand, or use a signed policy"},
};

size_t kt_tpm_bank_len(uint16_t bank)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(banks); i++)
        if (banks[i].bank == bank)
            return banks[i].len;
    return 0;
}

const char *kt_tpm_bank_text(uint16_t bank)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(banks); i++)
        if (banks[i].bank == bank)
            return banks[i].name;
    return "unknown";
}

static bool fail_form(struct kt_error *err)
{
    (void)kt_fail(err, KT_E_USAGE, "that is no policy for a TPM");
    return kt_error_hint(err,
                         "none, pcr:sha256:7,14 or signed:sha256:11:KEY.pem; banks are sha256 and sha384, PCRs 0 to "
                         "23, each once");
}

/* One number 0..23; moves *text behind it. */
static bool take_pcr(const char **text, uint32_t *mask)
{
    unsigned value = 0;
    size_t len = strspn(*text, "0123456789");

    if (len == 0 || len > 2)
        return false;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (unsigned)((*text)[i] - '0');
    if (value >= KT_TPM_PCRS || *mask >> value & 1)
        return false;
    *mask |= UINT32_C(1) << value;
    *text += len;
    return true;
}

/* "sha256:7,14"; *text is moved behind it. */
static bool take_pcrs(const char **text, struct kt_tpm_pcrs *ret)
{
    uint32_t mask = 0;
    uint16_t bank = 0;

    for (size_t i = 0; i < KT_ARRAY_LEN(banks); i++) {
        size_t len = strlen(banks[i].name);

        if (strncmp(*text, banks[i].name, len) != 0 || (*text)[len] != ':')
            continue;
        bank = banks[i].bank;
        *text += len + 1;
        break;
    }
    if (bank == 0 || !take_pcr(text, &mask))
        return false;
    while (**text == ',') {
        (*text)++;
        if (!take_pcr(text, &mask))
            return false;
    }
    ret->bank = bank;
    ret->mask = mask;
    return true;
}

bool kt_tpm_pcrs_parse(const char *text, struct kt_tpm_pcrs *ret, struct kt_error *err)
{
    struct kt_tpm_pcrs pcrs = *ret;

    if (!take_pcrs(&text, &pcrs) || *text != '\0') {
        (void)kt_fail(err, KT_E_USAGE, "that is no list of PCRs");
        return kt_error_hint(err,
                             "BANK:N,N..., such as sha256:7,14; banks are sha256 and sha384, PCRs 0 to 23, each once");
    }
    *ret = pcrs;
    return true;
}

bool kt_tpm_policy_parse(const char *text, struct kt_tpm_policy *ret, const char **ret_key_file, struct kt_error *err)
{
    struct kt_tpm_policy policy = {.kind = KT_TPM_POLICY_NONE};
    const char *key_file = NULL;

    if (strncmp(text, "pcr:", 4) == 0) {
        policy.kind = KT_TPM_POLICY_PCR;
        text += 4;
        if (!take_pcrs(&text, &policy.pcrs) || *text != '\0')
            return fail_form(err);
    } else if (strncmp(text, "signed:", 7) == 0) {
        policy.kind = KT_TPM_POLICY_SIGNED;
        text += 7;
        if (!take_pcrs(&text, &policy.pcrs) || text[0] != ':' || text[1] == '\0')
            return fail_form(err);
        key_file = text + 1;
    } else if (strcmp(text, "none") != 0)
        return fail_form(err);
    *ret = policy;
    *ret_key_file = key_file;
    return true;
}

static size_t format_pcrs(const struct kt_tpm_pcrs *pcrs, char *ret, size_t cap)
{
    int len = snprintf(ret, cap, "%s", kt_tpm_bank_text(pcrs->bank));
    char separator = ':';

    for (unsigned i = 0; i < KT_TPM_PCRS; i++) {
        if (!(pcrs->mask >> i & 1))
            continue;
        len += snprintf(ret + len, cap - (size_t)len, "%c%u", separator, i);
        separator = ',';
    }
    return (size_t)len;
}

void kt_tpm_policy_format(const struct kt_tpm_policy *policy, char ret[KT_TPM_POLICY_TEXT])
{
    const char *kind = policy->kind == KT_TPM_POLICY_PCR ? "pcr:" : "signed:";
    uint8_t fingerprint[32] = {0};
    char hex[2 * 6 + 1] = "";
    size_t len = strlen(kind);

    (void)snprintf(ret, KT_TPM_POLICY_TEXT, "%s", policy->kind == KT_TPM_POLICY_NONE ? "none" : kind);
    if (policy->kind == KT_TPM_POLICY_NONE)
        return;
    len += format_pcrs(&policy->pcrs, ret + len, KT_TPM_POLICY_TEXT - len);
    if (policy->kind == KT_TPM_POLICY_PCR || !kt_tpm_key_fingerprint(policy, fingerprint, NULL))
        return;
    kt_hex_encode(KT_SLICE(fingerprint, 6), hex);
    (void)snprintf(ret + len, KT_TPM_POLICY_TEXT - len, " by key %s...", hex);
}

bool kt_tpm_policy_check(const struct kt_tpm_policy *policy, bool force, const char **ret_warning, struct kt_error *err)
{
    const char *warning = NULL;

    for (size_t i = 0; policy->kind != KT_TPM_POLICY_NONE && i < KT_ARRAY_LEN(rules); i++) {
        bool named = policy->pcrs.mask >> rules[i].pcr & 1;

        if (!named || (rules[i].literal_only && policy->kind == KT_TPM_POLICY_SIGNED))
            continue;
        if (rules[i].refused && !force) {
            (void)kt_fail(err, KT_E_REFUSED, "%s: a later start of keyturnd would find this node locked out",
                          rules[i].why);
            return kt_error_hint(err, "leave it out of the policy; --force seals to it all the same");
        }
        warning = rules[i].why;
    }
    *ret_warning = warning;
    return true;
}

void kt_tpm_pcrs_put(struct kt_writer *w, const struct kt_tpm_pcrs *pcrs, bool digests)
{
    kt_writer_u16(w, pcrs->bank);
    kt_writer_u32(w, pcrs->mask);
    for (unsigned i = 0; digests && i < KT_TPM_PCRS; i++)
        if (pcrs->mask >> i & 1)
            kt_writer_bytes(w, pcrs->digests[i], kt_tpm_bank_len(pcrs->bank));
}

void kt_tpm_pcrs_get(struct kt_reader *r, bool digests, struct kt_tpm_pcrs *ret)
{
    size_t len = 0;

    ret->bank = kt_reader_u16(r);
    ret->mask = kt_reader_u32(r);
    len = kt_tpm_bank_len(ret->bank);
    if (len == 0 || ret->mask == 0 || ret->mask >> KT_TPM_PCRS)
        r->bad = true;
    for (unsigned i = 0; digests && !r->bad && i < KT_TPM_PCRS; i++) {
        const uint8_t *digest = ret->mask >> i & 1 ? kt_reader_bytes(r, len) : NULL;

        if (digest)
            memcpy(ret->digests[i], digest, len);
    }
}

void kt_tpm_policy_put(struct kt_writer *w, const struct kt_tpm_policy *policy)
{
    kt_writer_u8(w, (uint8_t)policy->kind);
    if (policy->kind != KT_TPM_POLICY_NONE)
        kt_tpm_pcrs_put(w, &policy->pcrs, policy->kind == KT_TPM_POLICY_PCR);
    if (policy->kind == KT_TPM_POLICY_SIGNED)
        kt_writer_blob(w, KT_SLICE(policy->key, policy->key_len));
}

void kt_tpm_policy_get(struct kt_reader *r, struct kt_tpm_policy *ret)
{
    struct kt_slice key = {.data = NULL};
    unsigned kind = kt_reader_u8(r);

    *ret = (struct kt_tpm_policy){.kind = KT_TPM_POLICY_NONE};
    if (kind > KT_TPM_POLICY_SIGNED)
        r->bad = true;
    if (r->bad || kind == KT_TPM_POLICY_NONE)
        return;
    ret->kind = (enum kt_tpm_policy_kind)kind;
    kt_tpm_pcrs_get(r, kind == KT_TPM_POLICY_PCR, &ret->pcrs);
    if (kind != KT_TPM_POLICY_SIGNED)
        return;
    key = kt_reader_blob(r, sizeof(ret->key));
    if (key.len == 0)
        r->bad = true;
    if (r->bad)
        return;
    memcpy(ret->key, key.data, key.len);
    ret->key_len = key.len;
}
