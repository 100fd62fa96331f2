/* SPDX-License-Identifier: Apache-2.0 */
/* key restore. */
#include "admin/census_need.h"
#include "admin/member.h"
#include "admin/opener_local.h"
#include "admin/secret_input.h"
#include "base/printable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_FOR_SNAPSHOT = 0x300, OPTION_SKIP_HASH_CHECK };

static const struct argp_option own_options[] = {
    {.name = "for-snapshot",
     .key = OPTION_FOR_SNAPSHOT,
     .arg = "FILE",
     .doc = "Those that this backup needs: of etcd, or a copy of kine's sqlite file"},
    {.name = "skip-hash-check",
     .key = OPTION_SKIP_HASH_CHECK,
     .doc = "Of a backup of etcd: one without a checksum will do"},
    {0},
};

struct restore {
    struct kt_command_line line;
    const char *snapshot; /* NULL: ids are named */
    bool skip_hash_check;
    const char *named[KT_EDITS_MAX];
    size_t n_named;
    struct kt_member_job job;
    struct kt_opener_answer described;
    struct kt_look *look;
    struct kt_needs needs;
    size_t n;
    struct kt_edit edits[KT_EDITS_MAX];
    const struct kt_archived_info *keys[KT_EDITS_MAX]; /* of the same edits */
    struct kt_outcome outcome;
};

static void restore_done(struct restore *restore)
{
    kt_needs_done(&restore->needs);
    kt_look_free(restore->look);
    kt_opener_answer_done(&restore->described);
    kt_member_done(&restore->job);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct restore *restore = closure;
    switch (key) {
    case OPTION_FOR_SNAPSHOT:
        restore->snapshot = arg;
        return arg[0] ? 0 : EINVAL;
    case OPTION_SKIP_HASH_CHECK:
        restore->skip_hash_check = true;
        return 0;
    case ARGP_KEY_ARG:
        if (restore->n_named == KT_EDITS_MAX)
            return EINVAL;
        restore->named[restore->n_named++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool check_use(const struct restore *restore, struct kt_error *err)
{
    if ((restore->snapshot != NULL) != (restore->n_named > 0))
        return !restore->skip_hash_check || restore->snapshot ||
               kt_fail(err, KT_E_USAGE, "expected --skip-hash-check with --for-snapshot FILE alone");
    kt_fail(err, KT_E_USAGE, "expected --for-snapshot FILE, or ids of archived keys, found %s",
            restore->snapshot ? "both" : "neither");
    return kt_error_hint(err, "keyturn key restore --for-snapshot FILE");
}

/* ---- which ---- */

static bool add(struct restore *restore, const struct kt_archived_info *key, struct kt_error *err)
{
    for (size_t i = 0; i < restore->n; i++)
        if (restore->keys[i] == key)
            return true;
    if (restore->n == KT_EDITS_MAX) {
        kt_fail(err, KT_E_REFUSED, "expected at most %u keys to restore at once, found more", KT_EDITS_MAX);
        return kt_error_hint(err, "name some of them, and the others after that: keyturn key restore ID...");
    }
    struct kt_edit *edit = &restore->edits[restore->n];
    edit->kind = KT_EDIT_RESTORE;
    memcpy(edit->id, key->id, sizeof(edit->id));
    restore->keys[restore->n++] = key;
    return true;
}

static bool add_needed(struct restore *restore, struct kt_error *err)
{
    const struct kt_options *options = &restore->line.options;
    const struct kt_census_order order = {.snapshot = restore->snapshot, .skip_hash_check = restore->skip_hash_check};
    restore->look = kt_look_open_files(options, restore->job.config, err);
    if (!restore->look)
        return false;
    restore->look->info = restore->described.info;
    if (!kt_look_config(restore->look, err) || !kt_census_take(restore->look, &order, err) ||
        !kt_needs_find(restore->look, &restore->needs, err))
        return false;
    for (size_t i = 0; i < restore->needs.n; i++) {
        const struct kt_archived_info *key = kt_census_archived(restore->look, restore->needs.items[i].row);
        if (key && !add(restore, key, err))
            return false;
    }
    return true;
}

static bool is_listed(const struct kt_keyring_info *info, const char *id)
{
    for (size_t i = 0; i < info->n_keys; i++)
        if (!info->keys[i].superseded && strcmp(info->keys[i].id, id) == 0)
            return true;
    return false;
}

static bool add_named(struct restore *restore, const char *id, struct kt_error *err)
{
    const struct kt_keyring_info *info = restore->described.info;
    for (size_t i = 0; i < info->n_archive; i++)
        if (strcmp(info->archive[i].id, id) == 0)
            return add(restore, &info->archive[i], err);
    if (is_listed(info, id))
        return true;
    kt_fail(err, KT_E_REFUSED, "%s: expected the id of an archived key, found one that is neither listed nor archived",
            KT_PRINTABLE(id));
    return kt_error_hint(err, "keyturn census --snapshot FILE tells which keys a backup needs, and where they are");
}

static bool find_keys(struct restore *restore, struct kt_error *err)
{
    if (restore->snapshot)
        return add_needed(restore, err);
    for (size_t i = 0; i < restore->n_named; i++)
        if (!add_named(restore, restore->named[i], err))
            return false;
    return true;
}

/* ---- run ---- */

static bool bring_back(struct restore *restore, struct kt_error *err)
{
    const struct kt_options *options = &restore->line.options;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *key = kt_recovery_key_ask(options->key_file, "Recovery key: ", err);
    struct kt_opener_request request;
    if (!key)
        return false;
    kt_member_request(&restore->job, KT_OPENER_RESTORE, &request);
    request.recovery_key = key;
    request.edits = restore->edits;
    request.n_edits = restore->n;
    return kt_opener_local(restore->job.config, restore->job.config->path, &request, &answer, err) &&
           kt_member_install(&restore->job, kt_bytes_view(&answer.document), &restore->outcome, err);
}

static bool run(struct restore *restore, struct kt_error *err)
{
    const struct kt_options *options = &restore->line.options;
    return check_use(restore, err) && kt_member_start(options, &restore->job, err) &&
           kt_keyring_describe(restore->job.config, &restore->described, err) && find_keys(restore, err) &&
           (restore->n == 0 || options->dry_run || bring_back(restore, err));
}

/* ---- print ---- */

static void print_next(const struct restore *restore)
{
    bool inline_keys = false;
    for (size_t i = 0; i < restore->n; i++)
        inline_keys = inline_keys || restore->keys[i]->type != KT_KEY_KMS;
    printf("\nNext:\n  on the other nodes, with %s/keyring.yaml of this one: keyturn keyring offer FILE\n",
           KT_PRINTABLE(restore->job.config->state_dir));
    if (inline_keys)
        puts("  for the inline ones, that kube-apiserver has them too: keyturn config apply");
    puts("  put the backup back, then: keyturn reencrypt, and after the hold: keyturn retire");
}

static void print_text(const struct restore *restore)
{
    const struct kt_outcome *outcome = &restore->outcome;
    bool dry = restore->line.options.dry_run;
    for (size_t i = 0; i < restore->n; i++)
        printf("Key %s (%s, %s) %s\n", restore->keys[i]->id, kt_key_type_text(restore->keys[i]->type),
               KT_PRINTABLE(restore->keys[i]->name),
               dry ? "would come back from the archive." : "is back, retiring: it decrypts, and encrypts nothing.");
    if (restore->n == 0)
        puts("No key is in the archive alone: there is nothing to restore.");
    if (restore->n == 0 || dry)
        return;
    printf("Keyring generation %" PRIu64 " (membership %" PRIu64 ")%s.\n", outcome->generation, outcome->membership,
           outcome->served ? ", served here" : "");
    print_next(restore);
}

static json_t *keys_json(const struct restore *restore)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < restore->n; i++)
        json_array_append_new(keys, json_pack("{s:s,s:s,s:o}", "id", restore->keys[i]->id, "type",
                                              kt_key_type_text(restore->keys[i]->type), "name",
                                              kt_json_text(restore->keys[i]->name)));
    return keys;
}

static bool print(const struct restore *restore, struct kt_error *err)
{
    bool dry = restore->line.options.dry_run;
    if (!restore->line.options.json) {
        print_text(restore);
        return kt_output_done(err);
    }
    json_t *value = kt_json_new("KeyRestore");
    if (value) {
        json_object_set_new(value, "changed", json_boolean(restore->n > 0 && !dry));
        if (dry)
            json_object_set_new(value, "wouldChange", json_boolean(restore->n > 0));
        json_object_set_new(value, "keys", keys_json(restore));
        json_object_set_new(value, "missing", json_integer((json_int_t)restore->needs.objects[KT_HELD_MISSING]));
        json_object_set_new(value, "membership", json_integer((json_int_t)restore->outcome.membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)restore->outcome.generation));
        json_object_set_new(value, "served", json_boolean(restore->outcome.served));
    }
    return kt_json_print(value, err);
}

/* What no key comes back for: an error, after what could be done. */
static bool judge(const struct restore *restore, struct kt_error *err)
{
    uint64_t missing = restore->needs.objects[KT_HELD_MISSING];
    if (missing == 0)
        return true;
    kt_fail(err, KT_E_FOUND, "the keys of %" PRIu64 " objects of the backup are neither listed nor archived", missing);
    return kt_error_hint(err, "keyturn census --snapshot FILE names them; keyturn key import takes one that you have");
}

int kt_command_key_restore(int argc, char **argv)
{
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(restore_done) struct restore restore = {.n = 0};
    restore.line = (struct kt_command_line){
        .command = kt_command_find("key restore"), .own = own_options, .take = take, .closure = &restore};
    kt_command_parse(&restore.line, argc, argv);
    bool good = run(&restore, &err) && print(&restore, &err) && judge(&restore, &err);
    return good ? 0 : kt_print_error(&restore.line.options, &err);
}
