/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/key_name.h"

#include "base/printable.h"

#include <stdio.h>
#include <string.h>

/* Characters that cannot be seen, or that turn round, break or hide what stands beside them; what is no character. */
static const uint32_t hidden[][2] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},        {0x61c, 0x61c},
                                     {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},    {0x2060, 0x206f},
                                     {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff0, UINT32_MAX}};

static bool is_hidden(uint32_t c)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(hidden); i++)
        if (c >= hidden[i][0] && c <= hidden[i][1])
            return true;
    return false;
}

bool kt_key_name_takes(uint32_t character)
{
    return !is_hidden(character);
}

bool kt_key_name_valid(const char *name)
{
    size_t len = strnlen(name, KT_KEY_NAME_MAX + 1);
    if (len == 0 || len > KT_KEY_NAME_MAX || name[0] == ' ' || name[len - 1] == ' ')
        return false;
    for (const char *at = name; *at;) {
        uint32_t c = 0;
        at += kt_utf8_decode(at, &c);
        if (is_hidden(c))
            return false;
    }
    return true;
}

static bool begins(const char *name, const char *with)
{
    size_t len = strlen(with);
    return strncmp(name, with, len) == 0 && (name[len] == '\0' || name[len] == ':');
}

bool kt_key_names_clash(const char *a, const char *b)
{
    return begins(a, b) || begins(b, a);
}

const char *kt_key_name_first(enum kt_key_type type)
{
    static const char *const names[] = {
        [KT_KEY_KMS] = "kmskey",
        [KT_KEY_AESCBC] = "aescbckey",
        [KT_KEY_AESGCM] = "aesgcmkey",
        [KT_KEY_SECRETBOX] = "secretboxkey",
    };
    return (size_t)type < KT_ARRAY_LEN(names) && names[type] ? names[type] : "key";
}

static bool is_taken(const struct kt_keyring_info *info, const char *name)
{
    for (size_t i = 0; i < info->n_keys; i++)
        if (strcmp(info->keys[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < info->n_archive; i++)
        if (strcmp(info->archive[i].name, name) == 0)
            return true;
    return false;
}

void kt_key_name_next(const struct kt_keyring_info *info, enum kt_key_type type, uint64_t now,
                      char ret[KT_KEY_NAME_MAX + 1])
{
    char time[KT_TIME_LEN] = "";
    kt_time_format(now, time);
    snprintf(ret, KT_KEY_NAME_MAX + 1, "%s-%s", kt_key_name_first(type), time);
    for (unsigned n = 2; is_taken(info, ret); n++)
        snprintf(ret, KT_KEY_NAME_MAX + 1, "%s-%s-%u", kt_key_name_first(type), time, n);
}
