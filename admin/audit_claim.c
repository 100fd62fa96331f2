/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_claim.h"

#include "base/file.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#define PASSWD_BUFFER 4096u
#define LOGIN_UNSET   UINT32_MAX /* audit(8): nobody has logged in for this process */

static void name_of(uid_t uid, char ret[KT_AUDIT_TEXT_MAX + 1])
{
    char buffer[PASSWD_BUFFER];
    struct passwd entry;
    struct passwd *found = NULL;
    if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found)
        kt_audit_clean(found->pw_name, ret);
}

static uint32_t login_uid(void)
{
    const struct kt_file_rules rules = {.max = 32, .owner = KT_ANY_UID};
    KT_CLEANUP_BYTES struct kt_bytes text = {0};
    char *end = NULL;
    if (!kt_file_read(AT_FDCWD, "/proc/self/loginuid", &rules, &text, NULL))
        return LOGIN_UNSET;
    unsigned long uid = strtoul((const char *)text.data, &end, 10);
    return end != (char *)text.data && uid < LOGIN_UNSET ? (uint32_t)uid : LOGIN_UNSET;
}

void kt_audit_claim_fill(const char *command, struct kt_audit_claim *ret)
{
    const char *sudo = getenv("SUDO_USER");
    uint32_t login = login_uid();
    *ret = (struct kt_audit_claim){.has_who = true, .who = {.uid = getuid()}};
    kt_audit_clean(command, ret->command);
    name_of(getuid(), ret->who.user);
    if (login != LOGIN_UNSET)
        name_of(login, ret->who.login);
    if (sudo)
        kt_audit_clean(sudo, ret->who.sudo);
}
