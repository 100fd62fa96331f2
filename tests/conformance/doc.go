// SPDX-License-Identifier: Apache-2.0

// Package conformance drives a running KMS v2 plugin through Kubernetes' own client and envelope transformer
// (k8s.io/apiserver, kmsv2), and where these never go, with plain gRPC calls and HTTP/2 frames.
//
//	KEYTURN_SOCKET   path of the plugin's socket
//	KEYTURN_KILL     shell command that kills (-9) the whole plugin and returns when it is gone
//	KEYTURN_START    shell command that starts it, and returns
//	KEYTURN_RESTART  both; KEYTURN_KILL and then KEYTURN_START where it is not set
//
// Run it with: go test -count=1 ./...
//
// Without -count=1 go may print the result of an earlier run. Nothing is ever skipped: what is not set fails.
package conformance
