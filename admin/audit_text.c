/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_who(const struct kt_audit_claim *claim)
{
    const struct kt_audit_who *who = &claim->who;
    if (!claim->has_who)
        return;
    printf(" by uid %" PRIu32, who->uid);
    if (who->user[0])
        printf(" (%s)", who->user);
    if (who->login[0])
        printf(", login %s", who->login);
    if (who->sudo[0])
        printf(", sudo from %s", who->sudo);
}

static void print_head(const struct kt_audit_line *line)
{
    char time[KT_TIME_LEN];
    kt_time_format(line->time, time);
    printf("%" PRIu64 "  %s  %s: %s", line->seq, time, line->node,
           line->claim.command[0] ? line->claim.command : "(no command)");
    print_who(&line->claim);
    printf("\n   %s%s%s: ", kt_audit_event_text(line->event), line->subject[0] ? " " : "", line->subject);
    if (line->before.membership == 0)
        printf("membership %" PRIu64 ", generation %" PRIu64 "\n", line->after.membership, line->after.generation);
    else if (line->before.membership == line->after.membership)
        printf("generation %" PRIu64 " -> %" PRIu64 "\n", line->before.generation, line->after.generation);
    else
        printf("membership %" PRIu64 " -> %" PRIu64 ", generation %" PRIu64 " -> %" PRIu64 "\n",
               line->before.membership, line->after.membership, line->before.generation, line->after.generation);
}

static void print_change(const char *what, const char *before, const char *after)
{
    if (strcmp(before, after) != 0)
        printf("   %s: %s -> %s\n", what, before, after);
}

static void print_numbers(const char *what, uint64_t before, uint64_t after)
{
    if (before != after)
        printf("   %s: %" PRIu64 " -> %" PRIu64 "\n", what, before, after);
}

static const char *yes_no(bool value)
{
    return value ? "yes" : "no";
}

/* n_keys: it is not there. */
static size_t find(const struct kt_audit_state *state, const char *id)
{
    size_t i = 0;
    while (i < state->n_keys && strcmp(state->keys[i].id, id) != 0)
        i++;
    return i;
}

static void print_key(const struct kt_audit_key *key, const char *what)
{
    printf("   key %s %s: %s\n", key->name, key->id, what);
}

static void print_keys(const struct kt_audit_state *before, const struct kt_audit_state *after)
{
    char text[96];
    for (size_t i = 0; i < after->n_keys; i++) {
        const struct kt_audit_key *key = &after->keys[i];
        size_t old = find(before, key->id);
        if (old < before->n_keys && before->keys[old].state == key->state)
            continue;
        if (old < before->n_keys)
            snprintf(text, sizeof(text), "%s -> %s", kt_key_state_text(before->keys[old].state),
                     kt_key_state_text(key->state));
        else
            snprintf(text, sizeof(text), "new, %s, %s", kt_key_type_text(key->type), kt_key_state_text(key->state));
        print_key(key, text);
    }
    for (size_t i = 0; i < before->n_keys; i++)
        if (find(after, before->keys[i].id) == after->n_keys)
            print_key(&before->keys[i], "not listed any more");
}

static void print_config(const struct kt_audit_claim *claim)
{
    char before[KT_HASH_TEXT_LEN];
    char after[KT_HASH_TEXT_LEN];
    if (!claim->has_config)
        return;
    kt_hash_format(claim->config_before, before);
    kt_hash_format(claim->config_after, after);
    print_change("configuration", before, after);
}

void kt_audit_print(const struct kt_audit_line *line)
{
    const struct kt_audit_state *before = &line->before;
    const struct kt_audit_state *after = &line->after;
    print_head(line);
    if (before->membership > 0) {
        print_change("stage", kt_stage_text(before->stage), kt_stage_text(after->stage));
        print_change("enabled", yes_no(before->enabled), yes_no(after->enabled));
        print_change("strict", yes_no(before->strict), yes_no(after->strict));
        print_numbers("hold", before->hold, after->hold);
    }
    print_keys(before, after);
    print_numbers("archived keys", before->archived, after->archived);
    print_config(&line->claim);
}
