# SPDX-License-Identifier: Apache-2.0
"""json_work.py ROUNDS: what a service does all day: parse, change, print; some of it kept."""
import json
import sys
import zlib


def record(number):
    return {"id": number, "name": f"item {number}", "tags": [f"t{number % k}" for k in (3, 7, 11)],
            "price": number * 1.25, "nested": {"a": [number] * 5, "b": {"c": str(number), "d": None}}}


def main(rounds):
    kept = []
    check = 0
    text = json.dumps([record(n) for n in range(2000)])
    for turn in range(rounds):
        records = json.loads(text)
        for entry in records:
            entry["turn"] = turn
            entry["tags"].append(entry["name"].upper())
        printed = json.dumps(records, sort_keys=True, indent=1 if turn % 4 == 0 else None)
        check = zlib.crc32(printed.encode(), check)
        kept.append(records[turn % len(records)])
    print("json", rounds, len(kept), check)


main(int(sys.argv[1]))
