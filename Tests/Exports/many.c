// SPDX-License-Identifier: Apache-2.0
// As many different stacks as asked for: the digits of a number, to the base 4, are the functions of its stack.
#include <stdlib.h>

#define APART __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls")))

static void *volatile last;
static void step(unsigned long number, int depth);

APART static void leaf(unsigned long number)
{
    last = malloc(16 + number % 900);
}

#define FUNCTION(name)                                                                                                \
    APART static void name(unsigned long number, int depth)                                                           \
    {                                                                                                                 \
        if (depth == 0)                                                                                               \
            leaf(number);                                                                                             \
        else                                                                                                          \
            step(number / 4, depth - 1);                                                                              \
        __asm__ volatile("");                                                                                         \
    }

FUNCTION(parse_object)
FUNCTION(parse_array)
FUNCTION(parse_string)
FUNCTION(parse_number)

static inline __attribute__((always_inline)) void step(unsigned long number, int depth)
{
    switch (number % 4) {
    case 0: parse_object(number, depth); break;
    case 1: parse_array(number, depth); break;
    case 2: parse_string(number, depth); break;
    default: parse_number(number, depth); break;
    }
}

int main(int count, char **arguments)
{
    unsigned long stacks = count > 1 ? strtoul(arguments[1], NULL, 10) : 20000;
    for (unsigned long number = 0; number < stacks; number++)
        step(number, 14);
    return 0;
}
