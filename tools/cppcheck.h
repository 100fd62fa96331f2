/* SPDX-License-Identifier: Apache-2.0 */
/* For cppcheck, which reads no system headers: what it must know of them. */
#define TAILQ_FOREACH(var, head, field) for ((var) = (head)->tqh_first; (var); (var) = (var)->field.tqe_next)
