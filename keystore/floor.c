/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/floor.h"

#include <inttypes.h>
#include <string.h>

void kt_floor_format(const struct kt_floor *floor, char ret[KT_FLOOR_TEXT_MAX])
{
    char hash[KT_HASH_TEXT_LEN] = {0};
    char founder[KT_HASH_TEXT_LEN] = {0};
    char owner[KT_HASH_TEXT_LEN] = {0};
    char id[2 * KT_KEYRING_ID_LEN + 1] = {0};
    kt_hash_format(floor->hash, hash);
    kt_hash_format(floor->founder, founder);
    kt_hash_format(floor->owner, owner);
    kt_hex_encode(KT_SLICE(floor->keyring_id, KT_KEYRING_ID_LEN), id);
    snprintf(ret, KT_FLOOR_TEXT_MAX,
             "keyturn-floor 1\nmembership %" PRIu64 "\ngeneration %" PRIu64
             "\nhash %s\nkeyring %s\nfounder %s\nowner %s\n",
             floor->membership, floor->generation, hash, id, founder, owner);
}

static bool take_line(struct kt_slice *rest, const char *prefix, char *ret, size_t cap)
{
    size_t skip = strlen(prefix);
    const uint8_t *lf = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t len = lf ? (size_t)(lf - rest->data) : 0;
    if (!lf || len < skip || len - skip >= cap || memcmp(rest->data, prefix, skip) != 0)
        return false;
    memcpy(ret, rest->data + skip, len - skip);
    ret[len - skip] = '\0';
    *rest = KT_SLICE(lf + 1, rest->len - len - 1);
    return strlen(ret) == len - skip;
}

/* 1..2^53 in decimal, without leading zeros. */
static bool parse_number(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    if (text[0] < '1' || text[0] > '9')
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
        if (value > KT_NUMBER_MAX)
            return false;
    }
    *ret = value;
    return true;
}

static bool damaged(struct kt_error *err, const char *expected)
{
    kt_fail(err, KT_E_KEYRING_FORMAT, "the floor file is damaged: expected %s, found something else", expected);
    return kt_error_hint(err,
                         "if keyring.yaml beside it is the newest keyring that this node has served, remove the file "
                         "floor and start again; else copy the newest keyring from another node first");
}

bool kt_floor_parse(struct kt_slice text, struct kt_floor *ret, struct kt_error *err)
{
    struct kt_floor floor = {0};
    char value[KT_HASH_TEXT_LEN] = "";
    if (text.len == 0)
        return damaged(err, "seven lines (the file is empty)");
    if (!take_line(&text, "keyturn-floor ", value, sizeof value))
        return damaged(err, "\"keyturn-floor 1\" in line 1");
    if (strcmp(value, "1") != 0) {
        kt_fail(err, KT_E_KEYRING_VERSION, "the floor file has another version: expected version 1");
        return kt_error_hint(err, "a newer keyturn wrote it: install that release on this node");
    }
    if (!take_line(&text, "membership ", value, sizeof value) || !parse_number(value, &floor.membership))
        return damaged(err, "\"membership\" and a number from 1 in line 2");
    if (!take_line(&text, "generation ", value, sizeof value) || !parse_number(value, &floor.generation))
        return damaged(err, "\"generation\" and a number from 1 in line 3");
    if (!take_line(&text, "hash ", value, sizeof value) || !kt_hash_parse(value, floor.hash))
        return damaged(err, "\"hash sha256:\" and 64 hex digits in line 4");
    if (!take_line(&text, "keyring ", value, sizeof value) ||
        !kt_hex_decode(kt_slice_str(value), floor.keyring_id, KT_KEYRING_ID_LEN))
        return damaged(err, "\"keyring\" and 32 hex digits in line 5");
    if (!take_line(&text, "founder ", value, sizeof value) || !kt_hash_parse(value, floor.founder))
        return damaged(err, "\"founder sha256:\" and 64 hex digits in line 6");
    if (!take_line(&text, "owner ", value, sizeof value) || !kt_hash_parse(value, floor.owner))
        return damaged(err, "\"owner sha256:\" and 64 hex digits in line 7");
    if (text.len > 0)
        return damaged(err, "the end after line 7");
    *ret = floor;
    return true;
}

void kt_floor_of(const struct kt_keyring_info *info, struct kt_floor *ret)
{
    ret->membership = info->membership;
    ret->generation = info->generation;
    memcpy(ret->hash, info->hash, KT_HASH_LEN);
    memcpy(ret->keyring_id, info->keyring_id, KT_KEYRING_ID_LEN);
    memcpy(ret->founder, info->founder, KT_HASH_LEN);
    memcpy(ret->owner, info->owner, KT_HASH_LEN);
}

enum kt_floor_verdict kt_floor_compare(const struct kt_floor *floor, const struct kt_keyring_info *info)
{
    int order = kt_keyring_compare(info->membership, info->generation, floor->membership, floor->generation);
    if (order != 0)
        return order > 0 ? KT_FLOOR_NEWER : KT_FLOOR_OLDER;
    return memcmp(floor->hash, info->hash, KT_HASH_LEN) == 0 ? KT_FLOOR_SAME : KT_FLOOR_FORK;
}

bool kt_floor_is_leap(const struct kt_floor *floor, const struct kt_keyring_info *info, uint64_t made_over)
{
    uint64_t from = floor->generation;
    if (info->membership > floor->membership && made_over > from)
        from = made_over;
    return info->generation > from && info->generation - from > KT_GENERATION_LEAP_MAX;
}
