/* SPDX-License-Identifier: Apache-2.0 */
/* keyturn keyring offer where there is no memory for the state: linked with --wrap=calloc. */
#include "admin/command.h"
#include "keystore/state_dir.h"
#include "tests/unit/base/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

static size_t refused_size;
static bool refused;

void *__wrap_calloc(size_t n, size_t size)
{
    if (size != refused_size)
        return __real_calloc(n, size);
    refused = true;
    return NULL;
}

static void without_memory_nothing_is_claimed(void **state)
{
    const struct scratch *s = *state;
    char config[128], keyring[128], text[512];
    snprintf(config, sizeof(config), "%s/keyturn.yaml", s->path);
    snprintf(keyring, sizeof(keyring), "%s/offered", s->path);
    snprintf(text, sizeof(text),
             "apiVersion: keyturn.dev/v1\nkind: Config\nnode: a\nowner: sha256:%064d\nstateDir: %s\n"
             "control: {socket: %s/none.sock}\n",
             0, s->path, s->path);
    scratch_put(s, "keyturn.yaml", text, 0600);
    scratch_put(s, "offered", "a keyring\n", 0600);
    char *argv[] = {(char[]){"keyturn keyring offer"}, keyring, (char[]){"--config"}, config, (char[]){"-ojson"}, NULL};
    FILE *real = stderr;
    char *errors = NULL;
    size_t len = 0;
    stderr = open_memstream(&errors, &len);
    refused_size = sizeof(struct kt_state);
    int status = kt_command_keyring_offer(5, argv);
    (void)fclose(stderr);
    stderr = real;
    assert_true(refused);
    assert_int_equal(status, kt_code_exit(KT_E_NOMEM));
    assert_non_null(strstr(errors, "\"NOMEM\""));
    free(errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(without_memory_nothing_is_claimed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
