// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func draw(t *testing.T, r io.Reader) []byte {
	t.Helper()
	length := make([]byte, 1)
	if _, err := io.ReadFull(r, length); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, length[0])
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// The vector of RFC 9180 for this suite, in the form that Go's crypto/hpke has it: the exports of the RFC's are there
// as the SHAKE128 of 1,000 values exported with contexts drawn from SHAKE128 of nothing.
func TestRFC9180(t *testing.T) {
	var vector struct{ Info, IkmR, SkRm, PkRm, Enc, Exports_accumulated string }
	file, err := os.ReadFile("testdata/rfc9180-p256-aes256gcm.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &vector); err != nil {
		t.Fatal(err)
	}
	derived := mustPair(kem().DeriveKeyPair(unhex(t, vector.IkmR)))
	if hex.EncodeToString(derived.scalar) != vector.SkRm || hex.EncodeToString(derived.public) != vector.PkRm {
		t.Fatal("DeriveKeyPair gives another pair")
	}
	read, err := pairOf(unhex(t, vector.SkRm))
	if err != nil || !bytes.Equal(read.public, derived.public) {
		t.Fatalf("the scalar gives another public key (%v)", err)
	}
	recipient, err := hpke.NewRecipient(unhex(t, vector.Enc), derived.hpke(), hpke.HKDFSHA256(), hpke.AES256GCM(),
		unhex(t, vector.Info))
	if err != nil {
		t.Fatal(err)
	}
	source, sink := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	for length := range 1000 {
		value, err := recipient.Export(string(draw(t, source)), length)
		if err != nil {
			t.Fatal(err)
		}
		sink.Write(value)
	}
	got := make([]byte, 16)
	sink.Read(got)
	if hex.EncodeToString(got) != vector.Exports_accumulated {
		t.Fatal("decapsulation or key schedule gives other secrets")
	}
}

func TestHPKEBindsInfo(t *testing.T) {
	own := newPair()
	sealed, err := hpkeSeal(own.public, []byte("info"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) != 65+6+16 {
		t.Errorf("%d bytes sealed", len(sealed))
	}
	if got, err := hpkeOpen(own.hpke(), []byte("info"), sealed); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := hpkeOpen(own.hpke(), []byte("other"), sealed); err == nil {
		t.Error("opened under another info")
	}
	if _, err := hpkeOpen(newPair().hpke(), []byte("info"), sealed); err == nil {
		t.Error("opened by another key")
	}
}

func TestSignatureBindsContext(t *testing.T) {
	own := newPair()
	signature := own.sign(memberContext, []byte("part"))
	if !verify(own.public, memberContext, []byte("part"), signature) {
		t.Error("does not verify")
	}
	if verify(own.public, keyListContext, []byte("part"), signature) ||
		verify(own.public, memberContext, []byte("parT"), signature) ||
		verify(newPair().public, memberContext, []byte("part"), signature) ||
		verify(make([]byte, 65), memberContext, []byte("part"), signature) {
		t.Error("verifies what was not signed")
	}
}

// Made by hand: 256 zero bits are 52 zeros, and the check is SHA-256 of "keyturn.dev/v1 recovery-key", 0x00 and 32 zero
// bytes, which begins 4b 1c e7 (sha256sum): the digits 01001 01100 01110 01110.
func TestRecoveryText(t *testing.T) {
	zero := newRecovery(make([]byte, 32))
	if zero.text() != strings.Repeat("0000-", 13)+"9CEE" {
		t.Errorf("zero is %s", zero.text())
	}
	for range 200 {
		r := newRecovery(random(32))
		text := r.text()
		if len(text) != 56+13 {
			t.Fatalf("%s is not 14 groups of 4", text)
		}
		loose := strings.NewReplacer("1", "l", "0", "o", "-", " \r\n").Replace(strings.ToLower(text))
		for _, form := range []string{text, text + "\n", loose, strings.ReplaceAll(text, "1", "I")} {
			got, err := parseRecovery(form)
			if err != nil || !bytes.Equal(got.bytes, r.bytes) {
				t.Fatalf("%q reads as something else (%v)", form, err)
			}
		}
	}
}

func TestRecoveryTextRefuses(t *testing.T) {
	text := newRecovery(random(32)).text()
	for i := range text {
		for _, c := range crockford {
			if changed := text[:i] + string(c) + text[i+1:]; text[i] != '-' && byte(c) != text[i] {
				if _, err := parseRecovery(changed); err == nil {
					t.Fatalf("digit %d may be changed to %c", i, c) // one in a million would pass by chance
				}
			}
		}
	}
	for _, bad := range []string{"", text[:len(text)-1], text + "0", strings.Replace(text, "-", "U", 1), "é" + text} {
		if _, err := parseRecovery(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNodeKey(t *testing.T) {
	own := newPair()
	file := own.nodeKey()
	if len(file) != 44 {
		t.Errorf("%d bytes", len(file))
	}
	if got, err := parseNodeKey(file); err != nil || !bytes.Equal(got.public, own.public) {
		t.Errorf("reads as something else (%v)", err)
	}
	zero := append(bytes.Clone(file[:12]), make([]byte, 32)...)
	for _, bad := range [][]byte{nil, file[:43], append(bytes.Clone(file), 0), zero, append([]byte("K"), file[1:]...)} {
		if _, err := parseNodeKey(bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}

func TestKMSCiphertext(t *testing.T) {
	key, keyring, id := random(32), random(16), newID()
	ciphertext := kmsSeal(key, keyring, id, []byte("seed"))
	if got, err := kmsOpen(key, keyring, id, ciphertext); err != nil || string(got) != "seed" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := kmsOpen(key, keyring, newID(), ciphertext); err == nil {
		t.Error("opened under another key_id")
	}
	if _, err := kmsOpen(key, random(16), id, ciphertext); err == nil {
		t.Error("opened under another keyring id")
	}
}
