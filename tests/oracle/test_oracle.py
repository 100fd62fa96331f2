#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""encconfig/ against kube-apiserver's own loader, over files that are good and bad in many ways: README.md."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import cases  # pylint: disable=wrong-import-position
import generate  # pylint: disable=wrong-import-position
import harness  # pylint: disable=wrong-import-position
from harness import BUILD, Missing, proved  # pylint: disable=wrong-import-position

OPTIONS = argparse.Namespace(seed=1, files=1500)
DECODE = re.compile(r'^error while parsing file: error decoding encryption provider configuration file "[^"]*": ')
STRICT = "strict decoding error: unknown field "


def oracle():
    """The loader as a program."""
    run = subprocess.run([HERE / "build"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode == 77:
        raise Missing(run.stderr.strip())
    if run.returncode != 0:
        raise RuntimeError(run.stderr)
    return run.stdout.strip()


def ask(program, paths):
    run = subprocess.run([program], input="".join(f"{p}\n" for p in paths).encode(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
                         check=True, timeout=900, env=dict(os.environ, ASAN_OPTIONS="detect_leaks=1"))
    verdicts = [json.loads(line) for line in run.stdout.split(b"\n")[:-1]]
    if [v["file"] for v in verdicts] != [str(p) for p in paths]:
        raise RuntimeError(f"{program} did not answer for each file: {run.stderr.decode()}")
    return verdicts


def escaped(text):
    def escape(match):
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0]) or f"\\u{ord(match[0]):04x}"
    return re.sub("[\x00-\x1f\x7f-\x9f]", escape, text)


def comparable(text):
    """kube-apiserver's text, as ours is to be: without keys, control characters, and net/netip's own reasons."""
    text = escaped(re.sub(r'"Secret":"(?:[^"\\]|\\.)+"', '"Secret":"REDACTED"', text))
    return re.sub(r'(invalid host: ParseAddr\("(?:[^"\\]|\\.)*"\)): .*?(?=, resources\[|\]$|$)',
            r"\1: unable to parse IP", text)


def is_own(text, ours):
    """Whether the text is of kube-apiserver's own rules, so that ours must be the same."""
    decode = DECODE.match(text)
    if decode:
        unknown = text[decode.end():].startswith(STRICT) and "duplicate field" not in text
        return unknown and STRICT in ours
    return "got unexpected config type" not in text and "error while loading file" not in text


class Oracle(unittest.TestCase):
    """Files, each judged by both."""

    @classmethod
    def setUpClass(cls):
        cls.workspace = harness.Workspace("oracle")
        cls.addClassCleanup(cls.workspace.close)
        cls.oracle = oracle()
        cls.judge = BUILD / "tests" / "oracle" / "encconfig_judge"

    def verdicts(self, files):
        paths = []
        for i, (_, content) in enumerate(files):
            paths.append(self.workspace.path / str(i))
            paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return list(zip(files, ask(self.oracle, paths), ask(self.judge, paths)))

    def agree(self, files, what):
        """Asserts that both say the same of each; returns how many kube-apiserver takes."""
        taken = 0
        with_text = 0
        for (name, content), theirs, ours in self.verdicts(files):
            taken += theirs["error"] == ""
            for mode in ("error", "reload"):
                want = comparable(theirs[mode])
                shown = (f"\n{name}, {mode}: {content[:2000]!r}\nkube-apiserver: {want[:3000]}\n"
                         f"keyturn:        {ours[mode][:3000]}")
                self.assertEqual(want == "", ours[mode] == "", shown)
                if want and is_own(want, ours[mode]):
                    self.assertEqual(want, ours[mode], shown)
                    with_text += 1
        proved(f"{what}: {len(files)} agreements of {len(files)} files "
               f"({taken} good; the same text in {with_text} refusals)")
        return taken

    def test_1_made_by_hand(self):
        files = [(f"case {i}", text) for i, text in enumerate(cases.cases())]
        taken = self.agree(files, "made by hand")
        self.assertGreater(len(files), 800)
        self.assertTrue(len(files) / 10 < taken < len(files) * 9 / 10, taken)

    def test_2_generated(self):
        files = list(generate.generate(OPTIONS.seed, OPTIONS.files))
        taken = self.agree(files, f"generated from seed {OPTIONS.seed}")
        self.assertTrue(len(files) / 4 < taken < len(files) * 3 / 4, taken)

    def test_3_every_character(self):
        def document(names, endpoint):
            return json.dumps({"apiVersion": "v1", "kind": "EncryptionConfig", "resources": [
                {"resources": names, "providers": [{"kms": {"name": "a", "apiVersion": "v2", "endpoint": endpoint}}]}]})
        characters = [chr(c) for c in range(0x110000) if not 0xd800 <= c <= 0xdfff]
        files = []
        for i in range(0, 0x20000, 256):
            files.append((f"names from {i:x}", document([f"x{ord(c):x}-{c}" for c in characters[i:i + 256]],
                    "unix:///a")))
        for i in range(0x80, len(characters), 16384):
            files.append((f"quoted from {i:x}", document(["secrets"], "http:///" + "".join(characters[i:i + 16384]))))
        self.agree(files, "every character")

    def test_4_where_they_differ(self):
        for (name, _), theirs, ours in self.verdicts(list(cases.DIFFERENT.items())):
            self.assertEqual(theirs["error"], "", f"{name}: it no longer differs")
            self.assertNotEqual(ours["error"], "", f"{name}: it no longer differs")
        proved(f"{len(cases.DIFFERENT)} kinds of files that keyturn refuses on purpose: README.md")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=OPTIONS.seed)
    parser.add_argument("--files", type=int, default=OPTIONS.files)
    parser.parse_known_args(namespace=OPTIONS)
    sys.argv = sys.argv[:1]
    harness.main(oracle)


if __name__ == "__main__":
    main()
