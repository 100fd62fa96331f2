// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
)

// A server that does not know a method must say so, and not leave the caller waiting for its deadline.
func TestUnknownMethods(t *testing.T) {
	conn := dial(t)
	for _, method := range []string{
		"/v2.KeyManagementService/Rotate",
		"/v2.KeyManagementService/",
		"/v2.KeyManagementService/status",
		"/v1beta1.KeyManagementService/Encrypt",
		"/v2beta1.KeyManagementService/Status",
		"/grpc.health.v1.Health/Check",
		"/a/b",
	} {
		err := conn.Invoke(callContext(t), method, &kmsapi.StatusRequest{}, &kmsapi.StatusResponse{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: want Unimplemented, got %v", method, err)
		}
	}
	if _, err := kmsapi.NewKeyManagementServiceClient(conn).Status(callContext(t), &kmsapi.StatusRequest{}); err != nil {
		t.Errorf("Status on the same connection: %v", err)
	}
}

// rawStatus calls Status with hand-made frames, and gives the fields of the header blocks that come back. grpc-go
// would not send every authority that other clients do.
func rawStatus(authority string) (map[string]string, error) {
	conn, err := net.Dial("unix", socketPath())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callTimeout))
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, err
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		return nil, err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/v2.KeyManagementService/Status"}, {":authority", authority},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	if err != nil {
		return nil, err
	}
	if err := framer.WriteData(1, true, make([]byte, 5)); err != nil {
		return nil, err
	}
	return readFields(framer)
}

func readFields(framer *http2.Framer) (map[string]string, error) {
	fields := map[string]string{}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				framer.WritePing(true, f.Data)
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return nil, fmt.Errorf("answered with %v", frame)
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				fields[field.Name] = field.Value
			}
			if f.StreamEnded() {
				return fields, nil
			}
		}
	}
}

// The authority of a Unix socket means nothing: kube-apiserver says localhost, other clients what they please.
func TestAnyAuthority(t *testing.T) {
	for _, authority := range []string{
		"localhost", "", socketPath(), strings.ReplaceAll(socketPath(), "/", "%2F"), "unix", "[::1]:8080",
		"keyturn.example.com:443", strings.Repeat("a", 255),
	} {
		fields, err := rawStatus(authority)
		if err != nil {
			t.Errorf("authority %q: %v", authority, err)
			continue
		}
		if fields[":status"] != "200" || fields["grpc-status"] != "0" {
			t.Errorf("authority %q: answered with %v", authority, fields)
		}
	}
}
