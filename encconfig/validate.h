/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether kube-apiserver v1.36 takes a configuration, by its own rules, their order, field paths and texts:
 * k8s.io/apiserver, pkg/apis/apiserver/validation/validation_encryption.go, and what its loader checks when it builds
 * the transformers. KMS v1 is judged as with its feature gate on, and warned of. tests/oracle holds each rule against
 * the loader itself.
 */
#pragma once

#include "encconfig/config.h"

/* reload: as with --encryption-provider-config-automatic-reload, where names of KMS v1 providers must be unique too.
 * Adds what is wrong, and warnings. True: kube-apiserver takes it. */
bool kt_encconfig_validate(const struct kt_encconfig *config, bool reload, struct kt_findings *findings);
