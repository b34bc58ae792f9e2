"""A web application behind gunicorn, a worker with threads; ended by a signal when the load is done."""
import json
import os
import sys

import load
from gunicorn.app.base import BaseApplication


def application(environ, start_response):
    query = dict(pair.split("=") for pair in environ["QUERY_STRING"].split("&"))
    found = load.items(int(environ["PATH_INFO"].rsplit("/", 1)[1]), int(query["size"]))
    body = json.dumps(found, indent=1).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class Server(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "127.0.0.1:%d" % port)
        self.cfg.set("threads", 2)

    def load(self):
        return application


port = load.free_port()
load.start(port, int(sys.argv[1]), os.getpid())
Server().run()
