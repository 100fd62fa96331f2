/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/bolt.h"
#include "cluster/etcd_answer.h"
#include "cluster/key_set.h"
#include "cluster/snapshot_parts.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SUM          32u
#define ALIGNED      512u /* what etcd makes of a file's length: whether a sum is behind it */
#define PIECE        ((size_t)1 << 20)
#define REVISION     17u /* main, '_', sub; and 't' behind them where the key was deleted */
#define SUB_AT       9u
#define TOMBSTONE_AT 17u

KT_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

/* ---- the checksum ---- */

static bool read_piece(int fd, uint64_t at, uint8_t *ret, size_t n, struct kt_error *err)
{
    ssize_t got = pread(fd, ret, n, (off_t)at);
    if (got < 0)
        return kt_fail_errno(err, KT_E_IO, "reading at %" PRIu64, at);
    return (size_t)got == n || kt_fail(err, KT_E_IO, "it became shorter while it was read");
}

static bool sum_file(int fd, uint64_t size, uint8_t ret[SUM], struct kt_error *err)
{
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    KT_CLEANUP(kt_free_p) uint8_t *piece = malloc(PIECE);
    if (!ctx || !piece)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    bool good = EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) == 1;
    for (uint64_t at = 0; good && at < size;) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if (!read_piece(fd, at, piece, n, err))
            return false;
        good = EVP_DigestUpdate(ctx, piece, n) == 1;
        at += n;
    }
    good = good && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
    return good || kt_fail_openssl(err, KT_E_CRYPTO, "SHA-256");
}

/* *ret_size: of what is before the sum. */
static bool check_sum(const struct kt_snapshot_order *order, int fd, struct kt_snapshot_told *told, uint64_t *ret_size,
                      struct kt_error *err)
{
    uint8_t expected[SUM] = {0}, found[SUM] = {0};
    uint64_t size = told->bytes;
    told->summed = size % ALIGNED == SUM;
    if (!told->summed && !order->skip_hash_check) {
        kt_fail(err, KT_E_CONFIG,
                "expected a SHA-256 behind etcd's file, as etcdctl snapshot save puts it there, found none");
        return kt_error_hint(
            err, "was it cut? --skip-hash-check reads a copy of member/snap/db of an etcd that was stopped");
    }
    *ret_size = size;
    if (!told->summed)
        return true;
    *ret_size = size - SUM;
    if (!read_piece(fd, size - SUM, expected, SUM, err) || !sum_file(fd, size - SUM, found, err))
        return false;
    return memcmp(expected, found, SUM) == 0 ||
           kt_fail(err, KT_E_IO, "damaged: its SHA-256 is not the one that stands at its end");
}

/* ---- revisions ---- */

struct pass {
    const struct kt_snapshot_order *order;
    struct kt_key_set *set;
    bool counting; /* the first pass: is all of it good, and how much is it? */
    uint64_t revisions;
    int64_t newest;
};

static int64_t number_at(const uint8_t *at)
{
    uint64_t v = 0;
    memcpy(&v, at, sizeof(v));
    return (int64_t)be64toh(v);
}

static bool read_revision(struct kt_slice key, struct kt_slice value, struct kt_etcd_kv *ret, bool *ret_deleted,
                          struct kt_error *err)
{
    bool deleted = key.len == REVISION + 1;
    if ((key.len != REVISION && !deleted) || key.data[SUB_AT - 1] != '_' || (deleted && key.data[TOMBSTONE_AT] != 't'))
        return kt_fail(err, KT_E_IO, "damaged: expected a revision of etcd, found %zu other bytes", key.len);
    int64_t main = number_at(key.data);
    if (main <= 0 || !kt_etcd_kv_read(value, ret))
        return kt_fail(err, KT_E_IO, "damaged: what stands at revision %" PRId64 " is no key and value", main);
    if (!deleted && (ret->mod_revision != main || ret->create_revision > main || ret->create_revision <= 0))
        return kt_fail(err, KT_E_IO, "damaged: what stands at revision %" PRId64 " is of revision %" PRId64, main,
                       ret->mod_revision);
    *ret_deleted = deleted;
    return true;
}

/* The newest revision comes first: what is met again is older. */
static bool visit(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err)
{
    struct pass *pass = context;
    struct kt_etcd_kv kv = {.version = 0};
    bool deleted = false;
    enum kt_key_set_found found = KT_KEY_SET_KNOWN;
    if (!read_revision(key, value, &kv, &deleted, err))
        return false;
    if (pass->newest == 0)
        pass->newest = number_at(key.data);
    if (!kt_slice_begins(kv.key, pass->order->prefix))
        return true;
    pass->revisions++;
    if (pass->counting)
        return true;
    if (!kt_key_set_add(pass->set, kv.key, &found, err))
        return false;
    return found != KT_KEY_SET_NEW || deleted || pass->order->visit(pass->order->context, kv.key, kv.value, err);
}

static bool visit_all(const struct kt_snapshot_order *order, const struct kt_bolt *bolt,
                      const struct kt_bolt_bucket *bucket, struct kt_snapshot_told *told, struct kt_error *err)
{
    struct pass first = {.order = order, .counting = true};
    if (!kt_bolt_walk(bolt, bucket, visit, &first, err))
        return false;
    KT_CLEANUP(kt_key_set_free_p) struct kt_key_set *set = kt_key_set_new(err);
    uint64_t passes = kt_key_set_passes(first.revisions);
    for (uint64_t i = 0; set && i < passes; i++) {
        struct pass pass = {.order = order, .set = set};
        kt_key_set_begin(set, i, passes);
        if (!kt_bolt_walk(bolt, bucket, visit, &pass, err))
            return false;
    }
    told->revision = first.newest;
    return set != NULL;
}

bool kt_snapshot_etcd(const struct kt_snapshot_order *order, int fd, struct kt_snapshot_told *ret, struct kt_error *err)
{
    uint64_t size = 0;
    struct kt_bolt bolt = {.fd = -1};
    KT_CLEANUP(kt_bolt_bucket_done) struct kt_bolt_bucket bucket = {.root = 0};
    ret->format = KT_SNAPSHOT_ETCD;
    /* Without a sum it may be anything: that is told first. bbolt's files have whole pages. */
    if (ret->bytes % ALIGNED != SUM) {
        if (!kt_bolt_open(fd, ret->bytes, &bolt, err))
            return false;
        if (ret->bytes % bolt.page_size != 0)
            return kt_fail(err, KT_E_IO,
                           "damaged: it was cut, or something was added: %" PRIu64 " bytes are no whole pages",
                           ret->bytes);
    }
    return check_sum(order, fd, ret, &size, err) && kt_bolt_open(fd, size, &bolt, err) &&
           kt_bolt_find(&bolt, "key", &bucket, err) && visit_all(order, &bolt, &bucket, ret, err);
}
