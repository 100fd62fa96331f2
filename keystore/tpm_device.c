/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/tpm_device.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <tss2/tss2_tctildr.h>

#define RETRY_MOST_S     5u
#define RETRY_FIRST_NS   (UINT64_C(20) * 1000000)
#define RETRY_LONGEST_NS (UINT64_C(1000) * 1000000)
#define POLICY_RESTARTS  30u
#define NS_PER_S         UINT64_C(1000000000)
#define DEVICE_DEFAULT   "/dev/tpmrm0"

void kt_tpm_init(struct kt_tpm *tpm, const char *tcti, unsigned timeout_s)
{
    uint64_t most = timeout_s * NS_PER_S / 3;

    *tpm = (struct kt_tpm){.tcti = tcti};
    tpm->give_up_ns = kt_clock_monotonic_ns() + (most < RETRY_MOST_S * NS_PER_S ? most : RETRY_MOST_S * NS_PER_S);
}

static void disconnect(struct kt_tpm *tpm)
{
    if (tpm->esys)
        Esys_Finalize(&tpm->esys);
    if (tpm->wire)
        Tss2_TctiLdr_Finalize(&tpm->wire);
    tpm->esys = NULL;
    tpm->wire = NULL;
}

void kt_tpm_done(struct kt_tpm *tpm)
{
    disconnect(tpm);
}

bool kt_tpm_step(struct kt_tpm *tpm, enum kt_tpm_step step, TSS2_RC rc)
{
    if (rc == TSS2_RC_SUCCESS)
        return true;
    tpm->failure = (struct kt_tpm_failure){.step = step, .rc = rc, .handle = tpm->parent_handle};
    return false;
}

/* tpm2-tss reports a device that is missing, forbidden, busy and dead all alike, so it is opened here first. */
static bool check_device(const struct kt_tpm *tpm, struct kt_error *err)
{
    const char *path = tpm->tcti + strlen("device");

    if (strncmp(tpm->tcti, "device", strlen("device")) != 0 || (*path != ':' && *path != '\0'))
        return true;
    path = *path == ':' && path[1] != '\0' ? path + 1 : DEVICE_DEFAULT;
    KT_CLEANUP(kt_fd_close_p) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd >= 0 || kt_tpm_error_device(path, errno, err);
}

static bool connect_tpm(struct kt_tpm *tpm, struct kt_error *err)
{
    if (tpm->esys)
        return true;
    if (!check_device(tpm, err))
        return false;
    if (!kt_tpm_step(tpm, KT_TPM_STEP_OPEN, Tss2_TctiLdr_Initialize(tpm->tcti, &tpm->wire)))
        return false;
    return kt_tpm_step(tpm, KT_TPM_STEP_OPEN, Esys_Initialize(&tpm->esys, tpm->wire, NULL));
}

static bool pause_ns(const struct kt_tpm *tpm, uint64_t ns)
{
    const struct timespec step = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    if (kt_clock_monotonic_ns() + ns > tpm->give_up_ns)
        return false;
    (void)nanosleep(&step, NULL);
    return true;
}

struct tries {
    unsigned policy;
    uint64_t delay_ns;
};

static bool again(struct kt_tpm *tpm, struct tries *tries)
{
    enum kt_tpm_retry retry = kt_tpm_rc_retry(tpm->failure.rc);

    if (tpm->failure.rc == TSS2_RC_SUCCESS || retry == KT_TPM_RETRY_NEVER)
        return false;
    if (retry == KT_TPM_RETRY_POLICY)
        return tries->policy++ < POLICY_RESTARTS;
    if (!pause_ns(tpm, tries->delay_ns))
        return false;
    tries->delay_ns = tries->delay_ns * 2 < RETRY_LONGEST_NS ? tries->delay_ns * 2 : RETRY_LONGEST_NS;
    /* After an I/O error every call on the old context fails. */
    if (retry == KT_TPM_RETRY_REOPEN)
        disconnect(tpm);
    return true;
}

bool kt_tpm_run(struct kt_tpm *tpm, kt_tpm_op *op, void *closure, struct kt_error *err)
{
    struct tries tries = {.delay_ns = RETRY_FIRST_NS};

    do {
        tpm->failure.rc = TSS2_RC_SUCCESS;
        if (connect_tpm(tpm, err) && op(tpm, closure, err))
            return true;
    } while (again(tpm, &tries));
    if (tpm->failure.rc == TSS2_RC_SUCCESS)
        return false;
    return kt_tpm_error(&tpm->failure, err);
}

void kt_tpm_flush(struct kt_tpm *tpm, ESYS_TR handle)
{
    if (handle != ESYS_TR_NONE && tpm->esys)
        (void)Esys_FlushContext(tpm->esys, handle);
}

void kt_tpm_free_wiped(void *memory, size_t len)
{
    if (memory)
        kt_wipe(memory, len);
    Esys_Free(memory);
}
