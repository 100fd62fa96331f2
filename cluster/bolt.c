/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/bolt.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC          0xED0CDAEDu
#define VERSION        2u
#define HEADER         16u /* id, flags, count, overflow */
#define ELEMENT        16u /* a leaf's: flags, pos, ksize, vsize; a branch's: pos, ksize, page */
#define BUCKET         16u /* root, sequence; the page of a small one stands behind it */
#define META           64u
#define META_SUM       56u /* what the checksum is of */
#define PAGE_SIZE_MIN  1024u
#define PAGE_SIZE_MAX  65536u
#define ELEMENT_BUCKET 1u

enum { FLAG_BRANCH = 0x01, FLAG_LEAF = 0x02, FLAG_META = 0x04 };

/* ---- numbers ---- */

static uint16_t u16_at(const uint8_t *at)
{
    uint16_t v = 0;
    memcpy(&v, at, sizeof(v));
    return le16toh(v);
}

static uint32_t u32_at(const uint8_t *at)
{
    uint32_t v = 0;
    memcpy(&v, at, sizeof(v));
    return le32toh(v);
}

static uint64_t u64_at(const uint8_t *at)
{
    uint64_t v = 0;
    memcpy(&v, at, sizeof(v));
    return le64toh(v);
}

static uint64_t fnv1a(const uint8_t *bytes, size_t n)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    return sum;
}

static bool fail_page(uint64_t id, const char *found, struct kt_error *err)
{
    return kt_fail(err, KT_E_IO, "damaged: page %" PRIu64 " has %s", id, found);
}

static bool read_at(const struct kt_bolt *bolt, uint64_t at, uint8_t *ret, size_t n, struct kt_error *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(bolt->fd, ret + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return kt_fail_errno(err, KT_E_IO, "reading at %" PRIu64, at + done);
        if (got == 0)
            return kt_fail(err, KT_E_IO, "damaged: it ends at %" PRIu64 ", in the middle of a page", at + done);
        done += (size_t)got;
    }
    return true;
}

/* ---- the meta pages ---- */

struct meta {
    bool good;
    struct kt_bolt bolt;
};

static bool take_meta(const struct kt_bolt *bolt, const uint8_t page[HEADER + META], struct meta *ret)
{
    const uint8_t *meta = page + HEADER;
    *ret = (struct meta){.bolt = *bolt};
    ret->bolt.page_size = u32_at(meta + 8);
    ret->bolt.root = u64_at(meta + 16);
    ret->bolt.high_water = u64_at(meta + 40);
    ret->bolt.txid = u64_at(meta + 48);
    uint32_t size = ret->bolt.page_size;
    ret->good = (u16_at(page + 8) & FLAG_META) != 0 && u32_at(meta) == MAGIC && u32_at(meta + 4) == VERSION &&
                u64_at(meta + META_SUM) == fnv1a(meta, META_SUM) && size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX &&
                (size & (size - 1)) == 0;
    return ret->good;
}

static bool read_meta(const struct kt_bolt *bolt, uint64_t at, struct meta *ret, struct kt_error *err)
{
    uint8_t page[HEADER + META] = {0};
    *ret = (struct meta){.good = false};
    if (at + sizeof(page) > bolt->size)
        return true;
    if (!read_at(bolt, at, page, sizeof(page), err))
        return false;
    if (u32_at(page + HEADER) == __builtin_bswap32(MAGIC))
        return kt_fail(err, KT_E_UNSUPPORTED, "written on a host of the other byte order");
    (void)take_meta(bolt, page, ret);
    return true;
}

/* The second one stands behind the first; where that is damaged, how long it is has to be tried. */
static bool read_second(const struct kt_bolt *bolt, const struct meta *first, struct meta *ret, struct kt_error *err)
{
    if (first->good)
        return read_meta(bolt, first->bolt.page_size, ret, err);
    *ret = (struct meta){.good = false};
    for (uint32_t at = PAGE_SIZE_MIN; !ret->good && at <= PAGE_SIZE_MAX; at *= 2) {
        if (!read_meta(bolt, at, ret, err))
            return false;
        ret->good = ret->good && ret->bolt.page_size == at;
    }
    return true;
}

bool kt_bolt_open(int fd, uint64_t size, struct kt_bolt *ret, struct kt_error *err)
{
    const struct kt_bolt bolt = {.fd = fd, .size = size};
    struct meta first = {.good = false}, second = {.good = false};
    if (!read_meta(&bolt, 0, &first, err) || !read_second(&bolt, &first, &second, err))
        return false;
    if (!first.good && !second.good)
        return kt_fail(err, KT_E_IO, "damaged, or no file of etcd: neither of its two meta pages is good");
    bool newer = second.good && (!first.good || second.bolt.txid > first.bolt.txid);
    struct kt_bolt found = newer ? second.bolt : first.bolt;
    if (found.root < 2 || found.high_water < 2 || found.high_water > size / found.page_size)
        return kt_fail(err, KT_E_IO,
                       "damaged: expected %" PRIu64 " pages of %" PRIu32 " bytes, found %" PRIu64 " bytes",
                       found.high_water, found.page_size, size);
    *ret = found;
    return true;
}

/* ---- a walk ---- */

struct walk {
    const struct kt_bolt *bolt;
    kt_bolt_visit *visit;
    void *context;
    bool buckets; /* they are what is looked for */
    uint64_t pages;
    size_t last_len;
    bool any; /* `last` holds the key that was visited last */
    uint8_t last[KT_BOLT_KEY_MAX];
    struct kt_bytes page[KT_BOLT_DEPTH_MAX]; /* one for each level */
};

static void walk_free(struct walk *walk)
{
    for (size_t i = 0; i < KT_BOLT_DEPTH_MAX; i++)
        kt_bytes_done(&walk->page[i]);
    free(walk);
}
KT_DEFINE_CLEANUP(struct walk *, walk_free);

/* At least so long; its bytes, or NULL. */
static uint8_t *make_room(struct kt_bytes *bytes, size_t len, struct kt_error *err)
{
    if (bytes->data && bytes->len >= len)
        return bytes->data;
    uint8_t *data = realloc(bytes->data, len);
    if (data)
        *bytes = (struct kt_bytes){.data = data, .len = len};
    else
        (void)kt_fail(err, KT_E_NOMEM, "out of memory");
    return data;
}

static bool read_page(struct walk *walk, uint64_t id, unsigned depth, struct kt_slice *ret, struct kt_error *err)
{
    const struct kt_bolt *bolt = walk->bolt;
    struct kt_bytes *room = &walk->page[depth];
    size_t size = bolt->page_size;
    if (id < 2 || id >= bolt->high_water)
        return kt_fail(err, KT_E_IO, "damaged: it refers to page %" PRIu64 ", which it does not have", id);
    if (++walk->pages > bolt->high_water)
        return kt_fail(err, KT_E_IO, "damaged: its pages refer to each other in a circle");
    uint8_t *page = make_room(room, size, err);
    if (!page || !read_at(bolt, id * size, page, size, err))
        return false;
    uint64_t overflow = u32_at(page + 12);
    if (u64_at(page) != id || overflow >= bolt->high_water - id || (overflow + 1) * size > KT_BOLT_PAGE_MAX)
        return fail_page(id, "another number, or is longer than the file", err);
    if (overflow > 0) {
        page = make_room(room, (size_t)(overflow + 1) * size, err);
        if (!page || !read_at(bolt, (id + 1) * size, page + size, (size_t)overflow * size, err))
            return false;
    }
    *ret = KT_SLICE(page, (size_t)(overflow + 1) * size);
    return true;
}

static bool fits(struct kt_slice page, uint64_t at, uint64_t len)
{
    return at <= page.len && len <= page.len - at;
}

static uint16_t count_of(struct kt_slice page)
{
    return u16_at(page.data + 10);
}

/* One element of a page. */
struct element {
    uint32_t flags;
    struct kt_slice key;
    struct kt_slice value;
    uint64_t child; /* of a branch */
};

static bool element_at(struct kt_slice page, bool branch, size_t index, struct element *ret)
{
    uint64_t at = HEADER + (uint64_t)index * ELEMENT;
    if (!fits(page, at, ELEMENT))
        return false;
    const uint8_t *element = page.data + at;
    uint64_t pos = at + u32_at(element + (branch ? 0 : 4)), key_len = u32_at(element + (branch ? 4 : 8));
    uint64_t value_len = branch ? 0 : u32_at(element + 12);
    if (key_len > KT_BOLT_KEY_MAX || pos < HEADER + (uint64_t)count_of(page) * ELEMENT ||
        !fits(page, pos, key_len + value_len))
        return false;
    *ret = (struct element){.flags = branch ? 0 : u32_at(element),
                            .key = KT_SLICE(page.data + pos, key_len),
                            .value = KT_SLICE(page.data + pos + key_len, value_len),
                            .child = branch ? u64_at(element + 8) : 0};
    return true;
}

static bool step_back(struct walk *walk, uint64_t id, struct kt_slice key, struct kt_error *err)
{
    if (walk->any && kt_slice_compare(key, KT_SLICE(walk->last, walk->last_len)) >= 0)
        return fail_page(id, "keys that are not in their order", err);
    if (key.len > 0)
        memcpy(walk->last, key.data, key.len);
    walk->last_len = key.len;
    walk->any = true;
    return true;
}

static bool walk_leaf(struct walk *walk, uint64_t id, struct kt_slice page, struct kt_error *err)
{
    for (size_t i = count_of(page); i-- > 0;) {
        struct element element = {.flags = 0};
        if (!element_at(page, false, i, &element))
            return fail_page(id, "a key or value that does not lie in it", err);
        if (!step_back(walk, id, element.key, err))
            return false;
        bool is_bucket = (element.flags & ELEMENT_BUCKET) != 0;
        if (is_bucket == walk->buckets && !walk->visit(walk->context, element.key, element.value, err))
            return false;
    }
    return true;
}

static bool walk_page(struct walk *walk, uint64_t id, unsigned depth, struct kt_error *err);

static bool walk_branch(struct walk *walk, uint64_t id, unsigned depth, struct kt_slice page, struct kt_error *err)
{
    if (count_of(page) == 0)
        return fail_page(id, "nothing in it", err);
    for (size_t i = count_of(page); i-- > 0;) {
        struct element element = {.flags = 0};
        if (!element_at(page, true, i, &element))
            return fail_page(id, "a key that does not lie in it", err);
        if (!walk_page(walk, element.child, depth + 1, err))
            return false;
        /* The first key below it, which was visited last. */
        if (!walk->any || kt_slice_compare(KT_SLICE(walk->last, walk->last_len), element.key) < 0)
            return fail_page(element.child, "a key before those that belong there", err);
    }
    return true;
}

/* A page that lies in memory. */
static bool walk_slice(struct walk *walk, uint64_t id, unsigned depth, struct kt_slice page, struct kt_error *err)
{
    if (!page.data || page.len < HEADER)
        return fail_page(id, "less than its head", err);
    uint16_t flags = u16_at(page.data + 8);
    if (flags == FLAG_LEAF && depth > 0 && count_of(page) == 0)
        return fail_page(id, "nothing in it", err);
    if (flags == FLAG_LEAF)
        return walk_leaf(walk, id, page, err);
    if (flags == FLAG_BRANCH && id != 0)
        return walk_branch(walk, id, depth, page, err);
    return fail_page(id, "another kind than belongs there", err);
}

static bool walk_page(struct walk *walk, uint64_t id, unsigned depth, struct kt_error *err)
{
    struct kt_slice page = {.data = NULL};
    if (depth + 1 >= KT_BOLT_DEPTH_MAX)
        return kt_fail(err, KT_E_IO, "damaged: expected a tree of at most %u levels", KT_BOLT_DEPTH_MAX);
    return read_page(walk, id, depth, &page, err) && walk_slice(walk, id, depth, page, err);
}

static bool walk_bucket(const struct walk *order, const struct kt_bolt_bucket *bucket, struct kt_error *err)
{
    KT_CLEANUP(walk_free_p) struct walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    walk->bolt = order->bolt;
    walk->visit = order->visit;
    walk->context = order->context;
    walk->buckets = order->buckets;
    if (bucket->root != 0)
        return walk_page(walk, bucket->root, 0, err);
    return walk_slice(walk, 0, 0, kt_bytes_view(&bucket->inside), err);
}

bool kt_bolt_walk(const struct kt_bolt *bolt, const struct kt_bolt_bucket *bucket, kt_bolt_visit *visit, void *context,
                  struct kt_error *err)
{
    const struct walk order = {.bolt = bolt, .visit = visit, .context = context};
    return walk_bucket(&order, bucket, err);
}

/* ---- buckets ---- */

void kt_bolt_bucket_done(struct kt_bolt_bucket *bucket)
{
    kt_bytes_done(&bucket->inside);
    bucket->root = 0;
}

struct search {
    struct kt_slice name;
    bool found;
    struct kt_bolt_bucket bucket;
};

static bool take_bucket(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err)
{
    struct search *search = context;
    if (!kt_slice_equal(key, search->name))
        return true;
    if (value.len < BUCKET || (u64_at(value.data) == 0 && value.len < BUCKET + HEADER))
        return kt_fail(err, KT_E_IO, "damaged: the bucket %.*s is too short", (int)search->name.len,
                       (const char *)search->name.data);
    search->found = true;
    search->bucket.root = u64_at(value.data);
    return search->bucket.root != 0 ||
           kt_bytes_copy(KT_SLICE(value.data + BUCKET, value.len - BUCKET), &search->bucket.inside, err);
}

bool kt_bolt_find(const struct kt_bolt *bolt, const char *name, struct kt_bolt_bucket *ret, struct kt_error *err)
{
    struct search search = {.name = kt_slice_str(name)};
    const struct walk order = {.bolt = bolt, .visit = take_bucket, .context = &search, .buckets = true};
    const struct kt_bolt_bucket root = {.root = bolt->root};
    bool walked = walk_bucket(&order, &root, err);
    if (walked && search.found) {
        *ret = search.bucket;
        return true;
    }
    kt_bolt_bucket_done(&search.bucket);
    return walked ? kt_fail(err, KT_E_IO, "expected the bucket %s, as etcd's files have it, found none", name) : false;
}
