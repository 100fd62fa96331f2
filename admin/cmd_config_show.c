/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/command.h"
#include "admin/rendered.h"
#include "base/file.h"
#include "base/printable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { OPTION_SHOW_SECRETS = 0x200 };

static const struct argp_option own_options[] = {
    {.name = "out", .key = 'O', .arg = "FILE", .doc = "Write it to FILE (0600), with the keys"},
    {.name = "show-secrets", .key = OPTION_SHOW_SECRETS, .doc = "Print the keys too"},
    {0},
};

struct show {
    const char *out; /* NULL: standard output */
    bool show_secrets;
    bool changed; /* out was written */
    struct kt_rendered rendered;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of kt_command_line.take */
static error_t take(int key, char *arg, void *closure)
{
    struct show *show = closure;
    switch (key) {
    case 'O':
        show->out = arg;
        return arg[0] ? 0 : EINVAL;
    case OPTION_SHOW_SECRETS:
        show->show_secrets = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool check_use(const struct kt_options *options, const struct show *show, struct kt_error *err)
{
    if (!show->show_secrets)
        return true;
    if (show->out)
        return kt_fail(err, KT_E_USAGE, "--show-secrets is for standard output; with --out the keys are in the file");
    if (options->json) {
        kt_fail(err, KT_E_USAGE, "keys are never printed as JSON");
        return kt_error_hint(err, "--out FILE writes the file itself");
    }
    return true;
}

/* Where the shell made a file that others may read. */
static bool check_stdout(struct kt_error *err)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 0077) == 0)
        return true;
    kt_fail(err, KT_E_PERMISSION, "standard output is a file of mode %04o, expected one that nobody else can read",
            (unsigned)(st.st_mode & 07777));
    return kt_error_hint(err, "--out FILE writes it with mode 0600");
}

/* Past stdio, which would keep a copy. */
static bool write_secret(const struct kt_secret *text, struct kt_error *err)
{
    const uint8_t *next = kt_secret_view(text);
    size_t left = kt_secret_len(text);
    if (!kt_output_done(err))
        return false;
    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, next, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kt_fail_errno(err, KT_E_IO, "standard output");
        next += n;
        left -= (size_t)n;
    }
    return true;
}

/* One that is there already may have the only copy of a key; the same bytes are as good as written. */
static bool check_there(const struct show *show, const struct kt_error *why, struct kt_error *err)
{
    const struct kt_file_rules rules = {
        .max = KT_SECRET_MAX, .owner = KT_ANY_UID, .forbidden_mode = show->rendered.has_keys ? 0077 : 0};
    KT_CLEANUP(kt_secret_free_p) struct kt_secret *there = kt_file_read_secret(AT_FDCWD, show->out, &rules, err);
    if (!there)
        return false;
    if (kt_secret_equal(there, show->rendered.text))
        return true;
    (void)kt_error_copy(err, why);
    return kt_error_hint(err,
                         "it is another one: a key that only it has would be lost; name a file that does not exist");
}

static bool write_out(const struct kt_options *options, struct show *show, struct kt_error *err)
{
    const struct kt_file_attrs attrs = {.mode = 0600, .uid = KT_ANY_UID, .gid = (gid_t)-1};
    const struct kt_secret *text = show->rendered.text;
    struct kt_error why = KT_ERROR_INIT;
    struct stat st;
    if (options->dry_run && lstat(show->out, &st) != 0) {
        show->changed = true;
        return true;
    }
    if (options->dry_run)
        kt_fail(&why, KT_E_EXISTS, "%s exists", show->out);
    else if (kt_file_create(AT_FDCWD, show->out, KT_SLICE(kt_secret_view(text), kt_secret_len(text)), &attrs, &why)) {
        show->changed = true;
        return true;
    }
    return why.code == KT_E_EXISTS ? check_there(show, &why, err) : kt_error_copy(err, &why);
}

static bool make(const struct kt_options *options, struct show *show, struct kt_error *err)
{
    KT_CLEANUP(kt_free_p) struct kt_config *config = NULL;
    bool masked = !show->out && !show->show_secrets;
    if (!check_use(options, show, err) || (show->show_secrets && !check_stdout(err)))
        return false;
    config = kt_options_config(options, err);
    return config && kt_rendered_get(config, masked ? KT_RENDERED_MASKED : KT_RENDERED_WHOLE, &show->rendered, err) &&
           (!show->out || write_out(options, show, err));
}

static bool print_json(const struct kt_options *options, const struct show *show, struct kt_error *err)
{
    const struct kt_rendered *rendered = &show->rendered;
    json_t *value = kt_json_new("RenderedConfig");
    json_t *notes = json_array();
    for (size_t i = 0; notes && i < rendered->n_notes; i++)
        json_array_append_new(notes, kt_json_text(rendered->notes[i]));
    if (value && show->out) {
        json_object_set_new(value, "file", kt_json_text(show->out));
        json_object_set_new(value, "changed", json_boolean(show->changed && !options->dry_run));
        if (options->dry_run)
            json_object_set_new(value, "wouldChange", json_boolean(show->changed));
    } else if (value) {
        json_object_set_new(value, "encryptionConfiguration",
                            json_stringn((const char *)kt_secret_view(rendered->text), kt_secret_len(rendered->text)));
        json_object_set_new(value, "masked", json_boolean(rendered->has_keys));
    }
    if (value) {
        json_object_set_new(value, "membership", json_integer((json_int_t)rendered->membership));
        json_object_set_new(value, "generation", json_integer((json_int_t)rendered->generation));
        json_object_set_new(value, "warnings", notes);
    }
    return kt_json_print(value, err);
}

static bool print_text(const struct kt_options *options, const struct show *show, struct kt_error *err)
{
    const struct kt_rendered *rendered = &show->rendered;
    for (size_t i = 0; i < rendered->n_notes; i++)
        fprintf(stderr, "keyturn: warning: %s\n", KT_PRINTABLE(rendered->notes[i]));
    if (show->out) {
        printf("%s: %s\n", KT_PRINTABLE(show->out),
               !show->changed     ? "has it already"
               : options->dry_run ? "would be written"
                                  : "written (0600)");
        return kt_output_done(err);
    }
    if (rendered->has_keys && !show->show_secrets)
        fputs("keyturn: the keys are masked; keyturn config show --out FILE writes the file whole\n", stderr);
    return write_secret(rendered->text, err);
}

int kt_command_config_show(int argc, char **argv)
{
    struct show show = {.out = NULL};
    struct kt_command_line line = {
        .command = kt_command_find("config show"), .own = own_options, .take = take, .closure = &show};
    kt_command_parse(&line, argc, argv);
    struct kt_error err = KT_ERROR_INIT;
    bool done = make(&line.options, &show, &err) &&
                (line.options.json ? print_json(&line.options, &show, &err) : print_text(&line.options, &show, &err));
    kt_rendered_done(&show.rendered);
    return done ? 0 : kt_print_error(&line.options, &err);
}
