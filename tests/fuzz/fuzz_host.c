/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a host that other programs write; the first byte chooses. Whatever is taken can be used and freed. */
#include "base/cleanup.h"
#include "cluster/apiserver_flags.h"
#include "cluster/static_pod.h"
#include "cluster/storage_key.h"
#include "cluster/unit_file.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_pod(struct kt_slice text)
{
    struct kt_static_pod pod;
    struct kt_apiserver_flags flags;
    const char *rest = NULL;
    if (!kt_static_pod_parse(text, "pod", "kube-apiserver", &pod, NULL))
        return;
    if (kt_apiserver_flags_read(pod.words, pod.n_words, &flags, NULL)) {
        const char *config = kt_apiserver_encryption_config(&flags);
        const struct kt_pod_mount *mount = config ? kt_static_pod_mount(&pod, config, true, &rest) : NULL;
        must(!mount || strcmp(config + strlen(config) - strlen(rest), rest) == 0);
        must(kt_apiserver_flags_same(&flags, &flags));
        kt_apiserver_flags_done(&flags);
    }
    kt_static_pod_done(&pod);
}

static void try_unit(struct kt_slice text)
{
    struct kt_unit_words words;
    struct kt_apiserver_flags flags;
    if (!kt_unit_exec_start(text, &words, NULL))
        return;
    if (kt_apiserver_flags_read(words.items, words.n, &flags, NULL))
        kt_apiserver_flags_done(&flags);
    kt_unit_words_done(&words);
    free(kt_unit_variable(text, "K3S_DATA_DIR"));
}

/* Endpoints, overrides, resources: texts of flags. */
static void try_texts(struct kt_slice text)
{
    KT_CLEANUP(kt_free_p) char *copy = strndup((const char *)text.data, text.len);
    struct kt_etcd_endpoints endpoints;
    struct kt_storage_overrides overrides;
    struct kt_storage_resource resource;
    char key[KT_STORAGE_KEY_MAX];
    if (!copy)
        return;
    if (kt_etcd_endpoints_parse(copy, ',', &endpoints, NULL)) {
        for (size_t i = 0; i < endpoints.n; i++)
            must(endpoints.items[i].is_socket ? endpoints.items[i].path[0] == '/' : endpoints.items[i].port[0] != '\0');
        kt_etcd_endpoints_done(&endpoints);
    }
    if (kt_storage_overrides_parse(copy, &overrides, NULL))
        kt_storage_overrides_done(&overrides);
    if (kt_storage_resource_parse(copy, &resource, NULL) && kt_storage_key(copy, &resource, "n", "a", key, NULL))
        must(key[0] == '/' && strstr(key, "//") == NULL && strlen(key) < sizeof(key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const decoders[])(struct kt_slice) = {try_pod, try_unit, try_texts};
    if (size > 1)
        decoders[data[0] % KT_ARRAY_LEN(decoders)](KT_SLICE(data + 1, size - 1));
    return 0;
}
