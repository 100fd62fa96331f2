/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What encconfig/ makes of EncryptionConfiguration files, in the form in which the oracle (main.go) tells what
 * kube-apiserver makes of them: paths on standard input, a line of JSON for each on standard output.
 */
#include "base/file.h"
#include "encconfig/validate.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool read_file(const char *path, struct kt_bytes *ret)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_file_rules rules = {.max = 2 * KT_SOURCE_BYTES_MAX, .owner = KT_ANY_UID};
    if (kt_file_read(AT_FDCWD, path, &rules, ret, &err))
        return true;
    fprintf(stderr, "%s\n", err.message);
    return false;
}

static json_t *judge(const char *path, struct kt_slice bytes, bool reload)
{
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = kt_encconfig_parse(bytes, &findings, NULL);
    if (config)
        (void)kt_encconfig_validate(config, reload, &findings);
    kt_text_init(&text, (size_t)64 * 1024 * 1024);
    kt_findings_print(&findings, path, &text);
    if (text.bad || findings.out_of_memory)
        return NULL;
    return json_stringn(text.data ? text.data : "", text.len);
}

int main(void)
{
    char path[4096];
    while (fgets(path, sizeof(path), stdin)) {
        KT_CLEANUP_BYTES struct kt_bytes bytes = {0};
        path[strcspn(path, "\n")] = '\0';
        if (!read_file(path, &bytes))
            return 1;
        json_t *line = json_pack("{s:s,s:o,s:o}", "file", path, "error", judge(path, kt_bytes_view(&bytes), false),
                                 "reload", judge(path, kt_bytes_view(&bytes), true));
        if (!line || json_dumpf(line, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF)
            return 1;
        json_decref(line);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
