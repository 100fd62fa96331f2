# SPDX-License-Identifier: Apache-2.0
"""EncryptionConfiguration files made by hand: for each rule of kube-apiserver, and for each place in which readers of
YAML and JSON differ."""

import base64
import json

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
FIRST = "apiVersion: v1\nkind: EncryptionConfig\n"
IDENTITY = "[{identity: {}}]"
KEY16, KEY24, KEY32, KEY33 = (base64.b64encode(bytes(n)).decode() for n in (16, 24, 32, 33))
GOOD = (HEAD + "resources:\n- resources: [secrets]\n  providers:\n  - aescbc: {keys: [{name: k, secret: " + KEY32 +
        "}]}\n  - identity: {}\n")


def entry(resources="[secrets]", providers=IDENTITY):
    return f"- resources: {resources}\n  providers: {providers}\n"


def entries(*pairs):
    return HEAD + "resources:\n" + "".join(entry(*p) for p in pairs)


def resources(*names):
    return entries((json.dumps(names),))


def providers(*elements):
    return entries(("[secrets]", "[" + ", ".join(elements) + "]"))


def keys(kind, *pairs):
    return providers("{%s: {keys: %s}}" % (kind, json.dumps([dict(p) for p in pairs])))


def key(secret, name="k"):
    return (("name", name), ("secret", secret))


def kms(**fields):
    fields = {"name": "a", "endpoint": "unix:///a", "apiVersion": "v2", **fields}
    return providers(json.dumps({"kms": {k: v for k, v in fields.items() if v is not ...}}))


def scalar(field, text):
    """A plain scalar in a field of a KMS v1 provider."""
    fields = {"name": "a", "endpoint": "unix:///a", "apiVersion": "v1", field: text}
    return providers("{kms: {" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}}")


def cases():
    yield from documents()
    yield from names()
    yield from masks()
    yield from key_lists()
    yield from kms_fields()
    yield from types()
    yield from readers()
    yield from scalars()
    yield from anchors()
    yield from bytes_of_files()


def documents():
    yield ""
    yield "\n"
    yield "# nothing\n"
    yield "---\n"
    yield "null"
    yield "[]"
    yield "text"
    yield "5"
    yield "{}"
    yield HEAD
    yield HEAD + "resources:"
    yield HEAD + "resources: []"
    yield HEAD + "resources: {}"
    yield HEAD + "resources: secrets"
    yield HEAD + "resources: [null]"
    yield HEAD + "resources: [[]]"
    yield HEAD + "resources: [{}]"
    yield HEAD + "resources: [secrets]"
    yield HEAD + "resources: [{resources: [secrets]}]"
    yield HEAD + "resources: [{providers: [{identity: {}}]}]"
    yield GOOD
    yield FIRST + "resources:\n" + entry()
    for version, kind in (
            ("v1", "EncryptionConfiguration"), ("apiserver.config.k8s.io/v1", "EncryptionConfig"),
            ("apiserver.config.k8s.io/v1beta1", "EncryptionConfiguration"),
            ("apiserver.config.k8s.io/v1", "EncryptionConfigurations"),
            ("apiserver.config.k8s.io/v1", "AdmissionConfiguration"), ("apiserver.config.k8s.io/v1", "Status"),
            ("/v1", "EncryptionConfig"), ("/apiserver.config.k8s.io/v1", "EncryptionConfiguration"), ("a/b/c", "X"),
            ("/", "EncryptionConfig"), ("", "EncryptionConfig"), ("v1/", "EncryptionConfig"), ("v1", ""),
            ("~", "EncryptionConfig"), ("1", "EncryptionConfig"), ("v1", "[a]"), ('"v1\\0"', "EncryptionConfig"),
            ("v1", '"EncryptionConfig\\0"'), (" v1 ", "EncryptionConfig"), ("V1", "EncryptionConfig"),
            ("v1", "encryptionconfig")):
        yield f"apiVersion: {version}\nkind: {kind}\nresources:\n" + entry()
    yield "kind: EncryptionConfig\nresources:\n" + entry()
    yield "apiVersion: v1\nresources:\n" + entry()
    for head in ("APIVERSION: v1\nKIND: EncryptionConfig\n", "ApiVersion: v1\nkind: EncryptionConfig\n",
            FIRST + "Kind: x\n", FIRST + "Kind: 5\n", FIRST + "\u212aind: x\n",
                 FIRST + "metadata: {name: x}\n", FIRST + "kind: EncryptionConfig\n",
                 FIRST + "'kind': EncryptionConfig\n", FIRST + "Resources: []\n"):
        yield head + "resources:\n" + entry()


def names():
    for name in ("", "*", "*.", "*.*", "*.apps", "secrets", "secrets.", "Secrets", "secretS.x", "x.Apps", "\u00c9",
            "\u00e9", "\u01c5", "\u0130", "\U00010400", "\u1e9e", "\u2126", "x.*", ".*", "*.*.", "*.*.*",
                 "apiserveripinfo", "serviceipallocations", "servicenodeportallocations", "serviceipallocations.",
                 "x.serviceipallocations", "events", "events.events.k8s.io", "*.events.k8s.io",
                 ".events.k8s.io", "events.k8s.io", "x.events.k8s.io.", "extensions", "x.extensions", "*.extensions",
                 "x.y.extensions", "a b", "a\"b", "a\\b", "a<b>", "\t", "a/b", "a:b", "..", ".", "a.b.c.d",
                 "a\u0000B", "\u2028", "\u0085", "\ufeff"):
        yield resources(name)
    yield resources("secrets", "secrets")
    yield resources("secrets", "secrets.")
    yield resources("secrets", "secrets", "secrets")
    yield resources("a", "b", "a", "b")
    yield resources("*.", "secrets")
    yield resources("*", "secrets")
    yield resources("secrets", "*.")
    yield resources("*.", "deployments.apps")
    yield resources("*.apps", "deployments.apps")
    yield resources("*.apps", "*.")
    yield resources("*.apps", "*.batch")
    yield resources("*.apps", "*.apps")
    yield resources("*.*", "*.*")
    yield resources("*.*", "secrets")
    yield resources("secrets", "*.*", "secrets")
    yield resources("*.*", "x.*")
    yield resources("x.*", "y.*")
    yield resources("<a>&", "<a>&", "\u2028", "\u007f", "\"\\")
    yield resources("Secrets", "Secrets", "*", "x.extensions")
    yield resources()
    yield entries(("null",))
    yield entries(("secrets",))
    yield entries(("[null]",))
    yield entries(("[1]",))
    yield entries(("[[secrets]]",))
    yield entries(("{}",))


def masks():
    lists = ("secrets", "pods", "deployments.apps", "*.", "*.apps", "*.*", "x.apps.example", "*.apps.example")
    for first in lists:
        for second in lists:
            yield entries((json.dumps([first]),), (json.dumps([second]),))
    yield entries(('["*.apps"]',), ('["*."]',), ('["*.*"]',), ('["secrets"]',))
    yield entries(('["secrets"]',), ('["secrets"]', "[{aescbc: {keys: [{name: k, secret: " + KEY32 + "}]}}]"))
    yield entries(('["*."]',), ('["secrets", "pods"]',), ("[]",))
    yield entries(('["*."]',), ('["secrets"]', '[{kms: {name: a, apiVersion: v2, endpoint: "unix:///%25"}}]'))
    yield entries(('["secrets"]', '[{kms: {name: a, apiVersion: v2, endpoint: "unix:///%25"}}]'), ('["*."]',), ('["a"]',
            ))


def key_lists():
    for kind in ("aesgcm", "aescbc", "secretbox"):
        yield providers("{%s: {}}" % kind)
        yield providers("{%s: null}" % kind)
        yield providers("{%s: []}" % kind)
        yield providers("{%s: {keys: null}}" % kind)
        yield providers("{%s: {keys: {}}}" % kind)
        yield providers("{%s: {keys: [null]}}" % kind)
        yield providers("{%s: {keys: [{}]}}" % kind)
        yield providers("{%s: {keys: [{name: k, Secret: x}]}}" % kind)
        yield keys(kind)
        yield keys(kind, (("name", "k"),))
        yield keys(kind, (("secret", KEY32),))
        yield keys(kind, key(KEY32, ""), key("", "x"), key("", ""), key("!", ""), key(KEY33, ""))
        for secret in (KEY16, KEY24, KEY32, KEY33, "YWJj", "YWJ", "YWJj=", "!", " " + KEY32, KEY32 + "\n",
                KEY32[:8] + "\r\n" + KEY32[8:], KEY32[:-1], KEY32 + "=",
                       KEY32[:-2] + "B=", KEY32.replace("=", ""), "====", "=", "A===", "AA==" + KEY32,
                       base64.urlsafe_b64encode(b"\xff" * 32).decode(), "\u00e9", KEY16 + KEY16):
            yield keys(kind, key(secret))
        yield keys(kind, key(KEY32), key(KEY32))
        yield keys(kind, key(KEY32, "a:b"), key(KEY32, "a b"), key(KEY32, "\u00e9"))
    aescbc, box = ("{keys: [{name: k, secret: %s}]}" % s for s in (KEY16, KEY32))
    yield providers("{}")
    yield providers("null")
    yield providers("identity")
    yield providers("[]")
    yield providers()
    yield entries(("[secrets]", "null"))
    yield entries(("[secrets]", "{}"))
    yield providers("{identity: }")
    yield providers("{identity: {}}", "{identity: {}}")
    yield providers("{identity: {x: y}}")
    yield providers("{identity: []}")
    yield providers("{identity: ''}")
    yield providers("{identity: {}, aescbc: %s}" % aescbc)
    yield providers("{identity: null, aescbc: %s}" % aescbc)
    yield providers(
            "{aesgcm: {keys: []}, aescbc: %s, secretbox: %s, identity: {}, kms: {name: x, timeout: 0s, apiVersion: v2}}"
            % (aescbc, box))
    yield providers("{aesgcm: {}, aescbc: {keys: [null]}}")
    yield providers('{secretbox: %s, kms: {name: "<x>", endpoint: "unix:///a", timeout: 90s}}' % box)
    yield providers("{AESCBC: %s}" % aescbc)
    yield providers("{aescbc: %s}" % aescbc, "{aescbc: %s}" % aescbc, "{secretbox: %s}" % box, "{aesgcm: %s}" % aescbc)
    yield providers("{secretbox: %s}" % aescbc)


def kms_fields():
    for name in ("", "a:b", ":", "\u00e9", "a\"b", "a\nb", "\u0085", "a\u0000b", ..., None, "x" * 300):
        for version in ("v1", "v2"):
            yield kms(name=name, apiVersion=version)
    for version in ("v1", "v2", "v3", "V1", "", ..., None, "v2beta1", "v1 ", "v1\u0000"):
        yield kms(apiVersion=version)
        yield kms(apiVersion=version, cachesize=5)
    for size in (0, 1, -1, 1000, 2147483647, 2147483648, -2147483648, -2147483649, None, "5", 5.5, True, []):
        yield kms(apiVersion="v1", cachesize=size)
        yield kms(apiVersion="v2", cachesize=size)
        yield json.dumps({"apiVersion": "v1", "kind": "EncryptionConfig", "resources": [{"resources": ["a"],
                "providers": [
            {"kms": {"name": "a", "endpoint": "unix:///a", "cachesize": size}}]}]})
    for timeout in ("3s", "0s", "0", "-0", "+0", "-3s", "", "3", "s", "3S", "1h1m1s1ms1us1ns", "1.5h", ".5s", "1.s",
            ".s", "1d", "1\u00b5s", "1\u03bcs", "-1\u00b5s", "-1.5ms", "-1ns", "-90s", "-100h", "9223372036.854775807s",
                    "9223372036.854775808s", "-9223372036.854775808s", "-9223372036.854775809s", "2562047h47m16s",
                    "2562048h", "1s1", "1s 1s", "1ss", "1e3s", "0x1s", None, 3, True, [], {}):
        yield kms(timeout=timeout)
    for endpoint in ("", ..., None, "unix:///a", "unix:/a", "unix:a", "unix:", "unix://", "unix://h", "unix://h/a",
            "UNIX:///a", "Unix:///a", "unix:///@a", "unix:///@", "unix://@a", "unix:///a%20b", "unix:///a b",
            "unix:///%41",
                     "unix:///a%25", "unix:///a%25b", "unix:///a%2525", "unix:///@a%25", "unix:///%0a", "unix:///%00",
                     "unix:///%7f", "unix:///%23%25zz", "unix:///%3f%25zz", "unix:///%ff", "unix:///a%", "unix:///a%4",
                     "unix:///%zz",
                     "unix:///a?%zz", "unix:///a#%zz", "unix:///a#b%", "unix:///a#%41", "unix:///a?b?c", "unix://h:1/a",
                     "unix://h:/a", "unix://h:x/a", "unix://h:1:2/a", "http://h:1:2/a", "unix://[::1]/a",
                     "unix://[::1]:1/a", "unix://[::1]:x/a", "unix://[::1]x/a",
                     "unix://[::1/a", "unix://a[b]/a", "unix://[1.2.3.4]/a", "unix://[::ffff:1.2.3.4]/a", "unix://[]/a",
                     "unix://[g]/a", "unix://[fe80::1%25eth0]/a", "unix://[fe80::1%25]/a", "unix://[fe80::1%25a%20b]/a",
                     "unix://[fe80::1%25%41]/a",
                     "unix://[fe80::1%25%00]/a", "unix://[fe80::1%25%e9]/a", "unix://a b/c", "unix://a<b>/c",
                     "unix://a^b/c", "unix://\u00e9/c", "unix://%e9/c", "unix://%41/c", "unix://u@h/c",
                     "unix://u:p@h/c", "unix://u:p%zz@h/c", "unix://u<@h/c", "unix://\u00e9@h/c",
                     "unix://u@v@h/c", "unix://@/c", "unix", "/a", "a/b", "a:b", "a:b/c", ":a", "1:b", "1a:b", "a+b:c",
                     "a_b:c", "-a:b", "*", "?", "#", "#a", " unix:///a", "unix:///a\n", "\tunix:///a",
                     "unix:///a\u007f", "unix:///\u00e9",
                     "unix:///\u0085", "unix:///\ufeff", "http:///a", "tcp://1.2.3.4:5", "unix+x:///a", "//h/a", "///a",
                     "//h:x/a", "unix:///" + "a" * 300):
        yield kms(endpoint=endpoint)
    for first in ("v1", "v2"):
        for second in ("v1", "v2"):
            yield entries(("[a]", "[{kms: {name: x, endpoint: 'unix:///a', apiVersion: %s}}]" % first), ("[b]",
                    "[{kms: {name: x, endpoint: 'unix:///a', apiVersion: %s}}]" % second))
    yield providers(*["{kms: {name: '', endpoint: 'unix:///a', apiVersion: v2}}"] * 2)
    yield providers(*["{kms: {name: x, endpoint: 'unix:///a', apiVersion: v2}}"] * 3)
    yield providers("{kms: {name: x, endpoint: 'unix:///a', apiVersion: v2}, identity: {}}",
            "{kms: {name: x, endpoint: 'unix:///b', apiVersion: v2}}")
    yield kms(pandas=1)
    yield kms(cacheSize=1, ApiVersion="v2", Name="x")
    yield providers("{kms: {}}")
    yield providers("{kms: []}")
    yield providers("{kms: null}")


def types():
    values = ("null", "~", "true", "5", "5.5", "''", "text", "[]", "{}", "[a]", "{a: b}", "[null]")
    for field in ("name", "endpoint", "apiVersion", "timeout", "cachesize", "x"):
        for value in values:
            yield scalar(field, value)
    for value in values:
        yield GOOD.replace("identity: {}", "identity: " + value)
        yield GOOD.replace("[secrets]", value)
        yield GOOD.replace("{keys:", value + " # {keys:").replace("}]}\n", "\n")
        yield GOOD.replace("name: k", "name: " + value)
        yield GOOD.replace(KEY32, value)
        yield GOOD.replace("kind: EncryptionConfiguration", "kind: " + value)
        yield GOOD + "x: " + value + "\n"
        yield GOOD + value + ": x\n"


def readers():
    """What JSON and YAML readers differ in."""
    good = json.dumps({"kind": "EncryptionConfig", "apiVersion": "v1", "resources": [{"resources": ["secrets"],
            "providers": [{"identity": {}}]}]})
    yield good
    yield " \n\t\r" + good + "\n "
    for space in ("\v", "\f", "\u0085", "\u00a0", "\u2028", "\u3000", "\ufeff", "\u200b"):
        yield space + good
    yield good + good
    yield good + "x"
    yield good + "\n---\n" + good
    yield good + "# c"
    yield "# c\n" + good
    yield "---\n" + good
    yield "---\n" + good + "\n---\n{"
    yield "--- " + good
    yield good[:-1]
    yield good[:-1] + ",}"
    yield good.replace('"secrets"', '"secrets",')
    yield good.replace('"secrets"', "'secrets'")
    yield good.replace('"kind"', "kind")
    yield good.replace('"secrets"', "secrets")
    yield good.replace('"secrets"', '"\\u0073ecrets"')
    yield good.replace('"secrets"', '"\\/"')
    yield good.replace('"secrets"', '"\\\'"')
    yield good.replace('"secrets"', '"\\x41"')
    yield good.replace('"secrets"', '"a\tb"')
    yield good.replace('"secrets"', '"\\ud83d"')
    yield good.replace('"secrets"', '"\\ud83d\\ude00"')
    yield good.replace('"secrets"', '"\\uDE00\\uD83D"')
    yield good.replace('"secrets"', '"\\u00e9\\n\\b\\f"')
    yield good.replace('"secrets"', "nul")
    yield good.replace('"secrets"', "null")
    yield good.replace('"secrets"', "nullx")
    for number in ("1", "01", "-", "-0", "1.", ".5", "1e", "1e5", "+1", "0x1", "1_0", "NaN", "Infinity"):
        yield good.replace('"secrets"', number)
        yield good.replace('{"identity": {}}',
                '{"kms": {"name": "a", "endpoint": "unix:///a", "cachesize": %s}}' % number)
    yield good.replace('"kind"', '"kind": "x", "kind"')
    yield good.replace('"kind"', '"Kind": "x", "kind"')
    yield good.replace('"kind"', '"Kind": null, "kind"')
    yield good.replace('"kind"', '"x": {"a": 1, "a": 1}, "kind"')
    yield good.replace('{"identity": {}}', '{"identity": {}, "identity": {}}')
    yield good.replace('{"identity": {}}', '{"identity": {"a": 1, "a": 1}}')
    yield good.replace("{}", "[" * 200 + "]" * 200)
    yield good.replace(":", ":\n").replace(",", "\t,")
    for text in ("[a?b]", "[a, ?]", "[a:]", "[a:b]", "[:a]", "[a :b]", "[\"a\":b]", "[a: b]", "[? a]", "[,]", "[a,]",
            "[a,,b]", "[a\n]", "[!!str secrets]", "[!!str,x secrets]", "[!!str]", "[!<tag:yaml.org,2002:str> secrets]",
                 "[!<x>, secrets]", "['it''s']", "[\"\\'\"]", "[\"\\/\"]", "[\"\\x73ecrets\"]", "[\"\\q\"]",
                 "[\"a\\\n   b\"]", "[a\n  b]", "\n  - secrets", "\n- secrets", "\n   - secrets\n   - pods",
                 "\n  - secrets\n - pods", "\n  -secrets",
                 "\n  - - secrets", "\n  - |\n    secrets", "\n  - |-\n    secrets", "\n  - >-\n    secrets",
                 "\n  - >\n   a\n   b\n", "\n  - |2\n     a\n", "\n  - |0\n     a\n", "\n  - \"secrets\" x",
                 "\n  - secrets # c", "\n  - secrets#c",
                 "\n  - 'a\n    b'", "\n\t- secrets", "\n  - \tsecrets", "\n  -\tsecrets", "\n  - secrets\t",
                 "\n  - ? a\n", "\n  - a: b\n", "\n  - @a", "\n  - `a", "\n  - %a", "\n  - *", "\n  - &", "\n  - !",
                 "\n  - ! secrets", "\n  - & a"):
        yield HEAD + f"resources:\n- resources: {text}\n  providers: {IDENTITY}\n"
    for head in ("%YAML 1.1\n---\n", "%YAML 1.2\n---\n", "%YAML 1.0\n---\n", "%YAML 2.0\n---\n", "%YAML 1.1\n",
            "%FOO x\n---\n", "%TAG !e! tag:yaml.org,2002:\n---\n", "---\n", "--- ", "--- # c\n", "...\n", "---\n---\n",
            "\n\n", "# c\n", "\t\n", " \n", "%YAML 1.1\n%YAML 1.1\n---\n"):
        yield head + GOOD
    for tail in ("---\n", "---\nx\n", "--- [\n", "...\n", "...\nx: y\n", "...\n---\n", "\n---\n\t- @\n",
            "--- |\n" + "x\n" * 400 + "\x07", "# c", "\t", "\t# c", "\n\n\n", "x", "x: y", " x: y", "- x", "}", "]",
            "...x", "---x", "...\n%YAML 3.0\n---\n"):
        yield GOOD + tail
    yield GOOD.rstrip("\n")
    yield GOOD.replace("resources:\n-", "? resources\n:\n-")
    yield GOOD.replace("kind:", "? kind\n:")
    yield GOOD.replace("kind:", "!!str kind:")
    yield GOOD.replace("kind:", "'kind' :")
    yield GOOD.replace("kind:", '"\\x6bind":')
    yield GOOD.replace("kind: ", "kind:")
    yield GOOD.replace("kind: ", "kind:\n  ")
    yield GOOD.replace("kind: ", "kind:\n")
    yield GOOD.replace("kind: ", "kind:\t")
    yield GOOD.replace("- aescbc", "-   aescbc").replace("  - identity", "  -   identity")
    yield GOOD.replace("  - identity", "   - identity")
    yield GOOD.replace("  - identity", " - identity")
    yield GOOD.replace("\n", "\n\n").replace(": ", ":    ")
    yield "x" * 1100 + ": y\n" + GOOD
    yield "[a]: b\n" + GOOD
    yield "? |\n  kind\n: x\n" + GOOD


def scalars():
    plain = (
            "null Null NULL nULL ~ y Y n N yes Yes YES yEs no on On ON off true True TRUE tRUE false 0 00 01 08 0o7 "
            "0O7 0x1f 0X1F 0b1 0B1 0b 0x 0b+1 -0b1 +5 -5 +-5 1_0 1__0 _1 1_ 5.0 5. .5 5.5 .5e1 5e0 5e2 5e-1 1e400 1e-400 "
            ".5_0 ._5 .inf +.inf -.Inf .nan .NaN .Nan 1:30 2001-01-01 2147483647 2147483648 -2147483648 "
            "9223372036854775807 9223372036854775808 18446744073709551616 0xffffffffffffffffff - + . .. <<").split()
    tagged = ("!!str 5", "!!str", "!!int 5", "!!int '5'", "!!int 5.0", "!!int x", "!!float 5", "!!float 5.0",
            "!!float .inf", "!!float 18446744073709551615", "!!bool yes", "!!bool 5", "!!null ''", "!!null x",
            "!!binary YWJj", "!!binary YW", "!!binary /w==",
              "!!timestamp 2001-01-01", "!!timestamp 2001-02-30", "!!timestamp x", "!!map x", "!!seq x", "!!merge x",
              "!x 5", "! 5", "!<tag:yaml.org,2002:int> 5", "!<x> 5", "!!x%41 5", "!!int%20 5")
    for text in (*plain, *tagged):
        yield scalar("name", text)
        yield scalar("cachesize", text)
    for text in (*plain, "'yes'", '"5"', "a#b", "'#'"):
        yield entries((f"[{text}]",))
        yield GOOD.replace("name: k", f"name: {text}")
    for text in plain:
        yield GOOD + f"{text}: x\n"


def anchors():
    yield GOOD.replace("[secrets]", "&a [secrets]") + entry("*a")
    yield GOOD.replace("[secrets]", "&a [pods]") + "- &b\n  resources: *a\n  providers: [{identity: {}}]\n- *b\n"
    yield GOOD.replace("identity: {}", "identity: &a {}") + "- resources: [pods]\n  providers: [{identity: *a}]\n"
    yield GOOD.replace("identity: {}", "identity: *a")
    yield GOOD.replace("identity: {}", "identity: &a *a")
    yield GOOD.replace("identity: {}", "identity: &a [*a]")
    yield GOOD.replace("identity: {}", "identity: {<<: {}}")
    yield GOOD.replace("identity: {}", "identity: {<<: [{}, {}]}")
    yield GOOD.replace("identity: {}", "identity: {<<: null}")
    yield GOOD.replace("identity: {}", "identity: {<<: []}")
    yield GOOD.replace("identity: {}", "identity: {<<: {x: y}}")
    yield GOOD.replace("identity: {}", "identity: {'<<': {}}")
    yield GOOD.replace("identity: {}", "<<: {identity: {}}")
    yield GOOD.replace("identity: {}", "<<: {identity: {}}\n    identity: {}")
    yield GOOD.replace("identity: {}", "<<: &m {identity: {}}\n  - *m\n  - <<: *m")
    yield GOOD.replace("identity: {}", "<<: [&m {identity: {}}, *m]")
    yield GOOD.replace("identity: {}", "&k identity: {}")
    yield GOOD.replace("identity: {}", "&k identity: {}\n  - *k : {}")
    yield GOOD.replace("name: k", "&n name: &v k").replace("}]}", "}, {*n : *v, secret: " + KEY32 + "}]}")
    yield GOOD.replace("{name: k", "{<<: &s {secret: " + KEY32 + "}, name: j}, {<<: *s, name: k2}, {name: k")
    yield "<<: {apiVersion: v1, kind: EncryptionConfig}\nresources:\n" + entry()
    yield "<<: {<<: {apiVersion: v1}, kind: EncryptionConfig}\nresources:\n" + entry()
    yield "a: &a secrets\n" + GOOD.replace("[secrets]", "[*a]")
    yield GOOD.replace("[secrets]", "[&a secrets, *a]")
    yield GOOD.replace("[secrets]", "[&a secrets]") + entry("[*a]")
    yield GOOD.replace("[secrets]", "[&a-1_B x, &a-1_B pods]") + entry("[*a-1_B]")
    yield GOOD.replace("[secrets]", "[&\u00e9 x]")
    for aliases in (98, 100, 1000, 1100):
        many = "[" + ", ".join(["&p {identity: {}}"] + ["*p"] * aliases) + "]"
        yield entries(("[a]", many))
        yield entries(("[a]", "&q " + many), *[("[b%d]" % i, "*q") for i in range(11)])
    # At 111, go-yaml finds that too much comes by aliases.
    names_in_list = ",".join(f"x{i}" for i in range(1000))
    for aliases in (110, 111):
        entry_of_many = "{resources: [" + names_in_list + "], providers: [{identity: {}}]}"
        yield f"{HEAD}resources:\n- &e {entry_of_many}\n" + "- *e\n" * aliases


def bytes_of_files():
    text = GOOD.replace("name: k", "name: caf\u00e9\U0001f600\u20ac") + "# \u00e9\n"
    yield text
    yield text.replace("\n", "\r\n")
    yield text.replace("\n", "\r")
    yield text.replace("\n", "\u2028")
    yield text.replace("\n", "\u0085")
    yield "\ufeff" + text
    yield "\ufeff" + text.replace("\n", "\r\n")
    yield "\ufeff" + json.dumps({"kind": "EncryptionConfig", "apiVersion": "v1",
            "resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}]})
    yield text + "\ufeff# x\n" + "# y\n" * 3
    yield text.replace("kind", "\ufeffkind")
    yield text.replace("[secrets]", "[\"\ufeff\"]") + "# y\n" * 3
    for encoding in ("utf-16-le", "utf-16-be"):
        for content in (text, "kind: x", text.replace("\n", "\r\n")):
            yield "\ufeff".encode(encoding) + content.encode(encoding)
        yield "\ufeff".encode(encoding) + text.encode(encoding) + b"\x00"
        yield "\ufeff".encode(encoding) + text.encode(encoding) + "\ud83d".encode(encoding, "surrogatepass")
        yield "\ufeff".encode(encoding) + "\ude00".encode(encoding, "surrogatepass") + text.encode(encoding)
        yield text.encode(encoding)
    yield "\ufeff".encode("utf-32-le") + text.encode("utf-32-le")
    for bad in (b"\xff", b"\xc3", b"\xc3\x28", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x82\x82\xac",
            b"\xc0\xaf", b"\x80", b"\x00", b"\x07", b"\x1b", b"\x7f", b"\xc2\x80", b"\xc2\x85", b"\xc2\xa0",
            b"\xe2\x80\xa8", b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"\xf0\x9f\xbf\xbf"):
        yield GOOD.encode().replace(b"name: k", b"name: k" + bad)
        yield GOOD.encode().replace(b"name: k", b'name: "k' + bad + b'"')
        yield (b'{"kind": "EncryptionConfig", "apiVersion": "v1", "resources": [{"resources": ["x' + bad +
                b'"], "providers": [{"identity": {}}]}]}')
        yield GOOD.encode() + b"# " + bad + b"\n"
        yield bad + GOOD.encode()
    # In a second document, near and far: the parts that are read with the first one count.
    for distance in (0, 100, 400, 511, 512, 513, 1023, 1024, 1025, 5000):
        start = GOOD.encode() + b"---\n"
        yield start + b"#" * distance + b"\xff"
        yield start + b"#" * max(0, distance - len(start)) + b"\xff"
        yield start + "\u20ac".encode() * (distance // 3) + b"\xff"
    yield b"k8s\x00" + GOOD.encode()
    yield b"\x1f\x8b" + GOOD.encode()


# kube-apiserver takes them, keyturn refuses: README.md says why.
DIFFERENT = {
    "the internal version": "apiVersion: apiserver.config.k8s.io/__internal\nkind: EncryptionConfiguration\n"
                            "Resources: [{Resources: [secrets], Providers: [{Identity: {}}]}]",
    "nesting": GOOD.replace("identity: {}", "identity: " + "{<<: " * 200 + "{}" + "}" * 200),
    "size": GOOD + "#" * (4 * 1024 * 1024),
    "two byte order marks": "\ufeff\ufeff- x\n".replace("- x\n", json.dumps({"kind": "EncryptionConfig",
    "apiVersion": "v1", "resources": [
        {"resources": ["secrets"], "providers": [{"identity": {}}]}]}) + "\nx"),
    "behind a document": "# x\n" + json.dumps({"kind": "EncryptionConfig", "apiVersion": "v1", "resources": [
        {"resources": ["secrets"], "providers": [{"identity": {}}]}]}) + "\n[!x y]\n",
}
