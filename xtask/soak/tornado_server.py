"""Coroutines that fetch from a server in the same loop."""
import sys

import load
import tornado.httpclient
import tornado.httpserver
import tornado.ioloop
import tornado.netutil
import tornado.web
from tornado import gen


class Items(tornado.web.RequestHandler):
    def get(self, n):
        self.write({"items": load.items(int(n), int(self.get_argument("size")))})


@gen.coroutine
def main():
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/items/([0-9]+)", Items)]))
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    port = sockets[0].getsockname()[1]
    client = tornado.httpclient.AsyncHTTPClient()
    size = 0
    for n in range(0, int(sys.argv[1]), 10):
        urls = ["http://127.0.0.1:%d/items/%d?size=%d" % (port, m, m % 30) for m in range(n, n + 10)]
        answers = yield [client.fetch(url) for url in urls]
        size += sum(len(answer.body) for answer in answers)
    print(size)


tornado.ioloop.IOLoop.current().run_sync(main)
