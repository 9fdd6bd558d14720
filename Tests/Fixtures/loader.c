/* SPDX-License-Identifier: Apache-2.0
 *
 * `loader ROUNDS LIBRARY...`: loads each library in turn, has it make a block of 60 bytes, unloads it. Prints how often
 * the next one came to lie where the last one had been.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments)
{
    if (dlerror() != NULL) /* left behind by somebody else's dlsym */
        return 2;
    int rounds = count > 1 ? atoi(arguments[1]) : 0;
    void *last = NULL;
    int same = 0;
    for (int round = 0; round < rounds; round++) {
        for (int i = 2; i < count; i++) {
            void *library = dlopen(arguments[i], RTLD_NOW | RTLD_LOCAL);
            void *(*make)(size_t) = NULL;
            if (library)
                *(void **)&make = dlsym(library, "plugin_make");
            if (!make)
                return 1;
            same += (void *)make == last;
            last = (void *)make;
            free(make(60));
            if (dlclose(library) != 0)
                return 3;
        }
    }
    printf("%d\n", same);
    return 0;
}
