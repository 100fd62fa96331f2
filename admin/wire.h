/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of config wire and config unwire. */
#pragma once

#include "admin/host_job.h"
#include "admin/rendered.h"

#define KT_WIRE_KEPT "wiring-previous" /* in the state directory: what a changed file was */

struct kt_wire {
    struct kt_host_job job;
    bool in; /* wire, not unwire */
    struct kt_wiring wiring;
    bool encrypts;   /* with the file as it is, or as it is made, kube-apiserver encrypts at once */
    bool takes_keys; /* of the distribution's own */
    bool makes_file; /* the EncryptionConfiguration is not there yet */
    bool lacks;      /* kube-apiserver reads one that does not have all of the keyring: see lack */
    struct kt_error lack;
    struct kt_rendered rendered;
    bool changed;
    bool ready; /* kube-apiserver was seen to run so */
};

/* wire_file.c: the keys of the distribution's own come into the keyring; what the EncryptionConfiguration is to be, or
 * whether the one that is there will do. */
bool kt_wire_take_keys(struct kt_wire *wire, struct kt_error *err) KT_MUST_CHECK;
bool kt_wire_render(struct kt_wire *wire, struct kt_error *err) KT_MUST_CHECK;
/* This host's API server, by where it says that others find it; n: none of them. k3s does not say. */
size_t kt_wire_local_server(const struct kt_wire *wire);
bool kt_wire_hash(const struct kt_secret *bytes, uint8_t ret[KT_HASH_LEN], struct kt_error *err) KT_MUST_CHECK;

/* wire_out.c: KT_E_REFUSED where something is stored under a key, or nobody can tell. */
bool kt_wire_check_stored(struct kt_wire *wire, struct kt_error *err) KT_MUST_CHECK;

/* wire_write.c: everything that differs; then, where a kubelet restarts it, until kube-apiserver runs so, or what was
 * written is put back. */
bool kt_wire_write(struct kt_wire *wire, struct kt_error *err) KT_MUST_CHECK;
bool kt_wire_wait(struct kt_wire *wire, struct kt_error *err) KT_MUST_CHECK;
