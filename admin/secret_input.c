/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/secret_input.h"

#include "admin/terminal.h"
#include "base/file.h"
#include "keystore/recovery_key.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define KEY_FILE_MAX 256u

static ssize_t get_byte(int fd, uint8_t *ret)
{
    ssize_t got = -1;
    do
        got = read(fd, ret, 1);
    while (got < 0 && errno == EINTR);
    return got;
}

/* A link, or what a shell makes of <(...), is no file that only we may read. */
static struct kt_secret *read_file(const char *key_file, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KEY_FILE_MAX, .owner = geteuid(), .forbidden_mode = 0077};
    struct kt_error why = KT_ERROR_INIT;
    struct kt_secret *text = kt_file_read_secret(AT_FDCWD, key_file, &rules, &why);
    if (text)
        return text;
    if (why.code == KT_E_PERMISSION && why.hint[0] == '\0')
        kt_error_hint(&why, "--key-file - reads the recovery key from standard input, whatever that is");
    if (err)
        *err = why;
    return NULL;
}

static struct kt_secret *read_from(const char *key_file, const char *prompt, struct kt_error *err)
{
    if (!key_file) {
        KT_CLEANUP(kt_fd_close_p) int fd = kt_terminal_open(err);
        return fd < 0 ? NULL : kt_terminal_read_secret(fd, prompt, err);
    }
    if (strcmp(key_file, "-") == 0)
        return kt_line_read(STDIN_FILENO, get_byte, err);
    return read_file(key_file, err);
}

struct kt_secret *kt_recovery_key_ask(const char *key_file, const char *prompt, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *text = read_from(key_file, prompt, err);
    return text ? kt_recovery_key_parse(text, err) : NULL;
}
