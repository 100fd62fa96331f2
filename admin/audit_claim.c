/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/audit_claim.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <pwd.h>
#include <string.h>
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
    KT_CLEANUP(fclose_p) FILE *file = fopen("/proc/self/loginuid", "re");
    uint32_t uid = LOGIN_UNSET;
    if (!file || fscanf(file, "%" SCNu32, &uid) != 1)
        return LOGIN_UNSET;
    return uid;
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
