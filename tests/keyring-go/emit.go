// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

type emitter struct{ bytes.Buffer }

func (e *emitter) line(format string, args ...any) { fmt.Fprintf(e, format+"\n", args...) }

// What needs no quotes, whoever reads it.
var (
	bareText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)
	words    = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null|nan|inf)$`)
)

func scalar(text string) string {
	if bareText.MatchString(text) && !words.MatchString(text) {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func emitMembership(m *membership) []byte {
	var e emitter
	e.line("apiVersion: %s\nkind: Membership\nformat: %d", apiVersion, m.format)
	e.line("keyring: %x", m.keyring)
	e.line("membership: %d", m.number)
	e.line("madeOver:\n  generation: %d\n  hash: %s", m.madeGeneration, textHash(m.madeHash))
	e.line("owner: %s\nsigner: %s", text64(m.owner), text64(m.signer))
	e.line("recipients:")
	for _, r := range m.recipients {
		e.line("- name: %s\n  kind: %s\n  publicKey: %s", scalar(r.name), r.kind, text64(r.publicKey))
	}
	return e.Bytes()
}

func emitKeyList(l *keyList) []byte {
	var e emitter
	e.line("apiVersion: %s\nkind: KeyList\nformat: %d", apiVersion, l.format)
	e.line("keyring: %x", l.keyring)
	e.line("membershipHash: %s", textHash(l.membershipHash))
	e.line("generation: %d\nprevious: %s", l.generation, textHash(l.previous))
	e.line("written: %s\nwriter: %s", l.written.Format(timeLayout), scalar(l.writer))
	e.line("stage: %s\nenabled: %t\nstrict: %t\nhold: %d", l.stage, l.enabled, l.strict, l.hold)
	e.list("apiServers", len(l.apiServers), func(i int) { e.line("- %s", scalar(l.apiServers[i])) })
	e.line("auditHead: %s\ncommitment: %s", textHash(l.auditHead), hex.EncodeToString(l.commitment))
	e.list("keys", len(l.keys), func(i int) { e.key(l.keys[i]) })
	e.line("signerKey: %s\nstatusKey: %s", text64(l.signerKey), text64(l.statusKey))
	e.list("archive", len(l.archive), func(i int) { e.archived(l.archive[i]) })
	e.list("wraps", len(l.wraps), func(i int) {
		e.line("- recipient: %s\n  wrapped: %s", scalar(l.wraps[i].recipient), text64(l.wraps[i].wrapped))
	})
	e.list("audit", len(l.audit), func(i int) { e.line("- '%s'", strings.ReplaceAll(l.audit[i], "'", "''")) })
	return e.Bytes()
}

func (e *emitter) list(name string, n int, item func(i int)) {
	if n == 0 {
		e.line("%s: []", name)
		return
	}
	e.line("%s:", name)
	for i := range n {
		item(i)
	}
}

func (e *emitter) key(k listedKey) {
	e.line("- id: %s\n  name: %s\n  type: %s\n  algorithm: %s", k.id, scalar(k.name), k.typ, k.algorithm)
	e.line("  state: %s\n  created: %s", k.state, k.created.Format(timeLayout))
	if !k.retiringSince.IsZero() {
		e.line("  retiringSince: %s", k.retiringSince.Format(timeLayout))
	}
	e.line("  wrapped: %s", text64(k.wrapped))
}

func (e *emitter) archived(k archivedKey) {
	e.line("- id: %s\n  name: %s\n  type: %s\n  algorithm: %s", k.id, scalar(k.name), k.typ, k.algorithm)
	e.line("  created: %s\n  retired: %s", k.created.Format(timeLayout), k.retired.Format(timeLayout))
	e.line("  sealed: %s", text64(k.sealed))
}
