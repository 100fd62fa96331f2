/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/rotation_run.h"
#include "admin/under_way.h"
#include "base/clock.h"
#include "base/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define NS_PER_S     UINT64_C(1000000000)
#define SAY_NS       (5 * NS_PER_S)
#define TELL_NS      (NS_PER_S / 2)
#define LINE_MAX_LEN 1200u

static size_t columns(void)
{
    struct winsize size = {.ws_col = 0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

/* Cut between characters. */
static size_t cut(const char *text, size_t max)
{
    size_t len = strlen(text);
    if (len <= max)
        return len;
    for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0u) == 0x80u;)
        len--;
    return len;
}

static void show(struct kt_progress *progress, const char *text)
{
    if (!progress->terminal) {
        fprintf(stderr, "keyturn: %s\n", text);
        return;
    }
    fprintf(stderr, "\r\033[K%.*s", (int)cut(text, columns() - 1), text);
    fflush(stderr);
    progress->shown = true;
}

static bool is_another(const struct kt_progress *progress, const struct kt_next *next)
{
    return progress->since_ns == 0 || progress->step != next->step || progress->gate != next->gate ||
           progress->subject != next->subject;
}

static void tell(const struct kt_rotation *rotation, json_t *what)
{
    if (what)
        kt_under_way_tell(rotation->lock, what);
    json_decref(what);
}

static void tell_wait(const struct kt_rotation *rotation)
{
    tell(rotation, json_pack("{s:s,s:o}", "command", kt_rotation_name(rotation), "waitsFor",
                             kt_json_text(rotation->waits_for.message)));
}

void kt_progress_wait(struct kt_rotation *rotation)
{
    struct kt_progress *progress = &rotation->progress;
    const struct kt_next *next = &rotation->next;
    uint64_t now = kt_clock_monotonic_ns();
    char line[LINE_MAX_LEN];
    const struct kt_error *why = &rotation->waits_for;
    if (is_another(progress, next)) {
        progress->step = next->step;
        progress->gate = next->gate;
        progress->subject = next->subject;
        progress->since_ns = now;
        progress->said_ns = 0;
    }
    tell_wait(rotation);
    if (progress->quiet || (!progress->terminal && progress->said_ns > 0 && now - progress->said_ns < SAY_NS))
        return;
    snprintf(line, sizeof(line), "waiting for %" PRIu64 " s: %s%s%s", (now - progress->since_ns) / NS_PER_S,
             why->message, why->hint[0] ? "; " : "", why->hint);
    progress->said_ns = now;
    show(progress, KT_PRINTABLE(line));
}

void kt_progress_wrote(struct kt_rotation *rotation)
{
    const struct kt_rotation_done *done = &rotation->done[rotation->n_done > 0 ? rotation->n_done - 1 : 0];
    if (rotation->progress.quiet)
        return;
    kt_progress_end(&rotation->progress);
    fprintf(stderr, "keyturn: generation %" PRIu64 ": %s\n", done->generation, done->change);
}

/* Objects a second, since it began. */
static double rate_of(const struct kt_rotation *rotation, const struct kt_rewriter_progress *now)
{
    uint64_t took = kt_clock_monotonic_ns() - rotation->progress.since_ns;
    return took > 0 ? (double)now->ended * (double)NS_PER_S / (double)took : 0;
}

static double seconds_left(const struct kt_rewriter_progress *now, double rate)
{
    return rate > 0 ? (double)(now->n - now->ended) / rate : 0;
}

static void tell_rewrite(const struct kt_rotation *rotation, const struct kt_rewriter_progress *now)
{
    double rate = rate_of(rotation, now);
    tell(rotation, json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "command", kt_rotation_name(rotation), "objects",
                             (json_int_t)now->n, "ended", (json_int_t)now->ended, "failed", (json_int_t)now->failed,
                             "rate", (json_int_t)rate, "secondsLeft", (json_int_t)seconds_left(now, rate)));
}

/* A bar, the rate, the time that is left at that rate. */
static void rewrite_line(const struct kt_rotation *rotation, const struct kt_rewriter_progress *now, char *ret,
                         size_t cap)
{
    static const char bar[] = "########################";
    const size_t width = sizeof(bar) - 1;
    double rate = rate_of(rotation, now), left = seconds_left(now, rate);
    size_t done = now->n > 0 ? now->ended * width / now->n : width;
    if (rotation->progress.terminal)
        snprintf(ret, cap, "rewriting [%.*s%*s] %zu of %zu, %.0f/s, %.0f s left", (int)done, bar, (int)(width - done),
                 "", now->ended, now->n, rate, left);
    else
        snprintf(ret, cap, "rewriting: %zu of %zu objects, %zu failed, %.0f/s, %.0f s left", now->ended, now->n,
                 now->failed, rate, left);
}

void kt_progress_rewrite(struct kt_rotation *rotation, const struct kt_rewriter_progress *now)
{
    struct kt_progress *progress = &rotation->progress;
    uint64_t clock = kt_clock_monotonic_ns();
    char line[LINE_MAX_LEN];
    if (is_another(progress, &rotation->next)) {
        progress->step = rotation->next.step;
        progress->gate = rotation->next.gate;
        progress->subject = rotation->next.subject;
        progress->since_ns = clock;
        progress->said_ns = progress->terminal ? 0 : clock;
        progress->told_ns = 0;
    }
    if (clock - progress->told_ns >= TELL_NS) {
        progress->told_ns = clock;
        tell_rewrite(rotation, now);
    }
    uint64_t pace = progress->terminal ? SAY_NS / 25 : SAY_NS;
    if (progress->quiet || clock - progress->said_ns < pace)
        return;
    progress->said_ns = clock;
    rewrite_line(rotation, now, line, sizeof(line));
    show(progress, line);
}

void kt_progress_say(struct kt_progress *progress, const char *what, const char *words)
{
    if (progress->quiet)
        return;
    kt_progress_end(progress);
    fprintf(stderr, "keyturn: %s: %s\n", KT_PRINTABLE(what), words);
}

void kt_progress_end(struct kt_progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
