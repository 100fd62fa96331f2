// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The document of docs/keyring-format.md, as values. Hashes, ids and public keys are raw bytes here.

const (
	apiVersion   = "keyturn.dev/v1"
	formatOne    = 1
	documentMax  = 1 << 20
	ownersMax    = 64
	publicLen    = 65
	signatureLen = 64
	separator    = "---\n"
	timeLayout   = "2006-01-02T15:04:05Z"
)

type recipient struct {
	name, kind string
	publicKey  []byte
}

type membership struct {
	format         uint64
	keyring        []byte
	number         uint64
	madeGeneration uint64
	madeHash       []byte
	owner, signer  []byte
	recipients     []recipient
}

type listedKey struct {
	id, name, typ, algorithm, state string
	created                         time.Time
	retiringSince                   time.Time // zero: left out
	wrapped                         []byte
}

type archivedKey struct {
	id, name, typ, algorithm string
	created, retired         time.Time
	sealed                   []byte
}

type wrap struct {
	recipient string
	wrapped   []byte
}

type keyList struct {
	format               uint64
	keyring              []byte
	membershipHash       []byte
	generation           uint64
	previous             []byte
	written              time.Time
	writer, stage        string
	enabled, strict      bool
	hold                 uint64
	apiServers           []string
	auditHead            []byte
	audit                []string // lines of the audit log, the newest
	commitment           []byte
	keys                 []listedKey
	signerKey, statusKey []byte
	archive              []archivedKey
	wraps                []wrap
}

type ownerLink struct {
	public    []byte
	signature []byte // none for the founding owner
}

type signatures struct {
	owners              []ownerLink
	membership, keyList []byte
}

// A failure has the name that the same failure has in base/errors.def.
type failure struct {
	code, message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(code, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// split gives the three parts (§1).
func split(document []byte) (part1, part2, part3 []byte, err error) {
	malformed := func(why string) ([]byte, []byte, []byte, error) {
		return nil, nil, nil, fail("KEYRING_FORMAT", "%s", why)
	}
	if len(document) > documentMax {
		return malformed("larger than 1 MiB")
	}
	parts := [][]byte{nil}
	for rest := document; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return malformed("the last line has no end")
		}
		line := rest[:end+1]
		rest = rest[end+1:]
		if string(line) == separator {
			parts = append(parts, nil)
		} else {
			parts[len(parts)-1] = append(parts[len(parts)-1], line...)
		}
	}
	if len(parts) != 3 {
		return malformed(fmt.Sprintf("%d separator lines instead of two", len(parts)-1))
	}
	for _, part := range parts {
		if len(part) == 0 {
			return malformed("an empty part")
		}
	}
	return parts[0], parts[1], parts[2], nil
}

func join(part1, part2, part3 []byte) []byte {
	return bytes.Join([][]byte{part1, part2, part3}, []byte(separator))
}

func hashOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func keyringHash(part1, part2 []byte) []byte {
	return hashOf(bytes.Join([][]byte{part1, part2}, []byte(separator)))
}

func textHash(hash []byte) string { return "sha256:" + hex.EncodeToString(hash) }

func text64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func from64(s string, length int) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("not base64")
	}
	if length > 0 && len(b) != length {
		return nil, fmt.Errorf("%d bytes instead of %d", len(b), length)
	}
	return b, nil
}

// parseSignatures reads PART 3, whose lines are fixed (§2).
func parseSignatures(part []byte) (*signatures, error) {
	malformed := func(format string, args ...any) (*signatures, error) {
		return nil, fail("KEYRING_FORMAT", "signatures: "+format, args...)
	}
	lines := strings.Split(strings.TrimSuffix(string(part), "\n"), "\n")
	if len(lines) < 6 || lines[0] != "apiVersion: "+apiVersion || lines[1] != "kind: KeyringSignatures" ||
		lines[2] != "owners:" {
		return malformed("the first lines are not as they must be")
	}
	s := &signatures{}
	for _, line := range lines[3 : len(lines)-2] {
		words := strings.Split(line, " ")
		want := 3
		if len(s.owners) == 0 {
			want = 2
		}
		if words[0] != "-" || len(words) != want || len(s.owners) == ownersMax {
			return malformed("the owners are not as they must be")
		}
		link := ownerLink{}
		var err error
		if link.public, err = from64(words[1], publicLen); err != nil {
			return malformed("an owner: %v", err)
		}
		if want == 3 {
			if link.signature, err = from64(words[2], signatureLen); err != nil {
				return malformed("an owner's signature: %v", err)
			}
		}
		s.owners = append(s.owners, link)
	}
	last := lines[len(lines)-2:]
	for i, into := range []*[]byte{&s.membership, &s.keyList} {
		name := []string{"membership: ", "keyList: "}[i]
		value, found := strings.CutPrefix(last[i], name)
		if !found {
			return malformed("no line %q where it must be", name)
		}
		var err error
		if *into, err = from64(value, signatureLen); err != nil {
			return malformed("%s%v", name, err)
		}
	}
	return s, nil
}

func emitSignatures(s *signatures) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "apiVersion: %s\nkind: KeyringSignatures\nowners:\n", apiVersion)
	for i, link := range s.owners {
		fmt.Fprintf(&b, "- %s", text64(link.public))
		if i > 0 {
			fmt.Fprintf(&b, " %s", text64(link.signature))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "membership: %s\nkeyList: %s\n", text64(s.membership), text64(s.keyList))
	return b.Bytes()
}
