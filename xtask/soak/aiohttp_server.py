"""A server and its clients in one event loop."""
import asyncio
import sys

import load
from aiohttp import ClientSession, web


async def items(request):
    return web.json_response(load.items(int(request.match_info["n"]), int(request.query["size"])))


async def client(session, port, first, count):
    size = 0
    for n in range(first, first + count):
        async with session.get("http://127.0.0.1:%d/items/%d?size=%d" % (port, n, n % 30)) as answer:
            size += len(await answer.json())
    return size


async def main(requests):
    app = web.Application()
    app.router.add_get("/items/{n}", items)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with ClientSession() as session:
        each = requests // 10
        print(sum(await asyncio.gather(*(client(session, port, n * each, each) for n in range(10)))))
    await runner.cleanup()


asyncio.run(main(int(sys.argv[1])))
