// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Requests and bundles, from docs/enrolment-format.md alone.

const (
	requestMax    = 4096
	headerMax     = 4096
	bundleContext = "keyturn.dev/v1 node-bundle"
)

type nodeRequest struct {
	node, recipient  string
	public           []byte
	tpmName, srkName []byte // none where left out
	nonce            []byte
	fingerprint      []byte
}

type bundle struct {
	node, provider             string
	request, nonce, founder    []byte
	keyring, signed, signature []byte
}

var (
	nodeForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
)

// fixedLines takes "label: value" lines one after another; the first that does not fit is the error.
type fixedLines struct {
	rest []string
	code string
	err  error
}

func (l *fixedLines) value(label string) string {
	if l.err != nil {
		return ""
	}
	if len(l.rest) == 0 {
		l.err = fail(l.code, "no line %q", label)
		return ""
	}
	value, found := strings.CutPrefix(l.rest[0], label+": ")
	l.rest = l.rest[1:]
	if !found {
		l.err = fail(l.code, "no line %q where it must be", label)
	}
	return value
}

func (l *fixedLines) must(holds bool, label string) {
	if l.err == nil && !holds {
		l.err = fail(l.code, "%s: another form", label)
	}
}

func (l *fixedLines) exactly(label, want string) { l.must(l.value(label) == want, label) }

func (l *fixedLines) hex(label string, least, most int) []byte {
	text := l.value(label)
	b, err := hex.DecodeString(text)
	l.must(err == nil && len(b) >= least && len(b) <= most && text == strings.ToLower(text), label)
	return b
}

func (l *fixedLines) hash(label string) []byte {
	text, found := strings.CutPrefix(l.value(label), "sha256:")
	b, err := hex.DecodeString(text)
	l.must(found && err == nil && len(b) == 32 && text == strings.ToLower(text), label)
	return b
}

func (l *fixedLines) name(label string) []byte {
	if l.err == nil && len(l.rest) > 0 && l.rest[0] == label+": none" {
		l.rest = l.rest[1:]
		return nil
	}
	return l.hex(label, 1, 66)
}

func (l *fixedLines) node() string {
	node := l.value("node")
	l.must(len(node) <= 63 && nodeForm.MatchString(node) && node != "recovery", "node")
	return node
}

func (l *fixedLines) head(kind string) {
	l.exactly("apiVersion", apiVersion)
	l.exactly("kind", kind)
	l.exactly("format", "1")
}

func linesOf(text []byte, code string) *fixedLines {
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return &fixedLines{err: fail(code, "the last line has no end")}
	}
	return &fixedLines{rest: strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), code: code}
}

func parseRequest(text []byte) (*nodeRequest, error) {
	if len(text) > requestMax {
		return nil, fail("REQUEST_FORMAT", "more than %d bytes", requestMax)
	}
	l := linesOf(text, "REQUEST_FORMAT")
	r := &nodeRequest{fingerprint: hashOf(append([]byte("keyturn.dev/v1 node-request\x00"), text...))}
	l.head("NodeRequest")
	r.node = l.node()
	r.recipient = l.value("recipient")
	l.must(r.recipient == "file" || r.recipient == "tpm2", "recipient")
	var err error
	r.public, err = from64(l.value("publicKey"), publicLen)
	l.must(err == nil && validPublic(r.public) == nil, "publicKey")
	r.tpmName, r.srkName = l.name("tpmName"), l.name("srkName")
	if r.recipient == "file" {
		l.must(r.tpmName == nil && r.srkName == nil, "no names of a TPM")
	} else {
		l.must(r.srkName != nil, "srkName")
	}
	r.nonce = l.hex("nonce", 32, 32)
	l.must(len(l.rest) == 0, "the end")
	return r, l.err
}

// splitBundle finds the line of the signature: what is before it is signed, what is after it is the keyring.
func splitBundle(file []byte) (before, line, keyring []byte, err error) {
	head := file[:min(len(file), headerMax)]
	at := bytes.Index(head, []byte("\nsignature: "))
	if at < 0 {
		return nil, nil, nil, fail("BUNDLE_FORMAT", "no signature")
	}
	end := bytes.IndexByte(head[at+1:], '\n')
	if end < 0 {
		return nil, nil, nil, fail("BUNDLE_FORMAT", "no end of the signature")
	}
	return file[:at+1], file[at+1 : at+1+end+1], file[at+1+end+1:], nil
}

func parseBundle(file []byte) (*bundle, error) {
	before, line, keyring, err := splitBundle(file)
	if err != nil {
		return nil, err
	}
	l := linesOf(append(bytes.Clone(before), line...), "BUNDLE_FORMAT")
	b := &bundle{keyring: keyring, signed: append(bytes.Clone(before), keyring...)}
	l.head("NodeBundle")
	b.node = l.node()
	b.request, b.nonce, b.founder = l.hash("request"), l.hex("nonce", 32, 32), l.hash("founder")
	b.provider = l.value("provider")
	l.must(nameForm.MatchString(b.provider), "provider")
	length := l.value("keyring")
	n, err := strconv.Atoi(length)
	l.must(err == nil && strconv.Itoa(n) == length && n == len(keyring) && n <= documentMax, "keyring")
	b.signature, err = from64(l.value("signature"), signatureLen)
	l.must(err == nil, "signature")
	l.must(len(l.rest) == 0, "the end")
	return b, l.err
}

// check is §4, up to the floor and the opening.
func (b *bundle) check(r *nodeRequest) (*keyring, error) {
	if !bytes.Equal(b.nonce, r.nonce) {
		return nil, fail("BUNDLE_REQUEST", "another nonce")
	}
	if !bytes.Equal(b.request, r.fingerprint) || b.node != r.node {
		return nil, fail("REQUEST_ALTERED", "another fingerprint")
	}
	k, err := verifyKeyring(b.keyring, textHash(b.founder))
	if err != nil {
		if f, ok := err.(*failure); ok && f.code == "KEYRING_OWNER" {
			f.code = "BUNDLE_OWNER"
		}
		return nil, err
	}
	if !verify(k.members.owner, bundleContext, b.signed, b.signature) {
		return nil, fail("BUNDLE_OWNER", "the signature is not by the owner of the keyring")
	}
	return k, nil
}

func runRequest(o *options) error {
	if len(o.arguments) != 1 {
		return errUsage
	}
	text, err := os.ReadFile(o.arguments[0])
	if err != nil {
		return err
	}
	r, err := parseRequest(text)
	if err != nil {
		return err
	}
	return printJSON(object{"node": r.node, "recipient": r.recipient, "publicKey": hex.EncodeToString(r.public),
		"nonce": hex.EncodeToString(r.nonce), "fingerprint": textHash(r.fingerprint)})
}

func runBundle(o *options) error {
	if len(o.arguments) != 2 {
		return errUsage
	}
	text, err := os.ReadFile(o.arguments[0])
	if err != nil {
		return err
	}
	file, err := os.ReadFile(o.arguments[1])
	if err != nil {
		return err
	}
	r, err := parseRequest(text)
	if err != nil {
		return err
	}
	b, err := parseBundle(file)
	if err != nil {
		return err
	}
	k, err := b.check(r)
	if err != nil {
		return err
	}
	return printJSON(object{"node": b.node, "provider": b.provider, "founder": textHash(b.founder),
		"owner": fingerprint(k.members.owner), "owners": len(k.signatures.owners), "membership": k.members.number,
		"generation": k.list.generation})
}
