/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/offer.h"
#include "admin/view.h"
#include "base/file.h"
#include "base/printable.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool show_text(const struct kt_view *view, struct kt_error *err)
{
    const struct kt_keyring_info *info = view->info;
    char id[2 * KT_KEYRING_ID_LEN + 1], hash[KT_HASH_TEXT_LEN], owner[KT_HASH_TEXT_LEN], written[KT_TIME_LEN];
    kt_hex_encode(KT_SLICE(info->keyring_id, sizeof(info->keyring_id)), id);
    kt_hash_format(info->hash, hash);
    kt_hash_format(info->owner, owner);
    kt_time_format(info->written, written);
    printf("Keyring: %s\nMembership: %" PRIu64 "\nGeneration: %" PRIu64 "\nHash: %s\nOwner: %s\n", id, info->membership,
           info->generation, hash, owner);
    printf("Written: %s by %s\nStage: %s\nEnabled: %s\nHold: %" PRIu64 "s\n", written, KT_PRINTABLE(info->writer),
           kt_stage_text(info->stage), info->enabled ? "yes" : "no", info->hold);
    for (size_t i = 0; i < info->n_recipients; i++)
        printf("Recipient: %s (%s)\n", KT_PRINTABLE(info->recipients[i].name),
               kt_recipient_kind_text(info->recipients[i].kind));
    for (size_t i = 0; i < info->n_keys; i++)
        printf("Key: %s %s %s %s\n", KT_PRINTABLE(info->keys[i].id), kt_key_type_text(info->keys[i].type),
               info->keys[i].superseded ? "superseded" : kt_key_state_text(info->keys[i].state),
               KT_PRINTABLE(info->keys[i].name));
    printf("Archived: %zu\n", info->n_archive);
    return kt_output_done(err);
}

static bool show_json(const struct kt_view *view, struct kt_error *err)
{
    json_t *value = kt_json_new("Keyring");
    if (value) {
        json_object_set_new(value, "keyring", kt_view_json_keyring(view));
        json_object_set_new(value, "stage", json_string(kt_stage_text(view->info->stage)));
        json_object_set_new(value, "enable", json_boolean(view->info->enabled));
        json_object_set_new(value, "holdSeconds", json_integer((json_int_t)view->info->hold));
        json_object_set_new(value, "keys", kt_view_json_keys(view));
    }
    return kt_json_print(value, err);
}

int kt_command_keyring_show(int argc, char **argv)
{
    return kt_view_run(&(struct kt_view_command){.name = "keyring show", .text = show_text, .json = show_json}, argc,
                       argv);
}

/* Above what a keyring may have, so that a file that is too large is told from one that cannot be read. */
#define OFFER_READ_MAX ((size_t)16 << 20)

struct offer {
    const char *file;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take_offer(int key, char *arg, void *closure)
{
    struct offer *offer = closure;
    if (key != ARGP_KEY_ARG || offer->file)
        return ARGP_ERR_UNKNOWN;
    offer->file = arg;
    return 0;
}

static bool offer_run(const struct kt_options *options, const char *file, struct kt_outcome *ret, struct kt_error *err)
{
    if (!file) {
        kt_fail(err, KT_E_USAGE, "no keyring file was named");
        return kt_error_hint(err, "keyturn keyring offer FILE");
    }
    KT_CLEANUP(kt_free_p) struct kt_config *config = kt_options_config(options, err);
    KT_CLEANUP_BYTES struct kt_bytes document = {0};
    const struct kt_file_rules rules = {.max = OFFER_READ_MAX, .owner = KT_ANY_UID, .forbidden_mode = 0};
    if (!config || !kt_file_read(AT_FDCWD, file, &rules, &document, err))
        return false;
    if (document.len == 0)
        return kt_fail(err, KT_E_KEYRING_FORMAT, "%s: is empty, expected a keyring", file);
    if (document.len > KT_KEYRING_MAX)
        return kt_fail(err, KT_E_KEYRING_FORMAT, "%s: has %zu bytes, expected a keyring of at most %u", file,
                       document.len, KT_KEYRING_MAX);
    return kt_offer_run(options, config, kt_bytes_view(&document), ret, err);
}

static bool print_outcome(const struct kt_options *options, const struct kt_outcome *outcome, struct kt_error *err)
{
    if (options->json) {
        json_t *value = kt_json_new("KeyringOffer");
        if (value) {
            json_object_set_new(value, "changed", json_boolean(outcome->changed && !options->dry_run));
            if (options->dry_run)
                json_object_set_new(value, "wouldChange", json_boolean(outcome->changed));
            json_object_set_new(value, "served", json_boolean(outcome->served));
            json_object_set_new(value, "membership", json_integer((json_int_t)outcome->membership));
            json_object_set_new(value, "generation", json_integer((json_int_t)outcome->generation));
            json_object_set_new(value, "keyId", kt_json_text(outcome->key_id));
        }
        return kt_json_print(value, err);
    }
    const char *what = !outcome->changed  ? "is in force already"
                       : options->dry_run ? "would be installed"
                                          : "is installed";
    printf("Keyring generation %" PRIu64 " (membership %" PRIu64 ") %s%s.\n", outcome->generation, outcome->membership,
           what,
           outcome->served    ? " and served"
           : options->dry_run ? ""
                              : "; no daemon runs, so nothing serves it yet");
    return kt_output_done(err);
}

int kt_command_keyring_offer(int argc, char **argv)
{
    struct offer offer = {0};
    struct kt_command_line line = {.command = kt_command_find("keyring offer"), .take = take_offer, .closure = &offer};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_outcome outcome = {0};
    if (!offer_run(&line.options, offer.file, &outcome, &err) || !print_outcome(&line.options, &outcome, &err))
        return kt_print_error(&line.options, &err);
    return 0;
}
