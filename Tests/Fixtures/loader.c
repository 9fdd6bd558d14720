/* SPDX-License-Identifier: Apache-2.0
 *
 * `loader ROUNDS LIBRARY...`: loads each library in turn, has it make a block of 60 bytes, unloads it. Prints how often
 * the next one came to lie where the last one had been. `loader fork ONE OTHER`: loads the one, has it make a block; a child
 * unloads it before it allocates anything, and loads the other.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *(*load(const char *path, void **library))(size_t)
{
    void *(*make)(size_t) = NULL;
    *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*library)
        *(void **)&make = dlsym(*library, "plugin_make");
    return make;
}

static int across_fork(char **paths)
{
    void *library, *(*one)(size_t) = load(paths[0], &library), *(*other)(size_t);
    if (!one)
        return 1;
    free(one(60));
    pid_t child = fork();
    if (child == 0) {
        if (dlclose(library) != 0 || !(other = load(paths[1], &library)))
            _exit(1);
        for (int i = 0; i < 50; i++)
            free(other(60));
        _exit(other == one ? 5 : 6); /* 6: at another place, which shows nothing */
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

int main(int count, char **arguments)
{
    if (dlerror() != NULL) /* left behind by somebody else's dlsym */
        return 2;
    if (count == 4 && strcmp(arguments[1], "fork") == 0)
        return across_fork(arguments + 2);
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
