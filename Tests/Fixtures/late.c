/* SPDX-License-Identifier: Apache-2.0
 *
 * An interpreter that is up before any preloaded library: a library's constructor has started it (-DLIBRARY), with
 * some functions that the program calls, gives up, and replaces by others at the same addresses.
 */
#ifdef LIBRARY
#include <Python.h>

static const char early[] = "early = []\n"
                            "for n in range(60):\n"
                            "    scope = {}\n"
                            "    exec(f'def e{n}(k):\\n out = []\\n for _ in range(k):\\n  out.append(object())\\n'\n"
                            "         f' return out', scope)\n"
                            "    early.append(scope[f'e{n}'])\n";

__attribute__((constructor)) static void start(void)
{
    Py_InitializeEx(0);
    PyRun_SimpleString(early);
}

int run(const char *script)
{
    return PyRun_SimpleString(script);
}
#else
int run(const char *script);

int main(int count, char **arguments)
{
    return count > 1 ? run(arguments[1]) : 0;
}
#endif
