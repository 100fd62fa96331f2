// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// A strict reading of YAML: one document, no anchors, aliases or tags, no unknown, duplicate or missing fields. The
// text of a scalar is what counts, quoted or not: an id of decimal digits alone is still a string of hex digits. Only
// null must be quoted, and numbers, true and false must not.

// A fields collects the first thing that is wrong; readers then give zero values.
type fields struct {
	where string
	nodes map[string]*yaml.Node
	err   *error
}

func parseYAML(part []byte, where string) (*fields, error) {
	var root yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(part))
	if err := decoder.Decode(&root); err != nil {
		return nil, fail("KEYRING_CONTENT", "%s: %v", where, err)
	}
	if err := decoder.Decode(new(yaml.Node)); err != io.EOF {
		return nil, fail("KEYRING_CONTENT", "%s: more than one YAML document", where)
	}
	var found error
	f := &fields{where: where, err: &found}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		f = f.mapping(root.Content[0], where)
	} else {
		f.wrong("no YAML document")
	}
	if found != nil {
		return nil, found
	}
	return f, nil
}

func (f *fields) wrong(format string, args ...any) {
	if *f.err == nil {
		*f.err = fail("KEYRING_CONTENT", "%s: %s", f.where, fmt.Sprintf(format, args...))
	}
}

func (f *fields) plain(node *yaml.Node, kind yaml.Kind) bool {
	switch {
	case node.Anchor != "" || node.Kind == yaml.AliasNode:
		f.wrong("line %d: an anchor or alias", node.Line)
	case node.Style&yaml.TaggedStyle != 0:
		f.wrong("line %d: a tag", node.Line)
	case node.Kind != kind:
		f.wrong("line %d: another kind of value than expected", node.Line)
	default:
		return true
	}
	return false
}

func (f *fields) mapping(node *yaml.Node, where string) *fields {
	inner := &fields{where: where, nodes: map[string]*yaml.Node{}, err: f.err}
	if !inner.plain(node, yaml.MappingNode) {
		return inner
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if !inner.plain(key, yaml.ScalarNode) {
			return inner
		}
		if inner.nodes[key.Value] != nil {
			inner.wrong("field %q twice", key.Value)
		}
		inner.nodes[key.Value] = node.Content[i+1]
	}
	return inner
}

// done says that every field has been read.
func (f *fields) done() {
	for name := range f.nodes {
		f.wrong("unknown field %q", name)
	}
}

func (f *fields) take(name string) *yaml.Node {
	node := f.nodes[name]
	if node == nil {
		f.wrong("no field %q", name)
	}
	delete(f.nodes, name)
	return node
}

func (f *fields) has(name string) bool { return f.nodes[name] != nil }

func (f *fields) scalarOf(node *yaml.Node) string {
	if node == nil || !f.plain(node, yaml.ScalarNode) {
		return ""
	}
	if unquoted(node) && (node.Value == "" || node.Value == "~" || strings.EqualFold(node.Value, "null")) {
		f.wrong("line %d: no value", node.Line)
	}
	return node.Value
}

func unquoted(node *yaml.Node) bool {
	return node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
}

// bare says that the field stands without quotes, as a number or a flag must.
func (f *fields) bare(name string) {
	if node := f.nodes[name]; node != nil && !unquoted(node) {
		f.wrong("%s is quoted", name)
	}
}

func (f *fields) text(name string) string { return f.scalarOf(f.take(name)) }

func (f *fields) exactly(name, want string) {
	if got := f.text(name); got != want {
		f.wrong("%s is not %s", name, want)
	}
}

func (f *fields) oneOf(name string, values ...string) string {
	got := f.text(name)
	for _, value := range values {
		if got == value {
			return got
		}
	}
	f.wrong("%s is none of %s", name, strings.Join(values, ", "))
	return got
}

func (f *fields) matching(name string, form *regexp.Regexp) string {
	got := f.text(name)
	if !form.MatchString(got) {
		f.wrong("%s is not of the form %s", name, form)
	}
	return got
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})$`)

func (f *fields) number(name string, least, most uint64) uint64 {
	f.bare(name)
	text := f.matching(name, decimal)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most {
		f.wrong("%s is not a number from %d to %d", name, least, most)
	}
	return n
}

func (f *fields) flag(name string) bool {
	f.bare(name)
	return f.oneOf(name, "true", "false") == "true"
}

func (f *fields) hex(name string, length int) []byte { return f.hexText(name, f.text(name), length) }

func (f *fields) hexText(name, text string, length int) []byte {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != length || strings.ToLower(text) != text {
		f.wrong("%s is not %d bytes in lower-case base16", name, length)
	}
	return b
}

func (f *fields) hash(name string) []byte {
	text, found := strings.CutPrefix(f.text(name), "sha256:")
	if !found {
		f.wrong("%s is no sha256: hash", name)
		return nil
	}
	return f.hexText(name, text, 32)
}

func (f *fields) base64(name string, length int) []byte {
	b, err := from64(f.text(name), length)
	if err != nil || len(b) == 0 {
		f.wrong("%s: not as long as it must be, or not base64", name)
	}
	return b
}

func (f *fields) public(name string) []byte {
	b := f.base64(name, publicLen)
	if err := validPublic(b); err != nil {
		f.wrong("%s is no point of P-256", name)
	}
	return b
}

func (f *fields) time(name string) time.Time {
	text := f.text(name)
	t, err := time.Parse(timeLayout, text)
	if err != nil || t.Format(timeLayout) != text {
		f.wrong("%s is no time in UTC with whole seconds", name)
	}
	return t
}

func (f *fields) items(name string, least, most int) []*yaml.Node {
	node := f.take(name)
	if node == nil || !f.plain(node, yaml.SequenceNode) {
		return nil
	}
	if len(node.Content) < least || len(node.Content) > most {
		f.wrong("%s has %d entries; %d to %d are allowed", name, len(node.Content), least, most)
	}
	return node.Content
}

func (f *fields) each(name string, least, most int, read func(item *fields)) {
	for i, node := range f.items(name, least, most) {
		item := f.mapping(node, fmt.Sprintf("%s[%d]", name, i))
		read(item)
		item.done()
	}
}
