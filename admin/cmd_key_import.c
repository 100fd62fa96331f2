/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/key_type.h"
#include "admin/member.h"
#include "admin/opener_local.h"
#include "admin/secret_input.h"
#include "base/printable.h"
#include "keystore/key_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_TYPE = 0x200, OPTION_NAME, OPTION_FILE, OPTION_RAW, OPTION_ALLOW_AESGCM };

static const struct argp_option own_options[] = {
    {.name = "type", .key = OPTION_TYPE, .arg = "TYPE", .doc = "aescbc, secretbox, aesgcm or kms"},
    {.name = "name", .key = OPTION_NAME, .arg = "NAME", .doc = "What the key is called where it comes from"},
    {.name = "file", .key = OPTION_FILE, .arg = "FILE", .doc = "Read it from FILE; default, and -: standard input"},
    {.name = "raw", .key = OPTION_RAW, .doc = "It is the bytes themselves, not base64"},
    {.name = "allow-aesgcm", .key = OPTION_ALLOW_AESGCM, .doc = "Let --type be aesgcm"},
    {0},
};

struct import {
    const char *file; /* NULL: standard input */
    bool raw;
    bool allow_aesgcm;
    struct kt_edit edit;
    const char *name; /* NULL: none was given */
    struct kt_member_job job;
    struct kt_key_info key; /* as it is listed */
    struct kt_outcome outcome;
};

static error_t take(int key, char *arg, void *closure)
{
    struct import *import = closure;
    switch (key) {
    case OPTION_TYPE:
        import->edit.type = kt_key_type_parse(arg);
        return import->edit.type ? 0 : EINVAL;
    case OPTION_NAME:
        import->name = arg;
        return 0;
    case OPTION_FILE:
        import->file = arg;
        return arg[0] ? 0 : EINVAL;
    case OPTION_RAW:
        import->raw = true;
        return 0;
    case OPTION_ALLOW_AESGCM:
        import->allow_aesgcm = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool check_use(struct import *import, struct kt_error *err)
{
    if (!import->edit.type || !import->name) {
        kt_fail(err, KT_E_USAGE, "expected --type and --name, found only one of them, or neither");
        return kt_error_hint(err, "keyturn key import --type aescbc --name NAME --file FILE; the name is the one that "
                                  "the key has where it comes from, for it is part of what is stored under it");
    }
    if (!kt_key_name_valid(import->name))
        return kt_fail(err, KT_E_USAGE, "--name: expected " KT_KEY_NAME_RULE ", found another");
    import->edit.kind = KT_EDIT_IMPORT;
    snprintf(import->edit.name, sizeof(import->edit.name), "%s", import->name);
    return kt_key_type_allowed(import->edit.type, import->allow_aesgcm, err);
}

static bool find_key(struct import *import, const struct kt_keyring_info *info, struct kt_error *err)
{
    for (size_t i = 0; i < info->n_keys; i++) {
        if (info->keys[i].type == import->edit.type && strcmp(info->keys[i].name, import->edit.name) == 0) {
            import->key = info->keys[i];
            return true;
        }
    }
    return kt_fail(err, KT_E_INTERNAL, "the keyring that was made does not list the key");
}

static bool run(struct import *import, const struct kt_options *options, struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    struct kt_opener_request request;
    if (!check_use(import, err) || !kt_member_start(options, &import->job, err))
        return false;
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *bytes = kt_key_read(import->file, import->raw, err);
    const struct kt_secret *const imports[] = {bytes};
    if (!bytes)
        return false;
    kt_member_request(&import->job, KT_OPENER_EDIT, &request);
    request.edits = &import->edit;
    request.n_edits = 1;
    request.imports = imports;
    request.n_imports = 1;
    return kt_opener_local(import->job.config, import->job.config->path, &request, &answer, err) &&
           find_key(import, answer.info, err) &&
           kt_member_install(&import->job, kt_bytes_view(&answer.document), &import->outcome, err);
}

static void print_text(const struct import *import)
{
    const char *type = kt_key_type_text(import->key.type);
    if (import->job.options->dry_run) {
        printf("Key %s (%s) would be taken into the keyring, last and ready.\n", KT_PRINTABLE(import->key.name), type);
        return;
    }
    printf("Key %s (%s, %s) is in the keyring, last and ready: it decrypts, and encrypts nothing before a rotation\n"
           "makes it active. Keyring generation %" PRIu64 " (membership %" PRIu64 ")%s.\n",
           KT_PRINTABLE(import->key.id), type, KT_PRINTABLE(import->key.name), import->outcome.generation,
           import->outcome.membership, import->outcome.served ? ", served here" : "");
    if (import->key.type != KT_KEY_KMS)
        puts("kube-apiserver has it once its EncryptionConfiguration is made anew: keyturn config apply");
}

static bool print(const struct import *import, struct kt_error *err)
{
    if (!import->job.options->json) {
        print_text(import);
        return kt_output_done(err);
    }
    const bool dry = import->job.options->dry_run;
    json_t *value = kt_json_new("KeyImport");
    if (value) {
        json_object_set_new(value, "changed", json_boolean(!dry));
        if (dry)
            json_object_set_new(value, "wouldChange", json_true());
        json_object_set_new(value, "key",
                            json_pack("{s:o,s:s,s:o,s:s}", "id", kt_json_text(dry ? "" : import->key.id), "type",
                                      kt_key_type_text(import->key.type), "name", kt_json_text(import->key.name),
                                      "state", kt_key_state_text(import->key.state)));
        json_object_set_new(value, "membership", json_integer((json_int_t)import->outcome.membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)import->outcome.generation));
        json_object_set_new(value, "served", json_boolean(import->outcome.served));
    }
    return kt_json_print(value, err);
}

int kt_command_key_import(int argc, char **argv)
{
    struct import import = {.file = NULL};
    struct kt_command_line line = {
        .command = kt_command_find("key import"), .own = own_options, .take = take, .closure = &import};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    bool done = run(&import, &line.options, &err) && print(&import, &err);
    kt_member_done(&import.job);
    return done ? 0 : kt_print_error(&line.options, &err);
}
