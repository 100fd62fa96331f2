/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands is the program's (admin/main.c), not the room's: here are those that tests call. */
#include "admin/command.h"

const struct kt_command kt_commands[] = {
    {"keyring offer", "FILE", "Offer a newer keyring to this node", kt_command_keyring_offer},
    {NULL, NULL, NULL, NULL},
};
