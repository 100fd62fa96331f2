/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of the directories that are given, once: a corpus as a test, with any compiler. */
#include "base/cleanup.h"
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX ((off_t)8 * 1024 * 1024)

static int run_file(int dirfd, const char *name)
{
    struct stat st = {0};
    KT_CLEANUP(kt_fd_close_p) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > INPUT_MAX)
        return -1;
    if (!S_ISREG(st.st_mode))
        return 0;
    /* Of exactly that size, so that a read past the end is seen. */
    KT_CLEANUP(kt_free_p) uint8_t *data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
    if (!data || read(fd, data, (size_t)st.st_size) != st.st_size)
        return -1;
    (void)LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
    return 1;
}

static int run_directory(const char *path)
{
    int total = 0;
    KT_CLEANUP(closedir_p) DIR *dir = opendir(path);
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        int n = entry->d_name[0] == '.' ? 0 : run_file(dirfd(dir), entry->d_name);
        if (n < 0) {
            fprintf(stderr, "%s/%s: cannot be read\n", path, entry->d_name);
            return -1;
        }
        total += n;
    }
    return total;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = run_directory(argv[i]);
        if (n <= 0) {
            fprintf(stderr, "%s: expected a directory with inputs, found none\n", argv[i]);
            return EXIT_FAILURE;
        }
        printf("%s: %d inputs\n", argv[i], n);
    }
    return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
