/* SPDX-License-Identifier: Apache-2.0 */
#include "bolt_image.h"

#include <endian.h>
#include <string.h>

static void put16(uint8_t *at, uint16_t v)
{
    v = htole16(v);
    memcpy(at, &v, sizeof(v));
}

static void put32(uint8_t *at, uint32_t v)
{
    v = htole32(v);
    memcpy(at, &v, sizeof(v));
}

static void put64(uint8_t *at, uint64_t v)
{
    v = htole64(v);
    memcpy(at, &v, sizeof(v));
}

void image_sum(uint8_t *bytes, size_t size)
{
    for (size_t page = 0; page < 2; page++) {
        uint8_t *meta = bytes + page * IMAGE_PAGE + 16;
        uint64_t sum = UINT64_C(14695981039346656037);
        if (size < page * IMAGE_PAGE + 80)
            return;
        for (size_t i = 0; i < 56; i++)
            sum = (sum ^ meta[i]) * UINT64_C(1099511628211);
        put64(meta + 56, sum);
    }
}

void image_meta(struct image *image, uint64_t root, uint64_t high_water)
{
    for (uint64_t page = 0; page < 2; page++) {
        uint8_t *at = image->bytes + page * IMAGE_PAGE, *meta = at + 16;
        memset(at, 0, IMAGE_PAGE);
        put64(at, page);
        put16(at + 8, 4);
        put32(meta, 0xED0CDAED);
        put32(meta + 4, 2);
        put32(meta + 8, IMAGE_PAGE);
        put64(meta + 16, root);
        put64(meta + 32, UINT64_MAX);
        put64(meta + 40, high_water);
        put64(meta + 48, 7 + page);
    }
    image_sum(image->bytes, sizeof(image->bytes));
}

void image_page(struct image *image, uint64_t id, int flags, uint32_t overflow, const struct image_item *items,
                size_t n)
{
    uint8_t *page = image->bytes + id * IMAGE_PAGE;
    size_t at = 16 + 16 * n;
    memset(page, 0, (overflow + 1) * IMAGE_PAGE);
    put64(page, id);
    put16(page + 8, (uint16_t)flags);
    put16(page + 10, (uint16_t)n);
    put32(page + 12, overflow);
    for (size_t i = 0; i < n; i++) {
        uint8_t *element = page + 16 + 16 * i;
        uint32_t pos = (uint32_t)(at - 16 - 16 * i);
        if (flags == IMAGE_BRANCH) {
            put32(element, pos);
            put32(element + 4, (uint32_t)items[i].key_len);
            put64(element + 8, items[i].child);
        } else {
            put32(element, items[i].bucket ? 1 : 0);
            put32(element + 4, pos);
            put32(element + 8, (uint32_t)items[i].key_len);
            put32(element + 12, (uint32_t)items[i].value_len);
        }
        memcpy(page + at, items[i].key, items[i].key_len);
        at += items[i].key_len;
        if (flags != IMAGE_BRANCH && items[i].value_len > 0)
            memcpy(page + at, items[i].value, items[i].value_len);
        at += flags == IMAGE_BRANCH ? 0 : items[i].value_len;
    }
}

void image_bucket(struct image_item *item, const char *name, uint64_t root, uint8_t room[16])
{
    memset(room, 0, 16);
    put64(room, root);
    *item = (struct image_item){.key_len = strlen(name), .value = room, .value_len = 16, .bucket = 1};
    memcpy(item->key, name, item->key_len);
}

static size_t put_field(uint8_t *at, uint8_t number, const char *text)
{
    size_t len = strlen(text), n = 0;
    at[n++] = (uint8_t)(number << 3 | 2);
    at[n++] = (uint8_t)(len & 0x7f) | 0x80;
    at[n++] = (uint8_t)(len >> 7);
    memcpy(at + n, text, len);
    return n + len;
}

void image_revision(struct image_item *item, uint64_t revision, const char *key, const char *value, uint8_t room[512])
{
    size_t n = put_field(room, 1, key);
    *item = (struct image_item){.key_len = value ? 17 : 18, .value = room};
    for (size_t i = 0; i < 8; i++)
        item->key[i] = (uint8_t)(revision >> (56 - 8 * i));
    item->key[8] = '_';
    item->key[17] = 't';
    if (value) {
        uint8_t numbers[] = {2 << 3, (uint8_t)revision, 3 << 3, (uint8_t)revision, 4 << 3, 1};
        memcpy(room + n, numbers, sizeof(numbers));
        n += sizeof(numbers);
        n += put_field(room + n, 5, value);
    }
    item->value_len = n;
}

void image_store(struct image *image)
{
    static uint8_t rooms[8][512];
    struct image_item root[2], low[4], high[3], branch[2];
    memset(image, 0, sizeof(*image));
    image_bucket(&root[0], "key", 3, rooms[0]);
    image_bucket(&root[1], "meta", 6, rooms[1]);
    image_page(image, 2, IMAGE_LEAF, 0, root, 2);
    image_revision(&low[0], 2, "/registry/a/1", "k8s:enc:aescbc:v1:old:", rooms[0]);
    image_revision(&low[1], 3, "/registry/a/2", "{\"a\":2}", rooms[1]);
    image_revision(&low[2], 4, "/registry/b/1", "{\"b\":1}", rooms[2]);
    image_revision(&low[3], 5, "/registry/a/1", "{\"a\":1}", rooms[3]);
    image_revision(&high[0], 6, "/registry/a/2", NULL, rooms[4]);
    image_revision(&high[1], 7, "/other/1", "x", rooms[5]);
    image_revision(&high[2], 9, "/registry/b/2", "{\"b\":2}", rooms[6]);
    image_page(image, 4, IMAGE_LEAF, 0, low, 4);
    image_page(image, 5, IMAGE_LEAF, 0, high, 3);
    image_page(image, 6, IMAGE_LEAF, 0, NULL, 0);
    branch[0] = low[0];
    branch[1] = high[0];
    branch[0].child = 4;
    branch[1].child = 5;
    image_page(image, 3, IMAGE_BRANCH, 0, branch, 2);
    image_meta(image, 2, 8);
}
