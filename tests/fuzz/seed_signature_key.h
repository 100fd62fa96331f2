/* SPDX-License-Identifier: Apache-2.0 */
"-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/6jiKQ1teSu1xgnpCuGaGJH10pSJ\n"
    "X4OAmNpMw0knljpKn+JKBJ7U0Fqi5nf3kh1HLa94wO4gZPo1m5sSxVFNsQ==\n"
    "-----END PUBLIC KEY-----\n"
