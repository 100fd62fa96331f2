/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCTI module that stands between a program and a real TPM and does what goes wrong on the way:
 *   PATH/tcti_fault.so:KEY=VALUE,...;INNER-TCTI
 *     log=FILE      appends the code of each command, one a line
 *     wire=FILE     appends all bytes, both ways
 *     do=WHAT       code, hang, io, short, header, garbage, swap (the point of an ECC SRK in TPM2_ReadPublic), flip
 * (the last byte of an answer) code=0x922    the response code for do=code command=0x15e only for that command;
 * default: any skip=N        leaves the first N of them alone times=N       does it N times; default 1 Counters outlive
 * a connection: the module is never unloaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#define MAGIC  UINT64_C(0x6b742d6661756c74)
#define HEADER 10u

enum what { DO_NOTHING, DO_CODE, DO_HANG, DO_IO, DO_SHORT, DO_HEADER, DO_GARBAGE, DO_SWAP, DO_FLIP, DO_COUNT };
static const char *const names[DO_COUNT] = {"nothing", "code",    "hang", "io",  "short",
                                            "header",  "garbage", "swap", "flip"};

struct fault {
    TSS2_TCTI_CONTEXT_COMMON_V2 common;
    TSS2_TCTI_CONTEXT *inner;
    enum what what;
    uint32_t code;
    uint32_t command; /* 0: any */
    unsigned long skip;
    unsigned long times;
    char log[512];
    char wire[512];
    uint32_t present; /* the command on its way */
    bool struck;      /* the present command is one that it is done to */
};

static unsigned long seen;

static struct fault *fault_of(TSS2_TCTI_CONTEXT *context)
{
    return (struct fault *)(void *)context;
}

static void append(const char *path, const void *bytes, size_t len)
{
    int fd = path[0] ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd < 0)
        return;
    if (write(fd, bytes, len) < 0)
        perror(path);
    close(fd);
}

static uint32_t number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool strikes(const struct fault *f)
{
    unsigned long number = 0;

    if (f->what == DO_NOTHING || (f->command && f->command != f->present))
        return false;
    number = seen++;
    return number >= f->skip && number - f->skip < f->times;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t len, const uint8_t *bytes)
{
    struct fault *f = fault_of(context);
    char line[32];

    f->present = len >= HEADER ? number_at(bytes + 6) : 0;
    f->struck = strikes(f);
    append(f->log, line, (size_t)snprintf(line, sizeof(line), "0x%x\n", f->present));
    append(f->wire, bytes, len);
    if (f->struck && f->what == DO_CODE)
        return TSS2_RC_SUCCESS;
    return Tss2_Tcti_Transmit(f->inner, len, bytes);
}

static TSS2_RC answer_code(const struct fault *f, size_t *len, uint8_t *bytes)
{
    const uint8_t answer[HEADER] = {0x80,
                                    1,
                                    0,
                                    0,
                                    0,
                                    HEADER,
                                    (uint8_t)(f->code >> 24),
                                    (uint8_t)(f->code >> 16),
                                    (uint8_t)(f->code >> 8),
                                    (uint8_t)f->code};

    if (bytes && *len < HEADER)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    if (bytes)
        memcpy(bytes, answer, sizeof(answer));
    *len = HEADER;
    return TSS2_RC_SUCCESS;
}

/* The point is the tail of TPM2B_PUBLIC: 0x0020 X 0x0020 Y. It becomes the base point of P-256, a point whose private
 * half everybody knows. */
static void swap_point(uint8_t *bytes, size_t len)
{
    static const uint8_t x[32] = {0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
                                  0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb,
                                  0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96};
    static const uint8_t y[32] = {0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb,
                                  0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31,
                                  0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
    size_t public_len = len > HEADER + 2 ? (size_t)bytes[HEADER] << 8 | bytes[HEADER + 1] : 0;

    if (public_len < 68 || HEADER + 2 + public_len > len)
        return;
    memcpy(bytes + HEADER + 2 + public_len - 66, x, sizeof(x));
    memcpy(bytes + HEADER + 2 + public_len - 32, y, sizeof(y));
}

static TSS2_RC harm(struct fault *f, size_t *len, uint8_t *bytes)
{
    f->struck = false;
    switch (f->what) {
    case DO_HANG:
        for (;;)
            (void)poll(NULL, 0, -1);
    case DO_IO:
        return TSS2_TCTI_RC_IO_ERROR;
    case DO_SHORT:
        memset(bytes + 6, 0xff, *len - 6); /* tpm2-tss does not ask how much came */
        *len = 6;
        return TSS2_RC_SUCCESS;
    case DO_HEADER:
        bytes[2] = 0x7f;
        return TSS2_RC_SUCCESS;
    case DO_GARBAGE:
        memset(bytes + HEADER, 0xff, *len - HEADER);
        return TSS2_RC_SUCCESS;
    case DO_SWAP:
        swap_point(bytes, *len);
        return TSS2_RC_SUCCESS;
    case DO_FLIP:
        bytes[*len - 1] ^= 1;
        return TSS2_RC_SUCCESS;
    case DO_NOTHING:
    case DO_CODE:
    case DO_COUNT:
        break;
    }
    return TSS2_RC_SUCCESS;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *len, uint8_t *bytes, int32_t timeout)
{
    struct fault *f = fault_of(context);
    TSS2_RC rc = TSS2_RC_SUCCESS;

    if (f->struck && f->what == DO_CODE) {
        f->struck = bytes == NULL;
        return answer_code(f, len, bytes);
    }
    rc = Tss2_Tcti_Receive(f->inner, len, bytes, timeout);
    if (rc != TSS2_RC_SUCCESS || !bytes || *len < HEADER)
        return rc;
    append(f->wire, bytes, *len);
    return f->struck ? harm(f, len, bytes) : rc;
}

static void finalize(TSS2_TCTI_CONTEXT *context)
{
    Tss2_TctiLdr_Finalize(&fault_of(context)->inner);
}

static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    return Tss2_Tcti_GetPollHandles(fault_of(context)->inner, handles, n);
}

static TSS2_RC unsupported(void)
{
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC cancel(TSS2_TCTI_CONTEXT *context)
{
    (void)context;
    return unsupported();
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    (void)context;
    (void)locality;
    return unsupported();
}

static bool take(struct fault *f, const char *key, const char *value)
{
    if (strcmp(key, "log") == 0)
        return snprintf(f->log, sizeof(f->log), "%s", value) > 0;
    if (strcmp(key, "wire") == 0)
        return snprintf(f->wire, sizeof(f->wire), "%s", value) > 0;
    if (strcmp(key, "code") == 0)
        return (f->code = (uint32_t)strtoul(value, NULL, 0)) != 0;
    if (strcmp(key, "command") == 0)
        return (f->command = (uint32_t)strtoul(value, NULL, 0)) != 0;
    if (strcmp(key, "skip") == 0)
        return (f->skip = strtoul(value, NULL, 0)) != ULONG_MAX;
    if (strcmp(key, "times") == 0)
        return (f->times = strtoul(value, NULL, 0)) != ULONG_MAX;
    for (int i = 0; strcmp(key, "do") == 0 && i < DO_COUNT; i++)
        if (strcmp(value, names[i]) == 0)
            f->what = (enum what)i;
    return f->what != DO_NOTHING;
}

static bool parse(struct fault *f, char *options)
{
    char *rest = options;

    for (char *part = strsep(&rest, ","); part; part = strsep(&rest, ",")) {
        char *value = part;
        const char *key = strsep(&value, "=");

        if (part[0] != '\0' && (!value || !take(f, key, value)))
            return false;
    }
    return true;
}

static TSS2_RC init(TSS2_TCTI_CONTEXT *context, size_t *size, const char *configuration)
{
    struct fault *f = fault_of(context);
    const char *inner = configuration ? strchr(configuration, ';') : NULL;
    char options[1024];

    if (!context) {
        *size = sizeof(*f);
        return TSS2_RC_SUCCESS;
    }
    if (!inner || (size_t)(inner - configuration) >= sizeof(options))
        return TSS2_TCTI_RC_BAD_VALUE;
    memset(f, 0, sizeof(*f));
    memcpy(options, configuration, (size_t)(inner - configuration));
    options[inner - configuration] = '\0';
    f->times = 1;
    if (!parse(f, options))
        return TSS2_TCTI_RC_BAD_VALUE;
    TSS2_TCTI_MAGIC(context) = MAGIC;
    TSS2_TCTI_VERSION(context) = 1;
    TSS2_TCTI_TRANSMIT(context) = transmit;
    TSS2_TCTI_RECEIVE(context) = receive;
    TSS2_TCTI_FINALIZE(context) = finalize;
    TSS2_TCTI_CANCEL(context) = cancel;
    TSS2_TCTI_GET_POLL_HANDLES(context) = poll_handles;
    TSS2_TCTI_SET_LOCALITY(context) = set_locality;
    return Tss2_TctiLdr_Initialize(inner + 1, &f->inner);
}

static const TSS2_TCTI_INFO info = {.version = 1,
                                    .name = "tcti-fault",
                                    .description = "what goes wrong on the way to a TPM",
                                    .config_help = "KEY=VALUE,...;TCTI",
                                    .init = init};

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);
__attribute__((visibility("default"))) const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
    return &info;
}
