/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libyaml gets to read: the text, in the portions in which go-yaml reads, and with stand-ins for the few
 * characters that the two take differently (measured: tests/oracle). One stands for one, so libyaml's marks, which
 * count characters, still fit the text. Private to source*.c.
 *
 * U+FEFF    is a blank at the start of a line for libyaml, and a character like any other for go-yaml: wherever it is
 * , [ ]     belong to a tag without <> for go-yaml: where a tag is followed by one
 * \'        is an escape of go-yaml alone (the stand-in for \ becomes nothing): where libyaml complains of one
 * :         belongs to a plain scalar in flow style also before , ? [ ] { }: where libyaml complains of one
 */
#pragma once

#include "base/buf.h"

#include <yaml.h>

/* A file with more than so many places of the last three kinds is refused; nobody writes one. */
#define KT_FEED_SWAPS_MAX 64u

struct kt_feed {
    struct kt_slice text;
    size_t first; /* where reading starts: behind a byte order mark */
    size_t portion;
    size_t given; /* bytes of the text that libyaml has */
    /* Characters of the text's private use area (U+E000..) that it does not have. */
    uint32_t for_mark;
    uint32_t for_colon;
    uint32_t for_escape;
    size_t swaps[KT_FEED_SWAPS_MAX]; /* offsets, in order */
    size_t n_swaps;
    const yaml_parser_t *parser;
};

/* False: the text has every character of the private use area. */
bool kt_feed_init(struct kt_feed *feed, struct kt_slice text, size_t first, size_t portion) KT_MUST_CHECK;
/* Makes the parser read it, from the start. */
void kt_feed_start(struct kt_feed *feed, yaml_parser_t *parser);
/* The character there is , [ ] : or a backslash: gives it a stand-in for the next start. False: it is none, or has one,
 * or there are too many. */
bool kt_feed_swap(struct kt_feed *feed, size_t offset) KT_MUST_CHECK;
bool kt_feed_is_swapped(const struct kt_feed *feed, size_t offset);
/* In a scalar's content: stand-ins become what they stand for; returns the new length. */
size_t kt_feed_restore(const struct kt_feed *feed, char *text, size_t len);
