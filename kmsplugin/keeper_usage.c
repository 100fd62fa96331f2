/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/keeper_usage.h"

#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HEADER   "keyturn-usage 1\n"
#define TEXT_MAX 65536u

_Static_assert(KT_USAGE_MAX > 2 * KT_KEYS_MAX, "every key that can be loaded has its entry");

static bool parse_id(const char *text, char ret[KT_KEY_ID_LEN + 1])
{
    size_t n = strspn(text, "0123456789abcdef");
    if (n != KT_KEY_ID_LEN || text[n] != ' ')
        return false;
    memcpy(ret, text, n);
    ret[n] = 0;
    return true;
}

/* One line, "ID BOUND\n". Returns what comes after it; NULL: malformed. */
static const char *parse_line(const char *line, struct kt_usage_entry *ret)
{
    *ret = (struct kt_usage_entry){.used = 0};
    if (!parse_id(line, ret->id))
        return NULL;
    const char *number = line + KT_KEY_ID_LEN + 1;
    char *end = NULL;
    errno = 0;
    unsigned long long bound = strtoull(number, &end, 10);
    if (!isdigit((unsigned char)*number) || errno || *end != '\n' || bound > 2 * KT_USAGE_LIMIT)
        return NULL;
    ret->used = bound;
    ret->reserved = bound;
    return end + 1;
}

static const struct kt_usage_entry *find(const struct kt_usage *usage, const char *id)
{
    for (size_t i = 0; i < usage->n; i++) {
        if (strcmp(usage->entries[i].id, id) == 0)
            return &usage->entries[i];
    }
    return NULL;
}

static bool parse(struct kt_usage *usage, const char *text)
{
    if (strncmp(text, HEADER, strlen(HEADER)) != 0)
        return false;
    for (text += strlen(HEADER); *text;) {
        struct kt_usage_entry entry;
        text = parse_line(text, &entry);
        if (!text || usage->n == KT_USAGE_MAX || find(usage, entry.id))
            return false;
        usage->entries[usage->n++] = entry;
    }
    return true;
}

void kt_usage_load(struct kt_usage *usage, int dirfd)
{
    const struct kt_file_rules rules = {.max = TEXT_MAX, .owner = geteuid(), .forbidden_mode = 0022};
    KT_CLEANUP_BYTES struct kt_bytes text = {.data = NULL};
    enum kt_file_state state = KT_FILE_ABSENT;
    memset(usage, 0, sizeof(*usage));
    usage->dirfd = dirfd;
    if (!kt_file_read_if(dirfd, KT_USAGE_FILE, &rules, &text, &state, &usage->trouble)) {
        usage->unknown = true;
        return;
    }
    if (state == KT_FILE_ABSENT)
        return;
    if (strlen((const char *)text.data) == text.len && parse(usage, (const char *)text.data))
        return;
    usage->n = 0;
    usage->unknown = true;
    (void)kt_fail(&usage->trouble, KT_E_IO, "%s in the state directory is malformed: every key counts from 2^30",
                  KT_USAGE_FILE);
    (void)kt_error_hint(&usage->trouble, "rotate (keyturn rotate-keys), so that a new key counts from zero");
}

static void save(struct kt_usage *usage, bool exact)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1, .impose_owner = true};
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    struct kt_error error = KT_ERROR_INIT;
    if (usage->dirfd < 0)
        return;
    kt_text_init(&text, TEXT_MAX);
    kt_text_add(&text, "%s", HEADER);
    for (size_t i = 0; i < usage->n; i++) {
        const struct kt_usage_entry *entry = &usage->entries[i];
        kt_text_add(&text, "%s %" PRIu64 "\n", entry->id, exact ? entry->used : entry->reserved);
    }
    if (text.bad)
        (void)kt_fail(&error, KT_E_NOMEM, "out of memory");
    else if (kt_file_replace(usage->dirfd, KT_USAGE_FILE, KT_SLICE(text.data, text.len), &attrs, &error))
        kt_error_clear(&error);
    usage->trouble = error;
}

/* A key that is loaded must not count from zero again, nor may one that has encrypted much. */
static bool goes_before(const struct kt_usage_entry *a, const struct kt_usage_entry *b)
{
    return a->listed != b->listed ? b->listed : a->used < b->used;
}

static void forget_one(struct kt_usage *usage)
{
    size_t least = 0;
    for (size_t i = 1; i < usage->n; i++) {
        if (goes_before(&usage->entries[i], &usage->entries[least]))
            least = i;
    }
    usage->n--;
    memmove(&usage->entries[least], &usage->entries[least + 1], (usage->n - least) * sizeof(usage->entries[0]));
}

static struct kt_usage_entry *find_or_add(struct kt_usage *usage, const char *id)
{
    for (size_t i = 0; i < usage->n; i++) {
        if (strcmp(usage->entries[i].id, id) == 0)
            return &usage->entries[i];
    }
    if (usage->n == KT_USAGE_MAX)
        forget_one(usage);
    struct kt_usage_entry *entry = &usage->entries[usage->n++];
    *entry = (struct kt_usage_entry){.used = usage->unknown ? KT_USAGE_WARN : 0};
    entry->reserved = entry->used;
    (void)snprintf(entry->id, sizeof(entry->id), "%s", id);
    return entry;
}

static uint64_t reserve(struct kt_usage_entry *entry)
{
    uint64_t was = entry->reserved;
    entry->block = entry->grown ? KT_USAGE_BLOCK : KT_USAGE_FIRST_BLOCK;
    entry->reserved = entry->used + entry->block;
    return was;
}

bool kt_usage_take(struct kt_usage *usage, const char *id, struct kt_error *err)
{
    struct kt_usage_entry *entry = find_or_add(usage, id);
    if (entry->used >= KT_USAGE_LIMIT) {
        (void)kt_fail(err, KT_E_KMS_EXHAUSTED, "key %s has encrypted 2^32 times, the limit of AES-GCM", id);
        return kt_error_hint(err, "rotate: keyturn rotate-keys");
    }
    if (entry->used >= entry->reserved && entry->used >= entry->next_try) {
        uint64_t was = reserve(entry);
        save(usage, false);
        if (usage->trouble.code == KT_OK) {
            entry->grown = true;
        } else {
            entry->reserved = was;
            entry->next_try = entry->used + KT_USAGE_FIRST_BLOCK;
        }
    }
    entry->used++;
    return true;
}

/* One of which nothing is left, or that was not used since the start, is none of these. */
static bool is_half_used(const struct kt_usage_entry *entry)
{
    return entry->used < entry->reserved && entry->reserved - entry->used <= entry->block / 2 &&
           entry->tried != entry->reserved;
}

void kt_usage_ahead(struct kt_usage *usage)
{
    uint64_t was[KT_USAGE_MAX] = {0}; /* 0: let alone */
    bool any = false;
    for (size_t i = 0; i < usage->n; i++) {
        if (!is_half_used(&usage->entries[i]))
            continue;
        was[i] = reserve(&usage->entries[i]);
        any = true;
    }
    if (!any)
        return;
    save(usage, false);
    for (size_t i = 0; i < usage->n; i++) {
        struct kt_usage_entry *entry = &usage->entries[i];
        if (was[i] == 0)
            continue;
        entry->grown = entry->grown || usage->trouble.code == KT_OK;
        if (usage->trouble.code != KT_OK)
            entry->reserved = entry->tried = was[i];
    }
}

uint64_t kt_usage_count(const struct kt_usage *usage, const char *id)
{
    const struct kt_usage_entry *entry = find(usage, id);
    if (!entry)
        return usage->unknown ? KT_USAGE_WARN : 0;
    return entry->used;
}

static bool is_listed(const struct kt_keyring_info *info, const char *id)
{
    for (size_t i = 0; i < info->n_keys; i++) {
        if (info->keys[i].type == KT_KEY_KMS && strcmp(info->keys[i].id, id) == 0)
            return true;
    }
    return false;
}

void kt_usage_reserve(struct kt_usage *usage, const struct kt_keyring_info *info)
{
    bool any = false;
    for (size_t i = 0; i < usage->n; i++)
        usage->entries[i].listed = is_listed(info, usage->entries[i].id);
    for (size_t i = 0; i < info->n_keys; i++) {
        struct kt_usage_entry *entry = info->keys[i].type == KT_KEY_KMS ? find_or_add(usage, info->keys[i].id) : NULL;
        if (entry)
            entry->listed = true;
        if (!entry || entry->used < entry->reserved)
            continue;
        (void)reserve(entry);
        any = true;
    }
    if (!any)
        return;
    save(usage, false);
    for (size_t i = 0; i < usage->n; i++) {
        struct kt_usage_entry *entry = &usage->entries[i];
        if (usage->trouble.code == KT_OK)
            entry->grown = entry->grown || entry->reserved > entry->used;
        else if (entry->reserved > entry->used)
            entry->reserved = entry->used;
    }
}

void kt_usage_close(struct kt_usage *usage)
{
    if (usage->n > 0)
        save(usage, true);
}
