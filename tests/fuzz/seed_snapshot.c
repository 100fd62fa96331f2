/* SPDX-License-Identifier: Apache-2.0 */
/* seed_snapshot DIR: writes DIR/{store,inline,overflow}: small files of etcd. */
#include "base/file.h"
#include "bolt_image.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void put(int dir, const char *name, const struct image *image, size_t pages)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    struct kt_error err = KT_ERROR_INIT;
    if (kt_file_replace(dir, name, KT_SLICE(image->bytes, pages * IMAGE_PAGE), &attrs, &err))
        return;
    fprintf(stderr, "seed_snapshot: %s: %s\n", name, err.message);
    exit(EXIT_FAILURE);
}

/* A bucket that is so small that its page is its value. */
static void make_inline(struct image *ret)
{
    static uint8_t rooms[2][512], value[16 + 1024];
    struct image_item bucket, item;
    struct image page = {.bytes = {0}};
    memset(ret, 0, sizeof(*ret));
    image_revision(&item, 2, "/registry/a/1", "{\"a\":1}", rooms[0]);
    image_page(&page, 0, IMAGE_LEAF, 0, &item, 1);
    image_bucket(&bucket, "key", 0, value);
    memcpy(value + 16, page.bytes, 200);
    bucket.value_len = 216;
    image_page(ret, 2, IMAGE_LEAF, 0, &bucket, 1);
    image_meta(ret, 2, 3);
}

/* A leaf of two pages. */
static void make_overflow(struct image *ret)
{
    static uint8_t rooms[6][512];
    char value[301];
    struct image_item bucket, items[5];
    memset(ret, 0, sizeof(*ret));
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    image_bucket(&bucket, "key", 3, rooms[0]);
    image_page(ret, 2, IMAGE_LEAF, 0, &bucket, 1);
    for (unsigned i = 0; i < 5; i++)
        image_revision(&items[i], 2 + i, "/registry/a/1", i == 3 ? NULL : value, rooms[1 + i]);
    image_page(ret, 3, IMAGE_LEAF, 1, items, 5);
    image_meta(ret, 2, 5);
}

int main(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    struct image image;
    KT_CLEANUP(kt_fd_close_p) int dir = argc == 2 ? kt_dir_open(AT_FDCWD, argv[1], &err) : -1;
    if (dir < 0) {
        fprintf(stderr, "usage: seed_snapshot DIR\n");
        return 2;
    }
    image_store(&image);
    put(dir, "store", &image, 8);
    make_inline(&image);
    put(dir, "inline", &image, 3);
    make_overflow(&image);
    put(dir, "overflow", &image, 5);
    return 0;
}
