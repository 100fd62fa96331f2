/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a text that is edited in place; offsets in bytes. Lines end at \n, \r\n or \r. */
#pragma once

#include "encconfig/source.h"

const char *kt_edit_line_break(const struct kt_source *source); /* the one that its first line ends with */
size_t kt_edit_line_start(struct kt_slice text, size_t offset);
size_t kt_edit_break_len(struct kt_slice text, size_t offset); /* of the line break that starts there; 0: none does */
size_t kt_edit_break_before(struct kt_slice text, size_t offset); /* of the one that ends there */
size_t kt_edit_skip_spaces(struct kt_slice text, size_t offset);
size_t kt_edit_line_end(struct kt_slice text, size_t offset); /* where its line break starts */
size_t kt_edit_column(struct kt_slice text, size_t offset);   /* in bytes, from 0 */
