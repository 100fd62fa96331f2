// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"
)

const (
	// For one call, and generous: the plugin may run under a sanitizer, on a busy machine.
	callTimeout = 30 * time.Second
	// How long after the return of KEYTURN_RESTART a client that was connected before must be served again.
	resumeTimeout = 10 * time.Second

	callUID = "7c5b1d6e-1f0e-4a3f-9c3a-2b6a3b1f0e11"
)

func TestMain(m *testing.M) {
	if os.Getenv("KEYTURN_SOCKET") == "" {
		fmt.Fprintln(os.Stderr, "KEYTURN_SOCKET is not set: it must name the socket of the plugin to test")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func socketPath() string { return os.Getenv("KEYTURN_SOCKET") }

// shell runs the command that the environment variable holds.
func shell(t *testing.T, variable string) {
	t.Helper()
	command := os.Getenv(variable)
	if command == "" {
		t.Fatalf("%s is not set: this test needs it to stop and start the plugin", variable)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// A file, as the plugin that is started may inherit it: of a pipe, the end would not come before the plugin's own.
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(output.Name())
		t.Fatalf("%s (%s): %v\n%s", variable, command, err, said)
	}
}

func restart(t *testing.T) {
	t.Helper()
	if os.Getenv("KEYTURN_RESTART") != "" {
		shell(t, "KEYTURN_RESTART")
		return
	}
	shell(t, "KEYTURN_KILL")
	shell(t, "KEYTURN_START")
}

// kubeClient is the client that kube-apiserver has, on a connection of its own.
func kubeClient(t *testing.T) service.Service {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	client, err := kmsv2.NewGRPCService(ctx, "unix://"+socketPath(), "keyturn", callTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// dial gives a connection as kube-apiserver's is, for what its client cannot be made to say.
func dial(t *testing.T, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append([]grpc.DialOption{
		grpc.WithAuthority("localhost"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socketPath())
		}),
	}, options...)
	conn, err := grpc.NewClient("passthrough:///keyturn", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func rawClient(t *testing.T) kmsapi.KeyManagementServiceClient {
	t.Helper()
	return kmsapi.NewKeyManagementServiceClient(dial(t))
}

func callContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	t.Cleanup(cancel)
	return ctx
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func mustStatus(t *testing.T, client service.Service) *service.StatusResponse {
	t.Helper()
	response, err := client.Status(context.Background())
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	return response
}

func mustEncrypt(t *testing.T, client service.Service, plaintext []byte) *service.EncryptResponse {
	t.Helper()
	response, err := client.Encrypt(context.Background(), callUID, plaintext)
	if err != nil {
		t.Fatalf("Encrypt of %d bytes: %v", len(plaintext), err)
	}
	return response
}

func decrypt(client service.Service, sealed *service.EncryptResponse) ([]byte, error) {
	return client.Decrypt(context.Background(), callUID, &service.DecryptRequest{
		Ciphertext:  sealed.Ciphertext,
		KeyID:       sealed.KeyID,
		Annotations: sealed.Annotations,
	})
}

// refusal says what is wrong with err as the answer to a request that must be refused, or "". A refusal has a
// status that tells the caller that the request is at fault, and comes from the plugin: no time-out, no lost
// connection.
func refusal(err error) string {
	switch code := status.Code(err); code {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.OutOfRange,
		codes.ResourceExhausted, codes.DataLoss:
		if status.Convert(err).Message() == "" {
			return "refused without a message"
		}
		return ""
	case codes.OK:
		return "accepted"
	default:
		return fmt.Sprintf("not a clean refusal: %v", err)
	}
}
