/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/recovery_prove.h"

#include "admin/opener_local.h"
#include "admin/secret_input.h"
#include "admin/terminal.h"
#include "base/file.h"
#include "base/printable.h"
#include "keystore/recovery_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define TYPING_TRIES 3

static bool opens(const struct kt_recovery_proof *proof, const struct kt_secret *key, struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    const struct kt_opener_request request = {
        .op = KT_OPENER_RECOVERY_VERIFY, .offered = proof->document, .recovery_key = key};
    return kt_opener_local(proof->config, proof->config_path, &request, &answer, err);
}

/* Written by kt_file_create that failed behind it: only then it is ours to remove. */
static bool is_ours(const char *path, size_t len)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 07777) == 0600 &&
           (size_t)st.st_size == len;
}

static bool prove_by_file(const struct kt_recovery_proof *proof, const struct kt_secret *text, bool *ret_made,
                          struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    /* Its NUL becomes the line end, in locked memory. */
    KT_CLEANUP(kt_secret_free_p)
    struct kt_secret *line = kt_secret_new_copy(kt_secret_view(text), kt_secret_len(text), err);
    if (!line)
        return false;
    kt_secret_bytes(line)[kt_secret_len(line) - 1] = '\n';
    struct kt_error why = KT_ERROR_INIT;
    const struct kt_slice bytes = KT_SLICE(kt_secret_view(line), kt_secret_len(line));
    bool created = kt_file_create(AT_FDCWD, proof->recovery_out, bytes, &attrs, &why);
    *ret_made = created || (why.code != KT_E_EXISTS && is_ours(proof->recovery_out, bytes.len));
    if (!created) {
        if (err)
            *err = why;
        return false;
    }
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *back = kt_recovery_key_ask(proof->recovery_out, "", err);
    return back && opens(proof, back, err);
}

static bool prove_by_typing(const struct kt_recovery_proof *proof, const struct kt_secret *text, struct kt_error *err)
{
    static const char before[] =
        "\nThis is the recovery key. It is shown once, and it is the only way back when no node is "
        "left.\nWrite it down and keep it offline:\n\n    ";
    KT_CLEANUP(kt_fd_close_p) int terminal = kt_terminal_open(err);
    if (terminal < 0)
        return false;
    if (write(terminal, before, sizeof(before) - 1) < 0 ||
        write(terminal, kt_secret_view(text), kt_secret_len(text) - 1) < 0 || write(terminal, "\n\n", 2) < 0)
        return kt_fail_errno(err, KT_E_IO, "the terminal");
    for (int i = 0; i < TYPING_TRIES; i++) {
        KT_CLEANUP(kt_secret_free_p)
        struct kt_secret *typed = kt_terminal_read_secret(terminal, "Type it in, from your paper: ", err);
        if (!typed && err && err->code == KT_E_IO)
            return kt_error_prefix(err, "nothing was made");
        KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = typed ? kt_recovery_key_parse(typed, err) : NULL;
        if (key && opens(proof, key, err))
            return true;
        if (i + 1 < TYPING_TRIES && err)
            dprintf(terminal, "%s\n", KT_PRINTABLE(err->message));
    }
    return kt_error_hint(err, "nothing was made, so the key above opens nothing: run it again, it shows a new one");
}

bool kt_recovery_prove(const struct kt_recovery_proof *proof, const struct kt_secret *recovery, bool *ret_made,
                       struct kt_error *err)
{
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *text = kt_recovery_key_format(recovery, err);
    if (!text)
        return false;
    return proof->recovery_out ? prove_by_file(proof, text, ret_made, err) : prove_by_typing(proof, text, err);
}
