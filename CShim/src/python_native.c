/* SPDX-License-Identifier: Apache-2.0
 *
 * Merged stacks: what C code that Python called allocates of malloc has the C frames down to the interpreter, and then those of
 * Python.
 *
 * The native stack is known (its node is what the memo has), and so is Python's. The merged one is a path in the region's
 * trie as well: the native frames further in than the interpreter's loop, on top of Python's innermost node. Functions of
 * the interpreter itself between the two, which call C functions and build their arguments, say nothing and are left
 * out; so is all that is further out than the loop: Python's frames stand for it.
 */
#define _GNU_SOURCE
#include "python_frames.h"

#include "python.h"
#include "stacks.h"

#include <dlfcn.h>
#include <link.h>

static uintptr_t loop, loop_bytes; /* the interpreter's loop; 0, 0: not found, no stack has it */

void memtrack_python_native(void)
{
    void *function = dlsym(RTLD_DEFAULT, "_PyEval_EvalFrameDefault");
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    if (!function || !dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol || info.dli_saddr != function)
        return;
    loop = (uintptr_t)function;
    loop_bytes = symbol->st_size;
}

uint32_t memtrack_python_on_top(struct memtrack_thread *thread, uint32_t stack, const struct memtrack_python_frame *outer)
{
    struct memtrack_walk *walk = thread->walk;
    uint32_t count = 0;
    memtrack_walk_begin(walk);
    const struct memtrack_node *node = memtrack_node(stack);
    for (; node->address - loop > loop_bytes; node = memtrack_node(node->parent)) {
        if (!node->parent || count == MEMTRACK_MAX_DEPTH)
            return 0;
        walk->frame[count++] = (struct memtrack_frame){
            .ip = node->address, .module = node->module_index, .flags = (uint8_t)node->flags};
    }
    while (count && walk->frame[count - 1].module == node->module_index)
        count--;
    if (!count)
        return outer->node;
    walk->frame[count] = (struct memtrack_frame){.node = outer->node};
    walk->count = count + 1;
    return memtrack_nodes(walk, count, 0);
}
