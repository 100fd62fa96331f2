// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"time"
)

// A keyring whose signatures fit and that keeps the rules.
type keyring struct {
	part1, part2 []byte
	signatures   *signatures
	members      *membership
	list         *keyList
}

// What a recipient finds inside.
type opened struct {
	*keyring
	through           string // the recipient's name
	keyringKey        []byte
	keys              [][]byte // one for each listed key
	signer            pair
	status            []byte
	archive           [][]byte // one for each archived key, where the recipient is the recovery one
	recoveryRecipient bool
}

// verifyKeyring checks in the order of §2. Nothing is parsed before its signature.
func verifyKeyring(document []byte, owner string) (*keyring, error) {
	part1, part2, part3, err := split(document)
	if err != nil {
		return nil, err
	}
	k := &keyring{part1: part1, part2: part2}
	if k.signatures, err = parseSignatures(part3); err != nil {
		return nil, err
	}
	last, err := k.signatures.lastOwner(owner)
	if err != nil {
		return nil, err
	}
	if !verify(last, memberContext, part1, k.signatures.membership) {
		return nil, fail("KEYRING_OWNER", "the membership's signature is not by the last owner")
	}
	if k.members, err = parseMembership(part1); err != nil {
		return nil, err
	}
	if !bytes.Equal(k.members.owner, last) {
		return nil, fail("KEYRING_OWNER", "the membership names another owner than the one who signed it")
	}
	if !verify(k.members.signer, keyListContext, part2, k.signatures.keyList) {
		return nil, fail("KEYRING_SIGNER", "the key list's signature is not by the membership's signer")
	}
	if k.list, err = parseKeyList(part2); err != nil {
		return nil, err
	}
	if err := k.list.belongs(k.members, hashOf(part1)); err != nil {
		return nil, err
	}
	return k, nil
}

func (s *signatures) lastOwner(founder string) ([]byte, error) {
	if fingerprint(s.owners[0].public) != founder {
		return nil, fail("KEYRING_OWNER", "the founding owner is not the one that is trusted")
	}
	last := s.owners[0].public
	for _, link := range s.owners[1:] {
		if !verify(last, ownerLinkContext, append(bytes.Clone(last), link.public...), link.signature) {
			return nil, fail("KEYRING_OWNER", "an owner is not signed by the one before it")
		}
		last = link.public
	}
	return last, nil
}

func (k *keyring) hash() []byte { return keyringHash(k.part1, k.part2) }

func (k *keyring) open(own pair) (*opened, error) {
	o := &opened{keyring: k}
	index := -1
	for i, r := range k.members.recipients {
		if bytes.Equal(r.publicKey, own.public) {
			index = i
		}
	}
	if index < 0 {
		return nil, fail("KEYRING_RECIPIENT", "this key is none of the recipients")
	}
	r := k.members.recipients[index]
	o.through, o.recoveryRecipient = r.name, r.kind == "recovery"
	info := wrapInfo(k.list.keyring, k.list.membershipHash, k.list.generation, r.name)
	var err error
	if o.keyringKey, err = hpkeOpen(own.hpke(), info, k.list.wraps[index].wrapped); err != nil {
		return nil, fail("KEYRING_OPEN", "the wrap for %s: %v", r.name, err)
	}
	want := commitment(o.keyringKey, k.list.keyring, k.list.generation)
	if subtle.ConstantTimeCompare(want, k.list.commitment) != 1 {
		return nil, fail("KEYRING_OPEN", "the commitment is not to this keyring key")
	}
	if err := o.openKeys(); err != nil {
		return nil, err
	}
	o.openArchive(own)
	return o, nil
}

func (o *opened) openKeys() error {
	l := o.list
	for _, k := range l.keys {
		key, err := gcmOpen(o.keyringKey, keyAAD(l.keyring, l.generation, k.id, k.typ, k.algorithm), k.wrapped)
		if err != nil {
			return fail("KEYRING_OPEN", "key %s: %v", k.id, err)
		}
		o.keys = append(o.keys, key)
	}
	scalar, err := gcmOpen(o.keyringKey, signerAAD(l.keyring, l.generation), l.signerKey)
	if err != nil {
		return fail("KEYRING_OPEN", "the signer's key: %v", err)
	}
	if o.signer, err = pairOf(scalar); err != nil {
		return fail("KEYRING_OPEN", "the signer's key: %v", err)
	}
	if !bytes.Equal(o.signer.public, o.members.signer) {
		return fail("KEYRING_OPEN", "the signer's key is not that of the membership's signer")
	}
	if o.status, err = gcmOpen(o.keyringKey, statusAAD(l.keyring, l.generation), l.statusKey); err != nil {
		return fail("KEYRING_OPEN", "the status key: %v", err)
	}
	return nil
}

// openArchive leaves a key empty that is sealed to a recovery key that was lost (§5).
func (o *opened) openArchive(own pair) {
	if !o.recoveryRecipient {
		return
	}
	for _, k := range o.list.archive {
		key, _ := hpkeOpen(own.hpke(), archiveInfo(o.list.keyring, k.id, k.typ), k.sealed)
		o.archive = append(o.archive, key)
	}
}

type object = map[string]any

// json is everything that the keyring says, secrets in hex.
func (o *opened) json() object {
	m, l := o.members, o.list
	all := object{
		"through": o.through, "hash": textHash(o.hash()), "keyring": hex.EncodeToString(m.keyring),
		"owner": fingerprint(o.signatures.owners[0].public), "owners": len(o.signatures.owners),
		"membership": m.number, "membershipHash": textHash(hashOf(o.part1)),
		"madeOver":   object{"generation": m.madeGeneration, "hash": textHash(m.madeHash)},
		"recipients": o.recipientsJSON(),
		"generation": l.generation, "previous": textHash(l.previous), "written": l.written.Format(timeLayout),
		"writer": l.writer, "stage": l.stage, "enabled": l.enabled, "strict": l.strict, "hold": l.hold,
		"apiServers": append([]string{}, l.apiServers...), "auditHead": textHash(l.auditHead),
		"keyringKey": hex.EncodeToString(o.keyringKey), "signerKey": hex.EncodeToString(o.signer.scalar),
		"statusKey": hex.EncodeToString(o.status), "keys": o.keysJSON(), "archive": o.archiveJSON(),
	}
	if len(l.audit) > 0 {
		all["audit"] = l.audit
	}
	return all
}

func (o *opened) recipientsJSON() []object {
	all := []object{}
	for _, r := range o.members.recipients {
		all = append(all, object{"name": r.name, "kind": r.kind, "publicKey": hex.EncodeToString(r.publicKey)})
	}
	return all
}

func (o *opened) keysJSON() []object {
	all := []object{}
	for i, k := range o.list.keys {
		key := object{"id": k.id, "name": k.name, "type": k.typ, "algorithm": k.algorithm, "state": k.state,
			"created": k.created.Format(timeLayout), "bytes": hex.EncodeToString(o.keys[i])}
		if !k.retiringSince.IsZero() {
			key["retiringSince"] = k.retiringSince.Format(timeLayout)
		}
		all = append(all, key)
	}
	return all
}

func (o *opened) archiveJSON() []object {
	all := []object{}
	for i, k := range o.list.archive {
		key := object{"id": k.id, "name": k.name, "type": k.typ, "algorithm": k.algorithm,
			"created": k.created.Format(timeLayout), "retired": k.retired.Format(timeLayout)}
		if i < len(o.archive) {
			key["bytes"] = hex.EncodeToString(o.archive[i])
		}
		all = append(all, key)
	}
	return all
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
