/* SPDX-License-Identifier: Apache-2.0 */
/* A text judged, as test_config.c and test_validate.c both want it. */
#pragma once

#include "encconfig/validate.h"
#include "tests/unit/base/unit.h"

#include <string.h>

/* What kube-apiserver would print, without its frame for the field validation; warnings are left out. */
static inline void judge(const char *text, size_t len, bool reload, struct kt_text *out)
{
    static const char frame[] = "error while parsing file: ";
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    struct kt_error err = KT_ERROR_INIT;
    KT_CLEANUP(kt_encconfig_free_p)
    struct kt_encconfig *config = kt_encconfig_parse(KT_SLICE(text, len), &findings, &err);
    KT_CLEANUP(kt_text_done) struct kt_text printed = {.data = NULL};
    kt_text_init(&printed, 1u << 20);
    kt_text_init(out, 1u << 20);
    kt_text_add(out, "%s", "");
    bool taken = config && kt_encconfig_validate(config, reload, &findings);
    assert_int_equal(taken, kt_findings_count(&findings) == 0);
    assert_int_equal(err.code, config ? KT_OK : KT_E_CONFIG);
    kt_findings_print(&findings, "F", &printed);
    if (printed.data)
        kt_text_add(out, "%s",
                    strncmp(printed.data, frame, strlen(frame)) == 0 ? printed.data + strlen(frame) : printed.data);
}
