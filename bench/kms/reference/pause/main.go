// SPDX-License-Identifier: Apache-2.0

// Calls Encrypt on a KMS v2 socket, one call after the other on one connection, as kube-apiserver is connected
// (grpc-go, WaitForReady, authority localhost, 3 s a call), and measures the longest time without an answer. It says
// "first" on standard output at its first answer, and for each line "mark" on standard input says "after" when a call
// that it made after the mark is answered. When standard input closes it prints a line of JSON and ends; a silence
// that goes on then counts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
)

const (
	callTimeout = 3 * time.Second
	pace        = time.Millisecond
)

type report struct {
	Calls     int            `json:"calls"`
	Failed    map[string]int `json:"failed"` // by gRPC code
	LongestMS float64        `json:"longest_ms"`
}

type caller struct {
	client kmsapi.KeyManagementServiceClient
	report report
	last   time.Time // of the last answer
}

func (c *caller) silence(now time.Time) {
	if !c.last.IsZero() {
		c.report.LongestMS = max(c.report.LongestMS, float64(now.Sub(c.last).Microseconds())/1e3)
	}
}

// call says whether there was an answer. One that is given up because all ends is no call.
func (c *caller) call(ending context.Context) bool {
	ctx, cancel := context.WithTimeout(ending, callTimeout)
	defer cancel()
	_, err := c.client.Encrypt(ctx, &kmsapi.EncryptRequest{Uid: "pause", Plaintext: make([]byte, 32)})
	if err != nil && ending.Err() != nil {
		return false
	}
	c.report.Calls++
	if err != nil {
		c.report.Failed[status.Code(err).String()]++
		return false
	}
	now := time.Now()
	c.silence(now)
	if c.last.IsZero() {
		fmt.Println("first")
	}
	c.last = now
	return true
}

func (c *caller) run(ending context.Context, marks <-chan struct{}) {
	marked := false
	for ending.Err() == nil {
		if !marked {
			select {
			case <-marks:
				marked = true
			default:
			}
		}
		if c.call(ending) && marked {
			fmt.Println("after")
			marked = false
		}
		time.Sleep(pace)
	}
	c.silence(time.Now())
}

// listen passes on what standard input says.
func listen(end func(), marks chan<- struct{}) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() != "mark" {
			log.Fatalf("expected mark, found %q", lines.Text())
		}
		marks <- struct{}{}
	}
	end()
}

func main() {
	socket := flag.String("socket", "", "path of the KMS v2 socket")
	flag.Parse()
	conn, err := grpc.NewClient("unix://"+*socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ending, end := context.WithCancel(context.Background())
	marks := make(chan struct{})
	go listen(end, marks)
	c := caller{client: kmsapi.NewKeyManagementServiceClient(conn), report: report{Failed: map[string]int{}}}
	c.run(ending, marks)
	_ = json.NewEncoder(os.Stdout).Encode(c.report)
}
