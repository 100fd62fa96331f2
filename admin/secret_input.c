/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/secret_input.h"

#include "admin/terminal.h"
#include "base/buf.h"
#include "base/file.h"
#include "keystore/recovery_key.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
static struct kt_secret *read_file(const char *key_file, const char *hint, struct kt_error *err)
{
    const struct kt_file_rules rules = {.max = KEY_FILE_MAX, .owner = geteuid(), .forbidden_mode = 0077};
    struct kt_error why = KT_ERROR_INIT;
    struct kt_secret *text = kt_file_read_secret(AT_FDCWD, key_file, &rules, &why);
    if (text)
        return text;
    if (why.code == KT_E_PERMISSION && why.hint[0] == '\0')
        kt_error_hint(&why, "%s", hint);
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
    return read_file(key_file, "--key-file - reads the recovery key from standard input, whatever that is", err);
}

struct kt_secret *kt_recovery_key_ask(const char *key_file, const char *prompt, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *text = read_from(key_file, prompt, err);
    return text ? kt_recovery_key_parse(text, err) : NULL;
}

static bool fail_form(struct kt_error *err)
{
    kt_fail(err, KT_E_USAGE,
            "the key: expected one line of base64, as in an EncryptionConfiguration, found something else");
    return kt_error_hint(err, "--raw takes the bytes themselves");
}

/* Up to the end, which must come before KEY_FILE_MAX. */
static struct kt_secret *read_to_end(int fd, struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *all = kt_secret_new(KEY_FILE_MAX, err);
    size_t len = 0;
    ssize_t got = 1;
    while (all && got > 0 && len < KEY_FILE_MAX) {
        got = get_byte(fd, kt_secret_bytes(all) + len);
        len += got > 0 ? 1 : 0;
    }
    if (!all)
        return NULL;
    if (got < 0)
        kt_fail_errno(err, KT_E_IO, "reading the key");
    else if (len == 0)
        kt_fail(err, KT_E_USAGE, "the key: expected one on standard input, found nothing");
    else if (len == KEY_FILE_MAX)
        kt_fail(err, KT_E_USAGE, "the key: expected at most 32 bytes, found more than %u", KEY_FILE_MAX - 1);
    else
        return kt_secret_new_copy(kt_secret_view(all), len, err);
    return NULL;
}

static struct kt_secret *read_standard_input(bool raw, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    if (!isatty(STDIN_FILENO))
        return read_to_end(STDIN_FILENO, err);
    if (raw) {
        kt_fail(err, KT_E_USAGE, "raw bytes cannot be typed: expected a file, or a pipe on standard input");
        return NULL;
    }
    struct kt_secret *line = kt_terminal_read_secret(STDIN_FILENO, "Key (base64): ", &why);
    if (!line)
        (void)(why.code == KT_E_RECOVERY_KEY ? fail_form(err) : kt_error_copy(err, &why));
    return line;
}

/* Without the line end; a second line is no base64. */
static struct kt_secret *decode(const struct kt_secret *text, struct kt_error *err)
{
    const uint8_t *bytes = kt_secret_view(text);
    size_t len = kt_secret_len(text);
    size_t decoded = 0;
    if (len > 0 && bytes[len - 1] == '\n')
        len--;
    if (len > 0 && bytes[len - 1] == '\r')
        len--;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *room = kt_secret_new(KEY_FILE_MAX, err);
    if (!room)
        return NULL;
    if (!kt_base64_decode(KT_SLICE(bytes, len), kt_secret_bytes(room), KEY_FILE_MAX, &decoded) || decoded == 0) {
        (void)fail_form(err);
        return NULL;
    }
    return kt_secret_new_copy(kt_secret_view(room), decoded, err);
}

struct kt_secret *kt_key_read(const char *file, bool raw, struct kt_error *err)
{
    bool is_standard = !file || strcmp(file, "-") == 0;
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *read = is_standard ? read_standard_input(raw, err)
                                         : read_file(file, "--file - reads the key from standard input", err);
    if (!read)
        return NULL;
    return raw ? KT_TAKE_PTR(read) : decode(read, err);
}
