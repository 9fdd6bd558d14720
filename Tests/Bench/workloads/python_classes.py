# SPDX-License-Identifier: Apache-2.0
"""Instances of classes that live for a while: a cache of sessions, a tree, small records."""
import sys

class Point:
    __slots__ = ("x", "y")
    def __init__(self, x, y):
        self.x = x
        self.y = y

class Session:
    def __init__(self, number):
        self.number = number
        self.at = Point(number, float(number))
        self.tags = [number, number + 1]

class Node:
    def __init__(self, key):
        self.key = key
        self.left = self.right = None

def insert(root, key):
    while True:
        side = "left" if key < root.key else "right"
        child = getattr(root, side)
        if child is None:
            setattr(root, side, Node(key))
            return
        root = child

def main(rounds):
    cache = {}
    total = 0
    for turn in range(rounds):
        for i in range(3000):
            cache[(turn * 7 + i) % 20000] = Session(i + turn * 1000)
        root = Node(500)
        for i in range(1000):
            insert(root, i * 7919 % 1009)
        total += len(cache)
    print(total)

main(int(sys.argv[1]))
