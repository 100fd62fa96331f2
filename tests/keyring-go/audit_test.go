// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// The example of docs/audit-format.md, with its hashes in full.
var example = strings.NewReplacer("AAAA", strings.Repeat("a", 64), "BBBB", strings.Repeat("b", 64), "0000...",
	strings.Repeat("0", 64), "1111...", strings.Repeat("1", 32), "2222...", strings.Repeat("2", 32), "\n", "").Replace(
	`{"v":1,"seq":2,"prev":"sha256:AAAA","time":"2026-11-23T09:00:00Z",
"keyring":"000102030405060708090a0b0c0d0e0f","event":"node-removed","subject":"node-2",
"command":"node remove","node":"node-1","who":{"uid":0,"user":"root","login":"alice","sudo":"alice"},
"config":{"before":"sha256:0000...","after":"sha256:BBBB"},
"before":{"membership":1,"generation":1,"hash":"sha256:BBBB","stage":"start","enabled":true,"strict":false,
"hold":86400,"apiServers":3,"archived":0,"recipients":["node-1","node-2","recovery"],
"keys":[{"id":"1111...","name":"kmskey","type":"kms","state":"active"}]},
"after":{"membership":2,"generation":2,"stage":"prepare","enabled":true,"strict":false,"hold":86400,"apiServers":3,"archived":0,
"recipients":["node-1","recovery"],"keys":[{"id":"1111...","name":"kmskey","type":"kms","state":"active"},
{"id":"2222...","name":"kmskey-m2","type":"kms","state":"ready"}]}}`)

func TestAuditLine(t *testing.T) {
	line, err := parseAuditLine(example)
	if err != nil {
		t.Fatal(err)
	}
	if line.Seq != 2 || line.Who.Login != "alice" || line.After.Keys[1].Name != "kmskey-m2" {
		t.Errorf("%+v", line)
	}
	for _, change := range [][2]string{{`"v":1`, `"v":2`}, {`"v":1,`, `"v":1, `}, {`"seq":2`, `"seq":02`},
		{`"config":{`, `"more":1,"config":{`}, {`"ready"}]}}`, `"ready"}]}} `}, {`node-removed`, `node-eaten`},
		{`"stage":"prepare"`, `"hash":"sha256:` + strings.Repeat("b", 64) + `","stage":"prepare"`},
		{`"user":"root"`, `"user":"r\u006fot"`}, {`"user":"root"`, "\"user\":\"r\toot\""}, {`"user":"root"`, `"user":"r\/oot"`}, {`:00Z`, `:00+00:00`}} {
		text := strings.Replace(example, change[0], change[1], 1)
		if _, err := parseAuditLine(text); err == nil || text == example {
			t.Errorf("taken: %s", change[1])
		}
	}
}

func TestAuditIsCarried(t *testing.T) {
	w := newWorld(t)
	head := w.open(t).list.auditHead
	for i := 2; i <= auditLinesMax+3; i++ {
		o := w.next(t, fmt.Sprintf("hold:%d", 600+i))
		first, err := parseAuditLine(o.list.audit[0])
		if err != nil {
			t.Fatal(err)
		}
		line, err := parseAuditLine(o.list.audit[len(o.list.audit)-1])
		if err != nil {
			t.Fatal(err)
		}
		if len(o.list.audit) != min(i, auditLinesMax) || int(first.Seq) != max(1, i-auditLinesMax+1) ||
			line.Prev != textHash(head) || line.After.Hold != uint64(600+i) || line.Before.Generation != uint64(i-1) {
			t.Errorf("generation %d: %+v", i, line)
		}
		head = o.list.auditHead
	}
	w.member(t, "remove-recipient:node-1", "add-recipient:node-9,file,"+text64(newPair().public))
}

func TestAuditLog(t *testing.T) {
	w := newWorld(t)
	var log string
	for i := 0; i < 5; i++ {
		log += w.open(t).list.audit[i] + "\n"
		w.next(t, "stage:prepare")
	}
	o := w.open(t)
	whole := log + o.list.audit[5] + "\n"
	if seqs, err := checkLog(whole, o.keyring); err != nil || len(seqs) != 6 {
		t.Fatal(seqs, err)
	}
	for i := range whole {
		flipped := []byte(whole)
		flipped[i] ^= 1
		if _, err := checkLog(string(flipped), o.keyring); err == nil {
			t.Errorf("byte %d", i)
		}
	}
	rows := strings.SplitAfter(strings.TrimSuffix(whole, "\n"), "\n")
	for i := 1; i < len(rows); i++ { // a log may begin later
		for _, spoilt := range []string{strings.Join(append(append([]string{}, rows[:i]...), rows[i+1:]...), ""),
			strings.Join(append(append(append([]string{}, rows[:i]...), rows[i-1]), rows[i:]...), "")} {
			if _, err := checkLog(spoilt, o.keyring); err == nil {
				t.Errorf("row %d", i)
			}
		}
	}
	if !bytes.Equal(hashOf([]byte(o.list.audit[5])), o.list.auditHead) {
		t.Error("the head is not the hash of the last line")
	}
}
