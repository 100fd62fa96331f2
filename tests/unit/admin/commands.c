/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands is the program's (admin/main.c), not the room's: a test has none. */
#include "admin/command.h"

const struct kt_command kt_commands[] = {{NULL, NULL, NULL, NULL}};
