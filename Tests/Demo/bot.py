# SPDX-License-Identifier: Apache-2.0
"""A bot with a cache that never evicts: what `make demo` profiles."""
import json
import sys
import time


class Session:
    """What the bot keeps for each user, for ever."""

    def __init__(self, user: int, text: str) -> None:
        self.user = user
        self.history = [text]


def fetch(user: int) -> str:
    return json.dumps({"user": user, "messages": [f"message {user}-{n}" for n in range(40)]})


def handle(user: int, cache: dict) -> int:
    text = fetch(user)
    message = json.loads(text)
    cache[user] = Session(user, text)  # the leak
    return len(message["messages"])


def main(seconds: float) -> None:
    cache: dict = {}
    end = time.monotonic() + seconds
    handled = user = 0
    while time.monotonic() < end:
        for _ in range(100):
            handled += handle(user, cache)
            user += 1
        time.sleep(0.01)
    print(f"handled {handled} messages of {user} users")


main(float(sys.argv[1]))
