/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMTRACK_LIMITS_H
#define MEMTRACK_LIMITS_H

#include <stdbool.h>

void memtrack_resolve_limits(void);
/* In front of an exec, and behind one that failed; errno may change. */
void memtrack_limits_exec(bool begins);

#endif
