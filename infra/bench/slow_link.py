#!/usr/bin/env python3
"""How far behind a node is over a slow link to Kafka.

  infra/bench/slow_link.py BINARY [SECONDS]

A broker of its own (infra/local/servers.sh; SERVERS_DIR, KAFKA_PORT, default 22650), which is reached through a proxy that holds
every byte for DELAY_MS (200) each way, also after it has told its address. RATE (5) messages a second go to the 12 partitions of
the storefront for SECONDS (60); each waits for its outcome. Printed: how long the node took to start, and the time from sending a
message to its outcome, in seconds and in round trips; one round trip of it is the append itself. A node that does not start within a
minute is let start without the delay. Needs Python 3 alone."""
import asyncio, http.client, json, os, shutil, signal, subprocess, sys, tempfile, threading, time

binary = os.path.abspath(sys.argv[1])
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60
delay = held = float(os.environ.get("DELAY_MS", "200")) / 1000
rate = float(os.environ.get("RATE", "5"))
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
port = int(os.environ.get("KAFKA_PORT", "22650"))
proxy_port, http_port, admin_port = port + 20, port + 30, port + 31
environment = dict(os.environ, KAFKA_PORT=str(port), KAFKA_ADVERTISED=str(proxy_port), SERVERS_WAIT="600")
servers = os.path.join(root, "infra/local/servers.sh")
work = tempfile.mkdtemp(prefix="slow-link-")
times, refused, lock = [], [], threading.Lock()


async def carry(reader, writer):
    """Passes on what comes, each piece a delay later."""
    queue = asyncio.Queue()

    async def put():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - time.monotonic()))
            if not data:
                writer.close()
                return
            writer.write(data)

    passing = asyncio.create_task(put())
    try:
        while data := await reader.read(1 << 16):
            queue.put_nowait((time.monotonic() + held, data))
    except OSError:
        pass
    queue.put_nowait((time.monotonic() + held, b""))
    await passing


async def accept(reader, writer):
    try:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(carry(reader, to_writer), carry(to_reader, writer), return_exceptions=True)


def proxy():
    async def serve():
        server = await asyncio.start_server(accept, "127.0.0.1", proxy_port)
        await server.serve_forever()

    asyncio.run(serve())


def ask(to, method, path, body=None, headers={}, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", to, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def send(n):
    order = {"order_id": f"o-{n}", "customer_id": "c", "currency": "EUR", "total_cents": 1, "items": []}
    since = time.monotonic()
    try:
        status, body = ask(http_port, "POST", "/v1/storefront/PlaceOrder", json.dumps(order),
                           {"Content-Type": "application/json", "Prefer": "wait=30"})
    except OSError as error:
        status, body = 0, str(error).encode()
    with lock:
        (times if status == 200 else refused).append(time.monotonic() - since if status == 200 else (status, body[:200]))


def main():
    global held
    subprocess.run([servers, "up", "kafka"], env=environment, check=True)
    threading.Thread(target=proxy, daemon=True).start()
    node = subprocess.Popen(
        [binary, "up", os.path.join(root, "schemas/storefront"), "--log", f"kafka://127.0.0.1:{proxy_port}", "--data", f"{work}/data",
         "--set", f"log.topic_prefix=slow{int(time.time()) % 1000000}_", "--http", f"127.0.0.1:{http_port}",
         "--admin", f"127.0.0.1:{admin_port}"],
        stdout=open(f"{work}/log", "ab"), stderr=subprocess.STDOUT)
    try:
        since = time.monotonic()
        while node.poll() is None:
            if time.monotonic() - since > 60 and held > 0:
                print(f"not started within 60 s: {ask(admin_port, 'GET', '/readyz')[1].decode()[:300]}", flush=True)
                held = 0
            try:
                if ask(admin_port, "GET", "/readyz", timeout=2)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        print(f"started after {time.monotonic() - since:.1f} s", flush=True)
        held = delay
        time.sleep(10)  # until the group has shared the partitions, and the lanes have found their places
        threads, start = [], time.monotonic()
        for n in range(int(seconds * rate)):
            time.sleep(max(0, start + n / rate - time.monotonic()))
            threads.append(threading.Thread(target=send, args=(n,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        times.sort()
        at = lambda share: times[min(len(times) - 1, int(len(times) * share))]
        print(f"{len(times)} messages, {len(refused)} without an outcome in 30 s {refused[:1]}; "
              f"{rate:g} a second, {delay * 1000:g} ms each way")
        if times:
            for name, value in (("p50", at(0.5)), ("p99", at(0.99)), ("max", times[-1])):
                print(f"  sent to outcome, {name}: {value:6.2f} s = {value / (2 * delay):5.1f} round trips")
    finally:
        node.send_signal(signal.SIGKILL)
        node.wait()
        subprocess.run([servers, "down", "kafka"], env=environment, check=True)
        shutil.rmtree(work, True)


main()
