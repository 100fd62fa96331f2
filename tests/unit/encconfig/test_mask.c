/* SPDX-License-Identifier: Apache-2.0 */
#include "encconfig/mask.h"
#include "tests/unit/encconfig/edited.h"

#define HEAD "kind: EncryptionConfig\napiVersion: v1\nresources:\n- resources: [secrets]\n  providers:\n"

static const struct {
    const char *text;
    const char *masked;
} ROWS[] = {
    {HEAD "  - aescbc: {keys: [{name: k1, secret: @1}, {name: a, secret: \"@2\"}]} # x\n",
     HEAD "  - aescbc: {keys: [{name: k1, secret: REDACTED}, {name: a, secret: \"REDACTED\"}]} # x\n"},
    {HEAD "  - secretbox:\n      keys:\n      - name: '@3'\n        secret: |\n          @1\n      # - secret: @2 "
          "\xc3\xa9\n  - identity: {}\n",
     HEAD "  - secretbox:\n      keys:\n      - name: '@3'\n        secret: REDACTED\n      # - secret: REDACTED "
          "\xc3\xa9\n  - identity: {}\n"},
    {HEAD "  - aescbc: {keys: [{name: a, secret: &s '@1'}, {name: b, secret: *s}]}\n",
     HEAD "  - aescbc: {keys: [{name: a, secret: &s 'REDACTED'}, {name: b, secret: *s}]}\n"},
    {HEAD "  - aesgcm: {keys: [{name: a, secret: no base64}]}\n---\n# old: AAAAAAAAAAAAAAAAAAAAAA==\n",
     HEAD "  - aesgcm: {keys: [{name: a, secret: REDACTED}]}\n---\n# old: REDACTED\n"},
};

static void no_key_is_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(ROWS); i++) {
        KT_CLEANUP(kt_text_done) struct kt_text text = {.data = NULL}, masked = {.data = NULL}, out = {.data = NULL};
        expand(ROWS[i].text, &text);
        expand(ROWS[i].masked, &masked);
        KT_CLEANUP(kt_encconfig_free_p) struct kt_encconfig *config = read_config(KT_SLICE(text.data, text.len));
        kt_text_init(&out, 1u << 16);
        kt_encconfig_mask(config, &out);
        assert_string_equal(out.data, masked.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_key_is_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
