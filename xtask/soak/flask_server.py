"""A web application in waitress' threads, under load on loopback."""
import sys
import threading

import flask
import load
import waitress

app = flask.Flask(__name__)
PAGE = "<ul>{% for item in items %}<li>{{ item.name }}: {{ '%.2f' % item.price }}</li>{% endfor %}</ul>"


@app.route("/items/<int:n>")
def items(n):
    found = load.items(n, int(flask.request.args["size"]))
    if n % 2:
        return flask.jsonify(items=found)
    return flask.render_template_string(PAGE, items=found)


server = waitress.create_server(app, host="127.0.0.1", port=0, threads=4)
serving = threading.Thread(target=server.run)
serving.daemon = True
serving.start()
status = load.start(server.effective_port, int(sys.argv[1])).wait()
server.task_dispatcher.shutdown()
sys.exit(status)
