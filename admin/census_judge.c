/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/census_judge.h"

#include "admin/census_need.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    const char *text;
} kinds[KT_CENSUS_KINDS] = {
#define KT_CENSUS_KIND(name, word, text) [KT_CENSUS_##name] = {word, text},
#include "admin/census_kinds.def"
#undef KT_CENSUS_KIND
};

const char *kt_census_kind_word(enum kt_census_kind kind)
{
    return kinds[kind].word;
}

const char *kt_census_kind_text(enum kt_census_kind kind)
{
    return kinds[kind].text;
}

/* ---- what is asked for ---- */

static bool take_word(const char *word, struct kt_census_asked *ret)
{
    for (enum kt_census_kind kind = 0; kind < KT_CENSUS_KINDS; kind++) {
        size_t len = strlen(kinds[kind].word);
        if (strncmp(word, kinds[kind].word, len) != 0)
            continue;
        uint64_t age = 0;
        bool good = kind == KT_CENSUS_OLD ? word[len] == '=' && kt_duration_parse(word + len + 1, &age) && age > 0
                                          : word[len] == '\0';
        if (!good)
            continue;
        ret->older_than = kind == KT_CENSUS_OLD ? age : ret->older_than;
        ret->kinds |= KT_CENSUS_BIT(kind);
        return true;
    }
    return false;
}

bool kt_census_asked_parse(const char *text, struct kt_census_asked *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) char *copy = strdup(text);
    char *rest = copy;
    if (!copy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (char *word = strsep(&rest, ","); word; word = strsep(&rest, ",")) {
        if (take_word(word, ret))
            continue;
        kt_fail(err, KT_E_USAGE,
                "expected plaintext, unknown, other, missing, uncovered or key-older-than=90d, found %.64s", word);
        return kt_error_hint(err, "several have commas between them");
    }
    return true;
}

/* ---- what a row is ---- */

static const struct kt_key_info *listed(const struct kt_look *look, int ref)
{
    return ref >= KT_REF_KEYS ? &look->info->keys[ref - KT_REF_KEYS] : NULL;
}

uint64_t kt_census_created(const struct kt_look *look, const struct kt_tally_row *row)
{
    const struct kt_stored_as as = {.provider = row->provider, .name = row->name, .key_id = row->key_id};
    int ref = kt_census_ref(look, row);
    const struct kt_archived_info *archived = ref == KT_REF_ARCHIVED ? kt_stored_archived(look->info, &as) : NULL;
    return listed(look, ref) ? listed(look, ref)->created : archived ? archived->created : 0;
}

uint64_t kt_census_made_before(const struct kt_census_asked *asked)
{
    uint64_t now = kt_clock_real_s();
    return asked->older_than > 0 && asked->older_than < now ? now - asked->older_than : 0;
}

unsigned kt_census_kinds_of(const struct kt_look *look, const struct kt_tally_row *row, uint64_t made_before)
{
    const struct kt_stored_rule *rule = kt_stored_rule_of(&look->rules, row);
    int ref = kt_census_ref(look, row);
    uint64_t created = kt_census_created(look, row);
    unsigned more = created > 0 && created < made_before ? KT_CENSUS_BIT(KT_CENSUS_OLD) : 0;
    if (ref == KT_REF_UNKNOWN)
        return KT_CENSUS_BIT(KT_CENSUS_UNKNOWN);
    if (kt_census_held(look, row) == KT_HELD_MISSING)
        more |= KT_CENSUS_BIT(KT_CENSUS_MISSING);
    if (ref != KT_REF_IDENTITY)
        return ref < KT_REF_KEYS ? KT_CENSUS_BIT(KT_CENSUS_OTHER) | more : more;
    if (row->internal || !look->rules.known)
        return 0;
    if (!rule)
        return KT_CENSUS_BIT(KT_CENSUS_UNCOVERED);
    return rule->encrypts ? KT_CENSUS_BIT(KT_CENSUS_PLAINTEXT) : 0;
}

static const char *state_in_clear(const struct kt_look *look, const struct kt_tally_row *row)
{
    const struct kt_stored_rule *rule = kt_stored_rule_of(&look->rules, row);
    if (row->internal)
        return "internal";
    if (!look->rules.known)
        return "-";
    return !rule ? "uncovered" : rule->encrypts ? "in clear" : "exempt";
}

const char *kt_census_state(const struct kt_look *look, const struct kt_tally_row *row)
{
    int ref = kt_census_ref(look, row);
    switch (ref) {
    case KT_REF_UNKNOWN:
        return "unknown";
    case KT_REF_IDENTITY:
        return state_in_clear(look, row);
    case KT_REF_ARCHIVED:
        return "archived";
    case KT_REF_STRANGER:
        return kt_census_superseded(look, row) ? "superseded" : "not listed";
    case KT_REF_FOREIGN:
        return "other";
    default:
        return kt_key_state_text(listed(look, ref)->state);
    }
}

void kt_census_find(const struct kt_look *look, uint64_t made_before, struct kt_census_found *ret)
{
    size_t n = 0;
    const struct kt_tally_row *const *rows = kt_tally_rows(look->census->tally, &n);
    *ret = (struct kt_census_found){.objects = {0}};
    for (size_t i = 0; i < n; i++) {
        unsigned found = kt_census_kinds_of(look, rows[i], made_before);
        for (enum kt_census_kind kind = 0; kind < KT_CENSUS_KINDS; kind++) {
            if ((found & KT_CENSUS_BIT(kind)) == 0)
                continue;
            ret->objects[kind] += rows[i]->count;
            ret->rows[kind]++;
        }
    }
}
