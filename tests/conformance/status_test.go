// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"testing"

	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
)

func TestStatusSaysV2AndOk(t *testing.T) {
	got := mustStatus(t, kubeClient(t))
	if got.Version != "v2" {
		t.Errorf("version is %q, kube-apiserver wants v2", got.Version)
	}
	if got.Healthz != "ok" {
		t.Errorf("healthz is %q", got.Healthz)
	}
	if _, err := kmsv2.ValidateKeyID(got.KeyID); err != nil {
		t.Errorf("key_id: %v", err)
	}
}

func TestKeyIDStaysTheSame(t *testing.T) {
	client := kubeClient(t)
	first := mustStatus(t, client).KeyID
	for i := range 100 {
		if got := mustStatus(t, client).KeyID; got != first {
			t.Fatalf("call %d: key_id changed from %q to %q", i, first, got)
		}
		if got := mustEncrypt(t, client, randomBytes(32)).KeyID; got != first {
			t.Fatalf("call %d: Encrypt's key_id is %q, Status's is %q", i, got, first)
		}
	}
}
