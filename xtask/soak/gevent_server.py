"""A server and its clients in greenlets of one thread."""
import sys

import gevent
import load
from gevent.pywsgi import WSGIServer
from gevent.socket import create_connection


def application(environ, start_response):
    n = int(environ["PATH_INFO"].rsplit("/", 1)[1])
    body = repr(load.items(n, n % 30)).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def client(first, count):
    size = 0
    for n in range(first, first + count):
        connection = create_connection(("127.0.0.1", server.server_port))
        connection.sendall(("GET /items/%d HTTP/1.0\r\n\r\n" % n).encode())
        while True:
            part = connection.recv(4096)
            if not part:
                break
            size += len(part)
        connection.close()
    return size


server = WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
each = int(sys.argv[1]) // 20
jobs = [gevent.spawn(client, n * each, each) for n in range(20)]
gevent.joinall(jobs, raise_error=True)
print(sum(job.value for job in jobs))
server.stop()
