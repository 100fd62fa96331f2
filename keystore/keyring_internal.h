/* SPDX-License-Identifier: Apache-2.0 */
/* What the modules of the keyring share (docs/keyring-format.md). Private to keystore/ and to its tests. */
#pragma once

#include "keystore/audit.h"
#include "keystore/hpke.h"
#include "keystore/keyring.h"

#define KT_KEYRING_FORMAT    1u
#define KT_KEYRING_SEPARATOR "---\n"
#define KT_API_VERSION       "keyturn.dev/v1"
#define KT_RECOVERY_NAME     "recovery"

#define KT_CONTEXT_OWNER_LINK "keyturn.dev/v1 owner-link"
#define KT_CONTEXT_MEMBERSHIP "keyturn.dev/v1 membership"
#define KT_CONTEXT_KEY_LIST   "keyturn.dev/v1 key-list"

#define KT_WRAP_LEN    (KT_KEY_BYTES + KT_HPKE_OVERHEAD)
#define KT_SEALED_MAX  (KT_KEY_BYTES + KT_HPKE_OVERHEAD)
#define KT_WRAPPED_MAX (KT_GCM_NONCE + KT_KEY_BYTES + KT_GCM_TAG)

/* nonce || ciphertext || tag, under the keyring key. */
struct kt_wrapped {
    size_t len;
    uint8_t bytes[KT_WRAPPED_MAX];
};
/* enc || ciphertext || tag, to the recovery recipient. */
struct kt_sealed {
    size_t len;
    uint8_t bytes[KT_SEALED_MAX];
};

struct kt_keyring_parts {
    struct kt_slice membership;
    struct kt_slice list;
    struct kt_slice signatures;
};

/* Part 3. Owner 0 is the founding one and has no link. */
struct kt_signatures {
    size_t n_owners;
    uint8_t owners[KT_OWNERS_MAX][KT_P256_PUBLIC];
    uint8_t links[KT_OWNERS_MAX][KT_SIGNATURE_LEN];
    uint8_t membership[KT_SIGNATURE_LEN];
    uint8_t list[KT_SIGNATURE_LEN];
};

/* Which keyring a membership was made over. */
struct kt_made_over {
    uint64_t generation;
    uint8_t hash[KT_HASH_LEN];
};

/* A document in memory: one that was verified, or a draft of the next one. Entry i of keys, archive, recipients and
 * wraps belongs to entry i of the same list in info. */
struct kt_keyring {
    struct kt_bytes document;      /* empty in a draft */
    struct kt_keyring_parts parts; /* into document; in a draft, into somebody else's */
    struct kt_signatures signatures;
    struct kt_keyring_info info;

    uint8_t membership_hash[KT_HASH_LEN]; /* of part 1 as it is */
    struct kt_made_over made_over;
    uint8_t owner[KT_P256_PUBLIC];
    uint8_t signer[KT_P256_PUBLIC];
    uint8_t recipients[KT_RECIPIENTS_MAX][KT_P256_PUBLIC];

    uint8_t list_keyring_id[KT_KEYRING_ID_LEN]; /* keyring: of part 2 */
    uint8_t list_membership_hash[KT_HASH_LEN];  /* membershipHash: of part 2 */
    uint8_t previous[KT_HASH_LEN];
    struct kt_audit_tail audit; /* its last line is the one of this generation */
    uint8_t commitment[KT_HASH_LEN];
    struct kt_wrapped keys[KT_KEYS_MAX];
    struct kt_wrapped signer_key;
    struct kt_wrapped status_key;
    struct kt_sealed archive[KT_ARCHIVE_MAX];
    size_t n_wraps;
    char wrap_names[KT_RECIPIENTS_MAX][KT_NAME_MAX + 1];
    uint8_t wraps[KT_RECIPIENTS_MAX][KT_WRAP_LEN];
};

struct kt_keyring_keys {
    uint8_t keyring_hash[KT_HASH_LEN]; /* of the keyring they were opened from */
    size_t n;
    struct kt_secret *bytes[KT_KEYS_MAX];
    struct kt_secret *keyring_key;
    struct kt_secret *status_key;
    struct kt_p256 *signer;
    struct kt_p256 *own; /* a copy, with which a new generation is opened again before it is handed out */
};

/* keyring.c. Zero-filled, on the heap. */
struct kt_keyring *kt_keyring_new(struct kt_error *err) KT_MUST_CHECK;
struct kt_keyring_keys *kt_keyring_keys_new(struct kt_error *err) KT_MUST_CHECK;
struct kt_p256 *kt_keyring_copy_pair(const struct kt_p256 *pair, struct kt_error *err) KT_MUST_CHECK;

/* keyring_split.c. KT_E_KEYRING_FORMAT, _VERSION. The parts point into document. */
bool kt_keyring_split(struct kt_slice document, struct kt_keyring_parts *ret, struct kt_error *err) KT_MUST_CHECK;
bool kt_signatures_scan(struct kt_slice part, struct kt_signatures *ret, struct kt_error *err) KT_MUST_CHECK;

/* keyring_verify.c: SHA-256 of PART 1 || separator || PART 2. */
bool kt_keyring_hash(struct kt_slice membership, struct kt_slice list, uint8_t ret[KT_HASH_LEN],
                     struct kt_error *err) KT_MUST_CHECK;

/* keyring_parse.c: fill *keyring from a part whose signature was verified, and check its rules. The list needs the
 * membership before it, and membership_hash. KT_E_KEYRING_CONTENT, _VERSION. */
bool kt_membership_parse(struct kt_slice part, struct kt_keyring *keyring, struct kt_error *err) KT_MUST_CHECK;
bool kt_key_list_parse(struct kt_slice part, struct kt_keyring *keyring, struct kt_error *err) KT_MUST_CHECK;

/* keyring_rules.c: what §3 and §4 ask beyond the form of single fields; for parser and writer. KT_E_KEYRING_CONTENT. */
bool kt_membership_check(const struct kt_keyring *keyring, struct kt_error *err) KT_MUST_CHECK;
bool kt_key_list_check(const struct kt_keyring *keyring, struct kt_error *err) KT_MUST_CHECK;
bool kt_recipient_name_valid(const char *name) KT_MUST_CHECK;
bool kt_api_server_valid(const char *name) KT_MUST_CHECK;
/* May a key of that type have so many bytes? */
bool kt_key_len_valid(enum kt_key_type type, size_t len) KT_MUST_CHECK;
bool kt_hash_is_zero(const uint8_t hash[KT_HASH_LEN]) KT_MUST_CHECK;
/* Index of a listed key; n_keys if it is not listed. Of the recipient of kind recovery; n_recipients if none. */
size_t kt_keyring_find_key(const struct kt_keyring_info *info, const char *id);
size_t kt_keyring_find_recovery(const struct kt_keyring_info *info);

/* keyring_aad.c: the infos and associated data of §5 and §6. */
struct kt_aad {
    uint8_t bytes[256];
    size_t len;
};
struct kt_slice kt_aad_view(const struct kt_aad *aad);
void kt_aad_wrap(const struct kt_keyring *keyring, const char *recipient, struct kt_aad *ret);
void kt_aad_archive(const struct kt_keyring *keyring, const char *id, enum kt_key_type type, struct kt_aad *ret);
void kt_aad_key(const struct kt_keyring *keyring, const struct kt_key_info *key, struct kt_aad *ret);
void kt_aad_signer_key(const struct kt_keyring *keyring, struct kt_aad *ret);
void kt_aad_status_key(const struct kt_keyring *keyring, struct kt_aad *ret);
/* The commitment to a keyring key. */
bool kt_keyring_commit(const struct kt_keyring *keyring, const struct kt_secret *keyring_key, uint8_t ret[KT_HASH_LEN],
                       struct kt_error *err) KT_MUST_CHECK;

/* keyring_seal.c: makes a new keyring key and fills draft's commitment, keys, signer_key, status_key and wraps from the
 * bytes in keys. membership_hash must stand. */
bool kt_keyring_seal(struct kt_keyring *draft, struct kt_keyring_keys *keys, struct kt_error *err) KT_MUST_CHECK;
/* One retired key, to the recovery recipient, and back: KT_E_CRYPTO where it was sealed to another one. */
bool kt_keyring_seal_archived(const struct kt_keyring *draft, const struct kt_key_info *key,
                              const struct kt_secret *bytes, struct kt_sealed *ret, struct kt_error *err) KT_MUST_CHECK;
struct kt_secret *kt_keyring_open_archived(const struct kt_keyring *keyring, size_t index,
                                           const struct kt_p256 *recovery, struct kt_error *err) KT_MUST_CHECK;

/* keyring_emit.c: the three parts as text, fields in the order of the specification. */
void kt_membership_emit(const struct kt_keyring *draft, struct kt_text *t);
void kt_key_list_emit(const struct kt_keyring *draft, struct kt_text *t);
void kt_signatures_emit(const struct kt_signatures *signatures, struct kt_text *t);

/* keyring_edit.c: one edit on a draft and its keys' bytes. KT_E_REFUSED. A draft that an edit failed on is garbage. */
struct kt_edit_over {
    const struct kt_keyring_info *before; /* the keyring that is changed; NULL: one is founded */
    const struct kt_secret *imported;     /* IMPORT: the key's bytes */
    const struct kt_p256 *opened_with; /* RESTORE: the recovery recipient's pair; that of a node opens nothing there */
    uint64_t now;
};
bool kt_keyring_edit(struct kt_keyring *draft, struct kt_keyring_keys *keys, const struct kt_edit *edit,
                     const struct kt_edit_over *over, struct kt_error *err) KT_MUST_CHECK;

/* keyring_edit_keys.c, keyring_edit_restore.c: those of them that change the list of keys. */
struct kt_edit_on {
    struct kt_keyring *draft;
    struct kt_keyring_keys *keys;
    const struct kt_edit_over *over;
};
#define KT_APPLY_EDIT(name) \
    bool name(const struct kt_edit_on *on, const struct kt_edit *edit, struct kt_error *err) KT_MUST_CHECK
KT_APPLY_EDIT(kt_edit_apply_add);
KT_APPLY_EDIT(kt_edit_apply_import);
KT_APPLY_EDIT(kt_edit_apply_activate);
KT_APPLY_EDIT(kt_edit_apply_last);
KT_APPLY_EDIT(kt_edit_apply_state);
KT_APPLY_EDIT(kt_edit_apply_archive);
KT_APPLY_EDIT(kt_edit_apply_restore);
#undef KT_APPLY_EDIT

/* keyring_audit.c: composes the line of the generation that the draft is, once all else about it stands, and puts it
 * into the draft, with its hash as auditHead. */
struct kt_audit_change {
    const struct kt_keyring *before; /* NULL: the keyring is founded */
    enum kt_audit_event event;
    const char *subject;                /* NULL: nobody */
    const struct kt_audit_claim *claim; /* NULL: none was made */
};
bool kt_keyring_announce(struct kt_keyring *draft, const struct kt_audit_change *change,
                         struct kt_error *err) KT_MUST_CHECK;

/* keyring_write.c: the steps of writing, which the next generation (keyring_write.c) and the next membership
 * (keyring_member.c) share. KT_E_REFUSED where a document would be too large. */
bool kt_keyring_take_text(struct kt_text *t, struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
/* The change fits the keyring, and the keys were opened from it. */
bool kt_keyring_check_change(const struct kt_keyring *keyring, const struct kt_keyring_keys *keys,
                             const struct kt_keyring_change *change, struct kt_error *err) KT_MUST_CHECK;
/* A draft of the generation after: its number, what was before it, when and by whom. On the heap. */
struct kt_keyring *kt_keyring_draft_next(const struct kt_keyring *keyring, const struct kt_keyring_change *change,
                                         struct kt_error *err) KT_MUST_CHECK;
/* Keys, status key and signer; no keyring key, which is new in each generation. */
struct kt_keyring_keys *kt_keyring_keys_copy(const struct kt_keyring_keys *from, struct kt_error *err) KT_MUST_CHECK;
/* Part 2 signed by keys' signer, all three parts joined; the membership's signature stands in the draft. */
bool kt_keyring_assemble(struct kt_keyring *draft, struct kt_slice membership, const struct kt_keyring_keys *keys,
                         struct kt_bytes *ret, struct kt_error *err) KT_MUST_CHECK;
/* A document that does not verify, or open for `own` with those keys, must not leave this process. */
bool kt_keyring_read_back(const struct kt_bytes *document, const uint8_t owner[KT_HASH_LEN],
                          const struct kt_keyring_keys *keys, const struct kt_p256 *own,
                          struct kt_error *err) KT_MUST_CHECK;
/* Fingerprint of the founding owner. */
bool kt_keyring_founder(const struct kt_signatures *signatures, uint8_t ret[KT_HASH_LEN],
                        struct kt_error *err) KT_MUST_CHECK;
/* keyring_seal.c: every archived key from the old recovery recipient to the draft's. *ret_lost: how many do not open
 * with it, since they were sealed to a recovery key that was lost; they stay as they are. */
bool kt_keyring_reseal_archive(struct kt_keyring *draft, const struct kt_p256 *old, size_t *ret_lost,
                               struct kt_error *err) KT_MUST_CHECK;
