// SPDX-License-Identifier: Apache-2.0

// Calls Status on a KMS v2 socket, one call after the other on one connection, as kube-apiserver is connected
// (grpc-go, WaitForReady, authority localhost, 3 s a call), and prints the longest time between two answers. Tells on
// standard output when it has its first answer, and ends when standard input closes.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	kmsapi "k8s.io/kms/apis/v2"
)

func main() {
	socket := flag.String("socket", "", "path of the KMS v2 socket")
	flag.Parse()
	conn, err := grpc.NewClient("unix://"+*socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	client := kmsapi.NewKeyManagementServiceClient(conn)
	done := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		close(done)
	}()
	var last time.Time
	var longest time.Duration
	calls, failed := 0, 0
	for {
		select {
		case <-done:
			fmt.Printf("{\"calls\":%d,\"failed\":%d,\"longest_ms\":%.3f}\n", calls, failed, float64(longest.Microseconds())/1e3)
			return
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		_, err := client.Status(ctx, &kmsapi.StatusRequest{})
		cancel()
		calls++
		if err != nil {
			failed++
			continue
		}
		now := time.Now()
		if last.IsZero() {
			fmt.Println("first")
		} else if gap := now.Sub(last); gap > longest {
			longest = gap
		}
		last = now
		time.Sleep(time.Millisecond)
	}
}
