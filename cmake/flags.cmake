# SPDX-License-Identifier: Apache-2.0
# Compiler flags, as two interface targets that every target of ours links: kt_flags (warnings, dialect, sanitizers)
# and, in release builds, the hardening of docs/architecture.md.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(KT_SANITIZE "" CACHE STRING "Sanitizers to build with: address;undefined, thread, or none")
option(KT_FUZZ "Build the fuzz targets with libFuzzer (clang only)" OFF)
option(KT_COVERAGE "Instrument for coverage" OFF)

add_library(kt_flags INTERFACE)
target_compile_definitions(kt_flags INTERFACE _GNU_SOURCE)
target_compile_options(kt_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wformat=2 -Wvla -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings -fno-common -fvisibility=hidden)
# Every symbol is bound before main, in every build: a lazy one is bound in the middle of its first call, when the
# dynamic linker saves the vector registers on the stack, and a key that memcpy or a hash has just had in them with it.
target_link_options(kt_flags INTERFACE -Wl,--as-needed -Wl,-z,relro,-z,now)

if(KT_SANITIZE)
  string(REPLACE ";" "," kt_sanitizers "${KT_SANITIZE}")
  target_compile_options(kt_flags INTERFACE -fsanitize=${kt_sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(kt_flags INTERFACE -fsanitize=${kt_sanitizers})
  target_compile_definitions(kt_flags INTERFACE KT_SANITIZED=1)
endif()
if(KT_COVERAGE)
  target_compile_definitions(kt_flags INTERFACE KT_SANITIZED=1) # gcov opens files at exit, as sanitizers do
  target_compile_options(kt_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(kt_flags INTERFACE --coverage)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(kt_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
    $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-fcf-protection=full>
    $<$<C_COMPILER_ID:GNU>:-ftrivial-auto-var-init=zero>
    -ffunction-sections -fdata-sections)
  target_link_options(kt_flags INTERFACE -pie -Wl,-z,noexecstack -Wl,--gc-sections)
endif()
