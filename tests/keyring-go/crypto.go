// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

const (
	recipientContext = "keyturn.dev/v1 wrap"
	archiveContext   = "keyturn.dev/v1 archive"
	commitContext    = "keyturn.dev/v1 commitment"
	keyContext       = "keyturn.dev/v1 key"
	signerContext    = "keyturn.dev/v1 signer-key"
	statusContext    = "keyturn.dev/v1 status-key"
	ownerLinkContext = "keyturn.dev/v1 owner-link"
	memberContext    = "keyturn.dev/v1 membership"
	keyListContext   = "keyturn.dev/v1 key-list"
	kmsContext       = "keyturn.dev/v1 kms"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// labelled is `context` 0x00 || the parts, each already encoded.
func labelled(context string, parts ...[]byte) []byte {
	return append(append([]byte(context), 0), bytes.Join(parts, nil)...)
}

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func str(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func kem() hpke.KEM { return hpke.DHKEM(ecdh.P256()) }

func hpkeSeal(public, info, plaintext []byte) ([]byte, error) {
	key, err := kem().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	return hpke.Seal(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plaintext)
}

func hpkeOpen(own hpke.PrivateKey, info, sealed []byte) ([]byte, error) {
	return hpke.Open(own, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
}

func wrapInfo(keyring, membershipHash []byte, generation uint64, name string) []byte {
	return labelled(recipientContext, keyring, membershipHash, u64(generation), str(name))
}

func archiveInfo(keyring []byte, id, typ string) []byte {
	return labelled(archiveContext, keyring, str(id), str(typ))
}

func keyAAD(keyring []byte, generation uint64, id, typ, algorithm string) []byte {
	return labelled(keyContext, keyring, u64(generation), str(id), str(typ), str(algorithm))
}

func signerAAD(keyring []byte, generation uint64) []byte {
	return labelled(signerContext, keyring, u64(generation))
}

func statusAAD(keyring []byte, generation uint64) []byte {
	return labelled(statusContext, keyring, u64(generation))
}

func commitment(keyringKey, keyring []byte, generation uint64) []byte {
	info := labelled(commitContext, keyring, u64(generation))
	out, err := hkdf.Key(sha256.New, keyringKey, nil, string(info), 32)
	if err != nil {
		panic(err)
	}
	return out
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// gcmSeal gives nonce || ciphertext || tag (§6).
func gcmSeal(key, aad, plaintext []byte) []byte {
	aead := gcm(key)
	nonce := random(aead.NonceSize())
	return aead.Seal(nonce, nonce, plaintext, aad)
}

func gcmOpen(key, aad, sealed []byte) ([]byte, error) {
	aead := gcm(key)
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("too short")
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], aad)
}

// A pair is one P-256 key, used to sign or to unwrap, never both.
type pair struct {
	scalar []byte // 32 bytes, big-endian
	public []byte
}

func newPair() pair { return mustPair(kem().GenerateKey()) }

func pairOf(scalar []byte) (pair, error) {
	key, err := kem().NewPrivateKey(scalar)
	if err != nil {
		return pair{}, err
	}
	return pair{scalar, key.PublicKey().Bytes()}, nil
}

func mustPair(key hpke.PrivateKey, err error) pair {
	if err != nil {
		panic(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		panic(err)
	}
	return pair{scalar, key.PublicKey().Bytes()}
}

func (p pair) hpke() hpke.PrivateKey {
	key, err := kem().NewPrivateKey(p.scalar)
	if err != nil {
		panic(err)
	}
	return key
}

// sign gives r || s over context || 0x00 || message (§2).
func (p pair) sign(context string, message []byte) []byte {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), p.scalar)
	if err != nil {
		panic(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, hashOf(labelled(context, message)))
	if err != nil {
		panic(err)
	}
	signature := make([]byte, signatureLen)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature
}

func verify(public []byte, context string, message, signature []byte) bool {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
	if err != nil || len(signature) != signatureLen {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(key, hashOf(labelled(context, message)), r, s)
}

func validPublic(public []byte) error {
	if len(public) != publicLen {
		return fmt.Errorf("%d bytes instead of %d", len(public), publicLen)
	}
	_, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
	return err
}

// The recovery key (§7).

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

type recovery struct {
	bytes            []byte
	recipient, owner pair
}

func newRecovery(key []byte) recovery {
	prk, err := hkdf.Extract(sha256.New, key, []byte("keyturn.dev/v1 recovery"))
	if err != nil {
		panic(err)
	}
	derive := func(info string) pair {
		ikm, err := hkdf.Expand(sha256.New, prk, info, 32)
		if err != nil {
			panic(err)
		}
		return mustPair(kem().DeriveKeyPair(ikm))
	}
	return recovery{key, derive("recipient"), derive("owner")}
}

func recoveryCheck(key []byte) uint32 {
	sum := hashOf(labelled("keyturn.dev/v1 recovery-key", key))
	return binary.BigEndian.Uint32(sum) >> 12
}

func (r recovery) text() string {
	bits := new(big.Int).SetBytes(r.bytes)
	bits.Lsh(bits, 4)
	bits.Lsh(bits, 20).Or(bits, big.NewInt(int64(recoveryCheck(r.bytes))))
	digits := make([]byte, 56)
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = crockford[bits.Bit(0)|bits.Bit(1)<<1|bits.Bit(2)<<2|bits.Bit(3)<<3|bits.Bit(4)<<4]
		bits.Rsh(bits, 5)
	}
	var groups []string
	for ; len(digits) > 0; digits = digits[4:] {
		groups = append(groups, string(digits[:4]))
	}
	return strings.Join(groups, "-")
}

func parseRecovery(text string) (recovery, error) {
	bits, n := new(big.Int), 0
	for _, c := range strings.ToUpper(text) {
		switch c {
		case '-', ' ', '\r', '\n':
			continue
		case 'I', 'L':
			c = '1'
		case 'O':
			c = '0'
		}
		digit := strings.IndexRune(crockford, c)
		if digit < 0 {
			return recovery{}, fail("RECOVERY_KEY", "not a digit of a recovery key")
		}
		bits.Lsh(bits, 5).Or(bits, big.NewInt(int64(digit)))
		n++
	}
	if n != 56 {
		return recovery{}, fail("RECOVERY_KEY", "%d digits instead of 56", n)
	}
	check := uint32(new(big.Int).And(bits, big.NewInt(1<<20-1)).Uint64())
	bits.Rsh(bits, 20)
	pad := new(big.Int).And(bits, big.NewInt(15)).Uint64()
	key := make([]byte, 32)
	bits.Rsh(bits, 4).FillBytes(key)
	if pad != 0 || check != recoveryCheck(key) {
		return recovery{}, fail("RECOVERY_KEY", "the check digits do not fit")
	}
	return newRecovery(key), nil
}

// The node's private half (§10).

var nodeKeyHead = append([]byte("keyturn\x01"), 0x01, 0, 0, 0)

func (p pair) nodeKey() []byte { return append(bytes.Clone(nodeKeyHead), p.scalar...) }

func parseNodeKey(file []byte) (pair, error) {
	scalar, found := bytes.CutPrefix(file, nodeKeyHead)
	if !found || len(scalar) != 32 {
		return pair{}, fail("NODE_KEY", "not the private half of a file recipient")
	}
	own, err := pairOf(scalar)
	if err != nil {
		return pair{}, fail("NODE_KEY", "%v", err)
	}
	return own, nil
}

// What a kms key encrypts (§9).

func kmsAAD(keyring []byte, id string) []byte {
	return labelled(kmsContext, []byte{1}, keyring, str(id))
}

func kmsSeal(key, keyring []byte, id string, plaintext []byte) []byte {
	return append([]byte{1}, gcmSeal(key, kmsAAD(keyring, id), plaintext)...)
}

func kmsOpen(key, keyring []byte, id string, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) == 0 || ciphertext[0] != 1 {
		return nil, errors.New("another version")
	}
	return gcmOpen(key, kmsAAD(keyring, id), ciphertext[1:])
}

func fingerprint(owner []byte) string { return "sha256:" + hex.EncodeToString(hashOf(owner)) }
