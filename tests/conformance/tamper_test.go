// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"
)

// mustRefuse sends an altered Decrypt. Whatever was altered, no plaintext may come back, and the error may not
// repeat it.
func mustRefuse(t *testing.T, client service.Service, what string, request *service.DecryptRequest) {
	t.Helper()
	got, err := client.Decrypt(context.Background(), callUID, request)
	if problem := refusal(err); problem != "" {
		t.Fatalf("%s: %s", what, problem)
	}
	if len(got) != 0 {
		t.Fatalf("%s: an error with a plaintext", what)
	}
	if len(request.KeyID) >= 8 && strings.Contains(status.Convert(err).Message(), request.KeyID) {
		t.Fatalf("%s: the error repeats the key_id that was sent", what)
	}
}

func asRequest(sealed *service.EncryptResponse) *service.DecryptRequest {
	return &service.DecryptRequest{
		Ciphertext:  bytes.Clone(sealed.Ciphertext),
		KeyID:       sealed.KeyID,
		Annotations: maps.Clone(sealed.Annotations),
	}
}

// mustStillDecrypt shows that it was the alteration that was refused, and that it did no harm.
func mustStillDecrypt(t *testing.T, client service.Service, sealed *service.EncryptResponse, plaintext []byte) {
	t.Helper()
	got, err := decrypt(client, sealed)
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Fatalf("what was not altered does not decrypt any more: %v", err)
	}
}

func TestCiphertextWithAnyBitFlipped(t *testing.T) {
	client, plaintext := kubeClient(t), randomBytes(32)
	sealed := mustEncrypt(t, client, plaintext)
	for bit := range len(sealed.Ciphertext) * 8 {
		request := asRequest(sealed)
		request.Ciphertext[bit/8] ^= 1 << (bit % 8)
		mustRefuse(t, client, fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8), request)
	}
	mustStillDecrypt(t, client, sealed, plaintext)
}

func TestCiphertextOfAnotherLength(t *testing.T) {
	client, plaintext := kubeClient(t), randomBytes(32)
	sealed := mustEncrypt(t, client, plaintext)
	for n := range len(sealed.Ciphertext) {
		request := asRequest(sealed)
		request.Ciphertext = request.Ciphertext[:n]
		mustRefuse(t, client, fmt.Sprintf("cut to %d bytes", n), request)
		request.Ciphertext = bytes.Clone(sealed.Ciphertext[len(sealed.Ciphertext)-n:])
		mustRefuse(t, client, fmt.Sprintf("cut to the last %d bytes", n), request)
	}
	for _, n := range []int{1, 16, 1024 - len(sealed.Ciphertext), 1024} {
		request := asRequest(sealed)
		request.Ciphertext = append(request.Ciphertext, make([]byte, n)...)
		mustRefuse(t, client, fmt.Sprintf("%d bytes appended", n), request)
	}
	request := asRequest(sealed)
	request.Ciphertext = append(request.Ciphertext, sealed.Ciphertext...)
	mustRefuse(t, client, "twice in a row", request)
	mustStillDecrypt(t, client, sealed, plaintext)
}

func TestPartsOfTwoCiphertexts(t *testing.T) {
	client, plaintext := kubeClient(t), randomBytes(32)
	one, two := mustEncrypt(t, client, plaintext), mustEncrypt(t, client, plaintext)
	length := min(len(one.Ciphertext), len(two.Ciphertext))
	for cut := 1; cut < length; cut++ {
		request := asRequest(one)
		copy(request.Ciphertext[cut:], two.Ciphertext[cut:])
		if bytes.Equal(request.Ciphertext, one.Ciphertext) || bytes.Equal(request.Ciphertext, two.Ciphertext) {
			continue
		}
		mustRefuse(t, client, fmt.Sprintf("spliced at byte %d", cut), request)
	}
	mustStillDecrypt(t, client, one, plaintext)
}

func TestUnknownKeyID(t *testing.T) {
	client, plaintext := kubeClient(t), randomBytes(32)
	sealed := mustEncrypt(t, client, plaintext)
	unknown := map[string]string{
		"empty":            "",
		"another":          "no-such-key-0123456789",
		"one byte short":   sealed.KeyID[:len(sealed.KeyID)-1],
		"one byte more":    sealed.KeyID + "x",
		"a NUL at the end": sealed.KeyID + "\x00",
		"text after a NUL": sealed.KeyID + "\x00another",
		"a space before":   " " + sealed.KeyID,
		"in capitals":      strings.ToUpper(sealed.KeyID),
		"1024 bytes":       strings.Repeat("k", 1024),
		"not ASCII":        "schlüssel-schlüssel",
	}
	for what, id := range unknown {
		if id == sealed.KeyID {
			continue
		}
		request := asRequest(sealed)
		request.KeyID = id
		mustRefuse(t, client, "key_id "+what, request)
	}
	for i := range len(sealed.KeyID) {
		id := []byte(sealed.KeyID)
		id[i] ^= 1
		request := asRequest(sealed)
		request.KeyID = string(id)
		mustRefuse(t, client, fmt.Sprintf("byte %d of the key_id changed", i), request)
	}
	mustStillDecrypt(t, client, sealed, plaintext)
}

// Annotations travel in clear and unprotected in etcd: the plugin must take back what it gave, none or some, and
// nothing else.
func TestAnnotationsOfOthers(t *testing.T) {
	client, plaintext := kubeClient(t), randomBytes(32)
	sealed := mustEncrypt(t, client, plaintext)
	mustStillDecrypt(t, client, sealed, plaintext)

	added := map[string]map[string][]byte{
		"one":           {"added.example.com": []byte("value")},
		"an empty one":  {"added.example.com": nil},
		"a large one":   {"added.example.com": make([]byte, 16<<10)},
		"without name":  {"": []byte("value")},
		"several":       {"a.example.com": []byte("1"), "b.example.com": []byte("2"), "c.example.com": nil},
		"a bad name":    {"Not A Domain": []byte("value")},
		"our key_id":    {"added.example.com": []byte(sealed.KeyID)},
		"up to 32 KiB":  {"a.example.com": make([]byte, 32<<10-len("a.example.com"))},
		"the plaintext": {"added.example.com": plaintext},
	}
	for what, extra := range added {
		request := asRequest(sealed)
		if request.Annotations == nil {
			request.Annotations = map[string][]byte{}
		}
		maps.Copy(request.Annotations, extra)
		mustRefuse(t, client, "annotations added: "+what, request)
	}
	for name, value := range sealed.Annotations {
		request := asRequest(sealed)
		delete(request.Annotations, name)
		mustRefuse(t, client, "annotation "+name+" left out", request)
		for i := range value {
			request = asRequest(sealed)
			request.Annotations[name] = bytes.Clone(value)
			request.Annotations[name][i] ^= 1
			mustRefuse(t, client, fmt.Sprintf("byte %d of annotation %s changed", i, name), request)
		}
	}
	mustStillDecrypt(t, client, sealed, plaintext)
}
