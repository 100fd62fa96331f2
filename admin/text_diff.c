/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/text_diff.h"

#include "base/printable.h"

#include <stdlib.h>
#include <string.h>

#define AROUND 3u

struct lines {
    struct kt_slice *items; /* with their line breaks */
    size_t n;
};

struct diff {
    struct lines before;
    struct lines after;
    size_t head; /* lines that both begin with */
    size_t tail; /* that both end with */
    char *marks; /* one for each line of the answer: ' ', '-', '+' */
    size_t n_marks;
};

static void diff_done(struct diff *diff)
{
    free(diff->before.items);
    free(diff->after.items);
    free(diff->marks);
}

static bool split(struct kt_slice text, struct lines *ret)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    ret->items = calloc(n, sizeof(*ret->items));
    for (size_t start = 0; ret->items && start < text.len;) {
        const uint8_t *end = memchr(text.data + start, '\n', text.len - start);
        size_t len = end ? (size_t)(end - (text.data + start)) + 1 : text.len - start;
        ret->items[ret->n++] = KT_SLICE(text.data + start, len);
        start += len;
    }
    return ret->items;
}

static bool same(const struct diff *diff, size_t before, size_t after)
{
    return kt_slice_equal(diff->before.items[before], diff->after.items[after]);
}

static void trim(struct diff *diff)
{
    size_t least = diff->before.n < diff->after.n ? diff->before.n : diff->after.n;
    while (diff->head < least && same(diff, diff->head, diff->head))
        diff->head++;
    while (diff->tail < least - diff->head &&
           same(diff, diff->before.n - 1 - diff->tail, diff->after.n - 1 - diff->tail))
        diff->tail++;
}

static void mark(struct diff *diff, char c, size_t n)
{
    memset(diff->marks + diff->n_marks, c, n);
    diff->n_marks += n;
}

/* common[i][k]: how many lines the rests from i and from k on can share. */
static bool mark_middle(struct diff *diff, size_t n, size_t m)
{
    uint32_t *common = calloc((n + 1) * (m + 1), sizeof(*common));
    size_t i = 0;
    size_t k = 0;
    if (!common)
        return false;
    for (size_t a = n; a-- > 0;)
        for (size_t b = m; b-- > 0;) {
            uint32_t down = common[(a + 1) * (m + 1) + b];
            uint32_t right = common[a * (m + 1) + b + 1];
            common[a * (m + 1) + b] = same(diff, diff->head + a, diff->head + b) ? common[(a + 1) * (m + 1) + b + 1] + 1
                                      : down > right                             ? down
                                                                                 : right;
        }
    while (i < n || k < m) {
        bool both = i < n && k < m && same(diff, diff->head + i, diff->head + k);
        bool take = i < n && (k == m || common[(i + 1) * (m + 1) + k] >= common[i * (m + 1) + k + 1]);
        mark(diff, both ? ' ' : take ? '-' : '+', 1);
        i += both || take;
        k += both || !take;
    }
    free(common);
    return true;
}

static bool mark_lines(struct diff *diff)
{
    size_t n = diff->before.n - diff->head - diff->tail;
    size_t m = diff->after.n - diff->head - diff->tail;
    diff->marks = malloc(diff->before.n + diff->after.n + 1);
    if (!diff->marks)
        return false;
    mark(diff, ' ', diff->head);
    if (m > 0 && n > KT_TEXT_DIFF_CELLS_MAX / m) {
        mark(diff, '-', n);
        mark(diff, '+', m);
    } else if (!mark_middle(diff, n, m)) {
        return false;
    }
    mark(diff, ' ', diff->tail);
    return true;
}

static void put_line(char c, struct kt_slice line, struct kt_text *out)
{
    bool is_whole = line.len > 0 && line.data[line.len - 1] == '\n';
    size_t end = line.len - is_whole;
    kt_text_add(out, "%c", c);
    for (size_t at = 0; at < end;) {
        char copy[1024] = "";
        size_t len = end - at < sizeof(copy) - 1 ? end - at : sizeof(copy) - 1;
        while (at + len < end && len > 1 && (line.data[at + len] & 0xc0) == 0x80)
            len--;
        memcpy(copy, line.data + at, len);
        kt_text_add(out, "%s", KT_PRINTABLE(copy));
        at += len;
    }
    kt_text_add(out, is_whole ? "\n" : "\n\\ No newline at end of file\n");
}

/* Lines from `from` on that make one hunk: up to where more than twice AROUND of them are in both. */
static size_t hunk_end(const struct diff *diff, size_t from)
{
    size_t last = from;
    for (size_t i = from; i < diff->n_marks && i - last <= 2 * AROUND + 1; i++)
        last = diff->marks[i] != ' ' ? i : last;
    return last + 1 + AROUND < diff->n_marks ? last + 1 + AROUND : diff->n_marks;
}

static size_t count(const struct diff *diff, size_t from, size_t end, char other)
{
    size_t n = 0;
    for (size_t i = from; i < end; i++)
        n += diff->marks[i] != other;
    return n;
}

static void put_hunk(const struct diff *diff, size_t from, size_t end, struct kt_text *out)
{
    size_t before = count(diff, 0, from, '+');
    size_t after = count(diff, 0, from, '-');
    size_t n = count(diff, from, end, '+');
    size_t m = count(diff, from, end, '-');
    kt_text_add(out, "@@ -%zu,%zu +%zu,%zu @@\n", before + (n > 0), n, after + (m > 0), m);
    for (size_t i = from; i < end; i++) {
        char c = diff->marks[i];
        put_line(c, c == '+' ? diff->after.items[after] : diff->before.items[before], out);
        before += c != '+';
        after += c != '-';
    }
}

bool kt_text_diff(struct kt_slice before, struct kt_slice after, struct kt_text *out)
{
    KT_CLEANUP(diff_done) struct diff diff = {.head = 0};
    if (!split(before, &diff.before) || !split(after, &diff.after))
        return false;
    trim(&diff);
    if (!mark_lines(&diff))
        return false;
    for (size_t i = 0; i < diff.n_marks; i++) {
        if (diff.marks[i] == ' ')
            continue;
        size_t end = hunk_end(&diff, i);
        put_hunk(&diff, i > AROUND ? i - AROUND : 0, end, out);
        i = end - 1;
    }
    return true;
}
