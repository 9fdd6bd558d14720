/* SPDX-License-Identifier: Apache-2.0
 *
 * A library whose constructor makes the very first allocation of a program inside newlocale, which holds a lock of libc's
 * that gettext takes too; and then needs it free.
 */
#include <locale.h>
#include <stdlib.h>

__attribute__((constructor)) static void begin(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); /* all of "C" needs no memory */
    if (!locale || !setlocale(LC_CTYPE, "C.UTF-8") || !setlocale(LC_ALL, "C"))
        abort();
}
