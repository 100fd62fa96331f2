/* SPDX-License-Identifier: Apache-2.0 */
/* The readers behind kt_snapshot_read, private to snapshot*.c. The file is open, and its first bytes are known. */
#pragma once

#include "cluster/snapshot.h"

bool kt_snapshot_etcd(const struct kt_snapshot_order *order, int fd, struct kt_snapshot_told *ret,
                      struct kt_error *err) KT_MUST_CHECK;
/* By its name: sqlite looks beside it. */
bool kt_snapshot_kine(const struct kt_snapshot_order *order, struct kt_snapshot_told *ret,
                      struct kt_error *err) KT_MUST_CHECK;
