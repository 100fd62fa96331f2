/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/source_feed.h"

#include <string.h>

#define WIDTH        3u /* of U+FEFF and the private use area in UTF-8 */
#define PRIVATE_LOW  0xe000u
#define PRIVATE_HIGH 0xf8ffu
#define IN_TAG       '~' /* no tag that means something has it */

static const uint8_t mark[WIDTH] = {0xef, 0xbb, 0xbf};

static uint32_t decode(const uint8_t *at)
{
    return (uint32_t)(at[0] & 0x0f) << 12 | (uint32_t)(at[1] & 0x3f) << 6 | (at[2] & 0x3f);
}

static void encode(uint32_t character, uint8_t ret[WIDTH])
{
    ret[0] = (uint8_t)(0xe0 | character >> 12);
    ret[1] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
    ret[2] = (uint8_t)(0x80 | (character & 0x3f));
}

/* The lowest that the text does not have, from `low` on; 0: none. */
static uint32_t find_free(struct kt_slice text, uint32_t low)
{
    uint8_t taken[(PRIVATE_HIGH - PRIVATE_LOW + 8) / 8] = {0};
    for (size_t i = 0; i + WIDTH <= text.len; i++) {
        uint32_t c = (text.data[i] & 0xf0) == 0xe0 ? decode(text.data + i) : 0;
        if (c >= PRIVATE_LOW && c <= PRIVATE_HIGH)
            taken[(c - PRIVATE_LOW) / 8] |= (uint8_t)(1u << c % 8);
    }
    for (uint32_t c = low; c <= PRIVATE_HIGH; c++)
        if (!(taken[(c - PRIVATE_LOW) / 8] & 1u << c % 8))
            return c;
    return 0;
}

bool kt_feed_init(struct kt_feed *feed, struct kt_slice text, size_t first, size_t portion)
{
    *feed = (struct kt_feed){.text = text, .first = first, .portion = portion};
    feed->for_mark = find_free(text, PRIVATE_LOW);
    feed->for_colon = feed->for_mark ? find_free(text, feed->for_mark + 1) : 0;
    feed->for_escape = feed->for_colon ? find_free(text, feed->for_colon + 1) : 0;
    return feed->for_escape != 0;
}

/* Which byte of U+FEFF this is; WIDTH: none. One right behind the byte order mark is a blank for go-yaml too. */
static size_t byte_of_mark(const struct kt_feed *feed, size_t offset)
{
    const size_t first = feed->first + (feed->first > 0);
    for (size_t k = 0; k < WIDTH; k++)
        if (offset >= first + k && offset - k + WIDTH <= feed->text.len &&
            memcmp(feed->text.data + offset - k, mark, WIDTH) == 0)
            return k;
    return WIDTH;
}

bool kt_feed_is_swapped(const struct kt_feed *feed, size_t offset)
{
    size_t low = 0;
    for (size_t high = feed->n_swaps; low < high;) {
        size_t middle = (low + high) / 2;
        if (feed->swaps[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < feed->n_swaps && feed->swaps[low] == offset;
}

static size_t put(const struct kt_feed *feed, size_t offset, uint8_t *ret)
{
    uint8_t wide[WIDTH];
    uint8_t c = feed->text.data[offset];
    size_t k = c >= 0x80 ? byte_of_mark(feed, offset) : WIDTH;
    *ret = c;
    if (k < WIDTH) {
        encode(feed->for_mark, wide);
        *ret = wide[k];
        return 1;
    }
    if (!kt_feed_is_swapped(feed, offset))
        return 1;
    *ret = IN_TAG;
    if (c != ':' && c != '\\')
        return 1;
    encode(c == ':' ? feed->for_colon : feed->for_escape, ret);
    return WIDTH;
}

static int read_portion(void *data, unsigned char *buffer, size_t size, size_t *ret_read)
{
    struct kt_feed *feed = data;
    /* What is left of a character that was cut counts as read anew. */
    const size_t left = (size_t)(feed->parser->raw_buffer.end - feed->parser->raw_buffer.start) - size;
    size_t n = left < feed->portion ? feed->portion - left : 0;
    *ret_read = 0;
    for (; n > 0 && feed->given < feed->text.len && *ret_read + WIDTH <= size; n--)
        *ret_read += put(feed, feed->given++, buffer + *ret_read);
    return 1;
}

void kt_feed_start(struct kt_feed *feed, yaml_parser_t *parser)
{
    feed->given = feed->first;
    feed->parser = parser;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input(parser, read_portion, feed);
}

bool kt_feed_swap(struct kt_feed *feed, size_t offset)
{
    if (offset >= feed->text.len || !feed->text.data[offset] || !strchr(",[]:\\", feed->text.data[offset]) ||
        kt_feed_is_swapped(feed, offset) || feed->n_swaps == KT_FEED_SWAPS_MAX)
        return false;
    size_t i = feed->n_swaps++;
    for (; i > 0 && feed->swaps[i - 1] > offset; i--)
        feed->swaps[i] = feed->swaps[i - 1];
    feed->swaps[i] = offset;
    return true;
}

size_t kt_feed_restore(const struct kt_feed *feed, char *text, size_t len)
{
    const struct {
        uint32_t stands;
        const char *meant;
    } all[] = {{feed->for_mark, "\xef\xbb\xbf"}, {feed->for_colon, ":"}, {feed->for_escape, ""}};
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        const uint8_t *at = (const uint8_t *)text + i;
        uint32_t c = len - i >= WIDTH && (*at & 0xf0) == 0xe0 ? decode(at) : 0;
        size_t k = 0;
        while (k < KT_ARRAY_LEN(all) && all[k].stands != c)
            k++;
        if (k == KT_ARRAY_LEN(all)) {
            text[n++] = text[i++];
            continue;
        }
        memcpy(text + n, all[k].meant, strlen(all[k].meant));
        n += strlen(all[k].meant);
        i += WIDTH;
    }
    text[n] = '\0';
    return n;
}
