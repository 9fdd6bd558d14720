/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that says what would command a terminal, close a page's script or end a JSON string, in all that it can say to a
 * profiler: a marker, a gauge, the name of a library (`hostile LIBRARY`), its arguments.
 */
#include <dlfcn.h>
#include <stdlib.h>

#define EVIL "\033]0;evil\007\033[2J</script><script>alert(1)</script>\"\\"

extern void memtrack_checkpoint(const char *label) __attribute__((weak));
extern void memtrack_gauge(const char *name, double value) __attribute__((weak));

int main(int count, char **arguments)
{
    if (memtrack_checkpoint)
        memtrack_checkpoint(EVIL);
    if (memtrack_gauge)
        memtrack_gauge(EVIL, 1);
    void *library = count > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    void *(*make)(size_t) = NULL;
    if (library)
        *(void **)&make = dlsym(library, "plugin_make");
    if (!make)
        return 1;
    void *block = make(5000);
    __asm__ volatile("" : : "r"(block) : "memory");
    return 0;
}
