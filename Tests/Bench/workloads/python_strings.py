# SPDX-License-Identifier: Apache-2.0
"""Building strings: formatting, joining, splitting, slicing, as a template engine or a log writer does."""
import sys

def line(i):
    name = f"user-{i % 997}"
    return "%s;%d;%s" % (name, i, name.upper()) + str(i * 7)

def page(n):
    rows = [line(i) for i in range(n)]
    text = "\n".join(rows)
    words = text.replace(";", " ").split()
    return text, len({w[:4] for w in words})

def main(rounds):
    total = 0
    for i in range(rounds):
        text, kinds = page(2000)
        total += len(text) + kinds
    print(total)

main(int(sys.argv[1]))
