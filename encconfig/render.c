/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/render.h"

#define RENDERED_MAX 4096u

static const char template[] = "apiVersion: apiserver.config.k8s.io/v1\n"
                               "kind: EncryptionConfiguration\n"
                               "resources:\n"
                               "  - resources:\n"
                               "      - secrets\n"
                               "    providers:\n"
                               "      - kms:\n"
                               "          apiVersion: v2\n"
                               "          name: %s\n"
                               "          endpoint: unix://%s%s\n"
                               "          timeout: 3s\n"
                               "      - identity: {}\n";

bool kt_encconfig_render_fresh(const struct kt_encconfig_fresh *fresh, struct kt_bytes *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_text_done) struct kt_text text;
    kt_text_init(&text, RENDERED_MAX);
    /* kube-apiserver's form of an abstract socket is unix:///@name. */
    kt_text_add(&text, template, fresh->provider, fresh->kms_socket[0] == '@' ? "/" : "", fresh->kms_socket);
    return kt_text_take(&text, ret, err);
}
