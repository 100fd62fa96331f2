/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket (keyturnd(8)): a stream socket, one request a connection. A request is one frame (base/ipc.h):
 * magic, version, operation, then the document for OFFER. The answer is one frame: a keyturn.control.v1.Reply
 * (control.proto). Fixed layout one way, so that the keeper parses nothing of a stranger.
 */
#pragma once

#include "base/buf.h"

#define KT_CONTROL_MAGIC       0x4b544354u /* "KTCT" */
#define KT_CONTROL_VERSION     1u
#define KT_CONTROL_HEADER      8u /* u32 magic, u16 version, u16 operation */
#define KT_CONTROL_REQUEST_MAX (KT_CONTROL_HEADER + 1048576u)
#define KT_CONTROL_REPLY_MAX   1048576u

enum kt_control_op {
    KT_CONTROL_STATUS = 1,
    KT_CONTROL_OFFER,  /* then the keyring document */
    KT_CONTROL_RELOAD, /* take in keyring.yaml from disk, as HUP does; root and our own uid only */
};
