/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the editor (edit.h) share. Private to edit*.c. */
#pragma once

#include "encconfig/edit.h"
#include "encconfig/edit_text.h"
#include "encconfig/render_out.h"

struct kt_splice;

/* One item of a list as it will be. */
struct kt_slot {
    size_t old;                            /* index in the sequence that is there; KT_SOURCE_NONE: a new one */
    struct kt_splice *inner;               /* an old provider whose list of keys changes; NULL: as it is */
    const struct kt_encconfig_item *items; /* new: one provider (of several keys, if it is inline), or one key */
    size_t n_items;
};

/* A sequence of providers, or of keys, that becomes another one. */
struct kt_splice {
    const struct kt_source_node *seq;
    bool is_keys;
    struct kt_slot slots[KT_ENCCONFIG_ITEMS_MAX];
    size_t n_slots;
    /* kt_splice_lay_out() */
    struct kt_span span;     /* what is replaced */
    struct kt_span *regions; /* of each item that is there, comments included, the last line break not */
};

struct kt_edit_plan {
    const struct kt_encconfig *config;
    struct kt_pool *pool;
    struct kt_splice **splices; /* by entry; NULL: not changed */
};

/* KT_E_REFUSED, "resources[i].providers (line L): ..." with that hint. Returns false. */
bool kt_edit_refuse(const struct kt_encconfig *config, size_t entry, const struct kt_source_node *node,
                    struct kt_error *err, const char *text);
extern const char kt_edit_by_hand[];

/* edit_match.c */
bool kt_edit_is_inline(enum kt_encconfig_type type);
enum kt_encconfig_type kt_edit_type_of(const struct kt_encconfig_provider *provider);
bool kt_edit_is_text(const struct kt_encconfig_text *text, const char *wanted);
/* That key, and with those bytes; where wanted->bytes is NULL, whatever its bytes. */
bool kt_edit_is_key(const struct kt_encconfig_key *key, enum kt_encconfig_type type,
                    const struct kt_encconfig_item *wanted);
bool kt_edit_is_kms(const struct kt_encconfig_provider *provider, const struct kt_encconfig_item *wanted);
/* A KMS provider that is neither wanted nor dropped. */
bool kt_edit_is_foreign(const struct kt_encconfig_provider *provider, const struct kt_encconfig_list *list);

/* edit_plan.c: *ret NULL: the list is as it is wanted. */
bool kt_edit_plan_list(const struct kt_edit_plan *plan, const struct kt_encconfig_list *list, struct kt_splice **ret,
                       struct kt_error *err) KT_MUST_CHECK;

/* edit_guard.c: whether the file, and then one of its lists, may be edited. */
bool kt_edit_check_file(const struct kt_encconfig *config, struct kt_error *err) KT_MUST_CHECK;
bool kt_edit_check_list(const struct kt_encconfig *config, size_t entry, const struct kt_splice *splice,
                        struct kt_error *err) KT_MUST_CHECK;

/* edit_list.c */
bool kt_splice_lay_out(const struct kt_edit_plan *plan, size_t entry, struct kt_splice *splice,
                       struct kt_error *err) KT_MUST_CHECK;
void kt_splice_write(const struct kt_source *source, const struct kt_splice *splice, struct kt_render_out *out);

/* edit_new.c: a new item of the splice, from its indentation on, without a line break behind it. */
void kt_splice_write_new(const struct kt_source *source, const struct kt_splice *splice, const struct kt_slot *slot,
                         struct kt_render_out *out);
/* Whether items of the list have a blank behind their comma. */
bool kt_splice_has_blanks(const struct kt_source *source, const struct kt_splice *splice);

/* edit_verify.c: whether the result is what was wanted, and all else as before. */
bool kt_edit_verify(const struct kt_edit_plan *plan, const struct kt_encconfig_list *lists, size_t n_lists,
                    const struct kt_secret *result, struct kt_error *err) KT_MUST_CHECK;
