/* SPDX-License-Identifier: Apache-2.0
 *
 * parser ROUNDS NESTING: a recursive-descent parser (expression, term, factor: three frames a parenthesis) of a
 * text nested NESTING deep. Every node is a block, so allocations come at all depths of the recursion.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
    char operator;
    uint32_t value;
    struct node *left, *right;
};

static const char *at;

static __attribute__((noinline)) struct node *make(char operator, uint32_t value, struct node *left,
                                                   struct node *right)
{
    struct node *node = malloc(sizeof *node);
    if (!node)
        abort();
    *node = (struct node){operator, value, left, right};
    return node;
}

static struct node *expression(void);

static __attribute__((noinline)) struct node *factor(void)
{
    if (*at == '(') {
        at++;
        struct node *inner = expression();
        at++; /* ')' */
        return inner;
    }
    uint32_t value = 0;
    while (*at >= '0' && *at <= '9')
        value = value * 10 + (uint32_t)(*at++ - '0');
    return make('#', value, NULL, NULL);
}

static __attribute__((noinline)) struct node *term(void)
{
    struct node *left = factor();
    while (*at == '*') {
        at++;
        left = make('*', 0, left, factor());
    }
    return left;
}

static __attribute__((noinline)) struct node *expression(void)
{
    struct node *left = term();
    while (*at == '+') {
        at++;
        left = make('+', 0, left, term());
    }
    return left;
}

static uint32_t evaluate_and_free(struct node *node)
{
    uint32_t value = node->value;
    if (node->operator != '#') {
        uint32_t left = evaluate_and_free(node->left), right = evaluate_and_free(node->right);
        value = node->operator == '+' ? left + right : left * right;
    }
    free(node);
    return value;
}

/* 1*2+(3*4+( ... 5+6 ... )*7+8)*9 + ... */
static char *text_of(unsigned nesting)
{
    char *text = malloc((size_t)nesting * 40 + 8);
    if (!text)
        abort();
    char *end = text;
    for (unsigned i = 0; i < nesting; i++)
        end += sprintf(end, "%u*%u+(", i % 97 + 1, i % 89 + 3);
    end += sprintf(end, "5+6");
    for (unsigned i = 0; i < nesting; i++)
        end += sprintf(end, ")*%u+%u", i % 7 + 1, i % 83);
    return text;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    unsigned rounds = (unsigned)strtoul(argv[1], NULL, 10);
    char *text = text_of((unsigned)strtoul(argv[2], NULL, 10));
    uint32_t sum = 0;
    for (unsigned i = 0; i < rounds; i++) {
        at = text;
        sum += evaluate_and_free(expression());
        if (*at)
            return 65;
    }
    free(text);
    printf("parser %u\n", sum);
    return 0;
}
