/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/etcd_range.h"

#include "cluster/etcd_call.h"

#include <string.h>

#define FIRST_PAGE_KEYS 256
/* Where small objects end and large ones begin, a page is far larger than it was meant to be, in etcd's memory before
 * it is in ours. kube-apiserver asks for 10,000 at a time. */
#define PAGE_KEYS_MAX 5000
#define PAGE_GROWTH   4

struct walk {
    const struct kt_etcd_pass *pass;
    uint8_t next[KT_ETCD_KEY_MAX]; /* where the next page begins */
    size_t next_len;
    uint8_t end[KT_ETCD_KEY_MAX];
    size_t end_len;
    int64_t limit;
    int64_t expected; /* keys in the whole range, as the first page says */
    struct kt_etcd_passed passed;
};

static bool fail_answer(const char *found, struct kt_error *err)
{
    return kt_fail(err, KT_E_IO, "expected the keys of the range in their order, the store answered with %s", found);
}

/* All keys that begin with the prefix are below the next one of its length. */
static bool set_range(struct walk *w, struct kt_error *err)
{
    struct kt_slice prefix = w->pass->prefix;
    if (prefix.len == 0 || prefix.len >= KT_ETCD_KEY_MAX)
        return kt_fail(err, KT_E_USAGE, "expected a prefix of 1 to %u bytes, found another", KT_ETCD_KEY_MAX - 1);
    memcpy(w->next, prefix.data, prefix.len);
    memcpy(w->end, prefix.data, prefix.len);
    w->next_len = prefix.len;
    w->end_len = prefix.len;
    while (w->end_len > 0 && w->end[w->end_len - 1] == 0xff)
        w->end_len--;
    if (w->end_len == 0)
        return kt_fail(err, KT_E_USAGE, "expected a prefix with an end, found one of bytes 255 alone");
    w->end[w->end_len - 1]++;
    return true;
}

/* The page after this key begins with the key and a NUL, the smallest that is larger. */
static bool step_over(struct walk *w, struct kt_slice key, struct kt_error *err)
{
    if (key.len >= sizeof(w->next))
        return fail_answer("a key that is too long", err);
    if (kt_slice_compare(key, KT_SLICE(w->next, w->next_len)) < 0)
        return fail_answer("a key before those that were asked for", err);
    if (!kt_slice_begins(key, w->pass->prefix))
        return fail_answer("a key outside of it", err);
    memcpy(w->next, key.data, key.len);
    w->next[key.len] = 0;
    w->next_len = key.len + 1;
    return true;
}

static bool visit_page(struct walk *w, struct kt_etcd_answer *answer, struct kt_error *err)
{
    struct kt_etcd_kv kv;
    while (kt_etcd_answer_next(answer, &kv)) {
        if (!step_over(w, kv.key, err))
            return false;
        w->passed.keys++;
        if (!w->pass->visit(w->pass->context, &kv, err))
            return false;
    }
    return true;
}

/* The number of keys whose bytes make a page, if the next are as large as those of the last. */
static void set_limit(struct walk *w, size_t page_bytes, size_t page_keys)
{
    if (page_keys == 0)
        return;
    int64_t keys = (int64_t)(w->pass->page_bytes / (page_bytes / page_keys + 1) + 1);
    int64_t most = w->limit * PAGE_GROWTH < PAGE_KEYS_MAX ? w->limit * PAGE_GROWTH : PAGE_KEYS_MAX;
    w->limit = keys < most ? keys : most;
}

static bool take_page(struct walk *w, struct kt_slice message, bool *ret_more, struct kt_error *err)
{
    struct kt_etcd_answer answer;
    if (!kt_etcd_answer_read(message, &answer))
        return fail_answer("something else", err);
    if (w->passed.pages == 0) {
        w->passed.revision = w->pass->revision > 0 ? w->pass->revision : answer.revision;
        w->expected = answer.count;
    }
    w->passed.pages++;
    w->passed.bytes += message.len;
    if (answer.more && answer.n_kvs == 0)
        return fail_answer("none, and says that there are more", err);
    if (!visit_page(w, &answer, err))
        return false;
    set_limit(w, message.len, answer.n_kvs);
    *ret_more = answer.more;
    return true;
}

static bool next_page(struct walk *w, struct kt_etcd *etcd, bool *ret_more, struct kt_error *err)
{
    KT_CLEANUP(kt_etcd_message_done) struct kt_etcd_message message = {.held = false};
    enum kt_etcd_reply reply;
    struct kt_etcd_query query = {.key = KT_SLICE(w->next, w->next_len),
                                  .end = KT_SLICE(w->end, w->end_len),
                                  .limit = w->limit,
                                  .revision = w->passed.pages > 0 ? w->passed.revision : w->pass->revision,
                                  .keys_only = w->pass->keys_only};
    *ret_more = true;
    if (!kt_etcd_range_call(etcd, &query, &reply, &message, err))
        return false;
    if (reply == KT_ETCD_ANSWERED)
        return take_page(w, message.bytes, ret_more, err);
    w->passed.compacted = reply == KT_ETCD_COMPACTED;
    if (reply == KT_ETCD_TOO_LARGE && w->limit == 1)
        return kt_fail(err, KT_E_IO, "expected an object of at most %zu bytes in the store, found a larger one",
                       KT_ETCD_MESSAGE_MAX);
    w->limit = w->limit > 8 ? w->limit / 8 : 1;
    return true;
}

bool kt_etcd_range(struct kt_etcd *etcd, const struct kt_etcd_pass *pass, struct kt_etcd_passed *ret,
                   struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct walk *w = calloc(1, sizeof(*w));
    bool more = true;
    if (!w)
        return kt_fail(err, KT_E_NOMEM, "no memory for a pass over the store");
    w->pass = pass;
    w->limit = FIRST_PAGE_KEYS;
    if (pass->page_bytes == 0 || pass->page_bytes > KT_ETCD_MESSAGE_MAX / 4)
        return kt_fail(err, KT_E_USAGE, "expected pages of 1 to %zu bytes", KT_ETCD_MESSAGE_MAX / 4);
    if (!set_range(w, err))
        return false;
    while (more && !w->passed.compacted)
        if (!next_page(w, etcd, &more, err))
            return false;
    if (!w->passed.compacted && (uint64_t)w->expected != w->passed.keys)
        return kt_fail(err, KT_E_IO, "expected %llu keys as the store had counted, found %llu",
                       (unsigned long long)w->expected, (unsigned long long)w->passed.keys);
    *ret = w->passed;
    return true;
}
