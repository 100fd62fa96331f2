/* SPDX-License-Identifier: Apache-2.0 */
#include "base/attrs.h"
#include "base/printable.h"
#include "unit.h"

#include <stdbool.h>
#include <string.h>

static const struct {
    const char *text;
    const char *shown;
} CASES[] = {
    {"", ""},
    {"plain /path: \"quoted\" \\ back", "plain /path: \"quoted\" \\ back"},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91"},
    {"a\nb\r\tc", "a\\nb\\r\\tc"},
    {"\x1b]0;title\a\x7f", "\\u001b]0;title\\u0007\\u007f"},
    {"\xc2\x9bm", "\\u009bm"}, /* CSI in one character */
    {"\xff", "\xef\xbf\xbd"},
    {"\x9bm", "\xef\xbf\xbdm"},
    {"\xc3(", "\xef\xbf\xbd("},
    {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
    {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
};

static void text_is_made_printable(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++)
        assert_string_equal(KT_PRINTABLE(CASES[i].text), CASES[i].shown);
}

static void what_is_printable_stays_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(CASES); i++)
        assert_string_equal(KT_PRINTABLE(CASES[i].shown), CASES[i].shown);
}

/* Characters and escapes of each length, against each number of bytes that is still free. */
static void what_does_not_fit_is_cut_behind_a_whole_character(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        size_t shown;
    } PIECES[] = {{"x", 1}, {"\n", 2}, {"\xc3\xa9", 2}, {"\xff", 3}, {"\xf0\x9f\x94\x91", 4}, {"\x1b", 6}};
    static char text[2 * KT_PRINTABLE_MAX];
    for (size_t i = 0; i < KT_ARRAY_LEN(PIECES); i++) {
        for (size_t free_bytes = 0; free_bytes < 8; free_bytes++) {
            size_t len = KT_PRINTABLE_MAX - 1 - free_bytes;
            bool fits = PIECES[i].shown <= free_bytes;
            memset(text, 'a', len);
            memcpy(text + len, PIECES[i].piece, strlen(PIECES[i].piece) + 1);
            assert_int_equal(strlen(KT_PRINTABLE(text)), len + (fits ? PIECES[i].shown : 0));
        }
    }
}

static void words_of_a_command_are_quoted_where_they_need_it(void **state)
{
    static const struct {
        const char *text;
        const char *word;
    } WORDS[] = {
        {"/var/lib/keyturn-1.x_y/a@b+c%d:e,f", "/var/lib/keyturn-1.x_y/a@b+c%d:e,f"},
        {"", "''"},
        {"a b", "'a b'"},
        {"a&b", "'a&b'"},
        {"$(id)`id`\"\\", "'$(id)`id`\"\\'"},
        {"it's", "'it'\\''s'"},
        {"'", "''\\'''"},
        {"~x", "'~x'"},
        {"=x", "'=x'"},
        {"*?[!{", "'*?[!{'"},
        {"-x", "./-x"},
        {"- x", "'./- x'"},
        {"\xc3\xa9", "'\xc3\xa9'"},
        {"a\nb", "$'a\\012b'"},
        {"\x1b[2J'\\1", "$'\\033[2J\\'\\\\1'"},
        {"\xff\xc2\x9b\xc3\xa9", "$'\\377\\302\\233\xc3\xa9'"},
    };
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(WORDS); i++) {
        assert_string_equal(KT_SHELL(WORDS[i].text), WORDS[i].word);
        assert_string_equal(KT_PRINTABLE(KT_SHELL(WORDS[i].text)), WORDS[i].word);
    }
}

/* Never a part of a word, nor a quote without its end. */
static void a_word_that_does_not_fit_is_none(void **state)
{
    static const char *const PIECES[] = {"x", "'", "\n", " "};
    static char text[KT_PRINTABLE_MAX + 8];
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(PIECES); i++) {
        size_t whole = 0;
        for (size_t len = KT_PRINTABLE_MAX - 12; len < KT_PRINTABLE_MAX + 1; len++) {
            memset(text, 'a', len);
            memcpy(text + len, PIECES[i], 2);
            const char *word = KT_SHELL(text);
            bool fits = strlen(word) > len;
            assert_true(fits || strcmp(word, "'...'") == 0);
            assert_true(strlen(word) < KT_PRINTABLE_MAX);
            whole += fits;
        }
        assert_in_range(whole, 1, 12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_made_printable),
        cmocka_unit_test(what_is_printable_stays_so),
        cmocka_unit_test(what_does_not_fit_is_cut_behind_a_whole_character),
        cmocka_unit_test(words_of_a_command_are_quoted_where_they_need_it),
        cmocka_unit_test(a_word_that_does_not_fit_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
