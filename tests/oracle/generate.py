# SPDX-License-Identifier: Apache-2.0
"""EncryptionConfiguration files, good and bad ones, the same for the same seed: models that are written in many styles,
and changed at each level: values, structure, bytes."""

import base64
import json
import random

RESOURCES = ["secrets", "configmaps", "pods", "secrets.", "deployments.apps", "events", "pandas.awesome.bears.example",
             "*.apps", "*.", "*.batch", "*.*"]
ODD_RESOURCES = ["", "*", "Secrets", "\u00c9", "\u00e9", "a<b>&", "x.*", "x.extensions", "x.events.k8s.io",
        "*.events.k8s.io",
                 "apiserveripinfo", "serviceipallocations", "a.b.c", ".", "..", "*.*.", "**", " secrets", "sec rets",
                 "\u0130", "\u2028", "a\u0000b", "\U0001f600", "\ufeffx"]
ENDPOINTS = ["unix:///run/kms.sock", "unix:///@kms", "unix:///a", "unix:/a", "unix:a", "UNIX:///a", "unix://h/a"]
ODD_ENDPOINTS = ["", "http:///a", "tcp://h:1", "unix", "/a", "unix:///%zz", "unix:///a%25b", "unix:///a%2",
        "unix://h:x/a", "unix://[::1/a",
                 "unix://[::1]/a", "unix://[fe80::1%25eth0]:1/a", "unix://[1.2.3.4]/", "unix://[x]/", "unix://a b/c",
                 "unix:///a b", ":a", "a:b", "1:b",
                 "unix:///a\u007f", "unix:///\u00e9", "unix://\u00e9/", "unix://u:p@h/", "unix://u<@h/",
                 "unix:///a#%zz", "unix:///a?%zz", "unix:///a%23%25",
                 "unix:///%00", "unix://h%41/", "unix://h%e9/", "unix:// /", "unix://[::1]x/", "unix://a[b]/",
                 "unix://a:1:2/", "http://a:1:2/",
                 "*", "?", "#", "unix:?a", "unix://@/", "unix://h:/", "unix://h:1/", "unix:///a\nb", "//h:x/", "///a"]
NAMES = ["key1", "aescbckey", "key:2", "k", "caf\u00e9", "aescbckey-2022-04-21T23:01:02-07:00", "yes", "1", "null",
        "a b", "#x"]
KMS_NAMES = ["kms", "plugin-a", "plugin-b", "keyturn", "k\u00e9"]
ODD_KMS_NAMES = ["", "a:b", "kms", "kms", "a\"b", "\u0085", "x\u0007"]
TIMEOUTS = ["3s", "10s", "1m30s", "1h", "0.5s", ".5s", "1us", "2\u00b5s", "100ms", "+3s", "1h0m0.1s"]
ODD_TIMEOUTS = ["0", "0s", "-3s", "-1m30.5s", "", "3", "s", "3x", "1.s", "-1h2m3.004s", "9223372036s", "9223372037s",
        "-1ns", "-1500us", "1e3s",
                "3 s", "99999999999999999999s", "1m-3s", "\u03bcs", "-2562047h47m16.854775808s"]
SECRETS = [base64.b64encode(bytes(range(n))).decode() for n in (16, 24, 32, 32, 32)]
ODD_SECRETS = ["", "YWJj", "!", "YWJj=", "YW Jj", base64.b64encode(bytes(33)).decode(),
        base64.b64encode(bytes(32)).decode()[:-1],
               base64.b64encode(bytes(31)).decode()[:-2] + "B=",
               base64.b64encode(bytes(32)).decode()[:20] + "\n" + base64.b64encode(bytes(32)).decode()[20:],
               base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode(), "\u00e9" * 8, "AAAA" * 10 + "=="]
# Plain scalars that are no text, or look as if they were none.
ODD_PLAIN = ["null", "~", "", "true", "yes", "On", "no", "y", "1", "-1", "0x10", "010", "08", "0b11", "1_000", "1e3",
        "5.0", "5.5", ".5", ".inf",
             "-.inf", ".nan", "1e400", "2147483648", "-2147483649", "9223372036854775808", "99999999999999999999",
             "2001-01-01", "<<", "=", "1:30", "0o17", "+5",
             "!!str 5", "!!int 5", "!!int \"5\"", "!!float 5", "!!null x", "!!null \"\"", "!!binary YWJj", "!!binary x",
             "!!bool yes", "!x y", "! 5", "!!timestamp 2001-01-01",
             "*a", "&a x", "[]", "{}", "[a]", "{a: b}", "|\n    x\n", "'", "\"", "@", "%", "-", "- a", "a: b", "#", "!",
             "!!str"]
FIELDS = ["name", "secret", "keys", "aescbc", "aesgcm", "secretbox", "identity", "kms", "resources", "providers",
        "apiVersion", "kind", "endpoint",
          "cachesize", "timeout", "Name", "KMS", "aesCBC", "Resources", "cacheSize", "metadata", "x", "", "\u00e9",
          "\u212aind", "1", "yes", "null", "<<"]
# What a file may be disturbed by.
TOKENS = [b" ", b"  ", b"\t", b"\n", b"\r\n", b"\r", b"- ", b"-", b": ", b":", b",", b", ", b"{", b"}", b"[", b"]",
        b"#", b" # c\n", b"&a ", b"*a", b"<<: *a\n", b"!", b"!!str ",
          b"!!int ", b"!x,", b"'", b'"', b"|", b">", b"? ", b"?", b"---\n", b"\n---\n", b"\n...\n", b"%YAML 1.1\n---\n",
          b"%YAML 1.2\n---\n", b"\xef\xbb\xbf", b"\x00", b"\x07",
          b"\x7f", b"\xff", b"\xc3\xa9", b"\xc3", b"\xe2\x80\xa8", b"\xc2\x85", b"\xc2\xa0", b"\xf0\x9f\x98\x80",
          b"\xed\xa0\x80", b"\\", b"\\x41", b"\\u00e9", b"\\/", b"\\'", b"\\ud83d",
          b"@", b"`", b"%", b"null", b"true", b"yes", b"1", b"0x1", b".5", b"~", b"\"\"", b"''", b"kind", b"a: b\n",
          b"k8s\x00", b"x" * 1100]


class Raw(str):
    """Text that is written as it is, without quotes."""


class Map(list):
    """A mapping: pairs, of which a key may stand twice."""


class Anchor:
    """A value with an anchor."""

    def __init__(self, name, value):
        self.name, self.value = name, value


def key(r, odd):
    pairs = Map([("name", r.choice(NAMES)), ("secret", r.choice(ODD_SECRETS if odd and r.random() < 0.5 else SECRETS))])
    if odd and r.random() < 0.2:
        pairs[0] = ("name", "")
    return pairs


def aes(r, odd, lengths=slice(0, 5)):
    keys = [key(r, odd) for _ in range(r.choice([1, 1, 2, 3] + [0] * odd))]
    if lengths.start:
        keys = [Map((k, v if k != "secret" or v not in SECRETS[:2] else SECRETS[2]) for k,
                v in pairs) for pairs in keys]
    return Map([("keys", keys)])


def kms(r, odd):
    version = r.choice(["v2", "v2", "v1", None] + ["v3", "V2", ""] * odd)
    name = r.choice(ODD_KMS_NAMES if odd and r.random() < 0.5 else KMS_NAMES)
    endpoint = r.choice(ODD_ENDPOINTS if odd and r.random() < 0.6 else ENDPOINTS)
    pairs = Map([("name", name), ("endpoint", endpoint)])
    if version is not None:
        pairs.append(("apiVersion", version))
    if r.random() < 0.5:
        pairs.append(("timeout", r.choice(ODD_TIMEOUTS if odd and r.random() < 0.6 else TIMEOUTS)))
    if r.random() < (0.5 if odd else 0.2) and (odd or version in ("v1", None)):
        pairs.append(("cachesize", r.choice([1000, -1, 5] + [0, 2147483648] * odd)))
    r.shuffle(pairs)
    return pairs


def provider(r, odd):
    kind = r.choice(["aescbc", "aesgcm", "secretbox", "identity", "kms"])
    make = {"aescbc": aes, "aesgcm": aes, "kms": kms, "identity": lambda r, odd: Map(),
            "secretbox": lambda r, odd: aes(r, odd, slice(2, 5))}
    pairs = Map([(kind, make[kind](r, odd))])
    if odd and r.random() < 0.2:
        other = r.choice(["aescbc", "secretbox", "identity", "kms"])
        if other != kind:
            pairs.append((other, make[other](r, odd)))
    return Map() if odd and r.random() < 0.05 else pairs


def unique_kms(entries):
    """Names that are taken twice get a number."""
    seen = set()
    for entry in entries:
        for element in dict(entry)["providers"]:
            for kind, pairs in element:
                if kind != "kms":
                    continue
                at = next(i for i, (k, _) in enumerate(pairs) if k == "name")
                while pairs[at][1] in seen:
                    pairs[at] = ("name", pairs[at][1] + str(len(seen)))
                seen.add(pairs[at][1])


def good_resources(r, last):
    specific = r.sample(RESOURCES[:3] + RESOURCES[4:7], r.randint(1, 3))
    return [r.choice(["*.*", "*.", "*.apps"])] if last and r.random() < 0.3 else specific


def model(r, odd):
    entries = []
    n = r.choice([1, 1, 2, 3])
    for i in range(n):
        names = good_resources(r, i == n - 1)
        if odd and r.random() < 0.4:
            names = [r.choice(RESOURCES + ODD_RESOURCES) for _ in range(r.randint(0, 3))]
        providers = [provider(r, odd) for _ in range(r.choice([1, 2, 2, 3] + [0] * odd))]
        entries.append(Map([("resources", names), ("providers", providers)]))
    if not odd:
        unique_kms(entries)
    form = r.choice([("apiserver.config.k8s.io/v1", "EncryptionConfiguration")] * 5 + [("v1", "EncryptionConfig")])
    root = Map([("apiVersion", form[0]), ("kind", form[1]), ("resources", entries)])
    if r.random() < 0.3:
        r.shuffle(root)
    return root


# Changes of the structure.

def places(value, found):
    """All containers of a model."""
    if isinstance(value, Anchor):
        places(value.value, found)
    elif isinstance(value, list):
        if value:
            found.append(value)
        for item in value:
            places(item[1] if isinstance(item, tuple) else item, found)
    return found


def change(r, root):
    container = r.choice(places(root, []))
    i = r.randrange(len(container))
    item = container[i]
    value = item[1] if isinstance(item, tuple) else item

    def put(new):
        container[i] = (item[0], new) if isinstance(item, tuple) else new

    kind = r.randrange(8)
    if kind == 0:
        del container[i]
    elif kind == 1:
        container.insert(r.randrange(len(container) + 1), item)
    elif kind == 2 and isinstance(item, tuple):
        container[i] = (r.choice(FIELDS), value)
    elif kind == 3 and isinstance(item, tuple):
        container.append((r.choice(FIELDS), r.choice(["x", Raw("null"), [], Map()])))
    elif kind == 4:
        put([value])
    elif kind == 5 and isinstance(value, list) and value:
        put(value[0][1] if isinstance(value[0], tuple) else value[0])
    else:
        put(Raw(r.choice(ODD_PLAIN)))


def inner(item):
    return item[1] if isinstance(item, tuple) else item


def anchor(container, i, name):
    value = inner(container[i])
    container[i] = (container[i][0], Anchor(name, value)) if isinstance(container[i], tuple) else Anchor(name, value)


def alias_anywhere(r, root, name):
    container = r.choice(places(root, []))
    anchor(container, r.randrange(len(container)), name)
    other = r.choice(places(root, []))
    at = r.randrange(len(other))
    stands = Raw("*" + name)
    if r.random() < 0.3:
        stands = Map([("<<", r.choice([stands, [stands], [stands, Map()]]))] + [("x", "y")] * (r.random() < 0.2))
    if isinstance(other, Map):
        other[at] = (other[at][0], stands) if r.random() < 0.7 else ("<<", stands)
    else:
        other.insert(at, stands)


def alias_item(r, root, name):
    """An item of one list stands in a later one of its kind too."""
    lists = [c for c in places(root, []) if not isinstance(c, Map)]
    first = r.randrange(len(lists))
    i = r.randrange(len(lists[first]))
    kind = type(lists[first][i])
    later = [c for c in lists[first + 1:] if c is not lists[first] and isinstance(c[0], kind)] or [lists[first]]
    other = r.choice(later)
    anchor(lists[first], i, name)
    other.insert(i + 1 if other is lists[first] else r.randrange(len(other) + 1), Raw("*" + name))


def merge_inline(r, root, name):
    """Some pairs of a mapping come by a merge key."""
    container = r.choice([c for c in places(root, []) if isinstance(c, Map)])
    n = r.randint(1, len(container))
    some = Map(container[:n])
    container[:n] = [("<<", r.choice([some, [some], [Map(), some], Anchor(name, some)]))]


def merge_shared(r, root, name):
    """What two mappings have in common comes by one anchor."""
    maps = [c for c in places(root, []) if isinstance(c, Map)]
    pairs = [(x, y, k) for i, x in enumerate(maps) for y in maps[i + 1:] for k,
            _ in x if k in dict(y) and x is not root]
    if not pairs:
        merge_inline(r, root, name)
        return
    x, y, k = r.choice(pairs)
    x[:] = [("<<", Anchor(name, Map([p]))) if p[0] == k else p for p in x]
    y[:] = [("<<", Raw("*" + name)) if p[0] == k else p for p in y]


def alias(r, root):
    how = r.choice([alias_anywhere, alias_item, alias_item, merge_inline, merge_shared, merge_shared])
    how(r, root, r.choice(["a", "b1", "a-b"]))


# Writing.

def to_json(value, r, indent):
    """JSON with keys that may stand twice."""
    space = r.choice(["", " ", "\n" + " " * indent, "\t"]) if r.random() < 0.5 else ""
    if isinstance(value, Anchor):
        return to_json(value.value, r, indent)
    if isinstance(value, Raw):
        return value if value in ("null", "true", "1", "-1", "5.0", "1e3", "[]", "{}",
                "2147483648") else json.dumps(value)
    if isinstance(value, (str, int)):
        return json.dumps(value, ensure_ascii=r.random() < 0.5)
    if isinstance(value, Map):
        return "{" + ("," + space).join(f"{space}{json.dumps(k)}:{space}{to_json(v, r, indent + 1)}" for k,
                v in value) + space + "}"
    return "[" + ("," + space).join(space + to_json(v[1] if isinstance(v, tuple) else v, r,
            indent + 1) for v in value) + "]"


def scalar(value, r):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, int):
        return str(value)
    style = r.random()
    if style < 0.5 and value and value.isprintable() and not set(value) & set(
            "#:,[]{}&*!|>'\"%@`?-<=~.") and value.strip() == value \
            and not value[0].isdigit() and value.lower() not in ("null", "yes", "no", "y", "n", "true", "on", "off"):
        return value
    if style < 0.75 and value.isprintable() and "\u2028" not in value:
        return "'" + value.replace("'", "''") + "'"
    return json.dumps(value,
            ensure_ascii=not value.isprintable() or r.random() < 0.5) if "\U0001f600" not in value else f'"{value}"'


def flow(value, r):
    if isinstance(value, Anchor):
        return f"&{value.name} {flow(value.value, r)}"
    if not isinstance(value, list):
        return scalar(value, r).replace("\n", " ")
    space = r.choice(["", " "])
    if isinstance(value, Map):
        colon = r.choice([": ", " : "])
        return "{" + ", ".join(f"{'<<' if k == '<<' else scalar(k, r)}{colon}{flow(v, r)}" for k,
                v in value) + space + "}"
    return "[" + ("," + space).join(flow(v[1] if isinstance(v, tuple) else v, r) for v in value) + "]"


def block(value, r, indent, out):
    """Lines of a block collection, or what stands behind its indicator."""
    pad = " " * indent
    if isinstance(value, Anchor):
        out.append(f" &{value.name}")
        value = value.value
    if not isinstance(value, list) or not value or r.random() < 0.12:
        out.append(" " + flow(value, r) + r.choice(["", "", "", " # a comment"]) + "\n")
        return
    out.append(r.choice(["", "", "", " # \u00e9"]) + "\n")
    for item in value:
        if r.random() < 0.05:
            out.append(r.choice([pad + "# comment\n", "\n", "#\u20ac\n"]))
        if isinstance(item, tuple):
            out.append(f"{pad}{'<<' if item[0] == '<<' else scalar(item[0], r)}:")
            deeper = indent + (0 if isinstance(item[1], list) and not isinstance(item[1],
                    Map) and r.random() < 0.4 else r.choice([1, 2, 2, 4]))
            block(item[1], r, deeper, out)
        elif isinstance(item, Map) and item and r.random() < 0.9:
            lines = []
            block_map(item, r, indent + 2, lines)
            out.append(pad + "- " + "".join(lines)[indent + 2:])
        else:
            out.append(pad + "-")
            block(item, r, indent + 2, out)


def block_map(value, r, indent, out):
    for k, v in value:
        out.append(" " * indent + ("<<" if k == "<<" else scalar(k, r)) + ":")
        block(v, r, indent + (0 if isinstance(v, list) and not isinstance(v, Map) and r.random() < 0.3 else 2), out)


def to_yaml(root, r):
    if r.random() < 0.1:
        return "---\n" + flow(root, r) + "\n"
    out = []
    block_map(root, r, 0, out)
    text = "".join(out)
    return r.choice(["", "", "---\n", "# head\n"]) + text


def write(root, r):
    return (to_json(root, r, 1) if r.random() < 0.25 else to_yaml(root, r)).encode("utf-8", "surrogatepass")


# Changes of the bytes that keep the meaning, mostly.

def dress(text, r):
    kind = r.randrange(12)
    if kind == 0:
        return b"\xef\xbb\xbf" + text
    if kind == 1:
        return text.replace(b"\n", b"\r\n")
    if kind == 2:
        return text.replace(b"\n", b"\r")
    if kind == 3:
        return text + b"---\na: [\n"
    if kind == 4:
        return text + b"...\n" + text
    if kind == 5:
        return b"%YAML 1.1\n---\n" + text
    if kind == 6:
        return "\ufeff".encode("utf-16-le") + text.decode().encode("utf-16-le")
    if kind == 7:
        return "\ufeff".encode("utf-16-be") + text.decode().encode("utf-16-be")
    if kind == 8:
        return text.replace(b"\n", b"\n\n")
    if kind == 9:
        return text.replace(b"\n", b" \n")
    if kind == 10:
        return text.rstrip(b"\n")
    return b"\n \n" + text


def disturb(text, r):
    text = bytearray(text)
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        at = r.randrange(len(text) + 1)
        kind = r.randrange(6)
        if kind < 2:
            text[at:at] = r.choice(TOKENS)
        elif kind == 2:
            text[at:at + r.randint(1, 3)] = r.choice(TOKENS)
        elif kind == 3:
            del text[at:at + r.randint(1, 8)]
        elif kind == 4:
            other = r.randrange(len(text) + 1)
            text[at:at] = text[min(at, other):max(at, other)][:r.randint(1, 40)]
        else:
            text[at:at + 1] = bytes([r.randrange(256)])
    return bytes(text)


def generate(seed, n):
    """n files as (name, bytes)."""
    r = random.Random(seed)
    for i in range(n):
        kind = ("good", "odd", "changed", "aliased", "dressed", "disturbed")[i % 6]
        root = model(r, odd=kind == "odd")
        if kind == "changed":
            for _ in range(r.choice([1, 1, 2])):
                change(r, root)
        if kind == "aliased":
            alias(r, root)
        text = write(root, r)
        if kind == "dressed":
            text = dress(text, r)
        if kind == "disturbed":
            text = disturb(text, r)
        yield f"{kind}-{i}", text
