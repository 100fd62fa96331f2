/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes lists of providers of an EncryptionConfiguration, and nothing else in it: every other byte, comments, layout,
 * quoting, line ends and byte order mark stay. Providers (and keys in them) that stay keep their bytes, and are moved
 * as they are with their comments: those behind them on their last line, those right below that are indented deeper,
 * and those above. New ones are written as their neighbours are.
 *
 * What could come out wrong is refused by name (KT_E_REFUSED), never guessed: a file that kube-apiserver would not
 * take; UTF-16; several documents; lists that come by an alias or a merge key, or share nodes with another part by one;
 * comments between items in brackets; a list in block style whose items do not begin on lines of their own.
 *
 * The result is parsed again, and must hold the wanted lists, everything else as it was by meaning and, around the
 * lists, by bytes.
 */
#pragma once

#include "encconfig/config.h"

/* Wanted in one list; keys of one provider. */
#define KT_ENCCONFIG_ITEMS_MAX 256u

/* One provider, or one inline key. */
struct kt_encconfig_item {
    enum kt_encconfig_type type;
    const char *name;              /* a KMS provider's or an inline key's; UTF-8 */
    const char *endpoint;          /* a KMS provider's, "unix:///..."; one that is in the list keeps its own fields */
    const struct kt_secret *bytes; /* an inline key's */
};

/* What the list of one entry is to hold. Adjacent inline keys of one type are one provider, or several as they are. */
struct kt_encconfig_list {
    size_t entry; /* of config->entries */
    const struct kt_encconfig_item *items;
    size_t n_items;
    /* What leaves the list if it is there; `bytes` NULL: by type and name alone. Identity need not be named. An inline
     * key that is neither an item nor dropped stops the edit, since objects may depend on it. Another KMS provider is
     * foreign: it stays, behind all items, in the order in which it stands. */
    const struct kt_encconfig_item *drops;
    size_t n_drops;
    bool behind_foreign; /* all items stand behind the foreign ones instead: to be listed everywhere before one is first
                          */
};

/* Whether a list holds one of these: a KMS provider by name, an inline key by type, name and bytes. */
bool kt_encconfig_holds(const struct kt_encconfig_entry *entry, const struct kt_encconfig_item *items, size_t n_items);

/* The file with at most one list for each entry changed; where they are so already, its very bytes. NULL on failure:
 * KT_E_REFUSED, with the path and the line, or KT_E_NOMEM. */
struct kt_secret *kt_encconfig_edit(const struct kt_encconfig *config, const struct kt_encconfig_list *lists,
                                    size_t n_lists, struct kt_error *err) KT_MUST_CHECK;
