// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const numberMax = 1 << 53

var (
	nodeName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	printable = regexp.MustCompile(`^[!-~]{1,253}$`)
	stages    = []string{"start", "prepare", "rotate", "reencrypt_request", "reencrypt_active", "reencrypt_finished"}
	states    = []string{"active", "ready", "retiring", "compromised"}
)

var algorithms = map[string]string{
	"kms": "AES-256-GCM", "aesgcm": "AES-256-GCM", "aescbc": "AES-256-CBC", "secretbox": "XSalsa20-Poly1305",
}

// header reads the fields whose meaning cannot change: what has another format is not looked at further (§11).
func (f *fields) header(kind string) error {
	f.exactly("apiVersion", apiVersion)
	f.exactly("kind", kind)
	format := f.number("format", 1, numberMax)
	if *f.err != nil {
		return *f.err
	}
	if format != formatOne {
		return fail("KEYRING_VERSION", "%s: format %d; this reader knows %d", f.where, format, formatOne)
	}
	return nil
}

// parseMembership reads PART 1 (§3).
func parseMembership(part []byte) (*membership, error) {
	f, err := parseYAML(part, "membership")
	if err != nil {
		return nil, err
	}
	if err := f.header("Membership"); err != nil {
		return nil, err
	}
	m := &membership{format: formatOne}
	m.keyring = f.hex("keyring", 16)
	m.number = f.number("membership", 1, numberMax)
	if node := f.take("madeOver"); node != nil {
		over := f.mapping(node, "madeOver")
		m.madeGeneration = over.number("generation", 0, numberMax)
		m.madeHash = over.hash("hash")
		over.done()
	}
	m.owner, m.signer = f.public("owner"), f.public("signer")
	f.each("recipients", 1, 64, func(item *fields) {
		r := recipient{name: item.matching("name", nodeName)}
		r.kind = item.oneOf("kind", "file", "tpm2", "recovery")
		r.publicKey = item.public("publicKey")
		if len(r.name) > 63 {
			item.wrong("the name is longer than 63")
		}
		if (r.kind == "recovery") != (r.name == "recovery") {
			item.wrong("the kind recovery and the name recovery go together")
		}
		m.recipients = append(m.recipients, r)
	})
	f.done()
	m.rules(f)
	if *f.err != nil {
		return nil, *f.err
	}
	return m, nil
}

func (m *membership) rules(f *fields) {
	names, recoveries := map[string]bool{}, 0
	publics := map[string]bool{}
	for _, r := range m.recipients {
		if publics[string(r.publicKey)] {
			f.wrong("a public key twice")
		}
		publics[string(r.publicKey)] = true
		if names[r.name] {
			f.wrong("recipient %s twice", r.name)
		}
		names[r.name] = true
		if r.kind == "recovery" {
			recoveries++
		}
	}
	if (m.number == 1) != (m.madeGeneration == 0) || (m.number == 1) != isZero(m.madeHash) {
		f.wrong("the first membership, and no other, is made over no generation")
	}
	if recoveries != 1 {
		f.wrong("%d recipients of kind recovery instead of one", recoveries)
	}
}

func isZero(hash []byte) bool { return len(bytes.Trim(hash, "\x00")) == 0 }

// keyLength says whether a key of that type may have n bytes.
func keyLength(typ string, n int) bool {
	return n == 32 || (typ == "aescbc" || typ == "aesgcm") && (n == 16 || n == 24)
}

func (m *membership) recovery() []byte {
	for _, r := range m.recipients {
		if r.kind == "recovery" {
			return r.publicKey
		}
	}
	return nil
}

// parseKeyList reads PART 2 (§4).
func parseKeyList(part []byte) (*keyList, error) {
	f, err := parseYAML(part, "key list")
	if err != nil {
		return nil, err
	}
	if err := f.header("KeyList"); err != nil {
		return nil, err
	}
	l := &keyList{format: formatOne}
	l.keyring, l.membershipHash = f.hex("keyring", 16), f.hash("membershipHash")
	l.generation, l.previous = f.number("generation", 1, numberMax), f.hash("previous")
	l.written, l.writer = f.time("written"), f.matching("writer", nodeName)
	l.stage = f.oneOf("stage", stages...)
	l.enabled, l.strict = f.flag("enabled"), f.flag("strict")
	l.hold = f.number("hold", 600, numberMax)
	for _, node := range f.items("apiServers", 0, 64) {
		l.apiServers = append(l.apiServers, f.scalarOf(node))
	}
	l.auditHead, l.commitment = f.hash("auditHead"), f.hex("commitment", 32)
	f.each("keys", 1, 64, func(item *fields) { l.keys = append(l.keys, parseKey(item)) })
	l.signerKey, l.statusKey = f.base64("signerKey", 12+32+16), f.base64("statusKey", 12+32+16)
	f.each("archive", 0, 1024, func(item *fields) { l.archive = append(l.archive, parseArchived(item)) })
	f.each("wraps", 1, 64, func(item *fields) {
		l.wraps = append(l.wraps, wrap{item.matching("recipient", nodeName), item.base64("wrapped", 65+32+16)})
	})
	if f.has("audit") {
		for _, node := range f.items("audit", 0, auditLinesMax) {
			l.audit = append(l.audit, f.scalarOf(node))
		}
	}
	f.done()
	l.rules(f)
	if *f.err != nil {
		return nil, *f.err
	}
	return l, nil
}

// What a key's name must not have in it (§4).
var hidden = [][2]rune{{0x00, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e}, {0x200b, 0x200f},
	{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff0, unicode.MaxRune}}

func keyName(name string) bool {
	return len(name) > 0 && len(name) <= 253 && strings.Trim(name, " ") == name && nameCharacters(name)
}

func nameCharacters(name string) bool {
	if !utf8.ValidString(name) {
		return false
	}
	for _, c := range name {
		for _, r := range hidden {
			if c >= r[0] && c <= r[1] {
				return false
			}
		}
	}
	return true
}

func (f *fields) keyName() string {
	name := f.text("name")
	if !keyName(name) {
		f.wrong("a key's name that is not 1 to 253 bytes of printable UTF-8")
	}
	return name
}

func parseKey(f *fields) listedKey {
	k := listedKey{id: hex.EncodeToString(f.hex("id", 16)), name: f.keyName()}
	k.typ, k.algorithm = parseType(f)
	k.state = f.oneOf("state", states...)
	k.created = f.time("created")
	if f.has("retiringSince") {
		k.retiringSince = f.time("retiringSince")
	}
	if k.retiringSince.IsZero() == (k.state == "retiring") {
		f.wrong("retiringSince and the state retiring go together")
	}
	k.wrapped = f.base64("wrapped", 0)
	if !keyLength(k.typ, len(k.wrapped)-12-16) {
		f.wrong("wrapped does not hold a key of its type")
	}
	return k
}

func parseArchived(f *fields) archivedKey {
	k := archivedKey{id: hex.EncodeToString(f.hex("id", 16)), name: f.keyName()}
	k.typ, k.algorithm = parseType(f)
	k.created, k.retired = f.time("created"), f.time("retired")
	k.sealed = f.base64("sealed", 0)
	if !keyLength(k.typ, len(k.sealed)-65-16) {
		f.wrong("sealed does not hold a key of its type")
	}
	return k
}

func parseType(f *fields) (typ, algorithm string) {
	typ = f.oneOf("type", "kms", "aescbc", "aesgcm", "secretbox")
	algorithm = f.text("algorithm")
	if algorithm != algorithms[typ] {
		f.wrong("another algorithm than the type has")
	}
	return typ, algorithm
}

func (l *keyList) rules(f *fields) {
	ids, names := map[string]bool{}, map[[2]string]bool{}
	for i, k := range l.keys {
		name := [2]string{k.typ, k.name}
		if ids[k.id] || names[name] {
			f.wrong("a key's id, or its name within its type, twice")
		}
		ids[k.id], names[name] = true, true
		if (k.state == "active") != (i == 0) {
			f.wrong("the first key, and no other, must be active")
		}
	}
	for _, k := range l.archive {
		if ids[k.id] {
			f.wrong("an id twice among keys and archive")
		}
		ids[k.id] = true
	}
	if (l.generation == 1) != isZero(l.previous) {
		f.wrong("the first generation, and no other, has none before it")
	}
	servers := map[string]bool{}
	for _, name := range l.apiServers {
		if !printable.MatchString(name) {
			f.wrong("an API server's name is not 1 to 253 printable characters without spaces")
		}
		if servers[name] {
			f.wrong("an API server twice")
		}
		servers[name] = true
	}
	if err := checkTail(l.audit, l.auditHead); err != nil {
		f.wrong("audit: %v", err)
	}
}

// belongs holds the key list against the membership (§4).
func (l *keyList) belongs(m *membership, membershipHash []byte) error {
	f := &fields{where: "key list", err: new(error)}
	if string(l.keyring) != string(m.keyring) {
		f.wrong("another keyring id than in the membership")
	}
	if string(l.membershipHash) != string(membershipHash) {
		f.wrong("another membership hash than that of the membership")
	}
	if l.generation <= m.madeGeneration {
		f.wrong("the membership was made over this generation or a later one")
	}
	if len(l.wraps) != len(m.recipients) {
		f.wrong("%d wraps for %d recipients", len(l.wraps), len(m.recipients))
		return *f.err
	}
	for i, w := range l.wraps {
		if w.recipient != m.recipients[i].name {
			f.wrong("wrap %d is for another recipient than the membership has there", i)
		}
	}
	return *f.err
}
