/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_fixture.c - C functions with frames of many shapes. Compiled several times, with other options and
 * -DFIXTURE=name; each time it defines that one function, which goes through all shapes.
 */
#include <alloca.h>
#include <stdlib.h>
#include <string.h>

#include "unwind_walks.h"

#define NOINLINE __attribute__((noinline, noclone))
#define LABEL_(name) #name
#define LABEL(name) LABEL_(name)
#define HERE(what) walk_check(LABEL(FIXTURE) ": " what)

#if defined(__clang__)
#undef NOINLINE
#define NOINLINE __attribute__((noinline))
#endif

static volatile int sink;

static NOINLINE int plain(int n)
{
    HERE("plain");
    return n + sink;
}

static NOINLINE int recursive(int n)
{
    if (n == 0) {
        HERE("recursive");
        return sink;
    }
    return recursive(n - 1) * 3 + n;
}

static NOINLINE int with_alloca(int n)
{
    volatile char *bytes = alloca((size_t)(n * 24 + 1));
    bytes[n] = 1;
    int result = plain(n) + bytes[n];
    HERE("alloca");
    return result;
}

/* The stack is realigned and its size is not constant: gcc reaches the arguments through r10. */
static NOINLINE int realigned(int n, int a, int b, int c, int d, int e, int f, int g)
{
    _Alignas(64) volatile char aligned[128];
    volatile char *bytes = alloca((size_t)(n * 40 + 8));
    memset((void *)aligned, a, sizeof aligned);
    bytes[n] = aligned[n];
    int result = with_alloca(n) + bytes[n] + b + c + d + e + f + g;
    HERE("realigned");
    return result;
}

static NOINLINE double wide(int n)
{
    typedef double vector __attribute__((vector_size(32)));
    volatile vector values[4];
    for (int i = 0; i < 4; i++)
        values[i] = (vector){n, i, n + i, n * i};
    HERE("wide vectors");
    vector sum = values[0] + values[1] + values[2] + values[3];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static NOINLINE int many_registers(int a, int b, int c, int d, int e, int f)
{
    int t = a * b, u = c * d, v = e * f, w = a - f, x = b - e, y = c - d;
    t += plain(u);
    u += plain(v) + t;
    v += plain(w) - u;
    HERE("many registers");
    return t + u + v + w + x + y + a + b + c + d + e + f;
}

static int compare(const void *a, const void *b)
{
    static unsigned calls;
    if (calls++ % 16 == 0)
        HERE("qsort callback");
    return *(const int *)a - *(const int *)b;
}

static NOINLINE int callback(int n)
{
    int numbers[64];
    for (int i = 0; i < 64; i++)
        numbers[i] = (i * 37 + n) % 64;
    qsort(numbers, 64, sizeof *numbers, compare);
    int key = n % 64;
    return bsearch(&key, numbers, 64, sizeof *numbers, compare) != NULL;
}

static NOINLINE int shrink_wrapped(int n)
{
    if (__builtin_expect(n < 0, 0)) {
        HERE("early exit");
        return sink;
    }
    int first = recursive(n % 7);
    if (first == 12345)
        abort();
    return first + many_registers(n, 1, 2, 3, 4, 5);
}

void FIXTURE(int depth);
NOINLINE void FIXTURE(int depth)
{
    int sum = plain(depth) + recursive(depth) + with_alloca(depth);
    sum += realigned(depth % 50, 1, 2, 3, 4, 5, 6, 7) + callback(depth);
    sum += shrink_wrapped(-1) + shrink_wrapped(depth);
    sum += (int)wide(depth);
    sink = sum;
}
