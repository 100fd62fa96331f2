/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of kube-apiserver's field validation, and what it finds when it builds the transformers. The same rules are
 * held against kube-apiserver itself by tests/oracle. */
#include "tests/unit/encconfig/judged.h"

#include <stdio.h>

#define HEAD     "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
#define KEY      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" /* 32 bytes */
#define KEY16    "AAAAAAAAAAAAAAAAAAAAAA=="
#define KEY33    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define IDENTITY "providers: [{identity: {}}]"
/* Of entries, of one list of resources, of one list of providers, of the fields of one KMS provider. */
#define ENTRIES(e)   HEAD "resources: [" e "]"
#define NAMES(n)     ENTRIES("{resources: [" n "], " IDENTITY "}")
#define PROVIDERS(p) ENTRIES("{resources: [a], providers: [" p "]}")
#define KMS(f)       PROVIDERS("{kms: {" f "}}")
#define V2(f)        KMS("name: a, apiVersion: v2, endpoint: 'unix:///a'" f)
#define V1(f)        KMS("name: a, endpoint: 'unix:///a'" f)
#define ENDPOINT(e)  KMS("name: a, apiVersion: v2, endpoint: " e)

#define P0 "resources[0].providers[0]"
#define R0 "resources[0].resources"
#define OVERLAP                                                                                                \
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they " \
    "will be masked"
#define NONE "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
#define MORE "more than one provider specified in a single element, should split into different list elements"

struct rule {
    const char *text;
    const char *says; /* "": taken */
};

static const struct rule TAKEN[] = {
    {NAMES("secrets"), ""},
    {"apiVersion: v1\nkind: EncryptionConfig\nresources: [{resources: [a], " IDENTITY "}]", ""},
    {"{\"apiVersion\": \"v1\", \"kind\": \"EncryptionConfig\", \"resources\": [{\"resources\": [\"a\"], \"providers\": "
     "[{\"aescbc\": {\"keys\": [{\"name\": \"k\", \"secret\": \"" KEY "\"}]}}, {\"identity\": {}}]}]}",
     ""},
    {NAMES("'*.'"), ""},
    {NAMES("'*.*'"), ""},
    {NAMES("'*.apps', '*.'"), ""},
    {NAMES("deployments.apps, '*.'"), ""},
    {NAMES("''"), ""},
    {PROVIDERS("{aesgcm: {keys: [{name: 'a:b', secret: " KEY16 "}, {name: 'a:b', secret: " KEY "}]}}"), ""},
    {PROVIDERS("{aescbc: {keys: [{name: a, secret: " KEY16 "}]}}, {aescbc: {keys: [{name: a, secret: " KEY "}]}}"), ""},
    {PROVIDERS("{secretbox: {keys: [{name: a, secret: " KEY "}]}}"), ""},
    {V2(", timeout: 5s"), ""},
    {V1(", cachesize: -1"), ""},
    {V1(", cachesize: null"), ""},
    {KMS("name: 'a:b', endpoint: 'unix:///a'"), ""},
    {ENDPOINT("'UNIX:///@a'"), ""},
    {ENTRIES("{resources: [secrets], " IDENTITY "}, {resources: ['*.'], " IDENTITY "}, {resources: ['*.*'], " IDENTITY
             "}"),
     ""},
    {ENTRIES("{resources: [secrets], " IDENTITY "}, {resources: [secrets], " IDENTITY "}"), ""},
};

static const struct rule RESOURCES[] = {
    {HEAD, "resources: Required value: at least one resources is required"},
    {HEAD "resources: []", "resources: Required value: at least one resources is required"},
    {ENTRIES("{" IDENTITY "}"), R0 ": Required value: at least one resources[0].resources is required"},
    {ENTRIES("{resources: [a]}"),
     "resources[0].providers: Required value: at least one resources[0].providers is required"},
    {ENTRIES("{}"), "[" R0 ": Required value: at least one resources[0].resources is required, resources[0].providers: "
                    "Required value: at least one resources[0].providers is required]"},
    {NAMES("Secrets"), R0 "[0]: Invalid value: \"Secrets\": resource name should not contain capital letters"},
    {NAMES("\xc3\x89"), R0 "[0]: Invalid value: \"\xc3\x89\": resource name should not contain capital letters"},
    {NAMES("'*'"), R0 "[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API group or *.* to "
                      "encrypt all resources"},
    {NAMES("apiserveripinfo"),
     R0 "[0]: Invalid value: \"apiserveripinfo\": resources which do not have REST API/s cannot be encrypted"},
    {NAMES("serviceipallocations"),
     R0 "[0]: Invalid value: \"serviceipallocations\": resources which do not have REST API/s cannot be encrypted"},
    {NAMES("servicenodeportallocations"), R0
     "[0]: Invalid value: \"servicenodeportallocations\": resources which do not have REST API/s cannot be encrypted"},
    {NAMES("x.events.k8s.io"),
     R0 "[0]: Invalid value: \"x.events.k8s.io\": '*.events.k8s.io' objects are stored using the 'events' API group in "
        "etcd. Use 'events' instead in the config file"},
    {NAMES("x.extensions"),
     R0 "[0]: Invalid value: \"x.extensions\": 'extensions' group has been removed and cannot be "
        "used for encryption"},
    {NAMES("x.*"), R0 "[0]: Invalid value: \"x.*\": encrypting the same resource across groups is not supported"},
    {NAMES("X.extensions"),
     R0 "[0]: Invalid value: \"X.extensions\": resource name should not contain capital letters"},
    {NAMES("a, b, a."),
     R0 ": Invalid value: [\"a\",\"b\",\"a.\"]: the same resource cannot be specified multiple times"},
    {NAMES("a, '*.'"), R0 ": Invalid value: [\"a\",\"*.\"]: " OVERLAP},
    {NAMES("'*.apps', x.apps"), R0 ": Invalid value: [\"*.apps\",\"x.apps\"]: " OVERLAP},
    {NAMES("'*.*', '<'"), R0 ": Invalid value: [\"*.*\",\"\\u003c\"]: " OVERLAP},
    {NAMES("'*.b', '*.b'"), "[" R0 ": Invalid value: [\"*.b\",\"*.b\"]: the same resource cannot be specified multiple "
                            "times, " R0 ": Invalid value: [\"*.b\",\"*.b\"]: " OVERLAP "]"},
};

static const struct rule KEYS[] = {
    {PROVIDERS("{}"),
     P0 ": Invalid value: {\"AESGCM\":null,\"AESCBC\":null,\"Secretbox\":null,\"Identity\":null,\"KMS\":"
        "null}: " NONE},
    {PROVIDERS("{identity: null}"),
     P0 ": Invalid value: {\"AESGCM\":null,\"AESCBC\":null,\"Secretbox\":null,\"Identity\":"
        "null,\"KMS\":null}: " NONE},
    /* A key is not shown, whatever kube-apiserver does. */
    {PROVIDERS("{identity: {}, aescbc: {keys: [{name: k, secret: " KEY "}, {name: j}]}}"),
     "[" P0
     ": Invalid value: {\"AESGCM\":null,\"AESCBC\":{\"Keys\":[{\"Name\":\"k\",\"Secret\":\"REDACTED\"},{\"Name\":"
     "\"j\",\"Secret\":\"\"}]},\"Secretbox\":null,\"Identity\":{},\"KMS\":null}: " MORE ", " P0
     ".aescbc.keys[1].secret: Required value: secret is a mandatory field for a key]"},
    {PROVIDERS("{aesgcm: {}, kms: {name: <, endpoint: 'unix:///a', timeout: 90s}}"), P0
     ": Invalid value: {\"AESGCM\":{\"Keys\":null},\"AESCBC\":null,\"Secretbox\":null,\"Identity\":null,\"KMS\":"
     "{\"APIVersion\":\"v1\",\"Name\":\"\\u003c\",\"CacheSize\":1000,\"Endpoint\":\"unix:///a\",\"Timeout\":\"1m30s\"}}"
     ": " MORE},
    {PROVIDERS("{aesgcm: {}}"), P0 ".aesgcm.keys: Required value: at least one keys is required"},
    {PROVIDERS("{aescbc: {keys: []}}"), P0 ".aescbc.keys: Required value: at least one keys is required"},
    {PROVIDERS("{secretbox: {keys: null}}"), P0 ".secretbox.keys: Required value: at least one keys is required"},
    {PROVIDERS("{aescbc: {keys: [{secret: " KEY "}]}}"),
     P0 ".aescbc.keys[0].name: Required value: name is a mandatory field for a key"},
    {PROVIDERS("{aescbc: {keys: [{name: a}]}}"),
     P0 ".aescbc.keys[0].secret: Required value: secret is a mandatory field for a key"},
    {PROVIDERS("{aescbc: {keys: [{name: a, secret: '!'}]}}"),
     P0 ".aescbc.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded"},
    {PROVIDERS("{aesgcm: {keys: [{name: a, secret: YWJjZGVmZ2hp}]}}"), P0
     ".aesgcm.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 9, expected one "
     "of [16 24 32]"},
    {PROVIDERS("{aescbc: {keys: [{name: a, secret: " KEY33 "}]}}"), P0
     ".aescbc.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 33, expected one "
     "of [16 24 32]"},
    {PROVIDERS("{secretbox: {keys: [{name: a, secret: " KEY16 "}]}}"), P0
     ".secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 16, expected "
     "one of [32]"},
};

static const struct rule KMS_FIELDS[] = {
    {KMS("apiVersion: v2, endpoint: 'unix:///a'"),
     P0 ".kms.name: Required value: name is a mandatory field for a provider"},
    {KMS("name: 'a:b', apiVersion: v2, endpoint: 'unix:///a'"),
     P0 ".kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':'"},
    {PROVIDERS("{kms: {name: a, apiVersion: v2, endpoint: 'unix:///a'}}, {kms: {name: a, apiVersion: v2, endpoint: "
               "'unix:///a'}}"),
     "resources[0].providers[1].kms.name: Invalid value: \"a\": duplicate KMS provider name a, names must be unique"},
    {ENTRIES(
         "{resources: [a], providers: [{kms: {name: a, endpoint: 'unix:///a'}}]}, {resources: [b], providers: [{kms: "
         "{name: a, apiVersion: v2, endpoint: 'unix:///a'}}]}"),
     "resources[1].providers[0].kms.name: Invalid value: \"a\": duplicate KMS provider name a, names must be unique"},
    {V2(", timeout: 0s"), P0 ".kms.timeout: Invalid value: \"0s\": timeout should be a positive value"},
    {V2(", timeout: -90.5s"), P0 ".kms.timeout: Invalid value: \"-1m30.5s\": timeout should be a positive value"},
    {KMS("name: a, apiVersion: v2"), P0 ".kms.endpoint: Invalid value: \"\": endpoint is a mandatory field for a kms"},
    {ENDPOINT("'http:///a'"), P0 ".kms.endpoint: Invalid value: \"http:///a\": unsupported scheme \"http\" for KMS "
                                 "provider, only unix is supported"},
    {ENDPOINT("a"),
     P0 ".kms.endpoint: Invalid value: \"a\": unsupported scheme \"\" for KMS provider, only unix is supported"},
    {ENDPOINT("'unix:///%zz'"), P0 ".kms.endpoint: Invalid value: \"unix:///%zz\": invalid endpoint for kms provider, "
                                   "error: parse \"unix:///%zz\": invalid URL escape \"%zz\""},
    {V2(", cachesize: 5"), P0 ".kms.cachesize: Invalid value: 5: cachesize is not supported in v2"},
    {V1(", cachesize: 0"),
     P0 ".kms.cachesize: Invalid value: 0: cachesize should be a positive value, or negative to disable"},
    {KMS("name: a, apiVersion: v3, endpoint: 'unix:///a'"), P0
     ".kms.apiVersion: Invalid value: \"v3\": unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are "
     "supported"},
    {KMS(""), "[" P0 ".kms.name: Required value: name is a mandatory field for a provider, " P0
              ".kms.endpoint: Invalid value: \"\": endpoint is a mandatory field for a kms]"},
};

#define BUILD "error while building transformers: "

static const struct rule BUILT[] = {
    {ENTRIES("{resources: ['*.'], " IDENTITY "}, {resources: [secrets], " IDENTITY "}"),
     BUILD "resource \"secrets\" is masked by earlier rule \"*.\""},
    {ENTRIES("{resources: ['*.apps'], " IDENTITY "}, {resources: [a, x.apps], " IDENTITY "}"),
     BUILD "resource \"x.apps\" is masked by earlier rule \"*.apps\""},
    {ENTRIES("{resources: ['*.*'], " IDENTITY "}, {resources: ['*.'], " IDENTITY "}"),
     BUILD "resource \"*.\" is masked by earlier rule \"*.*\""},
    {ENTRIES("{resources: ['*.b'], " IDENTITY "}, {resources: ['*.b'], " IDENTITY "}"),
     BUILD "resource \"*.b\" is masked by earlier rule \"*.b\""},
    {ENDPOINT("'unix:///a%25'"),
     BUILD "could not configure KMSv2-Plugin's probe \"a\", error: failed to create connection "
           "to unix:///a%25, error: parse \"passthrough:////a%\": invalid URL escape \"%\""},
    {KMS("name: b, endpoint: 'unix:///@%25x'"), BUILD
     "could not configure KMSv1-Plugin's probe \"b\", error: failed to create connection to unix:///@%25x, error: "
     "parse \"passthrough:///@%x\": invalid URL escape \"%x\""},
};

static void expect(const struct rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        KT_CLEANUP(kt_text_done) struct kt_text says = {.data = NULL};
        judge(rules[i].text, strlen(rules[i].text), true, &says);
        if (strcmp(says.data, rules[i].says) != 0)
            fail_msg("%s\nexpected %s\nfound    %s", rules[i].text, rules[i].says, says.data);
    }
}

static void good_ones_are_taken(void **state)
{
    (void)state;
    expect(TAKEN, KT_ARRAY_LEN(TAKEN));
}

static void rules_of_resources(void **state)
{
    (void)state;
    expect(RESOURCES, KT_ARRAY_LEN(RESOURCES));
}

static void rules_of_keys(void **state)
{
    (void)state;
    expect(KEYS, KT_ARRAY_LEN(KEYS));
}

static void rules_of_kms(void **state)
{
    (void)state;
    expect(KMS_FIELDS, KT_ARRAY_LEN(KMS_FIELDS));
}

static void what_only_building_finds(void **state)
{
    (void)state;
    expect(BUILT, KT_ARRAY_LEN(BUILT));
}

/* Names of KMS v1 must be unique only where the file is reloaded. */
static void reload_makes_names_of_v1_unique(void **state)
{
    (void)state;
    const char *text = PROVIDERS("{kms: {name: a, endpoint: 'unix:///a'}}, {kms: {name: a, endpoint: 'unix:///a'}}");
    KT_CLEANUP(kt_text_done) struct kt_text with = {.data = NULL}, without = {.data = NULL};
    judge(text, strlen(text), false, &without);
    judge(text, strlen(text), true, &with);
    assert_string_equal(without.data, "");
    assert_string_equal(with.data,
                        "resources[0].providers[1].kms.name: Invalid value: \"a\": duplicate KMS provider name "
                        "a, names must be unique");
}

static void each_text_is_told_once(void **state)
{
    (void)state;
    KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
    KT_CLEANUP(kt_text_done) struct kt_text out = {.data = NULL};
    const struct kt_place place = {.line = 1, .column = 1};
    kt_text_init(&out, 4096);
    for (int i = 0; i < 2; i++)
        kt_findings_add(&findings, KT_FINDING_INVALID, place, "p", "a\n\x1b", NULL);
    kt_findings_add(&findings, KT_FINDING_WARNING, place, "p", "w", NULL);
    kt_findings_print(&findings, "F", &out);
    assert_string_equal(out.data, "error while parsing file: p: a\\n\\u001b");
    kt_findings_add(&findings, KT_FINDING_REQUIRED, place, "q", "b", NULL);
    out.len = 0;
    kt_findings_print(&findings, "F", &out);
    assert_string_equal(out.data, "error while parsing file: [p: a\\n\\u001b, q: b]");
    for (size_t i = 0; i < KT_FINDINGS_MAX; i++)
        kt_findings_add(&findings, KT_FINDING_INVALID, place, "p", "c", NULL);
    assert_int_equal(findings.n, KT_FINDINGS_MAX);
    assert_int_equal(kt_findings_count(&findings), KT_FINDINGS_MAX + 3);
}

static const struct {
    const char *text;
    const char *path;
    const char *says; /* part of it */
    size_t line;
} WARNINGS[] = {
    {"kind: EncryptionConfig\napiVersion: v1\nresources: [{resources: [a], " IDENTITY "}]", "", "Kubernetes 1.7", 1},
    {NAMES("a") "\n---\nx: y", "", "the first document", 4},
    {PROVIDERS("\n{identity: {}}"), P0, "identity stands first", 4},
    {PROVIDERS("{aesgcm: {keys: [{name: k, secret: " KEY "}]}}"), P0 ".aesgcm", "200,000 writes", 3},
    {PROVIDERS("{aescbc: {keys: [{name: k, secret: " KEY16 "}]}}"), P0 ".aescbc.keys[0]", "shorter than 32 bytes", 3},
    {PROVIDERS("{aescbc: {keys: [{name: k, secret: " KEY "}, {name: k, secret: " KEY "}]}}"), P0 ".aescbc.keys[1]",
     "has that name", 3},
    {V1(""), P0, "KMSv1 is deprecated", 3},
};

static void warnings_are_no_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(WARNINGS); i++) {
        KT_CLEANUP(kt_findings_done) struct kt_findings findings = {.n = 0};
        KT_CLEANUP(kt_encconfig_free_p)
        struct kt_encconfig *config = kt_encconfig_parse(kt_slice_str(WARNINGS[i].text), &findings, NULL);
        bool found = false;
        assert_non_null(config);
        assert_true(kt_encconfig_validate(config, true, &findings));
        for (size_t k = 0; k < findings.n; k++)
            found = found || (findings.items[k].kind == KT_FINDING_WARNING && findings.items[k].advice &&
                              strcmp(findings.items[k].path, WARNINGS[i].path) == 0 &&
                              strstr(findings.items[k].text, WARNINGS[i].says) &&
                              findings.items[k].place.line == WARNINGS[i].line);
        if (!found)
            fail_msg("%s: no warning \"%s\"", WARNINGS[i].text, WARNINGS[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_are_taken),
        cmocka_unit_test(rules_of_resources),
        cmocka_unit_test(rules_of_keys),
        cmocka_unit_test(rules_of_kms),
        cmocka_unit_test(what_only_building_finds),
        cmocka_unit_test(reload_makes_names_of_v1_unique),
        cmocka_unit_test(each_text_is_told_once),
        cmocka_unit_test(warnings_are_no_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
