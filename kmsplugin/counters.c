/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A writer holds its section for microseconds; this many looks outlast one that was only preempted. */
#define READ_TRIES 1000u
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

const uint64_t kt_latency_bounds_us[KT_LATENCY_BUCKETS - 1] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 3000000, 10000000,
};

static const struct {
    const char *name;
    size_t size;
} pages[KT_PAGE_COUNT] = {
    [KT_PAGE_SUPERVISOR] = {"keyturn-supervisor", sizeof(struct kt_supervisor_page)},
    [KT_PAGE_FRONT] = {"keyturn-front", sizeof(struct kt_front_page)},
    [KT_PAGE_KEEPER] = {"keyturn-keeper", sizeof(struct kt_keeper_page)},
};

static const char *const method_texts[KT_METHOD_COUNT] = {
    [KT_METHOD_STATUS] = "Status",
    [KT_METHOD_ENCRYPT] = "Encrypt",
    [KT_METHOD_DECRYPT] = "Decrypt",
    [KT_METHOD_OTHER] = "other",
};

const char *kt_method_text(enum kt_method method)
{
    return (unsigned)method < KT_METHOD_COUNT ? method_texts[method] : "unknown";
}

/* Mode 0400, so that no other account can open the read-only descriptor again for writing, by way of /proc. */
static bool shape(int fd, size_t size, struct kt_error *err)
{
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0 || fchmod(fd, 0400) < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot shape a page of counters");
    return true;
}

bool kt_counters_new(enum kt_counter_page page, int *ret_rw, int *ret_ro, struct kt_error *err)
{
    KT_CLEANUP(kt_fd_close_p) int rw = memfd_create(pages[page].name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (rw < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot make a page of counters");
    if (!shape(rw, pages[page].size, err))
        return false;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", rw);
    int ro = open(path, O_RDONLY | O_CLOEXEC);
    if (ro < 0)
        return kt_fail_errno(err, KT_E_IO, "cannot open a page of counters read-only (is /proc mounted?)");
    *ret_ro = ro;
    *ret_rw = KT_TAKE_FD(rw);
    return true;
}

void *kt_counters_map(int fd, enum kt_counter_page page, bool writable, struct kt_error *err)
{
    struct stat st = {0};
    int seals = fcntl(fd, F_GET_SEALS);
    if (fstat(fd, &st) < 0 || seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (size_t)st.st_size != pages[page].size) {
        (void)kt_fail(err, KT_E_INTERNAL, "page %s: expected %zu sealed bytes, found %lld", pages[page].name,
                      pages[page].size, (long long)st.st_size);
        return NULL;
    }
    void *map = mmap(NULL, pages[page].size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        (void)kt_fail_errno(err, KT_E_NOMEM, "cannot map the page %s", pages[page].name);
        return NULL;
    }
    return map;
}

void kt_count_latency(struct kt_front_page *page, enum kt_method method, uint64_t us)
{
    size_t bucket = 0;
    while (bucket < KT_LATENCY_BUCKETS - 1 && us >= kt_latency_bounds_us[bucket])
        bucket++;
    kt_count(&page->latency[method][bucket]);
    atomic_fetch_add_explicit(&page->latency_sum_us[method], us, memory_order_relaxed);
}

/* ThreadSanitizer knows no fences and gcc says so; it has nothing to find here, since the pages are between processes.
 */
#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

/* A writer that died in its section left an odd number; its successor goes on from there. */
void kt_page_begin(kt_counter *sequence)
{
    uint64_t was = atomic_load_explicit(sequence, memory_order_relaxed);
    atomic_store_explicit(sequence, was | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

void kt_page_end(kt_counter *sequence)
{
    uint64_t was = atomic_load_explicit(sequence, memory_order_relaxed);
    atomic_store_explicit(sequence, was + 1, memory_order_release);
}

bool kt_keeper_page_read(const struct kt_keeper_page *page, struct kt_keeper_page *ret)
{
    for (unsigned i = 0; i < READ_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&page->sequence, memory_order_acquire);
        if ((before & 1) == 0) {
            memcpy((void *)ret, (const void *)page, sizeof(*ret));
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&page->sequence, memory_order_relaxed) == before) {
                ret->healthz[sizeof(ret->healthz) - 1] = 0;
                return true;
            }
        }
        (void)sched_yield();
    }
    return false;
}

static bool is_key_id(const char id[KT_KEY_ID_LEN + 1])
{
    return memchr(id, 0, KT_KEY_ID_LEN + 1) == id + KT_KEY_ID_LEN && strspn(id, "0123456789abcdef") == KT_KEY_ID_LEN;
}

static const struct kt_keeper_key *find_encrypting(const struct kt_keeper_page *page)
{
    for (size_t i = 0; i < page->n_keys && i < KT_ARRAY_LEN(page->keys); i++) {
        if (page->keys[i].encrypts)
            return &page->keys[i];
    }
    return NULL;
}

bool kt_keeper_page_key_id(const struct kt_keeper_page *page, char ret[KT_KEY_ID_LEN + 1])
{
    KT_CLEANUP(kt_free_p) struct kt_keeper_page *copy = calloc(1, sizeof(*copy));
    if (!copy || !kt_keeper_page_read(page, copy))
        return false;
    const struct kt_keeper_key *key = find_encrypting(copy);
    if (!key || !is_key_id(key->id))
        return false;
    memcpy(ret, key->id, sizeof(key->id));
    return true;
}
