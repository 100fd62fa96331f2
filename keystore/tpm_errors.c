/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_errors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LAYER_MASK      0x00ff0000u
#define LAYER_ESYS      0x00070000u
#define LAYER_MU        0x00090000u
#define LAYER_RM_TPM    0x000c0000u /* a code of the TPM, handed on by a resource manager */
#define FORMAT_ONE      0x080u
#define FORMAT_ONE_KEY  0x0bfu
#define RC_BAD_SEQUENCE 0x70007u
#define RC_AUTH_FAILED  0x7001bu
#define RC_MALFORMED    0x70011u
#define RC_IO           0xa000au
#define RC_PCR_CHANGED  0x128u

static const char *const commands[KT_TPM_STEP_COUNT] = {
    [KT_TPM_STEP_ANY] = "TPM",
    [KT_TPM_STEP_OPEN] = "connecting",
    [KT_TPM_STEP_READ_SRK] = "TPM2_ReadPublic",
    [KT_TPM_STEP_MAKE_SRK] = "TPM2_CreatePrimary",
    [KT_TPM_STEP_KEEP_SRK] = "TPM2_EvictControl",
    [KT_TPM_STEP_SESSION] = "TPM2_StartAuthSession",
    [KT_TPM_STEP_SEAL] = "TPM2_Create",
    [KT_TPM_STEP_LOAD] = "TPM2_Load",
    [KT_TPM_STEP_READ_PCRS] = "TPM2_PCR_Read",
    [KT_TPM_STEP_POLICY_PCR] = "TPM2_PolicyPCR",
    [KT_TPM_STEP_LOAD_KEY] = "TPM2_LoadExternal",
    [KT_TPM_STEP_VERIFY] = "TPM2_VerifySignature",
    [KT_TPM_STEP_AUTHORIZE] = "TPM2_PolicyAuthorize",
    [KT_TPM_STEP_UNSEAL] = "TPM2_Unseal",
    [KT_TPM_STEP_CLOCK] = "TPM2_ReadClock",
    [KT_TPM_STEP_MAKE_EK] = "TPM2_CreatePrimary",
};

static const struct row {
    enum kt_tpm_step step;
    uint32_t rc;
    enum kt_code code;
    const char *what;
    const char *hint;
} rows[] = {
#define KT_TPM_ERROR(step_, rc_, code_, what_, hint_) \
    {.step = KT_TPM_STEP_##step_, .rc = (rc_), .code = KT_E_##code_, .what = (what_), .hint = (hint_)},
#include "keystore/tpm_errors.def"
#undef KT_TPM_ERROR
};

static const struct row unknown = {.code = KT_E_NODE_KEY,
                                   .what = "the TPM refuses",
                                   .hint = "tpm2_rc_decode CODE says what that is; keyturn node check looks further"};

uint32_t kt_tpm_rc_base(uint32_t rc)
{
    uint32_t layer = rc & LAYER_MASK;

    if (layer == LAYER_RM_TPM || layer == 0) {
        rc &= 0xfffu;
        return rc & FORMAT_ONE ? rc & FORMAT_ONE_KEY : rc;
    }
    if (layer >= LAYER_ESYS && layer <= LAYER_MU && rc != RC_BAD_SEQUENCE && rc != RC_AUTH_FAILED)
        return RC_MALFORMED;
    return rc;
}

enum kt_tpm_retry kt_tpm_rc_retry(uint32_t rc)
{
    static const uint32_t later[] = {0x922, 0x908, 0x90a, 0x920, 0x923, 0x902, 0x903, 0x904, 0x905, 0x906, 0x909};
    uint32_t base = kt_tpm_rc_base(rc);

    if (base == RC_IO)
        return KT_TPM_RETRY_REOPEN;
    if (base == RC_PCR_CHANGED)
        return KT_TPM_RETRY_POLICY;
    for (size_t i = 0; i < KT_ARRAY_LEN(later); i++)
        if (later[i] == base)
            return KT_TPM_RETRY_LATER;
    return KT_TPM_RETRY_NEVER;
}

static const struct row *find(enum kt_tpm_step step, uint32_t base)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++)
        if (rows[i].rc == base && (rows[i].step == step || rows[i].step == KT_TPM_STEP_ANY))
            return &rows[i];
    return &unknown;
}

bool kt_tpm_error(const struct kt_tpm_failure *failure, struct kt_error *err)
{
    const struct row *row = find(failure->step, kt_tpm_rc_base(failure->rc));
    char parent[32] = "";

    if (failure->handle != 0)
        (void)snprintf(parent, sizeof(parent), ", SRK 0x%x", failure->handle);
    (void)kt_fail(err, row->code, "%s (%s%s: 0x%x)", row->what, commands[failure->step], parent, failure->rc);
    return kt_error_hint(err, "%s", row->hint);
}

static const struct {
    int number;
    enum kt_code code;
    const char *what; /* behind the path */
    const char *hint;
} devices[] = {
    {ENOENT, KT_E_UNREACHABLE, "there is no such device: this machine has no TPM, or it is not up yet",
     "enable the TPM in the firmware's setup, load its driver; another one: tpm.tcti in keyturn.yaml"},
    {EACCES, KT_E_PERMISSION, "the opener may not use the TPM",
     "usermod -aG tss keyturn-opener && systemctl restart keyturnd (group of the device: ls -l)"},
    {EPERM, KT_E_PERMISSION, "the opener may not use the TPM",
     "DeviceAllow= in keyturnd.service has to name that device: systemctl edit keyturnd"},
    {EBUSY, KT_E_UNREACHABLE, "another process holds the TPM",
     "tpm.tcti: device:/dev/tpmrm0 in keyturn.yaml: the kernel's resource manager lets many in"},
};

bool kt_tpm_error_device(const char *path, int sys_errno, struct kt_error *err)
{
    errno = sys_errno;
    for (size_t i = 0; i < KT_ARRAY_LEN(devices); i++) {
        if (devices[i].number != sys_errno)
            continue;
        (void)kt_error_set(err, devices[i].code, sys_errno, __func__, "%.40s: %s", path, devices[i].what);
        return kt_error_hint(err, "%s", devices[i].hint);
    }
    (void)kt_fail_errno(err, KT_E_UNREACHABLE, "%.40s: the TPM is dead", path);
    return kt_error_hint(err, "see dmesg for the TPM's driver, and power the machine off and on");
}
