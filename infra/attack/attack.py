#!/usr/bin/env python3
"""One address takes all it can get; beside it a polite client from another address reads and writes.

Usage: attack.py BINARY [PORT]. Loopback only, bounded in connections and time. Prints for each attack the polite client's
p50, p99 and longest request beside what they were without it, and ends with 1 if a polite request failed. The attacker is a
process of its own, which costs the polite client no time but the machine's. Linux: every address of 127/8 is there.
ATTACK_ONLY takes those attacks whose name contains one of its words, ATTACK_SECONDS says how long each is measured.

Who waits in vain needs a node whose messages nobody folds: with ATTACK_KAFKA and ATTACK_CQL (host:port) an ingest and a
query node run on those servers without a projector, under an app of their own name, which stays there.
"""
import http.client
import json
import multiprocessing
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BINARY = os.path.abspath(sys.argv[1])
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 22380
SECONDS = float(os.environ.get("ATTACK_SECONDS", "8"))
ONLY = os.environ.get("ATTACK_ONLY", "").split()
FORK = multiprocessing.get_context("fork")
PACE = 0.01
# An attack is measured from its beginning on, once this is over: what its arrival costs is most of what it does.
SETTLES = 0.2
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
ATTACKER, POLITE = "127.0.0.1", "127.0.0.2"


def is_wanted(name):
    return not ONLY or any(word in name for word in ONLY)


def percentiles(times):
    times.sort()
    return times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)], times[-1]


def order(number, customer="polite"):
    return json.dumps({"order_id": f"{customer}-{number}", "customer_id": customer, "currency": "EUR",
                       "total_cents": 1, "items": []})


class Polite:
    """A client that waits for each answer, on a connection that it keeps, from an address of its own."""

    def __init__(self):
        self.number, self.failed = 0, []

    def connect(self, port=PORT):
        return http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(POLITE, 0))

    def repeat(self, port, seconds, *request):
        """The same request again and again; times in milliseconds, in order."""
        connection, times = self.connect(port), []
        until = time.time() + seconds
        while time.time() < until:
            times.append(self.ask(connection, *request))
            time.sleep(PACE)
        connection.close()
        return percentiles(times)

    def ask(self, connection, method, path, expected, body=None, headers=None):
        since = time.perf_counter()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.read()
            if answer.status != expected:
                self.failed.append(f"{method} {path}: {answer.status}")
        except OSError as error:
            self.failed.append(f"{method} {path}: {error!r}")
            connection.close()
        return (time.perf_counter() - since) * 1000

    def measure(self, seconds):
        connection, times = self.connect(), []
        until = time.time() + seconds
        while time.time() < until:
            self.number += 1
            write = {"Content-Type": "application/json", "Prefer": "wait=5"}
            times.append(self.ask(connection, "POST", "/v1/storefront/PlaceOrder", 200, order(self.number), write))
            times.append(self.ask(connection, "GET", f"/v1/storefront/orders/polite-{self.number}", 200))
            if self.number % 50 == 0:
                # Newcomers and probes find their place too.
                fresh, probe = self.connect(), self.connect(PORT + 1)
                self.ask(fresh, "GET", "/v1/storefront/orders/polite-1", 200)
                self.ask(probe, "GET", "/livez", 200)
                fresh.close()
                probe.close()
            time.sleep(PACE)
        connection.close()
        return percentiles(times)


class Attack:
    """Connections of one address. Lost ones are opened again, so the attack does not fade."""

    def __init__(self, count, head, drip=b"", every=1.0, port=PORT):
        self.count, self.head, self.drip, self.every, self.port = count, head, drip, every, port
        self.held, self.lost = [], 0
        self.stop, self.told = FORK.Event(), FORK.Array("i", 2)

    def open(self):
        try:
            one = socket.create_connection(("127.0.0.1", self.port), 5, (ATTACKER, 0))
            one.setblocking(False)
            if self.head:
                one.send(self.head)
            self.held.append(one)
        except OSError:
            self.lost += 1

    def run(self):
        while not self.stop.is_set() and len(self.held) < self.count and self.lost < self.count:
            self.open()
        while True:
            self.told[:] = len(self.held), self.lost
            if self.stop.wait(self.every):
                break
            for one in list(self.held):
                try:
                    if self.drip:
                        one.send(self.drip)
                    # An end of the connection shows; answers stay unread.
                    if one.recv(1, socket.MSG_PEEK) == b"":
                        raise OSError
                except BlockingIOError:
                    pass
                except OSError:
                    one.close()
                    self.held.remove(one)
                    self.lost += 1
                    if self.lost < 4 * self.count:
                        self.open()
        for one in self.held:
            one.close()

    def __enter__(self):
        self.process = FORK.Process(target=self.run, daemon=True)
        self.process.start()
        time.sleep(SETTLES)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.process.join()


def post(length, body, app="storefront", headers=""):
    return (f"POST /v1/{app}/PlaceOrder HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {length}\r\n\r\n").encode() + body


def stream(body):
    return (b"POST /v1/storefront/PlaceOrder HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + body)


def page(headers="", app="storefront"):
    return f"GET /v1/{app}/orders_by_customer?customer_id=many&limit=1000 HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode()


# Who waits in vain.
OUTCOME, POSITION = "4,300 who wait for an outcome", "4,300 who wait for a position"

ATTACKS = [
    ("80 idle bodies of 1 MiB", Attack(80, post(1 << 20, b"{"))),
    ("80 bodies, a byte a second", Attack(80, post(1 << 20, b"{"), b" ")),
    ("80 streams, a byte a second", Attack(80, stream(b"1\r\n \r\n"), b"1\r\n \r\n")),
    ("80 heads, a byte a second", Attack(80, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", b"a")),
    ("4,300 waiters past the log's end", Attack(4300, page("Tidefold-Min-Position: orders:0:999999999\r\nPrefer: wait=30\r\n"))),
    ("2,000 idle connections", Attack(2000, b"")),
    ("16 unread large pages, 50 of each", Attack(16, page() * 50)),
]


def start(folder, *command, port=PORT):
    environment = dict(os.environ, TIDEFOLD_NODE=f"http://127.0.0.1:{port + 1}", TIDEFOLD_URL=f"http://127.0.0.1:{port}")
    node = subprocess.Popen(
        [BINARY, *command, "--http", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{port + 1}", "--data", folder],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=open(folder + ".log", "w"))
    for _ in range(1200):
        try:
            probe = http.client.HTTPConnection("127.0.0.1", port + 1, timeout=1)
            probe.request("GET", "/readyz")
            if probe.getresponse().status == 200:
                return node
        except OSError:
            pass
        time.sleep(0.05)
    node.kill()
    sys.exit("the node did not start: " + open(folder + ".log").read()[-2000:])


def fill():
    """Rows for pages of a thousand."""
    loader = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    lines = "\n".join(order(number, "many") for number in range(3000))
    loader.request("POST", "/v1/storefront/PlaceOrder", lines, {"Content-Type": "application/x-ndjson"})
    loader.getresponse().read()


def resident(node):
    with open(f"/proc/{node.pid}/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))


def report(name, attack, node, idle, beside, failed):
    ratio, (held, lost) = beside[1] / idle[1], attack.told
    print(f"{name:36} {held:5} {lost:5}  {idle[0]:8.2f} {idle[1]:7.2f} {idle[2]:7.2f}  {beside[0]:7.2f} {beside[1]:7.2f} "
          f"{beside[2]:7.2f}  {ratio:9.2f}  {resident(node):5}  {failed}", flush=True)
    return ratio >= 2


def in_vain(work, polite):
    """Waits that last: nobody folds what is written and asked for. How many of them were twice the idle p99."""
    servers = os.environ.get("ATTACK_KAFKA"), os.environ.get("ATTACK_CQL")
    if not is_wanted(OUTCOME) and not is_wanted(POSITION):
        return 0
    if not all(servers):
        print("skipped, without ATTACK_KAFKA and ATTACK_CQL: those who wait for what nobody folds")
        return 0
    app, over = f"attack{os.getpid()}", 0
    schemas = f"{work}/{app}"
    shutil.copytree(f"{ROOT}/schemas/storefront", schemas)
    with open(f"{schemas}/app.toml") as file:
        text = re.sub(r'(?m)^app = .*$', f'app = "{app}"', file.read())
    with open(f"{schemas}/app.toml", "w") as file:
        file.write(text)
    on = "--log", f"kafka://{servers[0]}", "--store", f"scylla://{servers[1]}"
    whole = start(f"{work}/whole", "up", schemas, *on)
    write = {"Content-Type": "application/json"}
    polite.ask(polite.connect(), "POST", f"/v1/{app}/PlaceOrder", 200, order(1), dict(write, Prefer="wait=20"))
    whole.terminate()
    whole.wait()
    ingest, query = start(f"{work}/ingest", "ingest", schemas, *on), start(f"{work}/query", "query", schemas, *on, port=PORT + 2)
    try:
        connection = polite.connect()
        connection.request("POST", f"/v1/{app}/PlaceOrder", order(2), write)
        position = json.loads(connection.getresponse().read())["position"]
        body = order(3, "impatient").encode()
        for name, node, port, head, asked in [
            (OUTCOME, ingest, PORT, post(len(body), body, app, "Prefer: wait=30\r\n"),
             ("POST", f"/v1/{app}/PlaceOrder", 202, order(4), write)),
            (POSITION, query, PORT + 2,
             page(f"Tidefold-Min-Position: {position}\r\nPrefer: wait=30\r\n", app),
             ("GET", f"/v1/{app}/orders/polite-1", 200)),
        ]:
            if not is_wanted(name):
                continue
            before, idle = len(polite.failed), polite.repeat(port, SECONDS, *asked)
            with Attack(4300, head, port=port) as attack:
                beside = polite.repeat(port, SECONDS, *asked)
                over += report(name, attack, node, idle, beside, len(polite.failed) - before)
    finally:
        for node in ingest, query:
            node.terminate()
            node.wait()
    return over


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    work = tempfile.mkdtemp()
    node, polite, over = start(work + "/data", "up", "schemas/storefront"), Polite(), 0
    try:
        fill()
        polite.measure(2)
        print(f"{'attack from one address':36} {'held':>5} {'lost':>5}  {'idle p50':>8} {'p99 ms':>7} {'longest':>7}  {'p50':>7} "
              f"{'p99':>7} {'longest':>7}  {'p99 ratio':>9}  {'MiB':>5}  failed")
        for name, attack in ATTACKS:
            if not is_wanted(name):
                continue
            before = len(polite.failed)
            idle = polite.measure(SECONDS)
            with attack:
                beside = polite.measure(SECONDS)
                over += report(name, attack, node, idle, beside, len(polite.failed) - before)
        node.terminate()
        node.wait()
        over += in_vain(work, polite)
    finally:
        node.terminate()
        node.wait()
        shutil.rmtree(work)
    for line in polite.failed[:20]:
        print("failed:", line)
    print(f"{len(polite.failed)} polite requests failed; p99 is twice the idle one or more beside {over} attacks")
    sys.exit(1 if polite.failed else 0)


main()
