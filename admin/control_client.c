/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/control_client.h"

#include "base/clock.h"
#include "base/ipc.h"

#include <errno.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

void kt_control_reply_free(Keyturn__Control__V1__Reply *reply)
{
    keyturn__control__v1__reply__free_unpacked(reply, NULL);
}

static bool encode(enum kt_control_op op, struct kt_slice document, struct kt_bytes *ret, struct kt_error *err)
{
    size_t len = KT_CONTROL_HEADER + document.len;
    KT_CLEANUP(kt_free_p) uint8_t *data = malloc(len + 1);
    if (!data)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    struct kt_writer w;
    kt_writer_init(&w, data, len);
    kt_writer_u32(&w, KT_CONTROL_MAGIC);
    kt_writer_u16(&w, KT_CONTROL_VERSION);
    kt_writer_u16(&w, (uint16_t)op);
    kt_writer_bytes(&w, document.data, document.len);
    data[len] = '\0';
    ret->len = len;
    ret->data = KT_TAKE_PTR(data);
    return true;
}

static bool exchange(const struct kt_config *config, struct kt_slice request, unsigned timeout_s, struct kt_bytes *ret,
                     struct kt_error *err)
{
    uint64_t deadline = kt_clock_monotonic_ns() + timeout_s * NS_PER_S;
    KT_CLEANUP(kt_fd_close_p) int fd = kt_socket_connect(config->control_socket, deadline, err);
    if (fd < 0)
        return false;
    if (!kt_frame_send(fd, request, deadline, err) ||
        !kt_frame_recv(fd, (size_t)KT_CONTROL_REPLY_MAX, deadline, ret, err)) {
        if (err && (err->code == KT_E_UNREACHABLE || err->sys_errno == ECONNRESET || err->sys_errno == EPIPE))
            kt_error_hint(
                err, "root, the daemon's own account and control.uids of keyturn.yaml may ask; run it as one of them");
        return kt_error_prefix(err, "%s", config->control_socket);
    }
    return true;
}

Keyturn__Control__V1__Reply *kt_control_ask(const struct kt_config *config, enum kt_control_op op,
                                            struct kt_slice document, unsigned timeout_s, struct kt_error *err)
{
    KT_CLEANUP_BYTES struct kt_bytes request = {0};
    KT_CLEANUP_BYTES struct kt_bytes answer = {0};
    if (!encode(op, document, &request, err) || !exchange(config, kt_bytes_view(&request), timeout_s, &answer, err))
        return NULL;
    KT_CLEANUP(kt_control_reply_free_p)
    Keyturn__Control__V1__Reply *reply = keyturn__control__v1__reply__unpack(NULL, answer.len, answer.data);
    if (!reply) {
        kt_fail(err, KT_E_INTERNAL, "keyturnd answered something that is no control reply");
        kt_error_hint(
            err, "keyturn and keyturnd must be of one release: keyturn version; journalctl -u keyturnd (release=)");
        return NULL;
    }
    if (reply->error) {
        enum kt_code code = kt_code_from_number(reply->error->code);
        kt_fail(err, code == KT_OK ? KT_E_INTERNAL : code, "%s", reply->error->message);
        kt_error_hint(err, "%s", reply->error->hint);
        return NULL;
    }
    return KT_TAKE_PTR(reply);
}
