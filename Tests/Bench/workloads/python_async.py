# SPDX-License-Identifier: Apache-2.0
"""Tasks, futures and queues of asyncio, as a small server has them."""
import asyncio
import sys

async def worker(queue, results):
    while True:
        item = await queue.get()
        if item is None:
            return
        results.append({"id": item, "body": str(item) * 3})
        await asyncio.sleep(0)

async def serve(jobs):
    queue = asyncio.Queue(50)
    results = []
    workers = [asyncio.create_task(worker(queue, results)) for _ in range(20)]
    for i in range(jobs):
        await queue.put(i)
    for _ in workers:
        await queue.put(None)
    await asyncio.gather(*workers)
    return len(results)

async def main(rounds):
    total = 0
    for _ in range(rounds):
        total += await serve(2000)
    print(total)

asyncio.run(main(int(sys.argv[1])))
