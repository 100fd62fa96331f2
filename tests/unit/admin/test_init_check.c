/* SPDX-License-Identifier: Apache-2.0 */
/* What init refuses beforehand on the system's paths, with paths of a test's own in their place. */
#include "admin/init.h"
#include "tests/unit/base/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct kt_options no_options;

static struct kt_init *new_init(const char *config_path, const char *state_dir)
{
    struct kt_init *init = calloc(1, sizeof(*init));
    assert_non_null(init);
    init->config = calloc(1, sizeof(*init->config));
    assert_non_null(init->config);
    init->options = &no_options;
    snprintf(init->config_path, sizeof(init->config_path), "%s", config_path);
    snprintf(init->config->state_dir, sizeof(init->config->state_dir), "%s", state_dir);
    snprintf(init->staging, sizeof(init->staging), "%s.init", state_dir);
    return init;
}

static void free_init(struct kt_init *init)
{
    free(init->config);
    free(init);
}

static void expect_refused(const char *config_path, const char *state_dir, enum kt_code code, const char *words)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_init *init = new_init(config_path, state_dir);
    assert_false(kt_init_check(init, &err));
    expect_error(&err, code, words);
    free_init(init);
}

static void empty_places_are_fine(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_init *init = new_init(scratch_name(s, "keyturn.yaml"), scratch_name(s, "state"));
    assert_true(kt_init_check(init, &err));
    assert_int_equal(mkdir(init->config->state_dir, 0700), 0);
    assert_true(kt_init_check(init, &err));
    free_init(init);
}

/* Found only when keyturn.yaml is to be written, the keyring would be in its place and the recovery key typed in. */
static void the_folder_of_the_configuration_must_be_there(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_init *init = new_init(scratch_name(s, "absent/keyturn.yaml"), scratch_name(s, "state"));
    char hint[128];
    assert_false(kt_init_check(init, &err));
    expect_error(&err, KT_E_IO, "keyturn.yaml");
    snprintf(hint, sizeof(hint), "mkdir -p %s", scratch_name(s, "absent"));
    assert_string_equal(err.hint, hint);
    free_init(init);
    scratch_put(s, "file", "", 0600);
    expect_refused(scratch_name(s, "file/keyturn.yaml"), scratch_name(s, "state"), KT_E_PERMISSION, "cannot make");
}

static int check_in_closed_folder(void *arg)
{
    struct kt_error err = KT_ERROR_INIT;
    return kt_init_check(arg, &err) ? 0 : (int)err.code;
}

static void the_folder_of_the_configuration_must_be_ours_to_write(void **state)
{
    const struct scratch *s = *state;
    assert_int_equal(mkdir(scratch_name(s, "closed"), 0755), 0);
    assert_int_equal(chmod(s->path, 0755), 0);
    struct kt_init *init = new_init(scratch_name(s, "closed/keyturn.yaml"), scratch_name(s, "state"));
    if (!am_root())
        assert_int_equal(chmod(scratch_name(s, "closed"), 0555), 0);
    assert_int_equal(as_plain_user(check_in_closed_folder, init), KT_E_PERMISSION);
    free_init(init);
}

static void a_mount_point_is_not_replaced(void **state)
{
    const struct scratch *s = *state;
    expect_refused(scratch_name(s, "keyturn.yaml"), "/proc", am_root() ? KT_E_REFUSED : KT_E_PERMISSION,
                   am_root() ? "mount point" : "cannot make anything");
}

static void accounts_must_be_there(void **state)
{
    const struct scratch *s = *state;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_init *init = new_init(scratch_name(s, "keyturn.yaml"), scratch_name(s, "state"));
    snprintf(init->config->account_opener, sizeof(init->config->account_opener), "no-such-account");
    /* Only root can become another. */
    assert_int_equal(kt_init_check(init, &err), !am_root());
    if (am_root())
        expect_error(&err, KT_E_CONFIG, "no-such-account");
    free_init(init);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(empty_places_are_fine),
        SCRATCH_TEST(the_folder_of_the_configuration_must_be_there),
        SCRATCH_TEST(the_folder_of_the_configuration_must_be_ours_to_write),
        SCRATCH_TEST(a_mount_point_is_not_replaced),
        SCRATCH_TEST(accounts_must_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
