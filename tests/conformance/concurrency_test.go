// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"k8s.io/kms/pkg/service"
)

const (
	callers        = 100
	callsPerCaller = 200
)

// caller makes calls of all three methods in turn, and checks each answer.
func caller(client service.Service, keyID string, seen *sync.Map) error {
	var sealed *service.EncryptResponse
	var plaintext []byte
	for i := range callsPerCaller {
		switch {
		case i%10 == 9:
			got, err := client.Status(context.Background())
			if err != nil || got.KeyID != keyID || got.Version != "v2" || got.Healthz != "ok" {
				return fmt.Errorf("call %d: Status: %+v, %v", i, got, err)
			}
		case i%10%3 == 0:
			var err error
			plaintext = randomBytes(32)
			sealed, err = client.Encrypt(context.Background(), callUID, plaintext)
			if err != nil {
				return fmt.Errorf("call %d: Encrypt: %v", i, err)
			}
			if sealed.KeyID != keyID {
				return fmt.Errorf("call %d: Encrypt's key_id is %q, Status's is %q", i, sealed.KeyID, keyID)
			}
			if _, twice := seen.LoadOrStore(string(sealed.Ciphertext), true); twice {
				return fmt.Errorf("call %d: Encrypt: the same ciphertext twice", i)
			}
		default:
			got, err := decrypt(client, sealed)
			if err != nil || !bytes.Equal(got, plaintext) {
				return fmt.Errorf("call %d: Decrypt gave %d bytes that may not be ours: %v", i, len(got), err)
			}
		}
	}
	return nil
}

func runCallers(t *testing.T, clients []service.Service) {
	t.Helper()
	keyID := mustStatus(t, clients[0]).KeyID
	errs := make(chan error, callers)
	var seen sync.Map
	for i := range callers {
		go func() { errs <- caller(clients[i%len(clients)], keyID, &seen) }()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestManyCallersOnOneConnection(t *testing.T) {
	runCallers(t, []service.Service{kubeClient(t)})
}

func TestManyCallersOnTenConnections(t *testing.T) {
	var clients []service.Service
	for range 10 {
		clients = append(clients, kubeClient(t))
	}
	runCallers(t, clients)
}
