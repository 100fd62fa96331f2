/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/under_way.h"

#include "base/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In one write, and padded, so that whoever reads meanwhile finds the old one or the new one. */
void kt_under_way_tell(int lock, const json_t *what)
{
    char record[KT_UNDER_WAY_MAX];
    memset(record, ' ', sizeof(record));
    size_t len = lock >= 0 ? json_dumpb(what, record, sizeof(record), JSON_COMPACT) : 0;
    if (len > 0 && len <= sizeof(record) && pwrite(lock, record, sizeof(record), 0) < 0)
        return;
}

static json_t *read_record(int fd)
{
    char record[KT_UNDER_WAY_MAX];
    ssize_t len = pread(fd, record, sizeof(record), 0);
    json_t *what = len > 0 ? json_loadb(record, (size_t)len, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    if (json_is_object(what))
        return what;
    json_decref(what);
    return json_object();
}

json_t *kt_under_way(const struct kt_config *config)
{
    char path[sizeof(config->state_dir) + 32];
    (void)snprintf(path, sizeof(path), "%s/rotation.lock", config->state_dir);
    KT_CLEANUP(kt_fd_close_p) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    long pid = fd >= 0 ? kt_lock_holder(fd) : 0;
    if (pid <= 0)
        return NULL;
    json_t *what = read_record(fd);
    json_object_set_new(what, "pid", json_integer(pid));
    return what;
}

static int64_t number(const json_t *what, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(what, name));
}

void kt_under_way_text(const json_t *what, char *ret, size_t cap)
{
    char who[128];
    const char *command = json_string_value(json_object_get(what, "command"));
    const char *waits_for = json_string_value(json_object_get(what, "waitsFor"));
    (void)snprintf(who, sizeof(who), "%.80s (pid %" PRId64 ")", command ? command : "another keyturn",
                   number(what, "pid"));
    if (json_object_get(what, "objects"))
        (void)snprintf(ret, cap,
                       "%s is rewriting: %" PRId64 " of %" PRId64 " objects, %" PRId64 " failed, %" PRId64
                       "/s, %" PRId64 " s left",
                       who, number(what, "ended"), number(what, "objects"), number(what, "failed"),
                       number(what, "rate"), number(what, "secondsLeft"));
    else if (waits_for)
        (void)snprintf(ret, cap, "%s is waiting: %s", who, waits_for);
    else
        (void)snprintf(ret, cap, "%s runs", who);
}
