// SPDX-License-Identifier: Apache-2.0

// Command keyring-go reads, writes and breaks keyrings. It was written from docs/keyring-format.md alone, so that what
// keyturn writes can be held against the page, and the other way round. It is a test tool: it takes secrets as arguments
// and prints them.
package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const usage = `usage: keyring-go COMMAND [OPTION]... [KEYRING]
  open   OPENING KEYRING                     print everything, secrets in hex, as JSON
  found  --node NAME --dir DIR [--type T] [--key-name NAME] [--time T]
                                             make node.key, keyring.yaml and recovery.key; print them as JSON
  next   OPENING --edit EDIT... KEYRING      write the next generation
  member OPENING --edit EDIT... KEYRING      write the next membership and generation
  break  KIND OPENING KEYRING                write the next generation, broken in one way
  unwrap OPENING --key-id ID --ciphertext HEX [--etcd-key KEY --data HEX] KEYRING
                                             what a KMS v2 Encrypt wrapped, and what kube-apiserver encrypted under it
  audit  --owner HASH --log FILE [--beginning SEQ] KEYRING
                                             hold an audit log against the keyring that vouches for it
  request REQUEST                            what a node's request says, and its fingerprint
  bundle REQUEST BUNDLE                      check a bundle against the request that it answers; what it says
  kinds                                      print the kinds of break, with the code that each must be answered with
OPENING: --node-key FILE and/or --recovery TEXT|@FILE, and --owner sha256:... (with --recovery it may be left out while
         the founding owner is the last)
EDIT of next: add:NAME add-TYPE:NAME activate:ID ready:ID retiring:ID compromised:ID archive:ID stage:S
         enabled:BOOL strict:BOOL hold:SECONDS api-server:NAME
EDIT of member: add-recipient:NAME,KIND,PUBLIC rename:OLD,NEW remove-recipient:NAME new-signer
         replace-recovery:TEXT; and those of next
next, member and break: --time T, --writer NAME, --out FILE (else standard output)
A failure is {"error":{"code":,"message":}} on standard error and exit 1, with the codes of base/errors.def; wrong use is
exit 2.
`

type options struct {
	owner, nodeKey, recovery, node, dir, typ, keyName, at, out, writer string
	keyID, ciphertext, etcdKey, data, log, beginning                   string
	edits                                                              []string
	arguments                                                          []string
}

func parseOptions(command string, arguments []string) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet(command, flag.ContinueOnError)
	set.SetOutput(os.Stderr)
	set.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	for name, into := range map[string]*string{"owner": &o.owner, "node-key": &o.nodeKey, "recovery": &o.recovery,
		"node": &o.node, "dir": &o.dir, "type": &o.typ, "key-name": &o.keyName, "time": &o.at, "out": &o.out,
		"writer": &o.writer, "key-id": &o.keyID, "ciphertext": &o.ciphertext, "etcd-key": &o.etcdKey, "data": &o.data,
		"log": &o.log, "beginning": &o.beginning} {
		set.StringVar(into, name, "", "")
	}
	set.Func("edit", "", func(edit string) error { o.edits = append(o.edits, edit); return nil })
	for {
		if err := set.Parse(arguments); err != nil {
			return nil, errUsage
		}
		if set.NArg() == 0 {
			return o, nil
		}
		o.arguments = append(o.arguments, set.Arg(0))
		arguments = set.Args()[1:]
	}
}

var errUsage = errors.New("wrong use")

func (o *options) time() (time.Time, error) {
	if o.at == "" {
		return now(), nil
	}
	return time.Parse(timeLayout, o.at)
}

func (o *options) recoveryKey() (*recovery, error) {
	if o.recovery == "" {
		return nil, nil
	}
	text := o.recovery
	if path, found := strings.CutPrefix(text, "@"); found {
		file, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		text = string(file)
	}
	r, err := parseRecovery(text)
	return &r, err
}

// open opens the last argument, with the node's key where there is one.
func (o *options) open() (*opened, *recovery, error) {
	r, err := o.recoveryKey()
	if err != nil {
		return nil, nil, err
	}
	if len(o.arguments) == 0 || o.nodeKey == "" && r == nil {
		return nil, nil, errUsage
	}
	document, err := os.ReadFile(o.arguments[len(o.arguments)-1])
	if err != nil {
		return nil, nil, err
	}
	owner := o.owner
	if owner == "" && r != nil {
		owner = fingerprint(r.owner.public)
	}
	var own pair
	if o.nodeKey != "" {
		file, err := os.ReadFile(o.nodeKey)
		if err != nil {
			return nil, nil, err
		}
		if own, err = parseNodeKey(file); err != nil {
			return nil, nil, err
		}
	} else {
		own = r.recipient
	}
	k, err := verifyKeyring(document, owner)
	if err != nil {
		return nil, nil, err
	}
	opened, err := k.open(own)
	return opened, r, err
}

func (o *options) write(document []byte) error {
	if o.out == "" {
		_, err := os.Stdout.Write(document)
		return err
	}
	return os.WriteFile(o.out, document, 0o600)
}

func printJSON(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func runOpen(o *options) error {
	opened, _, err := o.open()
	if err != nil {
		return err
	}
	return printJSON(opened.json())
}

func runFound(o *options) error {
	if o.node == "" || o.dir == "" {
		return errUsage
	}
	if o.typ == "" {
		o.typ = "kms"
	}
	if o.keyName == "" {
		o.keyName = o.typ + "key"
	}
	at, err := o.time()
	if err != nil {
		return err
	}
	own, r := newPair(), newRecovery(random(32))
	document, err := found(o.node, o.typ, o.keyName, own, r, at).seal()
	if err != nil {
		return err
	}
	paths := map[string][]byte{"node.key": own.nodeKey(), "keyring.yaml": document, "recovery.key": []byte(r.text() + "\n")}
	for name, data := range paths {
		if err := os.WriteFile(filepath.Join(o.dir, name), data, 0o600); err != nil {
			return err
		}
	}
	k, err := verifyKeyring(document, fingerprint(r.owner.public))
	if err != nil {
		return err
	}
	opened, err := k.open(own)
	if err != nil {
		return err
	}
	result := opened.json()
	result["recovery"], result["owner"] = r.text(), fingerprint(r.owner.public)
	return printJSON(result)
}

func runNext(o *options) error {
	opened, _, err := o.open()
	if err != nil {
		return err
	}
	at, err := o.time()
	if err != nil {
		return err
	}
	d := opened.next(at, o.writer)
	for _, edit := range o.edits {
		if err := d.edit(edit); err != nil {
			return err
		}
	}
	document, err := d.seal()
	if err != nil {
		return err
	}
	return o.write(document)
}

func runMember(o *options) error {
	opened, r, err := o.open()
	if err != nil {
		return err
	}
	if r == nil {
		return errUsage
	}
	at, err := o.time()
	if err != nil {
		return err
	}
	d, err := opened.nextMembership(*r, at, o.writer)
	if err != nil {
		return err
	}
	d.oldRecovery = r
	for _, edit := range o.edits {
		change := d.edit
		switch verb, _, _ := strings.Cut(edit, ":"); verb {
		case "add-recipient", "rename", "remove-recipient", "new-signer", "replace-recovery":
			change = d.editMembers
		}
		if err := change(edit); err != nil {
			return err
		}
	}
	document, err := d.seal()
	if err != nil {
		return err
	}
	return o.write(document)
}

func runBreak(o *options) error {
	if len(o.arguments) != 2 {
		return errUsage
	}
	b := findBreakage(o.arguments[0])
	if b == nil {
		return fmt.Errorf("no kind %q: keyring-go kinds lists them", o.arguments[0])
	}
	opened, r, err := o.open()
	if err != nil {
		return err
	}
	at, err := o.time()
	if err != nil {
		return err
	}
	document, err := b.spoil(opened, r, at)
	if err != nil {
		return err
	}
	return o.write(document)
}

func runUnwrap(o *options) error {
	opened, _, err := o.open()
	if err != nil {
		return err
	}
	ciphertext, err := hex.DecodeString(o.ciphertext)
	if err != nil {
		return err
	}
	for i, k := range opened.list.keys {
		if k.id != o.keyID {
			continue
		}
		seed, err := kmsOpen(opened.keys[i], opened.members.keyring, k.id, ciphertext)
		if err != nil {
			return fail("KMS_CIPHERTEXT", "%v", err)
		}
		result := object{"plaintext": hex.EncodeToString(seed)}
		if o.etcdKey != "" {
			stored, err := openStored(seed, o.etcdKey, o.data)
			if err != nil {
				return err
			}
			result["object"] = hex.EncodeToString(stored)
		}
		return printJSON(result)
	}
	return fail("KMS_UNKNOWN_KEY", "no key %s", o.keyID)
}

// openStored decrypts encryptedData of an EncryptedObject as kube-apiserver does (k8s.io/apiserver, envelope kmsv2): a
// DEK expanded from the seed with the first 32 bytes as info, the etcd key as associated data.
func openStored(seed []byte, etcdKey, data string) ([]byte, error) {
	encrypted, err := hex.DecodeString(data)
	if err != nil || len(encrypted) < 32 {
		return nil, errUsage
	}
	dek, err := hkdf.Expand(sha256.New, seed, string(encrypted[:32]), 32)
	if err != nil {
		return nil, err
	}
	return gcmOpen(dek, []byte(etcdKey), encrypted[32:])
}

var commands = map[string]func(*options) error{
	"open": runOpen, "found": runFound, "next": runNext, "member": runMember, "break": runBreak,
	"unwrap": runUnwrap, "audit": runAudit, "request": runRequest, "bundle": runBundle,
	"kinds": func(*options) error { return printJSON(breakagesJSON()) },
}

func report(err error) int {
	if errors.Is(err, errUsage) {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	code := "INTERNAL"
	var f *failure
	if errors.As(err, &f) {
		code = f.code
	}
	json.NewEncoder(os.Stderr).Encode(object{"error": object{"code": code, "message": err.Error()}})
	return 1
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		os.Exit(report(errUsage))
	}
	o, err := parseOptions(os.Args[1], os.Args[2:])
	if err == nil {
		err = commands[os.Args[1]](o)
	}
	if err != nil {
		os.Exit(report(err))
	}
}
