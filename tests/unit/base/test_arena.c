/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/secret.h"
#include "unit.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define KIB        ((size_t)1024)
#define ARENA_SIZE (2048 * KIB)
#define BLOCKS     512u

KT_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
KT_DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);
KT_DEFINE_CLEANUP(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free);
KT_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

static size_t used(void)
{
    size_t now = 0;
    size_t peak = 0;
    kt_arena_usage(&now, &peak);
    assert_true(peak >= now);
    return now;
}

/* A generator with a known seed: a failure can be repeated. */
static uint32_t next_number(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Small sizes mostly, as a library asks for them. */
static size_t next_size(uint32_t *seed)
{
    size_t most = (size_t)1 << (3 + next_number(seed) % 10);
    return 1 + next_number(seed) % most;
}

static bool is_filled(const uint8_t *bytes, size_t len, uint8_t with)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != with)
            return false;
    return true;
}

/* What keyturn does with OpenSSL. Any step may fail for want of memory; none may crash. */

static bool derive_shared(EVP_PKEY *own, EVP_PKEY *peer, uint8_t ret[32])
{
    KT_CLEANUP(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
    size_t len = 32;
    return ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
           EVP_PKEY_derive(ctx, ret, &len) == 1 && len == 32;
}

static bool sign_and_verify(EVP_PKEY *key)
{
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *sign = EVP_MD_CTX_new();
    KT_CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *verify = EVP_MD_CTX_new();
    uint8_t signature[128];
    size_t len = sizeof(signature);
    return sign && verify && EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestSign(sign, signature, &len, (const uint8_t *)"text", 4) == 1 &&
           EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestVerify(verify, signature, len, (const uint8_t *)"text", 4) == 1;
}

static bool expand(const uint8_t secret[32], uint8_t ret[32])
{
    KT_CLEANUP(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    size_t len = 32;
    return ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set1_hkdf_salt(ctx, (const uint8_t *)"salt", 4) == 1 &&
           EVP_PKEY_CTX_set1_hkdf_key(ctx, secret, 32) == 1 &&
           EVP_PKEY_CTX_add1_hkdf_info(ctx, (const uint8_t *)"info", 4) == 1 && EVP_PKEY_derive(ctx, ret, &len) == 1;
}

static bool encrypt(const uint8_t key[32])
{
    KT_CLEANUP(EVP_CIPHER_CTX_free_p) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    static const uint8_t NONCE[12] = {0};
    uint8_t text[64] = {0};
    uint8_t tag[16];
    int n = 0;
    return ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, NONCE) == 1 &&
           EVP_EncryptUpdate(ctx, text, &n, text, sizeof(text)) == 1 && EVP_EncryptFinal_ex(ctx, text, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, sizeof(tag), tag) == 1;
}

static bool use_openssl(void)
{
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(NULL, "default");
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *a = EVP_EC_gen("P-256");
    KT_CLEANUP(EVP_PKEY_free_p) EVP_PKEY *b = EVP_EC_gen("P-256");
    uint8_t shared[32] = {0};
    uint8_t key[32] = {0};
    bool done =
        provider && a && b && derive_shared(a, b, shared) && sign_and_verify(a) && expand(shared, key) && encrypt(key);
    if (provider)
        OSSL_PROVIDER_unload(provider);
    return done;
}

/* Leaves at most `room` bytes of the arena. Returns a list that free_filling takes. */
static void *fill(size_t size, size_t room)
{
    void *list = NULL;
    for (size_t len = size; len >= sizeof(void *);) {
        void **block = used() + len + room < size ? kt_arena_alloc(len) : NULL;
        if (block) {
            *block = list;
            list = block;
        } else {
            len /= 2;
        }
    }
    return list;
}

static void free_filling(void *list)
{
    while (list) {
        void *next = *(void **)list;
        kt_arena_free(list);
        list = next;
    }
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    static const size_t SIZES[] = {0, 4096, (1u << 20) - 4096, (1u << 20) + 1, ((size_t)1 << 30) + 4096, SIZE_MAX};
    for (size_t i = 0; i < KT_ARRAY_LEN(SIZES); i++) {
        struct kt_error err = KT_ERROR_INIT;
        assert_false(kt_arena_install(SIZES[i], &err));
        assert_int_equal(err.code, KT_E_INTERNAL);
    }
    assert_null(kt_arena_alloc(16));
    assert_int_equal(used(), 0);
}

static void installs_once(void **state)
{
    (void)state;
    struct kt_error err = KT_ERROR_INIT;
    assert_true(kt_arena_install(ARENA_SIZE, &err));
    assert_false(kt_arena_install(ARENA_SIZE, &err));
    assert_int_equal(err.code, KT_E_INTERNAL);
}

static void openssl_lives_in_the_arena(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(use_openssl());
    size_t now = 0;
    size_t peak = 0;
    kt_arena_usage(&now, &peak);
    print_message("OpenSSL in the arena: %zu bytes in use after the work, %zu at the peak\n", now, peak);
    assert_in_range(peak, 16 * KIB, ARENA_SIZE / 2);
    void *p = OPENSSL_malloc(100);
    assert_true(used() > now);
    OPENSSL_free(p);
    assert_int_equal(used(), now);
    for (int i = 0; i < 100; i++)
        assert_true(use_openssl());
    assert_int_equal(used(), now);
}

static void nothing_is_null(void **state)
{
    (void)state;
    size_t before = used();
    assert_null(kt_arena_alloc(0));
    assert_null(kt_arena_alloc(SIZE_MAX));
    assert_null(kt_arena_alloc(SIZE_MAX - 15));
    assert_null(kt_arena_alloc(ARENA_SIZE));
    kt_arena_free(NULL);
    void *p = kt_arena_realloc(NULL, 10);
    assert_non_null(p);
    assert_null(kt_arena_realloc(p, SIZE_MAX));
    assert_null(kt_arena_realloc(p, 0));
    assert_int_equal(used(), before);
}

static void blocks_are_aligned_and_apart(void **state)
{
    (void)state;
    struct {
        uint8_t *bytes;
        size_t len;
    } blocks[BLOCKS] = {{NULL, 0}};
    size_t before = used();
    uint32_t seed = 1;
    for (int round = 0; round < 100000; round++) {
        size_t i = next_number(&seed) % BLOCKS;
        uint8_t mark = (uint8_t)(i + 1);
        assert_true(is_filled(blocks[i].bytes, blocks[i].len, mark));
        size_t len = next_number(&seed) % 3 == 0 ? 0 : next_size(&seed);
        uint8_t *bytes = NULL;
        if (blocks[i].bytes && len > 0 && next_number(&seed) % 2 == 0) {
            bytes = kt_arena_realloc(blocks[i].bytes, len);
            if (!bytes)
                continue;
            assert_true(is_filled(bytes, len < blocks[i].len ? len : blocks[i].len, mark));
        } else {
            kt_arena_free(blocks[i].bytes);
            bytes = kt_arena_alloc(len);
        }
        assert_int_equal((uintptr_t)bytes % 16, 0);
        blocks[i].bytes = bytes;
        blocks[i].len = bytes ? len : 0;
        if (bytes)
            memset(bytes, mark, len);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        kt_arena_free(blocks[i].bytes);
    assert_int_equal(used(), before);
}

static void neighbours_merge(void **state)
{
    (void)state;
    /* After a life of mixed sizes one large block must still fit. */
    void *large = kt_arena_alloc(ARENA_SIZE / 2);
    assert_non_null(large);
    kt_arena_free(large);
}

static void freed_bytes_are_wiped(void **state)
{
    (void)state;
    static const size_t LENGTHS[] = {16, 33, 100, 4000};
    for (size_t i = 0; i < KT_ARRAY_LEN(LENGTHS); i++) {
        uint8_t *bytes = kt_arena_alloc(LENGTHS[i]);
        assert_non_null(bytes);
        memset(bytes, 0xa5, LENGTHS[i]);
        kt_arena_free(bytes);
        for (size_t j = 0; j + 4 <= LENGTHS[i]; j++)
            assert_memory_not_equal(bytes + j, "\xa5\xa5\xa5\xa5", 4);
        assert_true(is_filled(bytes + 16, LENGTHS[i] - 16, 0));
    }
}

static void realloc_wipes_what_it_leaves(void **state)
{
    (void)state;
    uint8_t *bytes = kt_arena_alloc(1000);
    void *wall = kt_arena_alloc(16);
    assert_true(bytes && wall);
    memset(bytes, 0xa5, 1000);
    uint8_t *same = kt_arena_realloc(bytes, 900);
    assert_ptr_equal(same, bytes);
    assert_true(is_filled(bytes, 900, 0xa5) && is_filled(bytes + 900, 100, 0));
    uint8_t *moved = kt_arena_realloc(bytes, 3000);
    assert_non_null(moved);
    assert_true(is_filled(moved, 900, 0xa5));
    assert_true(moved == bytes || is_filled(bytes + 16, 984, 0));
    uint8_t *small = kt_arena_realloc(moved, 40);
    assert_non_null(small);
    assert_true(is_filled(small, 40, 0xa5));
    kt_arena_free(small);
    kt_arena_free(wall);
}

static void exhaustion_passes(void **state)
{
    (void)state;
    size_t before = used();
    void *filling = fill(ARENA_SIZE, 0);
    assert_null(kt_arena_alloc(64 * KIB));
    assert_true(used() > ARENA_SIZE - 64 * KIB);
    assert_false(use_openssl());
    free_filling(filling);
    assert_true(use_openssl());
    assert_in_range(used(), before, before + 4096);
}

static void openssl_fails_cleanly_whatever_is_left(void **state)
{
    (void)state;
    bool failed = false;
    bool worked = false;
    for (size_t room = 0; room < 160 * KIB; room += 496) {
        void *filling = fill(ARENA_SIZE, room);
        bool done = use_openssl();
        failed = failed || !done;
        worked = worked || done;
        free_filling(filling);
    }
    assert_true(failed && worked);
    assert_true(use_openssl());
}

/* Children that die on purpose. */

static int status_of_child(void (*f)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        f(arg);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void forked_child_has_no_arena(void *arg)
{
    const uint8_t *bytes = arg;
    void *p = arg;
    if (!is_filled(bytes, 100, 0) || kt_arena_alloc(16) || kt_arena_realloc(p, 2000))
        _exit(1);
    kt_arena_free(p);
    kt_arena_free(p);
    exit(0); /* with OpenSSL's exit handler, if it had one */
}

static void forked_child_sees_nothing(void **state)
{
    (void)state;
    uint8_t *bytes = kt_arena_alloc(100);
    assert_non_null(bytes);
    memset(bytes, 0xa5, 100);
    assert_int_equal(status_of_child(forked_child_has_no_arena, bytes), 0);
    assert_true(is_filled(bytes, 100, 0xa5));
    kt_arena_free(bytes);
}

static void free_twice(void)
{
    void *p = kt_arena_alloc(100);
    kt_arena_free(p);
    kt_arena_free(p);
}

static void free_twice_merged(void)
{
    void *a = kt_arena_alloc(100);
    void *b = kt_arena_alloc(100);
    kt_arena_free(a);
    kt_arena_free(b);
    kt_arena_free(b);
}

static void free_foreign(void)
{
    static uint8_t bytes[64];
    kt_arena_free(bytes + 32);
}

static void free_inside(void)
{
    uint8_t *p = kt_arena_alloc(100);
    kt_arena_free(p + 16);
}

static void free_unaligned(void)
{
    uint8_t *p = kt_arena_alloc(100);
    kt_arena_free(p + 1);
}

static void overrun(void)
{
    uint8_t *p = kt_arena_alloc(96);
    memset(p, 0xff, 96 + 8);
    kt_arena_free(p);
}

static void underrun(void)
{
    uint8_t *p = kt_arena_alloc(96);
    p[-16] ^= 2;
    kt_arena_free(p);
}

static void realloc_freed(void)
{
    uint8_t *p = kt_arena_alloc(96);
    kt_arena_free(p);
    (void)kt_arena_realloc(p, 200);
}

static const struct {
    const char *name;
    void (*run)(void);
} MISUSES[] = {
    {"free twice", free_twice},   {"free twice, merged", free_twice_merged}, {"free foreign", free_foreign},
    {"free inside", free_inside}, {"free unaligned", free_unaligned},        {"overrun", overrun},
    {"underrun", underrun},       {"realloc freed", realloc_freed},
};

/* A process of its own, since a forked child has no arena: this program again, with arguments. */
static int run_again(const char *what, size_t number)
{
    extern char **environ;
    char digits[32];
    snprintf(digits, sizeof(digits), "%zu", number);
    const char *const argv[] = {"test_arena", what, digits, NULL};
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void misuse_aborts(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(MISUSES); i++) {
        int status = run_again("misuse", i);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("%s: status %d", MISUSES[i].name, status);
    }
}

static void openssl_starts_or_fails_cleanly(void **state)
{
    (void)state;
    /* How much OpenSSL needs from nothing lies between. */
    for (size_t room = 0; room < 400 * KIB; room += 4 * KIB + 16) {
        int status = run_again("start", room);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
            fail_msg("with %zu bytes left: status %d", room, status);
    }
    assert_int_equal(run_again("start", 600 * KIB), 0);
}

static void openssl_that_was_used_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run_again("late", 0), 0);
}

static int be_misused(size_t which)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    if (which >= KT_ARRAY_LEN(MISUSES) || !kt_arena_install(ARENA_SIZE, NULL))
        return 2;
    MISUSES[which].run();
    return 0;
}

static int be_short_of_memory(size_t room)
{
    if (!kt_arena_install(ARENA_SIZE / 2, NULL))
        return 2;
    void *filling = fill(ARENA_SIZE / 2, room);
    bool done = use_openssl();
    free_filling(filling);
    return done ? 0 : 1;
}

static int be_late(void)
{
    struct kt_error err = KT_ERROR_INIT;
    OPENSSL_free(OPENSSL_malloc(16));
    return !kt_arena_install(ARENA_SIZE, &err) && err.code == KT_E_CRYPTO && !kt_arena_alloc(16) ? 0 : 1;
}

static void *work_in_a_thread(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    uint8_t *bytes = NULL;
    for (int i = 0; i < 2000; i++) {
        size_t len = next_size(&seed);
        kt_arena_free(bytes);
        bytes = kt_arena_alloc(len);
        if (bytes)
            memset(bytes, (int)len, len);
        if (i % 100 == 0 && !use_openssl())
            return arg;
    }
    kt_arena_free(bytes);
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < KT_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_in_a_thread, (void *)(uintptr_t)(i + 1)), 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(threads); i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

int main(int argc, char **argv)
{
    size_t number = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (argc > 2 && strcmp(argv[1], "misuse") == 0)
        return be_misused(number);
    if (argc > 2 && strcmp(argv[1], "start") == 0)
        return be_short_of_memory(number);
    if (argc > 2 && strcmp(argv[1], "late") == 0)
        return be_late();
    /* In this order: the arena is installed once per process. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(installs_once),
        cmocka_unit_test(openssl_lives_in_the_arena),
        cmocka_unit_test(nothing_is_null),
        cmocka_unit_test(blocks_are_aligned_and_apart),
        cmocka_unit_test(neighbours_merge),
        cmocka_unit_test(freed_bytes_are_wiped),
        cmocka_unit_test(realloc_wipes_what_it_leaves),
        cmocka_unit_test(exhaustion_passes),
        cmocka_unit_test(openssl_fails_cleanly_whatever_is_left),
        cmocka_unit_test(forked_child_sees_nothing),
        cmocka_unit_test(misuse_aborts),
        cmocka_unit_test(openssl_starts_or_fails_cleanly),
        cmocka_unit_test(openssl_that_was_used_is_refused),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
