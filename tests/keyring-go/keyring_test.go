// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

type world struct {
	own      pair
	recovery recovery
	owner    string
	document []byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{own: newPair(), recovery: newRecovery(random(32))}
	w.owner = fingerprint(w.recovery.owner.public)
	w.document = mustSeal(t, found("node-1", "kms", "kmskey", w.own, w.recovery, at))
	return w
}

func mustSeal(t *testing.T, d *draft) []byte {
	t.Helper()
	document, err := d.seal()
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func (w *world) openBy(own pair, document []byte) (*opened, error) {
	k, err := verifyKeyring(document, w.owner)
	if err != nil {
		return nil, err
	}
	return k.open(own)
}

func (w *world) open(t *testing.T) *opened {
	t.Helper()
	o, err := w.openBy(w.own, w.document)
	if err != nil {
		t.Fatalf("%v\n%s", err, w.document)
	}
	return o
}

func (w *world) next(t *testing.T, edits ...string) *opened {
	t.Helper()
	d := w.open(t).next(at, "")
	for _, edit := range edits {
		if err := d.edit(edit); err != nil {
			t.Fatalf("%s: %v", edit, err)
		}
	}
	w.document = mustSeal(t, d)
	return w.open(t)
}

func (w *world) member(t *testing.T, edits ...string) {
	t.Helper()
	d, err := w.open(t).nextMembership(w.recovery, at, "")
	if err != nil {
		t.Fatal(err)
	}
	d.oldRecovery = &w.recovery
	for _, edit := range edits {
		if err := d.editMembers(edit); err != nil {
			t.Fatalf("%s: %v", edit, err)
		}
	}
	w.document = mustSeal(t, d)
}

func TestRotation(t *testing.T) {
	w := newWorld(t)
	first := w.open(t)
	second := w.next(t, "add:second", "stage:prepare")
	if !bytes.Equal(second.list.previous, first.hash()) || second.list.generation != 2 {
		t.Error("not the generation after the first")
	}
	if bytes.Equal(second.keyringKey, first.keyringKey) {
		t.Error("the keyring key is not new")
	}
	old, fresh := second.list.keys[0].id, second.list.keys[1].id
	third := w.next(t, "activate:"+fresh, "stage:rotate")
	if third.list.keys[0].id != fresh || third.list.keys[1].state != "ready" || !bytes.Equal(third.keys[1], first.keys[0]) {
		t.Error("not activated")
	}
	w.next(t, "retiring:"+old)
	fifth := w.next(t, "archive:"+old, "stage:reencrypt_finished")
	if len(fifth.list.keys) != 1 || len(fifth.list.archive) != 1 || fifth.archive != nil {
		t.Error("not archived")
	}
	byRecovery, err := w.openBy(w.recovery.recipient, w.document)
	if err != nil || !bytes.Equal(byRecovery.archive[0], first.keys[0]) {
		t.Errorf("the archive has other bytes (%v)", err)
	}
	w.member(t, "replace-recovery:"+newRecovery(random(32)).text())
	if _, err := w.openBy(w.recovery.recipient, w.document); codeOf(err) != "KEYRING_RECIPIENT" {
		t.Errorf("the old recovery key: %v", err)
	}
}

func TestNamesOfEveryKind(t *testing.T) {
	w := newWorld(t)
	names := []string{"true", "null", "1e5", "0x10", "-", "a:", ":", "2026-11-23", "no", "a:b", "..", "0", "a b", "# c", `"q\`,
		"aescbckey-2022-04-21T23:01:02+02:00", "Schlüssel", "密钥", strings.Repeat("n", 253)}
	servers := []string{"a#b", "#", "-", "&a", "*a", "!t", "|", "%", "@x", "x:", `"q\'s'`, "{", "[]", "https://[::1]:6443"}
	var edits []string
	for _, name := range names {
		edits = append(edits, "add:"+name)
	}
	for _, name := range servers {
		edits = append(edits, "api-server:"+name)
	}
	o := w.next(t, edits...)
	for i, name := range names {
		if got := o.list.keys[i+1].name; got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	if !reflect.DeepEqual(o.list.apiServers, servers) {
		t.Errorf("%q became %q", servers, o.list.apiServers)
	}
}

// Ids that YAML would take for numbers.
func TestIDsAreText(t *testing.T) {
	for _, id := range []string{"12345678901234567890123456789012", "00000000000000000000000000000001",
		"1234567890123456789012345678e123", "0123456701234567e123456701234567"} {
		d := found("node-1", "kms", "kmskey", newPair(), newRecovery(random(32)), at)
		d.list.keys[0].id, d.members.keyring = id, unhex(t, id)
		own := newPair()
		d.members.recipients[0].publicKey = own.public
		w := &world{owner: fingerprint(d.members.owner)}
		if o, err := w.openBy(own, mustSeal(t, d)); err != nil || o.list.keys[0].id != id {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestMembers(t *testing.T) {
	w, joining := newWorld(t), newPair()
	if _, err := w.openBy(joining, w.document); codeOf(err) != "KEYRING_RECIPIENT" {
		t.Errorf("a stranger: %v", err)
	}
	w.member(t, "add-recipient:node-2,file,"+text64(joining.public))
	second, err := w.openBy(joining, w.document)
	if err != nil || second.through != "node-2" {
		t.Fatal(err)
	}
	if second.members.number != 2 || second.members.madeGeneration != 1 || second.list.generation != 2 {
		t.Error("wrong numbers")
	}
	signer := second.signer.public
	w.member(t, "rename:node-1,node-one", "remove-recipient:node-2")
	third := w.open(t)
	if third.through != "node-one" || bytes.Equal(third.signer.public, signer) ||
		bytes.Equal(third.status, second.status) {
		t.Error("the signer or the status key is not new")
	}
	if _, err := w.openBy(joining, w.document); codeOf(err) != "KEYRING_RECIPIENT" {
		t.Errorf("a removed node: %v", err)
	}
}

func codeOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// What can be told from the document alone must be told by this reader too, by the same name.
func TestBreakages(t *testing.T) {
	w := newWorld(t)
	w.member(t)
	w.member(t)
	w.next(t, "add:second", "add-aescbc:inline")
	w.next(t)
	seen := map[string]bool{}
	for _, b := range breakages {
		t.Run(b.kind, func(t *testing.T) {
			if seen[b.kind] {
				t.Fatal("twice")
			}
			seen[b.kind] = true
			document, err := b.spoil(w.open(t), &w.recovery, at)
			if err != nil {
				t.Fatal(err)
			}
			want := b.code
			if b.needsState() {
				want = ""
			}
			if _, err := w.openBy(w.own, document); codeOf(err) != want {
				t.Errorf("%q, not %q: %v", codeOf(err), want, err)
			}
		})
	}
}

func TestBrokenBytes(t *testing.T) {
	w := newWorld(t)
	for length := range w.document {
		if _, err := w.openBy(w.own, w.document[:length]); err == nil {
			t.Fatalf("opened the first %d bytes", length)
		}
	}
	for i := range w.document {
		flipped := bytes.Clone(w.document)
		flipped[i] ^= 1
		if _, err := w.openBy(w.own, flipped); err == nil {
			t.Fatalf("opened with byte %d flipped", i)
		}
	}
	for _, bad := range []string{"---\n", "---\n---\n", strings.Repeat("a\n---\n", 3), string(w.document) + "---\n",
		string(w.document) + "\n", strings.ReplaceAll(string(w.document), "\n", "\r\n"),
		strings.Repeat(" ", documentMax+1)} {
		if _, err := w.openBy(w.own, []byte(bad)); codeOf(err) != "KEYRING_FORMAT" {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

// A keyring that stays as it is, so that reader and page cannot drift together.
func TestFixture(t *testing.T) {
	read := func(name string) []byte {
		file, err := os.ReadFile("testdata/fixture/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	own, err := parseNodeKey(read("node.key"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRecovery(string(read("recovery.key")))
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]pair{"node.json": own, "recovery.json": r.recipient} {
		k, err := verifyKeyring(read("keyring.yaml"), fingerprint(r.owner.public))
		if err != nil {
			t.Fatal(err)
		}
		o, err := k.open(pair)
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		text, _ := json.Marshal(o.json())
		if json.Unmarshal(text, &got) != nil || json.Unmarshal(read(name), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: reads as %s", name, text)
		}
	}
}
