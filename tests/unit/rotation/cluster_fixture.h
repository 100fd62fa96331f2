/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster as facts for rotation/: everything as the keyring says and proven in this run, until a test changes
 * something. */
#pragma once

#include "rotation/rules.h"
#include "rotation/texts.h"
#include "tests/unit/base/unit.h"

#define FIXTURE_SERVERS 2u
#define FIXTURE_NOW     UINT64_C(1800000000)
#define FIXTURE_SECOND  UINT64_C(1000000000)
#define FIXTURE_MONO    (UINT64_C(1000000) * FIXTURE_SECOND)

struct fixture {
    struct kt_keyring_info keyring;
    struct kt_facts_api apis[FIXTURE_SERVERS];
    struct kt_facts_node nodes[FIXTURE_SERVERS];
    struct kt_facts facts;
    struct kt_order order;
    struct kt_next next;
    struct kt_error err;
};

/* Keys k1, k2..: letters of `states`: a active, r ready, t retiring with its hold over, T retiring just now, c
 * compromised; x as the last ones: archived. All of that type, in that stage, enabled, two servers, all well. */
struct fixture *fixture(enum kt_key_type type, enum kt_stage stage, const char *states);
/* Config, nodes, API servers and store follow the keyring again. */
void fixture_settle(struct fixture *f);
/* The provider list of the config file, by what the keyring has. */
void fixture_file(struct fixture *f, size_t n, const int items[]);
/* The keyring as the edits of f->next leave it; nothing else follows. */
void fixture_apply(struct fixture *f);
/* Asks; f->err has the words. */
const struct kt_next *fixture_ask(struct fixture *f, enum kt_order_kind kind);

/* That this is the next step, because of that gate. */
#define assert_step(f, kind, want_step, want_gate)                               \
    do {                                                                         \
        const struct kt_next *next_ = fixture_ask((f), (kind));                  \
        assert_string_equal(kt_gate_text(next_->gate), kt_gate_text(want_gate)); \
        assert_string_equal(kt_step_text(next_->step), kt_step_text(want_step)); \
    } while (0)
#define assert_done(f, kind) assert_step((f), (kind), KT_STEP_DONE, KT_GATE_NONE)
/* That a generation is next, of that recipe. */
#define assert_writes(f, kind, want_recipe)                                              \
    do {                                                                                 \
        const struct kt_next *next_ = fixture_ask((f), (kind));                          \
        assert_string_equal(kt_recipe_text(next_->recipe), kt_recipe_text(want_recipe)); \
        assert_int_equal(next_->step, KT_STEP_GENERATION);                               \
    } while (0)
