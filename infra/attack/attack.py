#!/usr/bin/env python3
"""One address takes all it can get; beside it a polite client from another address reads and writes.

Usage: attack.py BINARY [PORT]. Loopback only, bounded in connections and time. Prints for each attack the polite client's
p50 and p99 beside what they were without it, and ends with 1 if a polite request failed. Linux: every address of 127/8 is
there.
"""
import http.client
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

BINARY = os.path.abspath(sys.argv[1])
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 22380
SECONDS = float(os.environ.get("ATTACK_SECONDS", "8"))
PACE = 0.01
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
ATTACKER, POLITE = "127.0.0.1", "127.0.0.2"


def order(number, customer="polite"):
    return json.dumps({"order_id": f"{customer}-{number}", "customer_id": customer, "currency": "EUR",
                       "total_cents": 1, "items": []})


class Polite:
    """A client that waits for each answer, on a connection that it keeps, from an address of its own."""

    def __init__(self):
        self.number, self.failed = 0, []

    def connect(self, port=PORT):
        return http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(POLITE, 0))

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
        times.sort()
        return times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]


class Attack:
    """Connections of one address. Lost ones are opened again, so the attack does not fade."""

    def __init__(self, count, head, drip=b"", every=1.0):
        self.count, self.head, self.drip, self.every = count, head, drip, every
        self.stop, self.held, self.lost = threading.Event(), [], 0
        self.thread = threading.Thread(target=self.run)

    def open(self):
        try:
            one = socket.create_connection(("127.0.0.1", PORT), 5, (ATTACKER, 0))
            one.setblocking(False)
            if self.head:
                one.send(self.head)
            self.held.append(one)
        except OSError:
            self.lost += 1

    def run(self):
        while not self.stop.is_set() and len(self.held) < self.count and self.lost < self.count:
            self.open()
        while not self.stop.wait(self.every):
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
        self.thread.start()
        time.sleep(2)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def post(length, body):
    return (f"POST /v1/storefront/PlaceOrder HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n").encode() + body


def stream(body):
    return (b"POST /v1/storefront/PlaceOrder HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + body)


def page(headers=""):
    return f"GET /v1/storefront/orders_by_customer?customer_id=many&limit=1000 HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode()


ATTACKS = [
    ("80 idle bodies of 1 MiB", Attack(80, post(1 << 20, b"{"))),
    ("80 bodies, a byte a second", Attack(80, post(1 << 20, b"{"), b" ")),
    ("80 streams, a byte a second", Attack(80, stream(b"1\r\n \r\n"), b"1\r\n \r\n")),
    ("80 heads, a byte a second", Attack(80, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", b"a")),
    ("4,300 waiters", Attack(4300, page("Tidefold-Min-Position: orders:0:999999999\r\nPrefer: wait=30\r\n"))),
    ("2,000 idle connections", Attack(2000, b"")),
    ("16 unread large pages, 50 of each", Attack(16, page() * 50)),
]


def start(folder):
    environment = dict(os.environ, TIDEFOLD_NODE=f"http://127.0.0.1:{PORT + 1}", TIDEFOLD_URL=f"http://127.0.0.1:{PORT}")
    node = subprocess.Popen(
        [BINARY, "up", "schemas/storefront", "--http", f"127.0.0.1:{PORT}", "--admin", f"127.0.0.1:{PORT + 1}",
         "--data", folder], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=open(folder + ".log", "w"))
    for _ in range(400):
        try:
            probe = http.client.HTTPConnection("127.0.0.1", PORT + 1, timeout=1)
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


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    work = tempfile.mkdtemp()
    node, polite, over = start(work + "/data"), Polite(), 0
    try:
        fill()
        polite.measure(2)
        print(f"{'attack from one address':36} {'held':>5} {'lost':>5}  {'idle p50':>8} {'p99 ms':>7}  {'p50':>7} {'p99':>7}  "
              f"{'p99 ratio':>9}  {'MiB':>5}  failed")
        for name, attack in ATTACKS:
            before = len(polite.failed)
            idle = polite.measure(SECONDS)
            with attack:
                beside, memory = polite.measure(SECONDS), resident(node)
                held, lost = len(attack.held), attack.lost
            ratio, failed = beside[1] / idle[1], len(polite.failed) - before
            over += ratio >= 2
            print(f"{name:36} {held:5} {lost:5}  {idle[0]:8.2f} {idle[1]:7.2f}  {beside[0]:7.2f} {beside[1]:7.2f}  "
                  f"{ratio:9.2f}  {memory:5}  {failed}", flush=True)
    finally:
        node.terminate()
        node.wait()
        shutil.rmtree(work)
    for line in polite.failed[:20]:
        print("failed:", line)
    print(f"{len(polite.failed)} polite requests failed; p99 is twice the idle one or more beside {over} of {len(ATTACKS)}")
    sys.exit(1 if polite.failed else 0)


main()
