/* SPDX-License-Identifier: Apache-2.0 */
#include "base/locked.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool hint_limit(struct kt_error *err)
{
    return kt_error_hint(err, "raise the limit of locked memory (RLIMIT_MEMLOCK): LimitMEMLOCK=infinity in the unit, "
                              "or \"ulimit -l unlimited\" in the shell");
}

/* What is locked when first used is locked in time, and memory that is never used costs nothing. */
static bool protect(const struct kt_locked *locked, struct kt_error *err)
{
    if (mprotect(locked->body, locked->len, PROT_READ | PROT_WRITE) < 0)
        return kt_fail_errno(err, KT_E_NOMEM, "cannot use %zu bytes of memory for keys", locked->len);
    if (madvise(locked->body, locked->len, MADV_DONTDUMP) < 0)
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot keep memory for keys out of core dumps");
    if (madvise(locked->body, locked->len, MADV_WIPEONFORK) < 0)
        return kt_fail_errno(err, KT_E_INTERNAL, "cannot keep memory for keys from forked processes");
    if (mlock2(locked->body, locked->len, MLOCK_ONFAULT) < 0) {
        (void)kt_fail_errno(err, KT_E_NOMEM, "cannot lock %zu bytes of memory for keys", locked->len);
        return hint_limit(err);
    }
    return true;
}

bool kt_locked_map(size_t len, struct kt_locked *ret, struct kt_error *err)
{
    size_t page = page_size();
    if (len == 0 || len > SIZE_MAX / 2)
        return kt_fail(err, KT_E_INTERNAL, "expected a sensible size of memory for keys, found %zu", len);
    struct kt_locked locked = {.len = (len + page - 1) / page * page};
    uint8_t *map = mmap(NULL, locked.len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        /* Under mlockall(MCL_FUTURE) the limit of locked memory strikes here already. */
        (void)kt_fail_errno(err, KT_E_NOMEM, "cannot map %zu bytes of memory for keys", locked.len);
        return hint_limit(err);
    }
    locked.body = map + page;
    if (!protect(&locked, err)) {
        munmap(map, locked.len + 2 * page);
        return false;
    }
    *ret = locked;
    return true;
}

void kt_locked_unmap(struct kt_locked *locked)
{
    if (!locked->body)
        return;
    size_t page = page_size();
    explicit_bzero(locked->body, locked->len);
    munmap(locked->body - page, locked->len + 2 * page);
    *locked = (struct kt_locked){.body = NULL};
}
