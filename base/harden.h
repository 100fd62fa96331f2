/* SPDX-License-Identifier: Apache-2.0 */
/* What a process of ours does to itself. Order in main: kt_harden_process first, before any file is read; memory; then
 * set-up; the system-call filter last, before the first byte from a stranger. */
#pragma once

#include "base/error.h"

/* Core limit 0, not dumpable, no_new_privs, umask 077, SIGPIPE and SIGXFSZ ignored, SIGCHLD not, descriptors 0-2 open
 * (/dev/null if they were not). In builds with sanitizers the process stays dumpable: LeakSanitizer traces it. */
bool kt_harden_process(struct kt_error *err) KT_MUST_CHECK;

enum kt_memory_lock {
    KT_MEMORY_ALL,     /* mlockall(MCL_CURRENT|MCL_FUTURE|MCL_ONFAULT) holds */
    KT_MEMORY_SECRETS, /* the limit is too low for that: only secrets, the arena and the stack are locked */
};
/* A finite RLIMIT_MEMLOCK from which on everything is locked: several times what a process of ours maps. With less,
 * MCL_FUTURE would make a later mmap fail. */
#define KT_MEMORY_LOCK_ENOUGH ((size_t)512 * 1024 * 1024)
/* Small thread stacks (256 KiB) and one malloc arena first, so that locking everything costs no memory (measured:
 * docs/architecture.md). *ret says how far it came; never fails for want of RLIMIT_MEMLOCK. On the main thread, before
 * there are others. In builds with sanitizers, whose shadow memory cannot be locked, it is always KT_MEMORY_SECRETS. */
bool kt_harden_memory(enum kt_memory_lock *ret, struct kt_error *err) KT_MUST_CHECK;

/* Allow-list of system calls by name; any other kills the process (SECCOMP_RET_KILL_PROCESS), those in `denied` answer
 * ENOENT. Names that this architecture, or the installed libseccomp, lacks are passed over; one that is in both lists
 * is an error. Applies to all threads (TSYNC). In builds with sanitizers, whose runtimes need more calls, it does
 * nothing (and says so by *ret_active). Lists end with NULL. */
bool kt_harden_filter(const char *const *allowed, const char *const *denied, bool *ret_active,
                      struct kt_error *err) KT_MUST_CHECK;
