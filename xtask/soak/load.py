"""What the servers share: requests from another process."""
import os
import subprocess
import sys

# Each word is the path of a request; the answers' sizes are added up.
CLIENT = """
import os, signal, socket, sys, time
try:
    from http.client import HTTPConnection
except ImportError:
    from httplib import HTTPConnection
port, requests, to_end = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for _ in range(600):
    try:
        socket.create_connection(('127.0.0.1', port)).close()
        break
    except OSError:
        time.sleep(0.05)
size = 0
for turn in range(0, requests, 20):
    connection = HTTPConnection('127.0.0.1', port, timeout=60)
    for n in range(turn, turn + 20):
        connection.request('GET', '/items/%d?size=%d' % (n, n % 30))
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, body)
        size += len(body)
    connection.close()
print(size)
sys.stdout.flush()
if to_end:
    os.kill(to_end, signal.SIGTERM)
"""


def start(port, requests, to_end=0):
    """Starts a process that makes requests and then ends a process, if it is told one."""
    return subprocess.Popen([sys.executable, "-c", CLIENT, str(port), str(requests), str(to_end)])


def free_port():
    """A port that nobody listens on."""
    import socket

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    return port


def items(n, size):
    """What is answered."""
    return [{"name": "item %d" % (n + i), "price": i * 1.25, "tags": ["a", "b"] * (i % 3)} for i in range(size)]
