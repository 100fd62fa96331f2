// SPDX-License-Identifier: Apache-2.0

// Command oracle says what kube-apiserver makes of EncryptionConfiguration files: it is kube-apiserver's own loader
// (k8s.io/apiserver, pkg/server/options/encryptionconfig), without the server.
//
// Standard input: the path of a file on each line. Standard output: a line of JSON for each, in the same order, with what
// the loader said without (error) and with automatic reload (reload); an empty text: the file was taken.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	kmsservice "k8s.io/kms/pkg/service"
)

type verdict struct {
	File   string `json:"file"`
	Error  string `json:"error"`
	Reload string `json:"reload"`
}

// healthy is a KMS v2 plugin that answers at once. The loader waits up to ten seconds for the first answer of one that
// nobody serves, and takes the file all the same: only that wait is left out.
type healthy struct{}

func (healthy) Decrypt(context.Context, string, *kmsservice.DecryptRequest) ([]byte, error) {
	return make([]byte, 32), nil
}

func (healthy) Encrypt(context.Context, string, []byte) (*kmsservice.EncryptResponse, error) {
	return &kmsservice.EncryptResponse{Ciphertext: []byte("c"), KeyID: "k"}, nil
}

func (healthy) Status(context.Context) (*kmsservice.StatusResponse, error) {
	return &kmsservice.StatusResponse{Version: "v2", Healthz: "ok", KeyID: "k"}, nil
}

// connect makes the real client first, for what it has to say about the endpoint.
func connect(ctx context.Context, endpoint, name string, timeout time.Duration) (kmsservice.Service, error) {
	if _, err := kmsv2.NewGRPCService(ctx, endpoint, name, timeout); err != nil {
		return nil, err
	}
	return healthy{}, nil
}

func load(path string, reload bool) (text string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer func() {
		if crash := recover(); crash != nil {
			text = fmt.Sprintf("panic: %v", crash)
		}
	}()
	if _, err := encryptionconfig.LoadEncryptionConfig(ctx, path, reload, "oracle"); err != nil {
		return err.Error()
	}
	return ""
}

func judge(verdicts []verdict) {
	next := make(chan *verdict)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for v := range next {
				v.Error = load(v.File, false)
				v.Reload = load(v.File, true)
			}
		}()
	}
	for i := range verdicts {
		next <- &verdicts[i]
	}
	close(next)
	workers.Wait()
}

func main() {
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	encryptionconfig.EnvelopeKMSv2ServiceFactory = connect
	if err := utilfeature.DefaultMutableFeatureGate.Set("KMSv1=true"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var verdicts []verdict
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		verdicts = append(verdicts, verdict{File: input.Text()})
	}
	judge(verdicts)
	output := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(output)
	encoder.SetEscapeHTML(false)
	for i := range verdicts {
		if err := encoder.Encode(&verdicts[i]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if output.Flush() != nil || input.Err() != nil {
		os.Exit(1)
	}
}
