/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keys are called. The name of an inline key is part of everything that is stored under it
 * ("k8s:enc:aescbc:v1:NAME:"), so one that comes from elsewhere stays as it is: whatever kube-apiserver takes, as long
 * as it can be shown (docs/keyring-format.md §4).
 */
#pragma once

#include "keystore/key.h"

/* 1..KT_KEY_NAME_MAX bytes of UTF-8 that a terminal, YAML and JSON take as they are. */
bool kt_key_name_valid(const char *name) KT_MUST_CHECK;
/* One character, as it may stand in a name. */
bool kt_key_name_takes(uint32_t character) KT_MUST_CHECK;
/* For messages: what kt_key_name_valid takes. */
#define KT_KEY_NAME_RULE "1 to 253 bytes of printable UTF-8 that neither begins nor ends with a space"

/* Whether what is stored under the one would be tried with the other: the same name, or one that goes on with ':' where
 * the other ends. */
bool kt_key_names_clash(const char *a, const char *b) KT_MUST_CHECK;

/* Of the first key of a keyring, as k3s has it: "aescbckey", "secretboxkey"; "kmskey". */
const char *kt_key_name_first(enum kt_key_type type);
/* Of each later one: "aescbckey-2026-11-23T09:00:00Z", and "...Z-2" and so on where that is listed or archived. */
void kt_key_name_next(const struct kt_keyring_info *info, enum kt_key_type type, uint64_t now,
                      char ret[KT_KEY_NAME_MAX + 1]);
