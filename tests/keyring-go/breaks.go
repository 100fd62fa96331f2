// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Keyrings that are as they should be but for one thing, signed with the right keys so that nothing else stands in the
// way of the one thing. Each has the code of base/errors.def that whoever is offered it must answer; "" means that it
// must be taken.

type breakage struct {
	kind   string
	code   string
	owner  bool // a new membership: needs the recovery key
	does   string
	change func(d *draft) error
}

func named(name string) func(*draft) error {
	return func(d *draft) error {
		d.add(name, "aescbc", "ready", random(32))
		return nil
	}
}

// A state is what a reader cannot tell from the document alone: it takes what a node had before.
func (b *breakage) needsState() bool {
	switch b.code {
	case "", "KEYRING_FORK", "KEYRING_LEAP", "KEYRING_OLDER", "KEYRING_FOREIGN", "KEYRING_LOSES_KEY":
		return true
	}
	return false
}

const (
	content = "KEYRING_CONTENT"
	noOpen  = "KEYRING_OPEN"
)

var breakages = []breakage{
	{"good", "", false, "nothing: the next generation, unchanged", func(*draft) error { return nil }},
	{"owner-chain", "", true, "nothing: two more owners, each signed by the one before", ownerChain},
	{"key-omitted", "", false, "a known key is neither listed nor archived: taken, and it stays loaded", omitKey},

	{"duplicate-id", content, false, "two listed keys have one id", func(d *draft) error {
		d.add("twin", "kms", "ready", random(32))
		d.list.keys[len(d.list.keys)-1].id = d.list.keys[0].id
		return nil
	}},
	{"duplicate-name", content, false, "two listed keys have one name", func(d *draft) error {
		d.add(d.list.keys[0].name, "kms", "ready", random(32))
		return nil
	}},
	{"same-name-other-type", "", false, "nothing: keys of two types have one name", func(d *draft) error {
		d.add(d.list.keys[0].name, "secretbox", "ready", random(32))
		return nil
	}},
	{"name-control", content, false, "a key's name with a control character", named("a\x1b[2Jb")},
	{"name-reversed", content, false, "a key's name that turns round what follows", named("a\u202eb")},
	{"name-ends-with-space", content, false, "a key's name with a space at its end", named("a ")},
	{"name-empty", content, false, "a key without a name", named("")},
	{"name-long", content, false, "a key's name of 254 bytes", named(strings.Repeat("n", 254))},
	{"inline-renamed", "KEYRING_LOSES_KEY", false, "an inline key by another name", func(d *draft) error {
		for i, k := range d.list.keys {
			if k.typ != "kms" {
				d.list.keys[i].name += "-2"
				return nil
			}
		}
		return fmt.Errorf("no inline key to rename")
	}},
	{"archived-id", content, false, "an archived key is listed too", func(d *draft) error {
		k, key := d.list.keys[0], d.keys[0]
		if err := d.archive(0); err != nil {
			return err
		}
		d.list.keys, d.keys = append([]listedKey{k}, d.list.keys...), append([][]byte{key}, d.keys...)
		return nil
	}},
	{"zero-keys", content, false, "keys: []", func(d *draft) error {
		d.list.keys, d.keys = nil, nil
		return nil
	}},
	{"too-many-keys", content, false, "65 keys", func(d *draft) error {
		for i := len(d.list.keys); i < 65; i++ {
			d.add(fmt.Sprintf("key-%d", i), "kms", "ready", random(32))
		}
		return nil
	}},
	{"two-active", content, false, "two keys are active", func(d *draft) error {
		d.add("extra", "kms", "active", random(32))
		return nil
	}},
	{"none-active", content, false, "no key is active", func(d *draft) error {
		d.setState(0, "ready")
		return nil
	}},
	{"active-not-first", content, false, "the active key is the second", func(d *draft) error {
		d.add("extra", "kms", "active", random(32))
		d.setState(0, "ready")
		return nil
	}},
	{"unknown-type", content, false, "a key of type rot13", func(d *draft) error {
		d.add("odd", "rot13", "ready", random(32))
		d.list.keys[len(d.list.keys)-1].algorithm = "AES-256-GCM"
		return nil
	}},
	{"wrong-algorithm", content, false, "a kms key with the algorithm of aescbc", func(d *draft) error {
		d.add("odd", "kms", "ready", random(32))
		d.list.keys[len(d.list.keys)-1].algorithm = algorithms["aescbc"]
		return nil
	}},
	{"unknown-state", content, false, "a key in state resting", func(d *draft) error {
		d.add("odd", "kms", "resting", random(32))
		return nil
	}},
	{"retiring-since-missing", content, false, "a retiring key without retiringSince", func(d *draft) error {
		d.add("old", "kms", "retiring", random(32))
		return nil
	}},
	{"retiring-since-extra", content, false, "retiringSince on a ready key", func(d *draft) error {
		d.add("old", "kms", "ready", random(32))
		d.list.keys[len(d.list.keys)-1].retiringSince = d.list.written
		return nil
	}},
	{"unknown-stage", content, false, "stage: dance", func(d *draft) error { d.list.stage = "dance"; return nil }},
	{"short-hold", content, false, "hold: 599", func(d *draft) error { d.list.hold = 599; return nil }},
	{"server-with-space", content, false, "an API server's name with a space", func(d *draft) error {
		d.list.apiServers = []string{"two words"}
		return nil
	}},
	{"duplicate-server", content, false, "an API server twice", func(d *draft) error {
		d.list.apiServers = []string{"a", "a"}
		return nil
	}},
	{"quoted-number", content, false, "a number in quotes", text(`(?m)^hold: (.*)$`, `hold: "$1"`)},
	{"quoted-flag", content, false, "true in quotes", text(`(?m)^enabled: .*$`, `enabled: "true"`)},
	{"leading-zero", content, false, "a number with a leading zero", text(`(?m)^hold: `, "hold: 0")},
	{"null", content, false, "null in place of a name", text(`(?m)^writer: .*$`, "writer: null")},
	{"empty-value", content, false, "nothing in place of a name", text(`(?m)^writer: .*$`, "writer:")},
	{"no-previous", content, false, "a later generation without one before it", func(d *draft) error {
		d.list.previous = make([]byte, 32)
		return nil
	}},
	{"generation-zero", content, false, "generation: 0", func(d *draft) error { d.list.generation = 0; return nil }},
	{"generation-huge", content, false, "generation: 2^53 + 1", func(d *draft) error {
		d.list.generation = 1<<53 + 1
		return nil
	}},
	{"generation-twice", content, false, "the field generation twice", text(`(?m)^(generation: .*\n)`, "$1$1")},
	{"unknown-field", content, false, "a field colour in the key list", text(`(?m)^strict: `, "colour: red\n$0")},
	{"unknown-key-field", content, false, "a field colour in a key", text(`(?m)^  state: `, "  colour: red\n$0")},
	{"missing-field", content, false, "no field strict", text(`(?m)^strict: .*\n`, "")},
	{"anchor", content, false, "an anchor", text(`(?m)^writer: `, "writer: &a ")},
	{"alias", content, false, "an anchor and an alias to it", text(`(?m)^writer: (.*)\nstage: start`,
		"writer: &a start\nstage: *a")},
	{"tag", content, false, "a tag", text(`(?m)^writer: `, "writer: !!str ")},
	{"two-documents", content, false, "the key list ends in ... and more follows",
		func(d *draft) error {
			d.part2Hook = func(part []byte) []byte { return append(part, "...\n--- more\n"...) }
			return nil
		}},
	{"not-yaml", content, false, "the key list is no YAML", func(d *draft) error {
		d.part2Hook = func([]byte) []byte { return []byte("{[\n") }
		return nil
	}},
	{"not-a-mapping", content, false, "the key list is a list", func(d *draft) error {
		d.part2Hook = func([]byte) []byte { return []byte("- a\n- b\n") }
		return nil
	}},
	{"deep-nesting", content, false, "10,000 brackets in place of a value", text(`(?m)^writer: .*`,
		"writer: "+strings.Repeat("[", 10000)+strings.Repeat("]", 10000))},
	{"bad-time", content, false, "a time with an offset instead of Z", text(`(?m)^written: (.*)Z$`,
		"written: $1+00:00")},
	{"bad-base64", content, false, "a wrapped key with a character that base64 does not have", text(`(?m)^  wrapped: (.*).$`, "  wrapped: $1*")},
	{"upper-case-id", content, false, "an id in upper case", func(d *draft) error {
		d.add("shout", "kms", "ready", random(32))
		d.list.keys[len(d.list.keys)-1].id = strings.Repeat("ABCDEF01", 4)
		return nil
	}},
	{"audit-restarted", "", false, "the audit log begins anew: taken, and verify finds it", sealed(func(l *keyList, _ []byte) {
		line := &auditLine{V: 1, Seq: 1, Prev: textHash(make([]byte, 32)), Time: l.written.Format(timeLayout),
			Keyring: hex.EncodeToString(l.keyring), Event: "founded", After: auditState{Membership: 1, Generation: 1,
				Stage: "start", Recipients: []string{}, Keys: []auditKey{}}}
		first, _ := line.text()
		l.audit, l.auditHead = []string{first}, hashOf([]byte(first))
	})},
	{"audit-head", content, false, "auditHead is not the last line's hash",
		sealed(func(l *keyList, _ []byte) { l.auditHead = random(32) })},
	{"audit-none", content, false, "auditHead, and no lines", sealed(func(l *keyList, _ []byte) { l.audit = nil })},
	{"audit-unchained", content, false, "a line between two others is missing", sealed(func(l *keyList, _ []byte) {
		l.audit = append(l.audit[:len(l.audit)-2:len(l.audit)-2], l.audit[len(l.audit)-1])
	})},
	{"audit-no-line", content, false, "a last line that is none", sealed(func(l *keyList, _ []byte) {
		l.audit = append(l.audit, "{}")
		l.auditHead = hashOf([]byte("{}"))
	})},
	{"audit-too-many", content, false, "17 lines", sealed(func(l *keyList, _ []byte) {
		last, head, _ := checkChain(l.audit)
		for seq := last.seq + 1; len(l.audit) < auditLinesMax+1; seq++ {
			line := fmt.Sprintf(`{"v":1,"seq":%d,"prev":"%s",}`, seq, textHash(head))
			l.audit, head = append(l.audit, line), hashOf([]byte(line))
		}
		l.auditHead = head
	})},
	{"audit-too-long", content, false, "a line of more than 98304 bytes", sealed(func(l *keyList, _ []byte) {
		last, head, _ := checkChain(l.audit)
		line := fmt.Sprintf(`{"v":1,"seq":%d,"prev":"%s","x":"%s"}`, last.seq+1, textHash(head), strings.Repeat("x", auditLineMax))
		l.audit, l.auditHead = append(l.audit, line), hashOf([]byte(line))
	})},
	{"format-2", "KEYRING_VERSION", false, "a key list of format 2, with a field that version 1 does not know",
		text(`(?m)^format: 1\n`, "format: 2\ncolour: red\n")},
	{"membership-format-2", "KEYRING_VERSION", true, "a membership of format 2", text1(`(?m)^format: 1\n`,
		"format: 2\ncolour: red\n")},
	{"membership-hash", content, false, "membershipHash of another membership",
		sealed(func(l *keyList, _ []byte) { l.membershipHash = random(32) })},
	{"keyring-id", content, false, "another keyring id in the key list",
		sealed(func(l *keyList, _ []byte) { l.keyring = random(16) })},
	{"wrap-missing", content, false, "no wrap for the last recipient",
		sealed(func(l *keyList, _ []byte) { l.wraps = l.wraps[:len(l.wraps)-1] })},
	{"wrap-extra", content, false, "a wrap for somebody who is no recipient", sealed(func(l *keyList, _ []byte) {
		l.wraps = append(l.wraps, wrap{"stranger", l.wraps[0].wrapped})
	})},
	{"wraps-reordered", content, false, "the wraps in another order than the recipients",
		sealed(func(l *keyList, _ []byte) { l.wraps[0], l.wraps[1] = l.wraps[1], l.wraps[0] })},
	{"two-recoveries", content, true, "two recipients of kind recovery", func(d *draft) error {
		d.members.recipients = append(d.members.recipients, recipient{"spare", "recovery", newPair().public})
		return nil
	}},
	{"no-recovery", content, true, "no recipient of kind recovery", func(d *draft) error {
		return d.eachRecipient("recovery", func(i int) {
			d.members.recipients = append(d.members.recipients[:i:i], d.members.recipients[i+1:]...)
		})
	}},
	{"duplicate-recipient", content, true, "a recipient twice", func(d *draft) error {
		d.members.recipients = append(d.members.recipients, d.members.recipients[0])
		return nil
	}},
	{"duplicate-public-key", content, true, "two recipients with one public key", func(d *draft) error {
		d.members.recipients = append(d.members.recipients, recipient{"twin", "file", d.members.recipients[0].publicKey})
		return nil
	}},
	{"off-curve", content, true, "a recipient whose public key is no point of the curve",
		text1(`(?m)^  publicKey: .*\n`, "  publicKey: BA"+strings.Repeat("A", 85)+"=\n")},
	{"membership-zero", content, true, "membership: 0", func(d *draft) error { d.members.number = 0; return nil }},
	{"first-made-over", content, true, "the first membership, made over a generation", func(d *draft) error {
		d.members.number = 1
		return nil
	}},
	{"made-over-none", content, true, "a later membership, made over none", func(d *draft) error {
		d.members.madeGeneration = 0
		return nil
	}},
	{"made-over-no-hash", content, true, "a later membership, made over no keyring", func(d *draft) error {
		d.members.madeHash = make([]byte, 32)
		return nil
	}},
	{"made-over-itself", content, true, "a membership made over the generation that it stands in", func(d *draft) error {
		d.members.madeGeneration = d.list.generation
		return nil
	}},
	{"membership-field", content, true, "a field colour in the membership",
		text1(`(?m)^membership: `, "colour: red\n$0")},

	{"commitment", noOpen, false, "a commitment to another key",
		sealed(func(l *keyList, _ []byte) { l.commitment = random(32) })},
	{"key-aad", noOpen, false, "a key wrapped under the id of another", sealed(func(l *keyList, keyringKey []byte) {
		aad := keyAAD(l.keyring, l.generation, newID(), "kms", "AES-256-GCM")
		l.keys[0].wrapped = gcmSeal(keyringKey, aad, random(32))
	})},
	{"key-short", content, false, "a kms key of 16 bytes", func(d *draft) error {
		d.add("short", "kms", "ready", random(16))
		return nil
	}},
	{"signer-key", noOpen, false, "a signer's key that is not the membership's signer's",
		sealed(func(l *keyList, keyringKey []byte) {
			l.signerKey = gcmSeal(keyringKey, signerAAD(l.keyring, l.generation), newPair().scalar)
		})},
	{"status-key-aad", noOpen, false, "a status key wrapped as the signer's key",
		sealed(func(l *keyList, keyringKey []byte) {
			l.statusKey = gcmSeal(keyringKey, signerAAD(l.keyring, l.generation), random(32))
		})},
	{"wrap-info", noOpen, false, "the wraps are those of another generation", func(d *draft) error {
		d.sealedHook = func(l *keyList, keyringKey []byte) {
			for i, r := range d.members.recipients {
				info := wrapInfo(l.keyring, l.membershipHash, l.generation+1, r.name)
				l.wraps[i].wrapped, _ = hpkeSeal(r.publicKey, info, keyringKey)
			}
		}
		return nil
	}},
	{"wraps-swapped", noOpen, false, "each recipient has the other's wrap", sealed(func(l *keyList, _ []byte) {
		l.wraps[0].wrapped, l.wraps[1].wrapped = l.wraps[1].wrapped, l.wraps[0].wrapped
	})},

	{"list-signer", "KEYRING_SIGNER", false, "the key list signed by somebody else", func(d *draft) error {
		stranger := newPair()
		d.listSigner = &stranger
		return nil
	}},
	{"membership-signer", "KEYRING_OWNER", true, "the membership signed by somebody else", func(d *draft) error {
		stranger := newPair()
		d.owner = &stranger
		return nil
	}},
	{"owner-field", "KEYRING_OWNER", true, "the membership names another owner than the one who signed it",
		func(d *draft) error { d.members.owner = newPair().public; return nil }},
	{"founder", "KEYRING_OWNER", true, "another founding owner, who signed everything", func(d *draft) error {
		stranger := newPair()
		d.owner, d.members.owner = &stranger, stranger.public
		d.owners = []ownerLink{{public: stranger.public}}
		return nil
	}},
	{"owner-link", "KEYRING_OWNER", true, "a later owner whom the one before did not sign", func(d *draft) error {
		if err := ownerChain(d); err != nil {
			return err
		}
		d.owners[len(d.owners)-1].signature = newPair().sign(ownerLinkContext, random(130))
		return nil
	}},
	{"owner-context", "KEYRING_OWNER", true, "the membership's signature made for another purpose", func(d *draft) error {
		owner := *d.owner
		d.part1Hook = func(part []byte) []byte {
			d.finishedHook = func(s *signatures) { s.membership = owner.sign(keyListContext, part) }
			return part
		}
		return nil
	}},

	{"not-a-recipient", "KEYRING_RECIPIENT", true, "every recipient but the recovery one has another key",
		func(d *draft) error {
			for i := range d.members.recipients {
				if d.members.recipients[i].kind != "recovery" {
					d.members.recipients[i].publicKey = newPair().public
				}
			}
			return nil
		}},
	{"foreign", "KEYRING_FOREIGN", true, "another keyring id, by the same owner", func(d *draft) error {
		d.members.keyring = random(16)
		return nil
	}},
	{"leap", "KEYRING_LEAP", false, "a generation that leaps", func(d *draft) error {
		d.list.generation += 1 << 20
		return nil
	}},
	{"older", "KEYRING_OLDER", false, "the generation before", func(d *draft) error {
		if d.list.generation-2 <= d.members.madeGeneration {
			return fmt.Errorf("needs a keyring two generations above the one that its membership was made over")
		}
		d.list.generation -= 2
		return nil
	}},
	{"older-membership", "KEYRING_OLDER", true, "the next generation under the membership before",
		func(d *draft) error {
			if d.members.number < 4 {
				return fmt.Errorf("needs a keyring of membership 3 or more")
			}
			d.members.number -= 2
			return nil
		}},
	{"fork", "KEYRING_FORK", false, "the same generation, other bytes", func(d *draft) error {
		d.list.generation--
		return nil
	}},
	{"other-bytes", "KEYRING_LOSES_KEY", false, "a known id with other bytes", func(d *draft) error {
		d.keys[0] = random(32)
		return nil
	}},
	{"other-type", "KEYRING_LOSES_KEY", false, "a known id of another type", func(d *draft) error {
		d.list.keys[0].typ = "aesgcm"
		return nil
	}},
}

func sealed(hook func(l *keyList, keyringKey []byte)) func(*draft) error {
	return func(d *draft) error { d.sealedHook = hook; return nil }
}

// replaced replaces the first match and refuses to break nothing.
func replaced(pattern, with string) func([]byte) []byte {
	expression := regexp.MustCompile(pattern)
	return func(part []byte) []byte {
		at := expression.FindSubmatchIndex(part)
		if at == nil {
			panic("nothing to break: " + pattern)
		}
		changed := expression.Expand(nil, []byte(with), part, at)
		return bytes.Join([][]byte{part[:at[0]], changed, part[at[1]:]}, nil)
	}
}

func text(pattern, with string) func(*draft) error {
	return func(d *draft) error {
		d.part2Hook = replaced(pattern, strings.ReplaceAll(with, "$0", "${0}"))
		return nil
	}
}

func text1(pattern, with string) func(*draft) error {
	return func(d *draft) error {
		d.part1Hook = replaced(pattern, strings.ReplaceAll(with, "$0", "${0}"))
		return nil
	}
}

func ownerChain(d *draft) error {
	for range 2 {
		if err := d.replaceRecovery(newRecovery(random(32))); err != nil {
			return err
		}
	}
	return nil
}

func omitKey(d *draft) error {
	if len(d.list.keys) < 2 {
		return fmt.Errorf("needs a keyring of two keys")
	}
	d.remove(len(d.list.keys) - 1)
	return nil
}

func findBreakage(kind string) *breakage {
	for i := range breakages {
		if breakages[i].kind == kind {
			return &breakages[i]
		}
	}
	return nil
}

// spoil makes the next generation of what is open, broken in the one way.
func (b *breakage) spoil(o *opened, r *recovery, at time.Time) ([]byte, error) {
	d := o.next(at, "")
	if b.owner {
		if r == nil {
			return nil, fmt.Errorf("%s needs the recovery key", b.kind)
		}
		var err error
		if d, err = o.nextMembership(*r, at, ""); err != nil {
			return nil, err
		}
		d.oldRecovery = r
	}
	if err := b.change(d); err != nil {
		return nil, err
	}
	return d.seal()
}

func breakagesJSON() []object {
	all := []object{}
	for _, b := range breakages {
		all = append(all, object{"kind": b.kind, "code": b.code, "needsRecovery": b.owner, "what": b.does})
	}
	return all
}
