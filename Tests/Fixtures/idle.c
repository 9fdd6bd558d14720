/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that never allocates.
 */
#include <time.h>

int main(void)
{
    struct timespec pause = {1, 0};
    return nanosleep(&pause, NULL);
}
