/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/file.h"
#include "kmsplugin/exporter.h"

#include <fcntl.h>

bool kt_textfile_write(const char *path, const struct kt_pages *pages, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0644, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL};
    kt_text_init(&text, KT_METRICS_MAX);
    kt_metrics_format(pages, kt_clock_real_s(), &text);
    if (text.bad)
        return kt_fail(err, KT_E_NOMEM, "the metrics do not fit in %u bytes", KT_METRICS_MAX);
    return kt_file_replace(AT_FDCWD, path, KT_SLICE(text.data, text.len), &attrs, err);
}
