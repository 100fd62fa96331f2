/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/offer.h"

#include "admin/audit_journal.h"
#include "admin/control_client.h"
#include "admin/opener_local.h"
#include "keystore/state_dir.h"

#include <errno.h>
#include <stdio.h>

static bool offer_to_daemon(const struct kt_options *options, const struct kt_config *config, struct kt_slice document,
                            struct kt_outcome *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_control_reply_free_p)
    Keyturn__Control__V1__Reply *reply =
        kt_control_ask(config, KT_CONTROL_OFFER, document, options->timeout_s + config->opener_timeout_s, err);
    if (!reply)
        return false;
    if (!reply->offer)
        return kt_fail(err, KT_E_INTERNAL, "keyturnd answered without saying what became of the offer");
    *ret = (struct kt_outcome){
        .changed = reply->offer->changed,
        .served = true,
        .membership = reply->offer->membership,
        .generation = reply->offer->generation,
    };
    snprintf(ret->key_id, sizeof(ret->key_id), "%s", reply->offer->key_id);
    return true;
}

/* By the judgement of the opener and of the state directory. Also where it is there already, it is installed: an
 * install that was cut short may have left the floor behind. */
static bool offer_to_state(const struct kt_config *config, struct kt_state_dir *dir, const struct kt_state *state,
                           struct kt_slice document, bool dry_run, struct kt_outcome *ret, struct kt_error *err)
{
    struct kt_opener_request request = {0};
    KT_CLEANUP_OPENER_ANSWER struct kt_opener_answer answer = {0};
    kt_state_request(state, document, &request);
    if (!kt_opener_local(config, config->path, &request, &answer, err) ||
        !kt_state_dir_check_install(state, &answer, err))
        return false;
    bool installed = dry_run || kt_state_dir_install(dir, state, document, &answer, err);
    if (!dry_run)
        kt_audit_journal(answer.audit, kt_state_dir_audit(dir));
    if (!installed)
        return false;
    *ret = (struct kt_outcome){
        .changed = !answer.same,
        .membership = answer.info->membership,
        .generation = answer.info->generation,
    };
    return true;
}

/* No daemon runs: keyturn installs it itself, if it gets the lock of the state directory. */
static bool offer_to_disk(const struct kt_config *config, struct kt_slice document, bool dry_run,
                          struct kt_outcome *ret, struct kt_error *err)
{
    KT_CLEANUP(kt_state_dir_free_p)
    struct kt_state_dir *dir =
        dry_run ? kt_state_dir_view(config->state_dir, err) : kt_state_dir_open(config->state_dir, err);
    if (!dir)
        return false;
    KT_CLEANUP(kt_free_p) struct kt_state *state = calloc(1, sizeof(*state));
    if (!state)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!kt_state_dir_read(dir, state, err))
        return false;
    bool done = offer_to_state(config, dir, state, document, dry_run, ret, err);
    kt_state_done(state);
    return done;
}

bool kt_offer_run(const struct kt_options *options, const struct kt_config *config, struct kt_slice document,
                  struct kt_outcome *ret, struct kt_error *err)
{
    struct kt_error daemon = KT_ERROR_INIT;
    struct kt_error here = KT_ERROR_INIT;
    if (options->dry_run)
        return offer_to_disk(config, document, true, ret, err);
    if (offer_to_daemon(options, config, document, ret, &daemon))
        return true;
    if (daemon.code == KT_E_TIMEOUT)
        kt_error_hint(&daemon, "the daemon may still take it in: keyturn status shows the generation; to offer it "
                               "again is harmless");
    if (daemon.code != KT_E_UNREACHABLE)
        return kt_error_copy(err, &daemon);
    if (offer_to_disk(config, document, false, ret, &here))
        return true;
    /* Held by a daemon that did not answer, why not is what matters; where nobody listens, who holds it. */
    bool held = here.code == KT_E_BUSY && daemon.sys_errno != ENOENT && daemon.sys_errno != ECONNREFUSED;
    return kt_error_copy(err, held ? &daemon : &here);
}
