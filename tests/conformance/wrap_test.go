// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/status"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"
)

// mustBeStorable asks kube-apiserver's own check of what it is about to store: sizes, and the names of annotations.
func mustBeStorable(t *testing.T, sealed *service.EncryptResponse) {
	t.Helper()
	err := kmsv2.ValidateEncryptedObject(&kmstypes.EncryptedObject{
		EncryptedData:      []byte{0},
		KeyID:              sealed.KeyID,
		EncryptedDEKSource: sealed.Ciphertext,
		Annotations:        sealed.Annotations,
	})
	if err != nil {
		t.Fatalf("kube-apiserver would not store this answer: %v", err)
	}
}

func mustRoundTrip(t *testing.T, client service.Service, plaintext []byte) {
	t.Helper()
	sealed := mustEncrypt(t, client, plaintext)
	mustBeStorable(t, sealed)
	if len(plaintext) >= 16 && bytes.Contains(sealed.Ciphertext, plaintext) {
		t.Fatal("the ciphertext holds the plaintext")
	}
	got, err := decrypt(client, sealed)
	if err != nil {
		t.Fatalf("Decrypt of what was %d bytes: %v", len(plaintext), err)
	}
	if !bytes.Equal(got, plaintext) {
		t.Fatalf("%d bytes came back as %d other bytes", len(plaintext), len(got))
	}
}

// Up to 512 bytes must work, more than 1024 cannot, and where the limit is in between is the plugin's affair; but
// there is one limit, and each size is either served in full or refused.
func TestRoundTripOfEverySize(t *testing.T) {
	client := kubeClient(t)
	refusedAt := 0
	for size := 1; size <= 1100; size++ {
		plaintext := randomBytes(size)
		_, err := client.Encrypt(context.Background(), callUID, plaintext)
		switch {
		case err == nil && refusedAt != 0:
			t.Fatalf("%d bytes are accepted, %d were not", size, refusedAt)
		case err == nil && size > 1024:
			t.Fatalf("%d bytes are accepted: the ciphertext cannot fit into 1024", size)
		case err == nil:
			mustRoundTrip(t, client, plaintext)
		case size <= 512:
			t.Fatalf("%d bytes are not accepted: %v", size, err)
		default:
			if problem := refusal(err); problem != "" {
				t.Fatalf("%d bytes: %s", size, problem)
			}
			if refusedAt == 0 {
				refusedAt = size
			}
		}
	}
	t.Logf("the largest plaintext is %d bytes", refusedAt-1)
}

func TestEmptyPlaintext(t *testing.T) {
	client := kubeClient(t)
	sealed, err := client.Encrypt(context.Background(), callUID, nil)
	if err != nil {
		if problem := refusal(err); problem != "" {
			t.Fatal(problem)
		}
	} else {
		got, err := decrypt(client, sealed)
		if err != nil || len(got) != 0 {
			t.Fatalf("nothing came back as %d bytes, %v", len(got), err)
		}
	}
	mustRoundTrip(t, client, randomBytes(32))
}

func TestSamePlaintextGivesOtherCiphertexts(t *testing.T) {
	client := kubeClient(t)
	plaintext := randomBytes(32)
	seen := map[string]bool{}
	for range 100 {
		sealed := mustEncrypt(t, client, plaintext)
		if seen[string(sealed.Ciphertext)] {
			t.Fatal("the same ciphertext twice")
		}
		seen[string(sealed.Ciphertext)] = true
	}
}

// Every request here is too large for KMS v2. None may hurt the connection, on which the next call must work, and
// no error may repeat what was sent.
func TestOversizedRequests(t *testing.T) {
	const marker = "sent-by-the-caller-"
	client := rawClient(t)
	sealed, err := client.Encrypt(callContext(t), &kmsapi.EncryptRequest{Plaintext: randomBytes(32), Uid: callUID})
	if err != nil {
		t.Fatal(err)
	}
	fill := func(size int) []byte { return bytes.Repeat([]byte(marker), size/len(marker)+1)[:size] }
	check := func(name string, err error) {
		t.Helper()
		if problem := refusal(err); problem != "" {
			t.Errorf("%s: %s", name, problem)
		}
		if strings.Contains(status.Convert(err).Message(), marker) {
			t.Errorf("%s: the error repeats what was sent: %v", name, err)
		}
		if _, err := client.Status(callContext(t), &kmsapi.StatusRequest{}); err != nil {
			t.Fatalf("%s: the Status after it: %v", name, err)
		}
	}
	for _, size := range []int{1025, 32<<10 + 1, 64<<10 + 1, 1 << 20, 5 << 20} {
		_, err := client.Encrypt(callContext(t), &kmsapi.EncryptRequest{Plaintext: fill(size), Uid: callUID})
		check(fmt.Sprintf("plaintext of %d bytes", size), err)

		_, err = client.Decrypt(callContext(t), &kmsapi.DecryptRequest{
			Ciphertext: fill(size), Uid: callUID, KeyId: sealed.KeyId, Annotations: sealed.Annotations})
		check(fmt.Sprintf("ciphertext of %d bytes", size), err)

		_, err = client.Decrypt(callContext(t), &kmsapi.DecryptRequest{
			Ciphertext: sealed.Ciphertext, Uid: callUID, KeyId: string(fill(size)), Annotations: sealed.Annotations})
		check(fmt.Sprintf("key_id of %d bytes", size), err)

		_, err = client.Decrypt(callContext(t), &kmsapi.DecryptRequest{
			Ciphertext: sealed.Ciphertext, Uid: callUID, KeyId: sealed.KeyId,
			Annotations: map[string][]byte{"large.example.com": fill(size)}})
		check(fmt.Sprintf("annotation of %d bytes", size), err)
	}
	many := map[string][]byte{}
	for i := range 5000 {
		many[fmt.Sprintf("a%d.example.com", i)] = nil
	}
	_, err = client.Decrypt(callContext(t), &kmsapi.DecryptRequest{
		Ciphertext: sealed.Ciphertext, Uid: callUID, KeyId: sealed.KeyId, Annotations: many})
	check("5000 annotations", err)
}
