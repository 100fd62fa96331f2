/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that somebody else wrote (a peer, a file's name, an argument), as it may be shown on a terminal, in a log line
 * or in JSON: valid UTF-8 (RFC 3629) without control characters, of which terminals take orders.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define KT_NOT_UTF8 UINT32_MAX

/* One character, from a text that ends in NUL. Returns its length in bytes; 1 and KT_NOT_UTF8 for a byte that does not
 * belong to any. */
size_t kt_utf8_decode(const char *s, uint32_t *ret);

/* How a control character (C0, DEL, C1) is written: \n, \r, \t, \u001b, as JSON does; not terminated. Returns its
 * length; 0: it is none. */
#define KT_ESCAPE_MAX 6u
size_t kt_control_escape(uint32_t character, char ret[KT_ESCAPE_MAX]);

/* A path of PATH_MAX, or the message of a struct kt_error of which every byte is escaped. */
#define KT_PRINTABLE_MAX 4608u
struct kt_printable {
    char text[KT_PRINTABLE_MAX];
};
/* text with U+FFFD for each byte that is no UTF-8, and escapes for control characters; what does not fit is cut, behind
 * a whole one. Returns room->text. */
const char *kt_printable(const char *text, struct kt_printable *room);
/* The same, with room until the end of the block. */
#define KT_PRINTABLE(t) kt_printable((t), &(struct kt_printable){.text = ""})

/* A path or a name as one word of a command that somebody types into a shell: as it is where that is one; else 'quoted'
 * as POSIX has it, or, with what kt_printable would change in it, $'quoted' as bash and POSIX.1-2024 have it. Always
 * printable. One that begins with "-" has "./" before it; one that does not fit becomes '...'. Returns room->text. */
const char *kt_shell_word(const char *text, struct kt_printable *room);
#define KT_SHELL(t) kt_shell_word((t), &(struct kt_printable){.text = ""})
