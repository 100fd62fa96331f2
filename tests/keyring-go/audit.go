// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The audit log of docs/audit-format.md: the lines that a keyring carries, and the file that they end up in.

const (
	auditLineMax  = 98304
	auditLinesMax = 16
	auditTailMax  = 98304
)

type auditWho struct {
	UID   uint32 `json:"uid"`
	User  string `json:"user"`
	Login string `json:"login"`
	Sudo  string `json:"sudo"`
}

type auditConfig struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

type auditKey struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Type  string `json:"type"`
	State string `json:"state"`
}

type auditState struct {
	Membership uint64     `json:"membership"`
	Generation uint64     `json:"generation"`
	Hash       string     `json:"hash,omitempty"` // before only
	Stage      string     `json:"stage"`
	Enabled    bool       `json:"enabled"`
	Strict     bool       `json:"strict"`
	Hold       uint64     `json:"hold"`
	APIServers uint64     `json:"apiServers"`
	Archived   uint64     `json:"archived"`
	Recipients []string   `json:"recipients"`
	Keys       []auditKey `json:"keys"`
}

type auditLine struct {
	V       uint64       `json:"v"`
	Seq     uint64       `json:"seq"`
	Prev    string       `json:"prev"`
	Time    string       `json:"time"`
	Keyring string       `json:"keyring"`
	Event   string       `json:"event"`
	Subject string       `json:"subject"`
	Command string       `json:"command"`
	Node    string       `json:"node"`
	Who     *auditWho    `json:"who"`
	Config  *auditConfig `json:"config"`
	Before  *auditState  `json:"before"`
	After   auditState   `json:"after"`
}

var (
	auditPrefix = regexp.MustCompile(`^\{"v":([1-9][0-9]*),"seq":([1-9][0-9]*),"prev":"sha256:([0-9a-f]{64})",`)
	auditHash   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	auditEvents = []string{"founded", "changed", "node-added", "node-replaced", "node-removed", "recovery-replaced",
		"recovery-lost"}
)

func (l *auditLine) text() (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(l)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// parseAuditLine takes a line in canonical form only (§1): what reads as the same line has the same bytes.
func parseAuditLine(text string) (*auditLine, error) {
	if _, err := parsePrefix(text); err != nil {
		return nil, err
	}
	l := &auditLine{}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(l); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("something behind the object")
	}
	again, err := l.text()
	if err != nil || again != text {
		return nil, fmt.Errorf("not in canonical form")
	}
	return l, l.check()
}

func (l *auditLine) check() error {
	at, err := time.Parse(timeLayout, l.Time)
	switch {
	case l.V != 1:
		return fmt.Errorf("version %d", l.V)
	case err != nil || at.Format(timeLayout) != l.Time:
		return fmt.Errorf("no time: %s", l.Time)
	case !slices.Contains(auditEvents, l.Event):
		return fmt.Errorf("no event: %s", l.Event)
	case l.Before != nil && !auditHash.MatchString(l.Before.Hash) || l.After.Hash != "":
		return fmt.Errorf("a hash of the generation before, and only of that")
	case len(l.Command) > 63 || l.Who != nil && max(len(l.Who.User), len(l.Who.Login), len(l.Who.Sudo)) > 63:
		return fmt.Errorf("a claim of more than 63 bytes")
	}
	return nil
}

type prefix struct {
	seq  uint64
	prev []byte
}

// parsePrefix reads what every version of a line begins with.
func parsePrefix(text string) (*prefix, error) {
	if len(text) > auditLineMax || !nameCharacters(text) {
		return nil, fmt.Errorf("not 1 to %d bytes of characters that a key's name may have", auditLineMax)
	}
	found := auditPrefix.FindStringSubmatch(text)
	if found == nil {
		return nil, fmt.Errorf("not the beginning of a line")
	}
	seq, err := strconv.ParseUint(found[2], 10, 64)
	if err != nil || seq > numberMax {
		return nil, fmt.Errorf("no number of a line")
	}
	prev, err := hex.DecodeString(found[3])
	return &prefix{seq, prev}, err
}

// checkChain gives the last line's beginning and hash, of lines each of which follows the one before it.
func checkChain(lines []string) (last *prefix, head []byte, err error) {
	last, head = &prefix{}, make([]byte, 32)
	for i, line := range lines {
		p, err := parsePrefix(line)
		if err != nil {
			return nil, nil, fmt.Errorf("line %d of %d: %w", i+1, len(lines), err)
		}
		if i > 0 && (p.seq != last.seq+1 || !bytes.Equal(p.prev, head)) {
			return nil, nil, fmt.Errorf("line %d of %d does not follow the one before it", i+1, len(lines))
		}
		last, head = p, hashOf([]byte(line))
	}
	return last, head, nil
}

// checkTail says whether these are lines that a keyring may carry (§2).
func checkTail(lines []string, auditHead []byte) error {
	_, head, err := checkChain(lines)
	if err != nil {
		return err
	}
	if !bytes.Equal(head, auditHead) {
		return fmt.Errorf("auditHead is not the hash of the last line")
	}
	if total := len(strings.Join(lines, "")); total > auditTailMax {
		return fmt.Errorf("%d bytes", total)
	}
	return nil
}

func stateOf(m *membership, l *keyList) *auditState {
	s := &auditState{Membership: m.number, Generation: l.generation, Stage: l.stage, Enabled: l.enabled, Strict: l.strict,
		Hold: l.hold, APIServers: uint64(len(l.apiServers)), Archived: uint64(len(l.archive)), Recipients: []string{}, Keys: []auditKey{}}
	for _, r := range m.recipients {
		s.Recipients = append(s.Recipients, r.name)
	}
	for _, k := range l.keys {
		s.Keys = append(s.Keys, auditKey{k.id, k.name, k.typ, k.state})
	}
	return s
}

func (o *opened) auditState() *auditState {
	s := stateOf(o.members, o.list)
	s.Hash = textHash(o.hash())
	return s
}

// announce puts the line of this generation into the draft.
func (d *draft) announce() error {
	last, head, err := checkChain(d.list.audit)
	if err != nil {
		return err
	}
	if last.seq >= numberMax {
		d.list.audit, last, head = nil, &prefix{}, make([]byte, 32)
	}
	line := &auditLine{V: 1, Seq: last.seq + 1, Prev: textHash(head), Time: d.list.written.Format(timeLayout),
		Keyring: hex.EncodeToString(d.members.keyring), Event: d.event, Subject: d.subject, Command: "keyring-go",
		Node: d.list.writer, Before: d.before, After: *stateOf(&d.members, &d.list)}
	text, err := line.text()
	if err != nil {
		return err
	}
	d.list.audit = append(d.list.audit, text)
	for len(d.list.audit) > auditLinesMax || len(d.list.audit) > 1 && len(strings.Join(d.list.audit, "")) > auditTailMax {
		d.list.audit = d.list.audit[1:]
	}
	d.list.auditHead = hashOf([]byte(text))
	return nil
}

// runAudit checks a whole log: every line, the chain, its beginning, and that it ends in the keyring's head.
func runAudit(o *options) error {
	if len(o.arguments) != 1 || o.log == "" || o.owner == "" {
		return errUsage
	}
	document, err := os.ReadFile(o.arguments[0])
	if err != nil {
		return err
	}
	k, err := verifyKeyring(document, o.owner)
	if err != nil {
		return err
	}
	log, err := os.ReadFile(o.log)
	if err != nil {
		return err
	}
	seqs, err := checkLog(string(log), k)
	if err != nil {
		return fail("FOUND", "%v", err)
	}
	if wanted := o.beginning; fmt.Sprint(seqs[0]) != wanted && (wanted != "" || seqs[0] != 1) {
		return fail("FOUND", "the log begins with line %d", seqs[0])
	}
	return printJSON(object{"lines": len(seqs), "first": seqs[0], "last": seqs[len(seqs)-1],
		"head": textHash(k.list.auditHead)})
}

func checkLog(log string, k *keyring) (seqs []uint64, err error) {
	text, found := strings.CutSuffix(log, "\n")
	if !found {
		return nil, fmt.Errorf("the last line has no end")
	}
	lines := strings.Split(text, "\n")
	_, head, err := checkChain(lines)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(head, k.list.auditHead) {
		return nil, fmt.Errorf("the last line is not the one that the keyring names")
	}
	for i, text := range lines {
		line, err := parseAuditLine(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if line.Keyring != hex.EncodeToString(k.members.keyring) {
			return nil, fmt.Errorf("line %d is of another keyring", i+1)
		}
		seqs = append(seqs, line.Seq)
	}
	return seqs, nil
}
