/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/opener_ops.h"

#include "base/file.h"
#include "base/printable.h"
#include "keystore/kdf.h"
#include "keystore/opener_judge.h"
#include "keystore/opener_ops_internal.h"
#include "keystore/recipient.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct source_names {
    char superseded[KT_SUPERSEDED_MAX][KT_SOURCE_MAX + 16];
};

static bool check_folder(const char *path, int fd, struct kt_error *err)
{
    uid_t self = geteuid();
    struct stat st;

    if (fstat(fd, &st) < 0)
        return kt_fail_errno(err, KT_E_IO, "%s: cannot look at it", path);
    if (st.st_uid == self && (st.st_mode & 0777) == 0700)
        return true;
    (void)kt_fail(err, KT_E_PERMISSION,
                  "%s: has mode %04o and is owned by uid %u, must have mode 0700 and be owned by "
                  "uid %u (the opener)",
                  path, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid, (unsigned)self);
    return kt_error_hint(err, "chown %u %s && chmod 0700 %s", (unsigned)self, KT_SHELL(path), KT_SHELL(path));
}

bool kt_opener_open_folder(struct kt_opener_ops *ops, struct kt_error *err)
{
    char path[sizeof(ops->config->state_dir) + 16] = "";

    if (ops->folder >= 0)
        return true;
    (void)snprintf(path, sizeof(path), "%s/opener", ops->config->state_dir);
    ops->folder = kt_dir_open(AT_FDCWD, path, err);
    if (ops->folder < 0)
        return kt_error_hint(err, "it must be a directory with mode 0700, owned by uid %u (the opener)",
                             (unsigned)geteuid());
    return check_folder(path, ops->folder, err);
}

static const struct kt_recipient_ops *find_kind(enum kt_recipient_kind kind, struct kt_error *err)
{
    const struct kt_recipient_ops *found = kt_recipient_find(kind);

    if (!found)
        (void)kt_fail(err, KT_E_UNSUPPORTED, "recipients of kind %s are not in this release",
                      kt_recipient_kind_text(kind));
    return found;
}

struct kt_p256 *kt_opener_load_own(struct kt_opener_ops *ops, struct kt_error *err)
{
    const struct kt_recipient_ops *kind = find_kind(ops->config->recipient, err);

    if (!kind || !kt_opener_open_folder(ops, err))
        return NULL;
    return kind->load(
        &(struct kt_recipient_source){
            .dirfd = ops->folder, .config = ops->config, .look_only = ops->look_only, .ret_note = ops->note},
        err);
}

bool kt_opener_copy_info(const struct kt_keyring *keyring, struct kt_opener_answer *answer, struct kt_error *err)
{
    answer->info = malloc(sizeof(*answer->info));
    if (!answer->info)
        return kt_fail(err, KT_E_NOMEM, "no memory for the keyring's contents");
    *answer->info = *kt_keyring_info(keyring);
    return true;
}

static bool copy_keys(const struct kt_opener_case *sources, struct kt_opener_answer *answer, struct kt_error *err)
{
    for (size_t i = 0; i < answer->info->n_keys; i++) {
        const struct kt_secret *bytes = kt_keyring_keys_bytes(sources->offered.keys, i);

        if (!kt_opener_gives(sources, answer->info->keys[i].type))
            continue;
        answer->keys[i] = kt_secret_new_copy(kt_secret_view(bytes), kt_secret_len(bytes), err);
        if (!answer->keys[i])
            return false;
    }
    return true;
}

static bool verify(const struct kt_opener_ops *ops, struct kt_opener_source *source, struct kt_error *err)
{
    source->keyring = kt_keyring_verify(source->bytes, ops->config->owner, err);
    return source->keyring != NULL;
}

static bool open_source(struct kt_opener_source *source, const struct kt_p256 *own, struct kt_error *err)
{
    source->keys = kt_keyring_open(source->keyring, own, err);
    return source->keys != NULL;
}

/* What this node has must not stand in the way of a good keyring: what is wrong with it is only noted. After root has
 * pinned a new founding owner, what was installed under the one before, as the floor tells, still has its keys. */
static void verify_old(const struct kt_opener_ops *ops, const struct kt_floor *floor, struct kt_opener_source *source,
                       struct kt_opener_answer *answer)
{
    struct kt_error why = KT_ERROR_INIT;

    if (verify(ops, source, &why))
        return;
    if (floor->membership != 0)
        source->keyring = kt_keyring_verify(source->bytes, floor->founder, NULL);
    if (!source->keyring)
        kt_opener_note(answer, "%s does not verify: %s", source->name, why.message);
}

/* One that does not open is judged by what it says in clear (opener_judge.c). */
static void open_old(struct kt_opener_source *source, const struct kt_p256 *own)
{
    if (source->keyring)
        (void)!open_source(source, own, &source->unopened);
}

static bool gather(const struct kt_opener_ops *ops, const struct kt_opener_request *request, struct source_names *names,
                   struct kt_opener_case *sources, struct kt_error *err)
{
    bool fresh = request->offered.len > 0;
    struct kt_slice bytes = fresh ? request->offered : request->current;

    if (!bytes.data) {
        (void)kt_fail(err, KT_E_KEYRING_MISSING, "there is no keyring: %s/keyring.yaml", ops->config->state_dir);
        return kt_error_hint(err, "`keyturn init` founds one; a node of an existing cluster joins it instead");
    }
    fresh = fresh && !kt_slice_equal(bytes, request->current);
    sources->offered =
        (struct kt_opener_source){.name = fresh ? "the offered keyring" : "keyring.yaml", .bytes = bytes};
    if (fresh)
        sources->current = (struct kt_opener_source){.name = "keyring.yaml", .bytes = request->current};
    for (size_t i = 0; i < request->n_superseded; i++) {
        (void)snprintf(names->superseded[i], sizeof(names->superseded[i]), "superseded/%s",
                       request->superseded_names[i]);
        sources->superseded[i] =
            (struct kt_opener_source){.name = names->superseded[i], .bytes = request->superseded[i]};
    }
    sources->n_superseded = request->n_superseded;
    sources->floor = request->floor;
    sources->accept_older = request->accept_older;
    sources->render = request->op == KT_OPENER_RENDER;
    return true;
}

static bool identify_current(const struct kt_opener_request *request, const struct kt_opener_case *sources,
                             struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_opener_source *current = sources->current.bytes.data ? &sources->current : &sources->offered;

    if (!request->current.data)
        return true;
    answer->same = current == &sources->offered;
    if (current->keyring) {
        kt_floor_of(kt_keyring_info(current->keyring), &answer->current);
        return true;
    }
    return kt_sha256(&current->bytes, 1, answer->current.hash, err);
}

static void verify_all_old(const struct kt_opener_ops *ops, struct kt_opener_case *sources,
                           struct kt_opener_answer *answer)
{
    if (sources->current.bytes.data)
        verify_old(ops, &sources->floor, &sources->current, answer);
    for (size_t i = 0; i < sources->n_superseded; i++)
        verify_old(ops, &sources->floor, &sources->superseded[i], answer);
}

static void open_all_old(struct kt_opener_case *sources, const struct kt_p256 *own)
{
    open_old(&sources->current, own);
    for (size_t i = 0; i < sources->n_superseded; i++)
        open_old(&sources->superseded[i], own);
}

static bool open_keyring(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                         struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_opener_case_done) struct kt_opener_case sources = {.n_superseded = 0};
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;
    struct source_names names;

    if (!gather(ops, request, &names, &sources, err) || !verify(ops, &sources.offered, err))
        return false;
    verify_all_old(ops, &sources, answer);
    if (!kt_opener_judge_order(&sources, answer, err) || !identify_current(request, &sources, answer, err))
        return false;
    own = kt_opener_load_own(ops, err);
    if (!own || !open_source(&sources.offered, own, err))
        return false;
    if (ops->note[0])
        kt_opener_note(answer, "%s", ops->note);
    open_all_old(&sources, own);
    return kt_opener_copy_info(sources.offered.keyring, answer, err) &&
           kt_opener_copy_audit(ops, sources.offered.keyring, answer, err) && copy_keys(&sources, answer, err) &&
           kt_opener_judge_keys(&sources, answer, err);
}

static bool describe(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                     struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p)
    struct kt_keyring *keyring = kt_keyring_verify(request->offered, ops->config->owner, err);

    return keyring && kt_opener_copy_info(keyring, answer, err) && kt_opener_copy_audit(ops, keyring, answer, err);
}

bool kt_opener_need_recovery_key(const struct kt_opener_request *request, struct kt_error *err)
{
    return request->recovery_key || kt_fail(err, KT_E_RECOVERY_KEY, "this needs the recovery key, and none was given");
}

static bool recovery_verify(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                            struct kt_opener_answer *answer, struct kt_error *err)
{
    const struct kt_recipient_source from = {.dirfd = -1, .recovery_key = request->recovery_key};
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;

    if (!kt_opener_need_recovery_key(request, err))
        return false;
    keyring = kt_keyring_verify(request->offered, ops->config->owner, err);
    if (!keyring)
        return false;
    own = kt_recipient_recovery.load(&from, err);
    if (!own)
        return false;
    keys = kt_keyring_open(keyring, own, err);
    return keys && kt_opener_copy_info(keyring, answer, err);
}

struct kt_p256 *kt_opener_make_own(struct kt_opener_ops *ops, const struct kt_opener_request *request,
                                   struct kt_error *err)
{
    const struct kt_recipient_ops *kind = find_kind(request->kind, err);
    struct kt_p256 *own = NULL;

    if (!kind)
        return NULL;
    if (!kind->make || request->kind != ops->config->recipient) {
        (void)kt_fail(err, KT_E_CONFIG, "a node key of kind %s cannot be made here: keyturn.yaml says recipient: %s",
                      kt_recipient_kind_text(request->kind), kt_recipient_kind_text(ops->config->recipient));
        return NULL;
    }
    if (!kt_opener_open_folder(ops, err))
        return NULL;
    own = kind->make(
        &(struct kt_recipient_source){.dirfd = ops->folder, .config = ops->config, .policy = request->tpm_policy}, err);
    ops->made = own ? kind->file : NULL;
    return own;
}

static bool create(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *answer,
                   struct kt_error *err)
{
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;
    struct kt_keyring_founding founding = {.node = request->node,
                                           .kind = request->kind,
                                           .recovery_key = request->recovery_key,
                                           .type = request->type,
                                           .key_name = request->key_name,
                                           .now = request->now,
                                           .claim = &request->claim};

    if (!kt_opener_need_recovery_key(request, err))
        return false;
    own = kt_opener_make_own(ops, request, err);
    if (!own)
        return false;
    founding.own = own;
    return kt_keyring_found(&founding, &answer->document, answer->owner, err);
}

bool kt_opener_describe_made(const struct kt_opener_ops *ops, struct kt_opener_answer *answer, struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_free_p)
    struct kt_keyring *made = kt_keyring_verify(kt_bytes_view(&answer->document), ops->config->owner, err);

    return made && kt_opener_copy_info(made, answer, err);
}

struct kt_keyring_change kt_opener_change(const struct kt_opener_request *request)
{
    return (struct kt_keyring_change){.edits = request->edits,
                                      .n_edits = request->n_edits,
                                      .imports = request->imports,
                                      .n_imports = request->n_imports,
                                      .writer = request->node,
                                      .now = request->now,
                                      .claim = &request->claim};
}

static bool edit(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *answer,
                 struct kt_error *err)
{
    KT_CLEANUP(kt_keyring_keys_free_p) struct kt_keyring_keys *keys = NULL;
    KT_CLEANUP(kt_keyring_free_p) struct kt_keyring *keyring = NULL;
    KT_CLEANUP(kt_p256_free_p) struct kt_p256 *own = NULL;
    const struct kt_keyring_change change = kt_opener_change(request);

    if (!request->current.data)
        return kt_fail(err, KT_E_KEYRING_MISSING, "there is no keyring to change");
    keyring = kt_keyring_verify(request->current, ops->config->owner, err);
    if (!keyring)
        return false;
    own = kt_opener_load_own(ops, err);
    if (!own)
        return false;
    keys = kt_keyring_open(keyring, own, err);
    return keys && kt_keyring_write(keyring, keys, &change, &answer->document, err) &&
           kt_opener_describe_made(ops, answer, err);
}

/* What is rendered is what is in force: nothing else could be installed as kube-apiserver's configuration. */
static bool render(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *answer,
                   struct kt_error *err)
{
    bool another = request->offered.len > 0 && !kt_slice_equal(request->offered, request->current);

    if (another || request->accept_older)
        return kt_fail(err, KT_E_REFUSED, "only the keyring in force is rendered, found another one offered");
    return open_keyring(ops, request, answer, err);
}

static const struct {
    bool without_owner; /* may run before keyturn.yaml pins one */
    bool for_keeper;    /* what the keeper may ask for: it holds kms keys, and no others */
    bool (*run)(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *answer,
                struct kt_error *err);
} table[] = {
    [KT_OPENER_CREATE] = {true, false, create},
    [KT_OPENER_OPEN] = {false, true, open_keyring},
    [KT_OPENER_DESCRIBE] = {false, false, describe},
    [KT_OPENER_RECOVERY_VERIFY] = {false, false, recovery_verify},
    [KT_OPENER_EDIT] = {false, false, edit},
    [KT_OPENER_RENDER] = {false, false, render},
    [KT_OPENER_RESEAL] = {false, false, kt_opener_reseal},
    [KT_OPENER_CHECK] = {false, false, kt_opener_check},
    [KT_OPENER_SUSPEND] = {false, false, kt_opener_suspend},
    [KT_OPENER_NODE_VERIFY] = {false, false, kt_opener_node_verify},
    [KT_OPENER_NODE_POLICY] = {true, false, kt_opener_node_policy},
    [KT_OPENER_REQUEST] = {true, false, kt_opener_op_request},
    [KT_OPENER_APPROVE] = {false, false, kt_opener_op_approve},
    [KT_OPENER_REMOVE] = {false, false, kt_opener_op_remove},
    [KT_OPENER_SIGN_BUNDLE] = {false, false, kt_opener_op_sign_bundle},
    [KT_OPENER_BUNDLE] = {true, false, kt_opener_op_bundle},
    [KT_OPENER_RECOVERY_USE] = {true, false, kt_opener_op_recovery_use},
    [KT_OPENER_RECOVERY_REPLACE] = {false, false, kt_opener_op_recovery_replace},
    [KT_OPENER_RECOVERY_LOST] = {false, false, kt_opener_op_recovery_lost},
    [KT_OPENER_RESTORE] = {false, false, kt_opener_op_restore},
};

void kt_opener_undo(struct kt_opener_ops *ops)
{
    /* One that stays is found by the next CREATE, which says so. */
    if (ops->made && kt_file_remove(ops->folder, ops->made, NULL))
        ops->made = NULL;
}

void kt_opener_ops_done(struct kt_opener_ops *ops)
{
    kt_fd_close(KT_TAKE_FD(ops->folder));
}

bool kt_opener_perform(struct kt_opener_ops *ops, const struct kt_opener_request *request, struct kt_opener_answer *ret,
                       struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {.info = NULL};

    if ((size_t)request->op >= KT_ARRAY_LEN(table) || !table[request->op].run)
        return kt_fail(err, KT_E_UNSUPPORTED, "the opener has no operation %u", (unsigned)request->op);
    if (ops->open_only && !table[request->op].for_keeper)
        return kt_fail(err, KT_E_DENIED, "keyturnd has keyrings opened and nothing else, found operation %u",
                       (unsigned)request->op);
    if (!table[request->op].without_owner && !kt_config_need_owner(ops->config, err))
        return false;
    if (!table[request->op].run(ops, request, &answer, err)) {
        kt_opener_undo(ops);
        return false;
    }
    *ret = answer;
    answer = (struct kt_opener_answer){.info = NULL};
    return true;
}
