/* SPDX-License-Identifier: Apache-2.0 */
/* seed_opener_wire DIR: writes the corpus of fuzz_opener_wire.c: whole frames of each kind. */
#include "base/file.h"
#include "keystore/opener_wire.h"

#include <fcntl.h>
#include <stdio.h>

static void need(bool ok, const char *what, const struct kt_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "seed_opener_wire: %s: %s\n", what, err->message);
    exit(EXIT_FAILURE);
}

/* Behind the bytes that say which kind of frame it is. */
static void put(int dir, const char *name, const char *kind, struct kt_slice frame)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_text_done) struct kt_text text = {0};
    kt_text_init(&text, (size_t)8 << 20);
    kt_text_add_bytes(&text, kind, kind[0] == 2 ? 2 : 1);
    kt_text_add_bytes(&text, frame.data, frame.len);
    need(!text.bad && kt_file_replace(dir, name, KT_SLICE(text.data, text.len), &attrs, &err), name, &err);
}

static void put_request(int dir)
{
    static const struct kt_edit edits[] = {
        {.kind = KT_EDIT_IMPORT, .type = KT_KEY_AESCBC, .name = "aescbckey-2022-04-21T23:01:02+02:00"},
        {.kind = KT_EDIT_STATE, .id = "00112233445566778899aabbccddeeff", .state = KT_KEY_RETIRING},
        {.kind = KT_EDIT_STAGE, .stage = KT_STAGE_REENCRYPT_ACTIVE},
        {.kind = KT_EDIT_HOLD, .number = 86400},
        {.kind = KT_EDIT_API_SERVER, .name = "https://[::1]:6443"},
        {.kind = KT_EDIT_STRICT, .flag = true},
    };
    const struct kt_opener_request request = {
        .op = KT_OPENER_EDIT,
        .current = KT_SLICE("part one\n---\npart two\n---\n", 26),
        .superseded = {KT_SLICE("old", 3)},
        .superseded_names = {"1-3.yaml"},
        .n_superseded = 1,
        .node = "node-1",
        .edits = edits,
        .n_edits = KT_ARRAY_LEN(edits),
        .now = 1795424400,
        .member = {.name = "node-2", .provider = "keyturn"},
    };
    KT_CLEANUP_BYTES struct kt_bytes body = {0};
    struct kt_error err = KT_ERROR_INIT;
    need(kt_opener_request_encode(&request, &body, &err), "request", &err);
    put(dir, "request", "\0", kt_bytes_view(&body));
}

static struct kt_keyring_info *sample_info(void)
{
    struct kt_keyring_info *info = calloc(1, sizeof *info);
    struct kt_error err = {.message = "out of memory"};
    need(info, "info", &err);
    info->membership = info->generation = 2;
    info->stage = KT_STAGE_PREPARE;
    info->n_keys = 2;
    for (size_t i = 0; i < 2; i++) {
        snprintf(info->keys[i].id, sizeof info->keys[i].id, "%032zu", i);
        snprintf(info->keys[i].name, sizeof info->keys[i].name, "two words %zu", i);
        info->keys[i].type = i == 0 ? KT_KEY_AESCBC : KT_KEY_KMS;
        info->keys[i].state = i == 0 ? KT_KEY_ACTIVE : KT_KEY_READY;
    }
    info->n_api_servers = 1;
    snprintf(info->api_servers[0], sizeof info->api_servers[0], "b");
    info->n_archive = 1;
    info->archive[0].type = KT_KEY_SECRETBOX;
    return info;
}

static void put_answers(int dir)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = sample_info()};
    KT_CLEANUP_BYTES struct kt_bytes good = {0};
    KT_CLEANUP_BYTES struct kt_bytes bad = {0};
    struct kt_error failure = KT_ERROR_INIT;
    struct kt_error err = KT_ERROR_INIT;
    kt_fail(&failure, KT_E_REFUSED, "no");
    answer.keys[0] = kt_secret_new(16, &err);
    answer.n_notes = 1;
    need(answer.keys[0] && kt_opener_answer_encode(&answer, NULL, &good, &err) &&
             kt_opener_answer_encode(NULL, &failure, &bad, &err),
         "answers", &err);
    put(dir, "answer", "\1", kt_bytes_view(&good));
    put(dir, "failure", "\1", kt_bytes_view(&bad));
    struct kt_secret *keys = kt_opener_keys_encode(&answer, &err);
    need(keys, "keys", &err);
    put(dir, "keys", "\2\2", KT_SLICE(kt_secret_view(keys), kt_secret_len(keys)));
    kt_secret_free(keys);
}

static void put_secrets(int dir)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_secret *recovery_key = kt_secret_new(KT_RECOVERY_KEY_BYTES, &err);
    struct kt_secret *key = kt_secret_new(24, &err);
    const struct kt_secret *const imports[] = {key, recovery_key};
    need(recovery_key && key, "keys", &err);
    const struct kt_opener_request requests[] = {
        {.recovery_key = recovery_key},
        {.recovery_key = recovery_key,
         .imports = imports,
         .n_imports = 2,
         .member = {.new_recovery_key = recovery_key}},
    };
    static const char *const names[] = {"recovery", "imports"};
    for (size_t i = 0; i < KT_ARRAY_LEN(requests); i++) {
        struct kt_secret *frame = kt_opener_secrets_encode(&requests[i], &err);
        need(frame, names[i], &err);
        put(dir, names[i], "\2\2", KT_SLICE(kt_secret_view(frame), kt_secret_len(frame)));
        kt_secret_free(frame);
    }
    kt_secret_free(key);
    kt_secret_free(recovery_key);
}

int main(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    int dir = argc == 2 ? kt_dir_open(AT_FDCWD, argv[1], &err) : -1;
    need(dir >= 0, "usage: seed_opener_wire DIR", &err);
    put_request(dir);
    put_answers(dir);
    put_secrets(dir);
    kt_fd_close(dir);
    return EXIT_SUCCESS;
}
