/* SPDX-License-Identifier: Apache-2.0 */
#include "kmsplugin/refusals.h"

#include "base/cleanup.h"

#define QUIET_NS UINT64_C(1000000000)

/* That of the uid, else the one that was quiet for longest. */
static struct kt_refusal *find_place(struct kt_refusals *refusals, uid_t uid)
{
    struct kt_refusal *oldest = &refusals->places[0];
    for (size_t i = 0; i < KT_REFUSALS_MAX; i++) {
        struct kt_refusal *place = &refusals->places[i];
        if (place->logged_ns != 0 && place->uid == uid)
            return place;
        if (place->logged_ns < oldest->logged_ns)
            oldest = place;
    }
    return oldest;
}

bool kt_refusals_note(struct kt_refusals *refusals, uid_t uid, uint64_t now_ns, uint64_t *ret_more)
{
    struct kt_refusal *place = find_place(refusals, uid);
    bool own = place->logged_ns == 0 || place->uid == uid;
    if (place->logged_ns != 0 && now_ns - place->logged_ns < QUIET_NS) {
        *(own ? &place->more : &refusals->others) += 1;
        return false;
    }
    *ret_more = place->more + refusals->others;
    refusals->others = 0;
    *place = (struct kt_refusal){.logged_ns = now_ns, .uid = uid};
    return true;
}
