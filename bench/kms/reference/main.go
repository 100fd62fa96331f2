// SPDX-License-Identifier: Apache-2.0

// A KMS v2 plugin as one writes it in Go: the service library of k8s.io/kms on grpc-go, AES-256-GCM with a random
// key in memory. It is the peer that keyturnd is measured against; a restart makes a new key, so it is no use for
// anything else.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"
)

// What kube-apiserver accepts as ciphertext at most (encryptedDEKSourceMaxSize).
const maxCiphertext = 1024

type plugin struct {
	keyID string
	aead  cipher.AEAD
}

func newPlugin() (*plugin, error) {
	var secret [32]byte
	var id [16]byte
	rand.Read(secret[:])
	rand.Read(id[:])
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &plugin{keyID: hex.EncodeToString(id[:]), aead: aead}, nil
}

func (p *plugin) Status(context.Context) (*service.StatusResponse, error) {
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: p.keyID}, nil
}

// Encrypt answers nonce, ciphertext and tag, with the key id as associated data.
func (p *plugin) Encrypt(_ context.Context, _ string, plaintext []byte) (*service.EncryptResponse, error) {
	if len(plaintext)+p.aead.NonceSize()+p.aead.Overhead() > maxCiphertext {
		return nil, status.Error(codes.InvalidArgument, "the ciphertext would be longer than 1024 bytes")
	}
	out := make([]byte, p.aead.NonceSize(), maxCiphertext)
	rand.Read(out)
	out = p.aead.Seal(out, out, plaintext, []byte(p.keyID))
	return &service.EncryptResponse{Ciphertext: out, KeyID: p.keyID}, nil
}

func (p *plugin) Decrypt(_ context.Context, _ string, req *service.DecryptRequest) ([]byte, error) {
	if req.KeyID != p.keyID {
		return nil, status.Error(codes.NotFound, "unknown key_id")
	}
	if len(req.Annotations) != 0 {
		return nil, status.Error(codes.InvalidArgument, "this plugin makes no annotations")
	}
	if len(req.Ciphertext) < p.aead.NonceSize() {
		return nil, status.Error(codes.InvalidArgument, "the ciphertext is too short")
	}
	nonce, sealed := req.Ciphertext[:p.aead.NonceSize()], req.Ciphertext[p.aead.NonceSize():]
	plaintext, err := p.aead.Open(nil, nonce, sealed, []byte(p.keyID))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "the ciphertext is not authentic")
	}
	return plaintext, nil
}

func run(socket string) error {
	p, err := newPlugin()
	if err != nil {
		return err
	}
	// A killed plugin leaves its socket behind, on which nobody could listen again.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	server := service.NewGRPCService(socket, 10*time.Second, p)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		server.Shutdown()
	}()
	return server.ListenAndServe()
}

func main() {
	socket := flag.String("socket", "", "path of the Unix socket to serve")
	flag.Parse()
	if *socket == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*socket); err != nil {
		log.Fatal(err)
	}
}
