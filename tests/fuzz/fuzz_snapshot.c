/* SPDX-License-Identifier: Apache-2.0 */
/* A file of etcd, whose meta pages get the checksums that they should have: it is read, or refused. No key comes twice,
 * and each begins as was asked for. The same bytes as a log of sqlite: good or not. */
#include "bolt_image.h"
#include "cluster/snapshot.h"
#include "cluster/sqlite_log.h"
#include "fuzz.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static int compare(const void *left, const void *right)
{
    const struct kt_bytes *a = left, *b = right;
    return kt_slice_compare(kt_bytes_view(a), kt_bytes_view(b));
}

static void drop(void *node)
{
    kt_bytes_done(node);
    free(node);
}

static bool visit(void *context, struct kt_slice key, struct kt_slice value, struct kt_error *err)
{
    void **tree = context;
    struct kt_bytes *copy = calloc(1, sizeof(*copy));
    volatile uint8_t last = 0;
    must(kt_slice_begins(key, kt_slice_str("/registry/")));
    for (size_t i = 0; i < value.len; i++)
        last = value.data[i]; /* it can be read */
    (void)last;
    must(copy && kt_bytes_copy(key, copy, err));
    struct kt_bytes *const *found = tsearch(copy, tree, compare);
    must(found && *found == copy);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_snapshot_told told;
    char path[64];
    void *tree = NULL;
    KT_CLEANUP(kt_fd_close_p) int fd = memfd_create("snapshot", MFD_CLOEXEC);
    KT_CLEANUP(kt_free_p) uint8_t *copy = malloc(size + 1);
    must(fd >= 0 && copy);
    (void)!kt_sqlite_log_check(fd, 0, &err);
    memcpy(copy, data, size);
    if (size > 0 && data[0] != 'S')
        image_sum(copy, size);
    must(write(fd, copy, size) == (ssize_t)size);
    (void)!kt_sqlite_log_check(fd, size, &err);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const struct kt_snapshot_order order = {
        .file = path, .prefix = kt_slice_str("/registry/"), .skip_hash_check = true, .visit = visit, .context = &tree};
    /* sqlite has its own fuzzers. */
    if (size < 1 || data[0] != 'S')
        must(!kt_snapshot_read(&order, &told, &err) || told.revision >= 0);
    tdestroy(tree, drop);
    return 0;
}
