// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"
)

func TestRestartKeepsKeys(t *testing.T) {
	before, plaintext := kubeClient(t), randomBytes(32)
	keyID := mustStatus(t, before).KeyID
	sealed := mustEncrypt(t, before, plaintext)
	state := newState(t, before, true)
	objects := storeObjects(t, newTransformer(before, state), 100)

	restart(t)

	after := kubeClient(t)
	if got := mustStatus(t, after).KeyID; got != keyID {
		t.Errorf("key_id was %q before the restart and is %q now", keyID, got)
	}
	if got, err := decrypt(after, sealed); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("what was wrapped before the restart does not unwrap: %v", err)
	}
	mustReadBack(t, newTransformer(after, state), objects)
}

// The client is there first, as kube-apiserver is when the plugin starts slowly: its calls wait, and then succeed.
func TestLateStart(t *testing.T) {
	shell(t, "KEYTURN_KILL")
	started := false
	t.Cleanup(func() {
		if !started {
			shell(t, "KEYTURN_START")
		}
	})

	conn := dial(t)
	conn.Connect()
	ctx := callContext(t)
	for state := conn.GetState(); state == connectivity.Idle; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			t.Fatal("the client does not even try to connect")
		}
	}
	kube := kubeClient(t)
	answers := make(chan error, 2)
	go func() {
		_, err := kmsapi.NewKeyManagementServiceClient(conn).Status(ctx, &kmsapi.StatusRequest{})
		answers <- err
	}()
	go func() {
		_, err := kube.Status(context.Background())
		answers <- err
	}()

	shell(t, "KEYTURN_START")
	started = true
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Errorf("a call that was made before the plugin started: %v", err)
		}
	}
}

// lost says whether a call may end like this while the plugin restarts: the connection broke, or was not there in
// time.
func lost(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

// callUntil makes round trips until one that began after `restarted` was closed has succeeded.
func callUntil(client service.Service, keyID string, restarted <-chan struct{}) error {
	for {
		after := false
		select {
		case <-restarted:
			after = true
		default:
		}
		err := roundTrip(client, keyID)
		if err == nil && after {
			return nil
		}
		if err != nil && !lost(err) {
			return err
		}
	}
}

func roundTrip(client service.Service, keyID string) error {
	plaintext := randomBytes(32)
	sealed, err := client.Encrypt(context.Background(), callUID, plaintext)
	if err != nil {
		return err
	}
	if sealed.KeyID != keyID {
		return errors.New("Encrypt answers with another key_id")
	}
	got, err := decrypt(client, sealed)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, plaintext) {
		return errors.New("another plaintext came back")
	}
	return nil
}

// The plugin is killed under clients that are in the middle of calls. Calls may be lost, none may be answered
// wrongly, and the same client must be served again soon. What was wrapped under way must unwrap afterwards.
func TestRestartUnderOpenClients(t *testing.T) {
	clients := []service.Service{kubeClient(t), kubeClient(t)}
	keyID := mustStatus(t, clients[0]).KeyID
	plaintext := randomBytes(32)
	sealed := mustEncrypt(t, clients[0], plaintext)
	restarted := make(chan struct{})
	done := make(chan error, 8)
	var under sync.WaitGroup
	for i := range cap(done) {
		under.Add(1)
		go func() {
			client := clients[i%len(clients)]
			err := roundTrip(client, keyID)
			under.Done()
			if err == nil {
				err = callUntil(client, keyID, restarted)
			}
			done <- err
		}()
	}
	under.Wait()

	restart(t)
	close(restarted)

	limit := time.After(resumeTimeout)
	for range cap(done) {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-limit:
			t.Fatalf("a client that was connected before the restart is not served within %v after it", resumeTimeout)
		}
	}
	if got, err := decrypt(clients[0], sealed); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("what was wrapped before the restart does not unwrap: %v", err)
	}
}
