/* SPDX-License-Identifier: Apache-2.0 */
/* What state_dir.c and state_dir_install.c share. Private. */
#pragma once

#include "base/file.h"
#include "keystore/state_dir.h"

#define KT_STATE_KEYRING    "keyring.yaml"
#define KT_STATE_FLOOR      "floor"
#define KT_STATE_SUPERSEDED "superseded"
#define KT_STATE_LOCK       "lock"

struct kt_state_dir {
    int fd;
    int lock;                       /* -1: only viewed */
    struct kt_audit_appended audit; /* of the last install */
    uid_t uid;                      /* who owns the directory: its files are theirs, also those that root makes */
    gid_t gid;
};
