/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/fingerprint_ask.h"

#include "admin/terminal.h"
#include "base/cleanup.h"
#include "keystore/fingerprint.h"

#include <stdio.h>
#include <string.h>

static bool answered_yes(int terminal)
{
    char answer[8] = "";
    ssize_t got = read(terminal, answer, sizeof(answer) - 1);
    return got > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

static bool compare(const struct kt_options *options, const struct kt_fingerprint_question *question,
                    struct kt_error *err)
{
    uint8_t given[KT_HASH_LEN];
    if (!kt_fingerprint_parse(options->fingerprint, given))
        return kt_fail(err, KT_E_USAGE,
                       "--fingerprint: expected 64 hex digits, with or without \"sha256:\" before them");
    if (memcmp(given, question->fingerprint, KT_HASH_LEN) == 0)
        return true;
    kt_fail(err, question->otherwise, "%s another fingerprint than the one that was given", question->what);
    return kt_error_hint(err, "somebody may have changed it on its way: find out who, before you go on");
}

bool kt_fingerprint_confirm(const struct kt_options *options, const struct kt_fingerprint_question *question,
                            struct kt_error *err)
{
    char hex[KT_HASH_TEXT_LEN], words[KT_FINGERPRINT_WORDS_LEN];
    if (options->fingerprint)
        return compare(options, question, err);
    KT_CLEANUP(kt_fd_close_p) int terminal = kt_terminal_open(err);
    if (terminal < 0)
        return kt_error_hint(err, "without a terminal, say what it must be: --fingerprint HEX");
    kt_hash_format(question->fingerprint, hex);
    kt_fingerprint_words(question->fingerprint, words);
    dprintf(terminal, "%s\n  %s\n  %s\n%s [y/N] ", question->what, hex, words, question->where);
    if (answered_yes(terminal))
        return true;
    kt_fail(err, question->otherwise, "the fingerprint was not confirmed: nothing was changed");
    return kt_error_hint(err, "if it differs, somebody may have changed it on its way");
}

void kt_fingerprint_print(const uint8_t fingerprint[KT_HASH_LEN])
{
    char hex[KT_HASH_TEXT_LEN], words[KT_FINGERPRINT_WORDS_LEN];
    kt_hash_format(fingerprint, hex);
    kt_fingerprint_words(fingerprint, words);
    printf("  %s\n  %s\n", hex, words);
}

void kt_fingerprint_json(json_t *value, const uint8_t fingerprint[KT_HASH_LEN])
{
    char hex[KT_HASH_TEXT_LEN], words[KT_FINGERPRINT_WORDS_LEN];
    kt_hash_format(fingerprint, hex);
    kt_fingerprint_words(fingerprint, words);
    json_object_set_new(value, "fingerprint", kt_json_text(hex));
    json_object_set_new(value, "words", kt_json_text(words));
}

bool kt_confirm(const struct kt_options *options, const char *question, struct kt_error *err)
{
    if (options->yes)
        return true;
    KT_CLEANUP(kt_fd_close_p) int terminal = kt_terminal_open(err);
    if (terminal < 0)
        return kt_error_hint(err, "without a terminal: --yes");
    dprintf(terminal, "%s [y/N] ", question);
    return answered_yes(terminal) || kt_fail(err, KT_E_REFUSED, "not confirmed: nothing was changed");
}
