// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func requestText(own pair, nonce []byte) []byte {
	return fmt.Appendf(nil, "apiVersion: %s\nkind: NodeRequest\nformat: 1\nnode: node-2\nrecipient: file\npublicKey: %s\n"+
		"tpmName: none\nsrkName: none\nnonce: %s\n", apiVersion, text64(own.public), hex.EncodeToString(nonce))
}

func bundleText(r *nodeRequest, founder string, keyring []byte, owner pair) []byte {
	head := fmt.Appendf(nil, "apiVersion: %s\nkind: NodeBundle\nformat: 1\nnode: %s\nrequest: %s\nnonce: %s\nfounder: %s\n"+
		"provider: keyturn\nkeyring: %d\n", apiVersion, r.node, textHash(r.fingerprint), hex.EncodeToString(r.nonce), founder,
		len(keyring))
	signature := owner.sign(bundleContext, append(bytes.Clone(head), keyring...))
	return append(fmt.Appendf(head, "signature: %s\n", text64(signature)), keyring...)
}

// sealedText is the same request of a tpm2 recipient.
func sealedText(request []byte) []byte {
	names := strings.NewReplacer("recipient: file", "recipient: tpm2", "srkName: none", "srkName: 000bab")
	return []byte(names.Replace(string(request)))
}

func checkBundle(request, file []byte) error {
	r, err := parseRequest(request)
	if err != nil {
		return err
	}
	b, err := parseBundle(file)
	if err != nil {
		return err
	}
	_, err = b.check(r)
	return err
}

func TestBundle(t *testing.T) {
	own, r := newPair(), newRecovery(random(32))
	keyring := mustSeal(t, found("node-2", "kms", "kmskey", own, r, now()))
	text := requestText(own, random(32))
	request, err := parseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	founder := fingerprint(r.owner.public)
	good := bundleText(request, founder, keyring, r.owner)
	if err := checkBundle(text, good); err != nil {
		t.Fatal(err)
	}
	other := bundleText(request, founder, keyring, newPair())
	for _, c := range []struct {
		name, code    string
		request, file []byte
	}{
		{"another request", "BUNDLE_REQUEST", requestText(own, random(32)), good},
		{"an altered request", "REQUEST_ALTERED", sealedText(text), good},
		{"another owner", "BUNDLE_OWNER", text, other},
		{"another founder", "BUNDLE_OWNER", text, bundleText(request, fingerprint(own.public), keyring, r.owner)},
		{"another provider", "BUNDLE_OWNER", text, bytes.Replace(good, []byte("provider: k"), []byte("provider: x"), 1)},
		{"cut", "BUNDLE_FORMAT", text, good[:len(good)-1]},
		{"no bundle", "BUNDLE_FORMAT", text, keyring},
		{"no request", "REQUEST_FORMAT", good, good},
	} {
		if code := codeOf(checkBundle(c.request, c.file)); code != c.code {
			t.Errorf("%s: %q instead of %s", c.name, code, c.code)
		}
	}
}

func TestRequestForms(t *testing.T) {
	good := string(requestText(newPair(), random(32)))
	for from, to := range map[string]string{"node: node-2": "node: recovery", "format: 1": "format: 2", "file": "paper",
		"tpmName: none": "tpmName: ABCD", "srkName: none": "srkName: 000bab", "recipient: file": "recipient: tpm2", "nonce: ": "nonce: 0", "\n": "\r\n", "publicKey: B": "publicKey: A"} {
		if _, err := parseRequest([]byte(strings.Replace(good, from, to, 1))); codeOf(err) != "REQUEST_FORMAT" {
			t.Errorf("%q for %q: %v", to, from, err)
		}
	}
	if r, err := parseRequest(sealedText([]byte(good))); err != nil || r.tpmName != nil || len(r.srkName) != 3 {
		t.Errorf("a tpm2 recipient's: %v", err)
	}
}
