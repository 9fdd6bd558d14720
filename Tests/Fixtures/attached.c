/* SPDX-License-Identifier: Apache-2.0
 *
 * attached.c - a program to be followed: 1,000 blocks of 100 bytes at once. Each line on standard input brings 500 blocks of
 * 200 bytes more, and a child that allocates 10 blocks of 300 and ends. At the end of the input, it ends with status 3.
 * What it has done is said in a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile kept;

__attribute__((noinline)) static void first_site(void)
{
    for (int i = 0; i < 1000; i++)
        kept = malloc(100);
}

__attribute__((noinline)) static void second_site(void)
{
    for (int i = 0; i < 500; i++)
        kept = malloc(200);
}

__attribute__((noinline)) static void child_site(void)
{
    for (int i = 0; i < 10; i++)
        kept = malloc(300);
}

static void say(const char *word)
{
    puts(word);
    fflush(stdout);
}

int main(void)
{
    char line[16];
    first_site();
    say("ready");
    while (fgets(line, sizeof line, stdin)) {
        second_site();
        if (fork() == 0) {
            child_site();
            _exit(0);
        }
        wait(NULL);
        say("more");
    }
    return 3;
}
