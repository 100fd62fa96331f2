/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/join_key.h"

#include "admin/fingerprint_ask.h"
#include "admin/opener_local.h"
#include "admin/tpm_option.h"
#include "base/printable.h"
#include "keystore/tpm_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Nothing brings it back, or it is sound and the keyring is not one that it opens. All else may be gone by itself, or
 * by something that an admin does. */
static bool may_open_again(enum kt_code code)
{
    static const enum kt_code codes[] = {KT_E_NODE_KEY_LOST,   KT_E_KEYRING_MISSING, KT_E_KEYRING_FORMAT,
                                         KT_E_KEYRING_VERSION, KT_E_KEYRING_OWNER,   KT_E_KEYRING_SIGNER,
                                         KT_E_KEYRING_CONTENT, KT_E_KEYRING_OPEN,    KT_E_KEYRING_RECIPIENT};
    for (size_t i = 0; i < KT_ARRAY_LEN(codes); i++) {
        if (codes[i] == code)
            return false;
    }
    return true;
}

/* Of a TPM whose PCRs have changed, a new private half would trust whatever has changed them. */
static bool give_up(const struct kt_options *options, const struct kt_error *why, struct kt_error *err)
{
    char question[768];
    if (!options->force) {
        kt_fail(err, KT_E_REFUSED, "this node's private half may open again: %s", why->message);
        return kt_error_hint(err, "%s; or --force, once you know why: a new one is sealed to what is booted now",
                             why->hint);
    }
    snprintf(question, sizeof(question),
             "--force: this node's private half may open again (%s).\nMake a new one, which trusts what is booted now?",
             KT_PRINTABLE(why->message));
    return kt_confirm(options, question, err);
}

bool kt_join_check_present(const struct kt_join *join, struct kt_error *err)
{
    const struct kt_init *init = &join->init;
    KT_CLEANUP_BYTES struct kt_bytes document = {0};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    struct kt_error why = KT_ERROR_INIT;
    char folder[KT_INIT_PATH_MAX + 64];
    struct stat st;
    snprintf(folder, sizeof(folder), "%s/opener", init->config->state_dir);
    if (!join->rejoins || (lstat(folder, &st) != 0 && errno == ENOENT))
        return true;
    /* Without a keyring too: what has become of that says nothing of the private half. */
    (void)!kt_keyring_file_read(init->config, &document, NULL);
    const struct kt_opener_request request = {.op = KT_OPENER_NODE_VERIFY, .current = kt_bytes_view(&document)};
    if (kt_opener_local(init->config, init->config_path, &request, &answer, &why) || !may_open_again(why.code))
        return true;
    return give_up(init->options, &why, err);
}

bool kt_join_keep_policy(struct kt_join *join, struct kt_error *err)
{
    struct kt_init *init = &join->init;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    const struct kt_opener_request request = {.op = KT_OPENER_NODE_POLICY};
    struct kt_error why = KT_ERROR_INIT;
    if (!join->rejoins || init->policy || init->config->recipient != KT_RECIPIENT_TPM2)
        return true;
    /* One that is gone or damaged says nothing any more. */
    if (!kt_opener_local(init->config, init->config_path, &request, &answer, &why))
        return why.code != KT_E_NOMEM || kt_error_copy(err, &why);
    if (!answer.tpm || !answer.tpm->there)
        return true;
    init->policy = malloc(sizeof(*init->policy));
    if (!init->policy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    *init->policy = answer.tpm->policy;
    return true;
}

/* What an install that was cut short has changed round is the install's. */
static bool is_being_installed(const struct kt_join *join)
{
    char path[KT_INIT_PATH_MAX + 64];
    struct stat st;
    kt_init_staged(&join->init, "keyring.yaml", path);
    return lstat(path, &st) == 0;
}

static bool ask_policy(const struct kt_join *join, struct kt_opener_answer *ret, struct kt_error *err)
{
    const struct kt_opener_request request = {.op = KT_OPENER_NODE_POLICY};
    return kt_join_ask(join, &request, ret, err);
}

bool kt_join_policy_text(const struct kt_join *join, char ret[KT_TPM_POLICY_TEXT], struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    ret[0] = '\0';
    if (is_being_installed(join))
        return true;
    if (!ask_policy(join, &answer, err))
        return false;
    if (answer.tpm && answer.tpm->there)
        kt_tpm_policy_format(&answer.tpm->policy, ret);
    return true;
}

static bool same_policy(const struct kt_tpm_policy *a, const struct kt_tpm_policy *b)
{
    return a->kind == b->kind && a->pcrs.bank == b->pcrs.bank && a->pcrs.mask == b->pcrs.mask &&
           a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* Whether what this run's options ask for is what the earlier run made. */
static bool fits(const struct kt_join *join, const struct kt_config *plan, bool *ret, struct kt_error *err)
{
    const struct kt_init *init = &join->init;
    const struct kt_config *wanted = init->config;
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    *ret = (!init->tpm && !init->no_tpm) || plan->recipient == wanted->recipient;
    *ret = *ret && (!init->tcti || strcmp(plan->tpm_tcti, wanted->tpm_tcti) == 0) &&
           (!init->signature || strcmp(plan->tpm_pcr_signature, wanted->tpm_pcr_signature) == 0);
    if (!*ret || !init->policy)
        return true;
    if (!ask_policy(join, &answer, err))
        return false;
    *ret = answer.tpm && answer.tpm->there && same_policy(&answer.tpm->policy, init->policy);
    return true;
}

static bool ask_to_discard(const struct kt_join *join, struct kt_error *err)
{
    return kt_confirm(join->init.options, "--force: a request of this node waits for its bundle. Discard it?", err);
}

static bool discard(const struct kt_join *join, const struct kt_config *plan, struct kt_error *err)
{
    if (join->init.options->force)
        return ask_to_discard(join, err);
    kt_fail(err, KT_E_EXISTS,
            "a request of this node waits for its bundle, with a private half of another kind (%s), policy or TCTI",
            kt_recipient_kind_text(plan->recipient));
    return kt_error_hint(err, "without those options it is written again; --force discards it and makes a new one");
}

/* The private half of the request that waits is there and opens. */
static bool check_half(const struct kt_join *join, const struct kt_node_request *earlier, bool *ret,
                       struct kt_error *err)
{
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    const struct kt_opener_request request = {
        .op = KT_OPENER_REQUEST, .node = join->init.config->node, .kind = join->init.config->recipient};
    struct kt_node_request now = {.node = ""};
    struct kt_error why = KT_ERROR_INIT;
    *ret = true;
    if (is_being_installed(join))
        return true;
    if (kt_join_ask(join, &request, &answer, &why)) {
        *ret = kt_node_request_parse(kt_bytes_view(&answer.header), &now, NULL) &&
               memcmp(now.public_key, earlier->public_key, KT_P256_PUBLIC) == 0;
        return true;
    }
    *ret = false;
    if (why.code == KT_E_NODE_KEY_LOST)
        return true;
    if (join->init.options->force && may_open_again(why.code))
        return ask_to_discard(join, err);
    (void)kt_error_copy(err, &why);
    (void)kt_error_prefix(err, "the request that waits for its bundle");
    return kt_error_hint(err, "%s; or --force, which discards that request and makes a new one", why.hint);
}

bool kt_join_waiting(struct kt_join *join, const struct kt_node_request *earlier, bool *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *plan = calloc(1, sizeof(*plan));
    *ret = false;
    if (!plan)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_join_read_plan(join, plan, err) || !fits(join, plan, ret, err))
        return false;
    if (!*ret)
        return discard(join, plan, err);
    kt_join_adopt(join, plan);
    return check_half(join, earlier, ret, err);
}
