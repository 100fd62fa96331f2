/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "admin/kms_client.h"
#include "base/clock.h"
#include "base/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEED_LEN 32u

struct result {
    struct kt_kms_status status;
    struct kt_kms_wrapped wrapped;
    uint64_t status_us, encrypt_us, decrypt_us;
};

static uint64_t us_since(uint64_t start_ns)
{
    return (kt_clock_monotonic_ns() - start_ns) / 1000;
}

/* What Status must be, beyond having come: where it says why not, Encrypt has nothing to add. */
static bool judge(const struct kt_kms_status *status, struct kt_error *err)
{
    if (strcmp(status->version, "v2") != 0)
        return kt_fail(err, KT_E_FOUND, "Status says version \"%.8s\", expected v2", status->version);
    if (strcmp(status->healthz, "ok") != 0)
        return kt_fail(err, KT_E_FOUND, "Status says: %.400s", status->healthz);
    return status->key_id[0] != '\0' || kt_fail(err, KT_E_FOUND, "Status names no key");
}

static bool probe(const char *socket_path, unsigned timeout_s, struct result *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_kms_client_free_p) struct kt_kms_client *client = kt_kms_client_new(socket_path, timeout_s, err);
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *seed = kt_secret_new_random(SEED_LEN, err);
    if (!client || !seed)
        return false;
    uint64_t start = kt_clock_monotonic_ns();
    if (!kt_kms_status(client, &ret->status, err))
        return kt_error_prefix(err, "Status");
    ret->status_us = us_since(start);
    if (!judge(&ret->status, err))
        return kt_error_hint(err, "keyturn status says more");
    start = kt_clock_monotonic_ns();
    if (!kt_kms_encrypt(client, seed, &ret->wrapped, err))
        return kt_error_prefix(err, "Encrypt");
    ret->encrypt_us = us_since(start);
    start = kt_clock_monotonic_ns();
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *back = kt_kms_decrypt(client, &ret->wrapped, err);
    if (!back)
        return kt_error_prefix(err, "Decrypt");
    ret->decrypt_us = us_since(start);
    if (!kt_secret_equal(seed, back))
        return kt_fail(err, KT_E_FOUND, "Decrypt gave back something else than Encrypt was given");
    return strcmp(ret->status.key_id, ret->wrapped.key_id) == 0 ||
           kt_fail(err, KT_E_FOUND, "Encrypt and Status name different keys");
}

static bool print(const struct kt_options *options, const char *socket_path, const struct result *r,
                  struct kt_error *err)
{
    if (options->json) {
        json_t *value = kt_json_new("Probe");
        if (value) {
            json_object_set_new(value, "socket", kt_json_text(socket_path));
            json_object_set_new(value, "keyId", kt_json_text(r->status.key_id));
            json_object_set_new(value, "healthz", kt_json_text(r->status.healthz));
            json_object_set_new(value, "ciphertextBytes", json_integer((json_int_t)r->wrapped.len));
            json_object_set_new(value, "microseconds",
                                json_pack("{s:I,s:I,s:I}", "status", (json_int_t)r->status_us, "encrypt",
                                          (json_int_t)r->encrypt_us, "decrypt", (json_int_t)r->decrypt_us));
        }
        return kt_json_print(value, err);
    }
    char head[2 * 16 + 1];
    kt_hex_encode(KT_SLICE(r->wrapped.data, 16), head);
    printf("Status:  %s, key_id %s (%" PRIu64 " us)\n", KT_PRINTABLE(r->status.healthz), KT_PRINTABLE(r->status.key_id),
           r->status_us);
    printf("Encrypt: a DEK seed of %u bytes became %zu bytes, %s... (%" PRIu64 " us)\n", SEED_LEN, r->wrapped.len, head,
           r->encrypt_us);
    printf("Decrypt: the same %u bytes came back (%" PRIu64 " us)\n", SEED_LEN, r->decrypt_us);
    return kt_output_done(err);
}

int kt_command_probe(int argc, char **argv)
{
    struct kt_command_line line = {.command = kt_command_find("probe")};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    struct result result = {0};
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(&line.options, &err);
    if (!config || !probe(config->kms_socket, line.options.timeout_s, &result, &err) ||
        !print(&line.options, config->kms_socket, &result, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}
