#!/usr/bin/env python3
"""make.py TIDEFOLD: makes market_closed.tar.gz and market_killed.tar.gz, data folders of the app market/, with a release's binary,
and market_answers.json, what that release answers of them. Those here were made by a build of commit 7ea10d2.

Each folder has messages of every kind and verdict, a deleted order, a duplicate, and a replay in the middle, so that there are
two generations. One was closed in order; the other had one order more when its process was killed."""
import json, os, signal, socket, subprocess, sys, tempfile, time, urllib.request, urllib.error

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = sys.argv[1]
PATHS = (
    [f"orders/o-{n}" for n in range(1, 13)]
    + [f"by_customer?customer_id=c-{n}" for n in range(3)]
    + [f"cents_by_customer?customer_id=c-{n}" for n in range(3)]
    + [f"visits_by_page?page={page}" for page in ("home", "basket", "nowhere")]
    + [f"outcomes/orders:{partition}:{offset}" for partition in (0, 1) for offset in range(15)]
)


def ports():
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def call(url, body=None, headers=()):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Node:
    def __init__(self, data):
        http, admin = ports()
        self.http, self.admin = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{admin}"
        flags = ["--data", data, "--http", f"127.0.0.1:{http}", "--admin", f"127.0.0.1:{admin}"]
        self.process = subprocess.Popen([BINARY, "up", f"{HERE}/market", *flags], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while True:
            try:
                with urllib.request.urlopen(f"{self.admin}/readyz", timeout=30):
                    return
            except OSError:
                pass
            time.sleep(0.1)

    def send(self, kind, id, outcome, **fields):
        headers = {"prefer": "wait=10", "idempotency-key": id}
        status, body = call(f"{self.http}/v1/market/{kind}", fields, headers.items())
        found = body.get("outcome")
        assert found == outcome, (kind, id, status, body)

    def answers(self):
        def answer(path):
            status, body = call(f"{self.http}/v1/market/{path}")
            return {"status": status, "body": body if status == 200 else {"code": body["code"]}}

        return {path: answer(path) for path in PATHS}

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def pack(data, name):
    subprocess.run(["tar", "-czSf", f"{HERE}/{name}.tar.gz", "--owner=0", "--group=0", "--mtime=@0", "-C", data, "."], check=True)


def close(node):
    """Everything, and what is answered then."""
    for n in range(1, 11):
        node.send("PlaceOrder", f"place-{n}", "applied", order_id=f"o-{n}", customer_id=f"c-{n % 3}", cents=100 * n)
    for n in (1, 2, 3):
        node.send("PayOrder", f"pay-{n}", "applied", order_id=f"o-{n}")
    node.send("PayOrder", "pay-again", "rejected", order_id="o-1")
    node.send("OrderShipped", "ship-1", "applied", order_id="o-1")
    node.send("OrderShipped", "ship-nothing", "dead", order_id="o-99")
    node.send("DropOrder", "drop-9", "applied", order_id="o-9")
    for n in range(6):
        page = "home" if n % 2 else "basket"
        node.send("PageSeen", f"seen-{n}", "applied", visitor=f"v-{n % 4}", page=page, millis=50 - n, browser=f"b{n}")
    subprocess.run([BINARY, "replay", "market", "-q", "--node", node.admin], check=True)
    node.send("PlaceOrder", "place-11", "applied", order_id="o-11", customer_id="c-2", cents=7)
    node.send("PlaceOrder", "place-11", "duplicate", order_id="o-11", customer_id="c-2", cents=7)
    answers = node.answers()
    node.stop(signal.SIGTERM)
    return answers


def text(answers):
    """A line a path."""
    lines = {of: ",\n".join(f"{json.dumps(path)}:{json.dumps(found[path])}" for path in PATHS) for of, found in answers.items()}
    return "{" + ",\n".join(f"{json.dumps(of)}:{{\n{paths}}}" for of, paths in lines.items()) + "}\n"


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        with Node(data) as node:
            answers = {"closed": close(node)}
        pack(data, "market_closed")
        with Node(data) as node:
            node.send("PlaceOrder", "place-12", "applied", order_id="o-12", customer_id="c-1", cents=5)
            answers["killed"] = node.answers()
            node.stop(signal.SIGKILL)
        pack(data, "market_killed")
        with open(f"{HERE}/market_answers.json", "w") as file:
            file.write(text(answers))


main()
