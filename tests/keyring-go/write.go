// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// A draft is a keyring before it is sealed and signed. The hooks let breaks.go spoil one step and nothing else.
type draft struct {
	members membership
	list    keyList // all but what sealing makes
	keys    [][]byte
	signer  pair
	status  []byte

	owners       []ownerLink
	owner        *pair  // signs the membership; nil: part1 and memberSig stay as they are
	part1        []byte // as it stands, where owner is nil
	memberSig    []byte
	oldRecovery  *recovery // opens the archive where the recovery recipient is replaced
	part1Hook    func([]byte) []byte
	sealedHook   func(l *keyList, keyringKey []byte)
	part2Hook    func([]byte) []byte
	listSigner   *pair
	finishedHook func(*signatures)

	before         *auditState // nil: the first generation
	event, subject string      // of its line of the audit log
	command        string
}

// next is the generation after the one that is open, unchanged so far.
func (o *opened) next(at time.Time, writer string) *draft {
	d := &draft{members: *o.members, list: *o.list, signer: o.signer, status: o.status, part1: o.part1,
		memberSig: o.signatures.membership, owners: append([]ownerLink{}, o.signatures.owners...)}
	d.members.recipients = append([]recipient{}, o.members.recipients...)
	d.list.keys = append([]listedKey{}, o.list.keys...)
	d.list.archive = append([]archivedKey{}, o.list.archive...)
	d.list.apiServers = append([]string{}, o.list.apiServers...)
	d.keys = append([][]byte{}, o.keys...)
	d.list.audit = append([]string{}, o.list.audit...)
	d.before, d.event = o.auditState(), "changed"
	d.list.generation++
	d.list.previous = o.hash()
	d.list.written = at
	d.list.writer = o.through
	if writer != "" {
		d.list.writer = writer
	}
	return d
}

// nextMembership is next, under a membership that the owner makes anew.
func (o *opened) nextMembership(r recovery, at time.Time, writer string) (*draft, error) {
	if !bytes.Equal(r.owner.public, o.members.owner) {
		return nil, fail("RECOVERY_KEY", "this recovery key's owner is not the keyring's last owner")
	}
	d := o.next(at, writer)
	d.owner = &r.owner
	d.members.number++
	d.members.madeGeneration, d.members.madeHash = o.list.generation, o.hash()
	return d, nil
}

// seal makes the document: a new keyring key, everything wrapped by it, both signatures.
func (d *draft) seal() ([]byte, error) {
	s := signatures{owners: d.owners, membership: d.memberSig}
	part1 := d.part1
	if d.owner != nil {
		d.members.signer = d.signer.public
		part1 = emitMembership(&d.members)
		if d.part1Hook != nil {
			part1 = d.part1Hook(part1)
		}
		s.membership = d.owner.sign(memberContext, part1)
	}
	keyringKey := random(32)
	if err := d.sealList(hashOf(part1), keyringKey); err != nil {
		return nil, err
	}
	if err := d.announce(); err != nil {
		return nil, err
	}
	if d.sealedHook != nil {
		d.sealedHook(&d.list, keyringKey)
	}
	part2 := emitKeyList(&d.list)
	if d.part2Hook != nil {
		part2 = d.part2Hook(part2)
	}
	signer := d.signer
	if d.listSigner != nil {
		signer = *d.listSigner
	}
	s.keyList = signer.sign(keyListContext, part2)
	if d.finishedHook != nil {
		d.finishedHook(&s)
	}
	return join(part1, part2, emitSignatures(&s)), nil
}

func (d *draft) sealList(membershipHash, keyringKey []byte) error {
	l := &d.list
	l.keyring, l.membershipHash = d.members.keyring, membershipHash
	l.commitment = commitment(keyringKey, l.keyring, l.generation)
	for i := range l.keys {
		k := &l.keys[i]
		k.wrapped = gcmSeal(keyringKey, keyAAD(l.keyring, l.generation, k.id, k.typ, k.algorithm), d.keys[i])
	}
	l.signerKey = gcmSeal(keyringKey, signerAAD(l.keyring, l.generation), d.signer.scalar)
	l.statusKey = gcmSeal(keyringKey, statusAAD(l.keyring, l.generation), d.status)
	l.wraps = nil
	for _, r := range d.members.recipients {
		sealed, err := hpkeSeal(r.publicKey, wrapInfo(l.keyring, membershipHash, l.generation, r.name), keyringKey)
		if err != nil {
			return err
		}
		l.wraps = append(l.wraps, wrap{r.name, sealed})
	}
	return nil
}

func newID() string { return hex.EncodeToString(random(16)) }

func (d *draft) add(name, typ, state string, key []byte) {
	d.list.keys = append(d.list.keys, listedKey{id: newID(), name: name, typ: typ, algorithm: algorithms[typ],
		state: state, created: d.list.written})
	d.keys = append(d.keys, key)
}

func (d *draft) find(id string) (int, error) {
	for i, k := range d.list.keys {
		if k.id == id {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no key %s in the list", id)
}

func (d *draft) remove(i int) {
	d.list.keys = append(d.list.keys[:i:i], d.list.keys[i+1:]...)
	d.keys = append(d.keys[:i:i], d.keys[i+1:]...)
}

func (d *draft) setState(i int, state string) {
	k := &d.list.keys[i]
	k.state, k.retiringSince = state, time.Time{}
	if state == "retiring" {
		k.retiringSince = d.list.written
	}
}

func (d *draft) activate(i int) {
	k, key := d.list.keys[i], d.keys[i]
	d.remove(i)
	d.setState(0, "ready")
	d.list.keys = append([]listedKey{k}, d.list.keys...)
	d.keys = append([][]byte{key}, d.keys...)
	d.setState(0, "active")
}

func (d *draft) archive(i int) error {
	k := d.list.keys[i]
	sealed, err := hpkeSeal(d.members.recovery(), archiveInfo(d.members.keyring, k.id, k.typ), d.keys[i])
	if err != nil {
		return err
	}
	d.list.archive = append(d.list.archive, archivedKey{id: k.id, name: k.name, typ: k.typ, algorithm: k.algorithm,
		created: k.created, retired: d.list.written, sealed: sealed})
	d.remove(i)
	return nil
}

// edit changes the key list as VERB:WORD says. The result may break rules: the reader is there to say so.
func (d *draft) edit(edit string) error {
	verb, word, _ := strings.Cut(edit, ":")
	switch verb {
	case "add":
		d.add(word, "kms", "ready", random(32))
		return nil
	case "add-aescbc", "add-aesgcm", "add-secretbox":
		d.add(word, strings.TrimPrefix(verb, "add-"), "ready", random(32))
		return nil
	case "stage":
		d.list.stage = word
		return nil
	case "enabled":
		d.list.enabled = word == "true"
		return nil
	case "strict":
		d.list.strict = word == "true"
		return nil
	case "hold":
		_, err := fmt.Sscan(word, &d.list.hold)
		return err
	case "api-server":
		d.list.apiServers = append(d.list.apiServers, word)
		return nil
	}
	i, err := d.find(word)
	if err != nil {
		return err
	}
	switch verb {
	case "activate":
		d.activate(i)
	case "ready", "retiring", "compromised":
		d.setState(i, verb)
	case "archive":
		return d.archive(i)
	default:
		return fmt.Errorf("no edit %q", verb)
	}
	return nil
}

// editMembers changes the membership.
func (d *draft) editMembers(edit string) error {
	verb, word, _ := strings.Cut(edit, ":")
	switch verb {
	case "add-recipient": // NAME,KIND,PUBLIC in base64
		words := strings.Split(word, ",")
		if len(words) != 3 {
			return fmt.Errorf("add-recipient:NAME,KIND,PUBLIC")
		}
		public, err := from64(words[2], publicLen)
		if err != nil {
			return err
		}
		d.members.recipients = append(d.members.recipients, recipient{words[0], words[1], public})
		d.event, d.subject = "node-added", words[0]
		return nil
	case "rename": // OLD,NEW
		old, name, _ := strings.Cut(word, ",")
		return d.eachRecipient(old, func(i int) { d.members.recipients[i].name = name })
	case "remove-recipient":
		if err := d.eachRecipient(word, func(i int) {
			d.members.recipients = append(d.members.recipients[:i:i], d.members.recipients[i+1:]...)
		}); err != nil {
			return err
		}
		d.newSigner()
		d.event, d.subject = "node-removed", word
		return nil
	case "new-signer":
		d.newSigner()
		return nil
	case "replace-recovery": // the new recovery key's text
		r, err := parseRecovery(word)
		if err != nil {
			return err
		}
		return d.replaceRecovery(r)
	}
	return fmt.Errorf("no edit %q", verb)
}

func (d *draft) eachRecipient(name string, change func(i int)) error {
	for i, r := range d.members.recipients {
		if r.name == name {
			change(i)
			return nil
		}
	}
	return fmt.Errorf("no recipient %s", name)
}

func (d *draft) newSigner() { d.signer, d.status = newPair(), random(32) }

// replaceRecovery makes r the recovery recipient and the last owner. What is archived is sealed anew.
func (d *draft) replaceRecovery(r recovery) error {
	d.owners = append(d.owners, ownerLink{r.owner.public,
		d.owner.sign(ownerLinkContext, append(bytes.Clone(d.owner.public), r.owner.public...))})
	d.owner, d.members.owner = &r.owner, r.owner.public
	for i := range d.list.archive {
		k := &d.list.archive[i]
		info := archiveInfo(d.members.keyring, k.id, k.typ)
		if d.oldRecovery == nil {
			return fmt.Errorf("the archive is sealed to the old recovery key, which is needed")
		}
		key, err := hpkeOpen(d.oldRecovery.recipient.hpke(), info, k.sealed)
		if err != nil {
			return err
		}
		if k.sealed, err = hpkeSeal(r.recipient.public, info, key); err != nil {
			return err
		}
	}
	d.oldRecovery, d.event = &r, "recovery-replaced"
	return d.eachRecipient("recovery", func(i int) { d.members.recipients[i].publicKey = r.recipient.public })
}

// found is the first generation of a new keyring.
func found(node, typ, name string, own pair, r recovery, at time.Time) *draft {
	d := &draft{signer: newPair(), status: random(32), owner: &r.owner, event: "founded",
		owners: []ownerLink{{public: r.owner.public}}}
	d.members = membership{format: formatOne, keyring: random(16), number: 1, madeHash: make([]byte, 32),
		owner: r.owner.public, recipients: []recipient{{node, "file", own.public}, {"recovery", "recovery",
			r.recipient.public}}}
	d.list = keyList{format: formatOne, generation: 1, previous: make([]byte, 32), written: at, writer: node,
		stage: "start", enabled: true, hold: 86400, auditHead: make([]byte, 32)}
	d.add(name, typ, "active", random(32))
	return d
}
