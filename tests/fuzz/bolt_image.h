/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of etcd, made page by page, right or wrong: for the unit tests and as seeds. Pages of 1 KiB. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define IMAGE_PAGE  1024u
#define IMAGE_PAGES 16u

enum { IMAGE_BRANCH = 1, IMAGE_LEAF = 2 };

struct image {
    uint8_t bytes[IMAGE_PAGES * IMAGE_PAGE];
};
/* One thing of a page: of a leaf, a key and a value (bucket: one that is a bucket); of a branch, a key and a page. */
struct image_item {
    uint8_t key[32];
    size_t key_len;
    const uint8_t *value;
    size_t value_len;
    int bucket;
    uint64_t child;
};

/* Both meta pages; the second is the newer one. Their checksums are right: again after they were altered. */
void image_meta(struct image *image, uint64_t root, uint64_t high_water);
void image_sum(uint8_t *bytes, size_t size);
/* Into page id, with its overflow; the values of a leaf stand behind each other. */
void image_page(struct image *image, uint64_t id, int flags, uint32_t overflow, const struct image_item *items,
                size_t n);
/* A bucket's value: its root. */
void image_bucket(struct image_item *item, const char *name, uint64_t root, uint8_t room[16]);
/* What etcd keeps of one revision; value NULL: it was deleted. room: what item->value points to. */
void image_revision(struct image_item *item, uint64_t revision, const char *key, const char *value, uint8_t room[512]);

/* Page 2: the bucket of buckets; page 3: "key", a branch of pages 4 and 5. In it, at revision 9: /registry/a/1 (written
 * at 2 and 5), /registry/a/2 (at 3, deleted at 6), /registry/b/1 (at 4), /other/1 (at 7), /registry/b/2 (at 9). */
void image_store(struct image *image);
