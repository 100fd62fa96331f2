/* SPDX-License-Identifier: Apache-2.0 */
/* k3s and RKE2: a file of ours in config.yaml.d. "key+" adds to what others say; a file of another name is not ours. */
#include "wiring/parts.h"

#include <stdio.h>
#include <string.h>

#define DROP_IN_MAX ((size_t)64 * 1024)

static bool write_text(const struct kt_wiring *wiring, struct kt_text *out)
{
    kt_text_add(out,
                "# Written by keyturn config wire; keyturn config unwire takes it out again.\nkube-apiserver-arg+:\n");
    for (size_t i = 0; i < wiring->n_args; i++)
        kt_text_add(out, "- %s=%s\n", wiring->args[i].name, wiring->args[i].value);
    if (wiring->n_mounts > 0)
        kt_text_add(out, "kube-apiserver-extra-mount+:\n");
    for (size_t i = 0; i < wiring->n_mounts; i++)
        kt_text_add(out, "- %s:%s%s\n", wiring->mounts[i].host, wiring->mounts[i].inside,
                    wiring->mounts[i].read_only ? ":ro" : "");
    return !out->bad;
}

/* Told by something else than our drop-in: nothing can be added to that. */
static bool check_others(const struct kt_host *host, const struct kt_wiring *wiring, struct kt_error *err)
{
    const struct kt_apiserver_flags *flags = host->has_wanted ? &host->wanted : &host->flags;
    if (kt_apiserver_flag_on(flags, KT_FLAG_ENCRYPTION_RELOAD) && flags->given[KT_FLAG_ENCRYPTION_CONFIG] == 1)
        return true;
    kt_fail(err, KT_E_REFUSED,
            "expected kube-apiserver to be told by nothing or by %s, found %.1024s told by something else",
            wiring->target, wiring->inside);
    return kt_error_hint(err, "take it out of %s and what is beside it, or complete it there: keyturn doctor",
                         host->distro->config);
}

/* In force already, whatever our drop-in looks like. */
static bool is_wired(const struct kt_host *host, const struct kt_wiring *wiring)
{
    char inside[PATH_MAX];
    char file[PATH_MAX + 2];
    const struct kt_apiserver_flags *flags = host->has_wanted ? &host->wanted : &host->flags;
    const char *config = kt_apiserver_encryption_config(flags);
    for (size_t i = 0; i < wiring->n_mounts; i++) {
        (void)snprintf(file, sizeof(file), "%s/x", wiring->mounts[i].host);
        if (strlen(file) >= PATH_MAX || kt_host_inside(host, file, inside) != KT_HOST_PATH_FOLDER)
            return false;
    }
    return !wiring->makes_file && config && strcmp(config, wiring->inside) == 0 &&
           kt_apiserver_flag_on(flags, KT_FLAG_ENCRYPTION_RELOAD);
}

bool kt_wiring_drop_in(const struct kt_host *host, struct kt_wiring *wiring, struct kt_error *err)
{
    struct kt_text out;
    if (is_wired(host, wiring))
        return !wiring->before.data || kt_bytes_copy(kt_bytes_view(&wiring->before), &wiring->after, err);
    if (!wiring->makes_file && !wiring->before.data)
        return check_others(host, wiring, err);
    kt_text_init(&out, DROP_IN_MAX);
    bool written = write_text(wiring, &out) && kt_text_take(&out, &wiring->after, err);
    kt_text_done(&out);
    return written;
}

bool kt_wiring_drop_in_out(struct kt_wiring *wiring, struct kt_error *err)
{
    if (wiring->before.data || wiring->makes_file)
        return true;
    kt_fail(err, KT_E_REFUSED, "expected %s, found kube-apiserver told by something else", wiring->target);
    return kt_error_hint(err, "take out there what keyturn doctor shows");
}
