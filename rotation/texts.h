/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What k3s and RKE2 print, word for word, for scripts that look for it. Sources: k3s pkg/cli/secretsencrypt/
 * secrets_encrypt.go (status, success), pkg/server/handlers/secrets-encrypt.go (errors). Success texts: stages.def.
 */
#pragma once

#include "rotation/rotation.h"

/* The three lines of `status`, and what stands instead of them where there is no config file. */
#define KT_TEXT_STATUS_NO_FILE  "Encryption Status: Disabled, no configuration file found"
#define KT_TEXT_STATUS_ENABLED  "Encryption Status: Enabled"
#define KT_TEXT_STATUS_DISABLED "Encryption Status: Disabled"
#define KT_TEXT_STATUS_STAGE    "Current Rotation Stage: %s"
#define KT_TEXT_STATUS_HASHES   "Server Encryption Hashes: %s"
#define KT_TEXT_HASHES_MATCH    "All hashes match"
#define KT_TEXT_HASHES_UNKNOWN  "unknown" /* keyturn's own: k3s has no such case */
/* Two nodes. */
#define KT_TEXT_HASHES_DIFFER "hash does not match between %s and %s"
/* Stage, node. */
#define KT_TEXT_STAGE "incorrect stage: %s found on node %s"
/* enable where it is enabled, and the opposite: k3s logs it and succeeds. */
#define KT_TEXT_ALREADY_ENABLED  "Secrets encryption already enabled"
#define KT_TEXT_ALREADY_DISABLED "Secrets encryption already disabled"

/* k3s's success text of a command. */
const char *kt_rotation_success(enum kt_order_kind kind);
