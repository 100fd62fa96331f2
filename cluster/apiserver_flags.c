/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/apiserver_flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, LIST, BOOL };

static const struct {
    const char *name;
    enum kind kind;
} FLAGS[] = {
#define KT_APISERVER_FLAG(name, kind, flag) {flag, kind},
#include "cluster/apiserver_flags.def"
#undef KT_APISERVER_FLAG
};

void kt_apiserver_flags_done(struct kt_apiserver_flags *flags)
{
    for (size_t i = 0; i < KT_FLAG_COUNT; i++)
        free(flags->values[i]);
    memset(flags, 0, sizeof(*flags));
}

const char *kt_apiserver_flag_name(enum kt_apiserver_flag flag)
{
    return FLAGS[flag].name;
}

static bool same_name(const char *given, size_t len, const char *name)
{
    if (strlen(name) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((given[i] == '_' ? '-' : given[i]) != name[i])
            return false;
    return true;
}

static enum kt_apiserver_flag find(const char *name, size_t len)
{
    enum kt_apiserver_flag flag = 0;
    while (flag < KT_FLAG_COUNT && !same_name(name, len, FLAGS[flag].name))
        flag++;
    return flag;
}

static bool set(struct kt_apiserver_flags *flags, enum kt_apiserver_flag flag, const char *value, struct kt_error *err)
{
    const char *before = FLAGS[flag].kind == LIST ? flags->values[flag] : NULL;
    size_t size = (before ? strlen(before) + 1 : 0) + strlen(value) + 1;
    if (size > KT_APISERVER_VALUE_MAX)
        return kt_fail(err, KT_E_CONFIG, "--%s: expected at most %u bytes, found more", FLAGS[flag].name,
                       KT_APISERVER_VALUE_MAX);
    char *all = malloc(size);
    if (!all)
        return kt_fail(err, KT_E_NOMEM, "no memory for the flags of kube-apiserver");
    (void)snprintf(all, size, "%s%s%s", before ? before : "", before ? "," : "", value);
    free(flags->values[flag]);
    flags->values[flag] = all;
    flags->given[flag]++;
    return true;
}

static bool read_all(char *const *words, size_t n, struct kt_apiserver_flags *flags, struct kt_error *err)
{
    for (size_t i = 0; i < n && strcmp(words[i], "--") != 0; i++) {
        if (strncmp(words[i], "--", 2) != 0)
            continue;
        const char *name = words[i] + 2;
        size_t len = strcspn(name, "=");
        enum kt_apiserver_flag flag = find(name, len);
        const char *value = name[len] == '=' ? name + len + 1 : NULL;
        if (flag == KT_FLAG_COUNT)
            continue;
        if (!value && FLAGS[flag].kind == BOOL)
            value = "true";
        if (!value && i + 1 < n)
            value = words[++i];
        if (value && !set(flags, flag, value, err))
            return false;
    }
    return true;
}

bool kt_apiserver_flags_read(char *const *words, size_t n, struct kt_apiserver_flags *ret, struct kt_error *err)
{
    struct kt_apiserver_flags flags = {.given = {0}};
    if (n > KT_APISERVER_WORDS_MAX)
        return kt_fail(err, KT_E_CONFIG, "expected at most %u words for kube-apiserver, found more",
                       KT_APISERVER_WORDS_MAX);
    if (!read_all(words, n, &flags, err)) {
        kt_apiserver_flags_done(&flags);
        return false;
    }
    *ret = flags;
    return true;
}

/* strconv.ParseBool's words for false; a word that is none stops kube-apiserver. */
bool kt_apiserver_flag_on(const struct kt_apiserver_flags *flags, enum kt_apiserver_flag flag)
{
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    const char *value = flags->values[flag];
    for (size_t i = 0; value && i < KT_ARRAY_LEN(no); i++)
        if (strcmp(value, no[i]) == 0)
            return false;
    return value != NULL;
}

const char *kt_apiserver_encryption_config(const struct kt_apiserver_flags *flags)
{
    const char *now = flags->values[KT_FLAG_ENCRYPTION_CONFIG];
    return now ? now : flags->values[KT_FLAG_ENCRYPTION_CONFIG_OLD];
}

static bool same_text(const char *a, const char *b)
{
    return (!a || !b) ? a == b : strcmp(a, b) == 0;
}

bool kt_apiserver_flags_same(const struct kt_apiserver_flags *a, const struct kt_apiserver_flags *b)
{
    static const enum kt_apiserver_flag texts[] = {KT_FLAG_ETCD_SERVERS,  KT_FLAG_ETCD_SERVERS_OVERRIDES,
                                                   KT_FLAG_ETCD_PREFIX,   KT_FLAG_ETCD_CAFILE,
                                                   KT_FLAG_ETCD_CERTFILE, KT_FLAG_ETCD_KEYFILE};
    if (!same_text(kt_apiserver_encryption_config(a), kt_apiserver_encryption_config(b)) ||
        kt_apiserver_flag_on(a, KT_FLAG_ENCRYPTION_RELOAD) != kt_apiserver_flag_on(b, KT_FLAG_ENCRYPTION_RELOAD))
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++)
        if (!same_text(a->values[texts[i]], b->values[texts[i]]))
            return false;
    return true;
}
