#!/usr/bin/env python3
"""Kills a broker again and again under a node that is under load, and tells how the node takes it.

  infra/chaos/broker_kills.py BINARY [KILLS]

A broker of its own (infra/local/servers.sh; SERVERS_DIR, KAFKA_PORT, default 22610) gets `kill -9`, stays away for up to
two seconds and comes back, KILLS (100) times. Meanwhile single messages go the direct way and batches of 64 go through
librdkafka; both until after each return something is acknowledged. A node that ends is the end of the run: its exit status,
the last lines of its log and the core, if there is one, are what is looked for. At the end everything that was acknowledged has
to have an outcome, and `verify` to be clean. Needs Python 3 alone. Exit 0: the node outlived all kills and lost nothing."""
import http.client, json, os, random, resource, shutil, signal, subprocess, sys, tempfile, threading, time

binary = os.path.abspath(sys.argv[1])
kills = int(sys.argv[2]) if len(sys.argv) > 2 else 100
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
port = int(os.environ.get("KAFKA_PORT", "22610"))
http_port, admin_port = port + 30, port + 31
# A broker that comes back waits until its session of before is over.
environment = {"KAFKA_SESSION_MS": "1500", "KAFKA_TIER": "1", **os.environ, "KAFKA_PORT": str(port), "SERVERS_WAIT": "600"}
servers = os.path.join(root, "infra/local/servers.sh")
work = tempfile.mkdtemp(prefix="broker-kills-")
acknowledged, lock, stop, counts = [], threading.Lock(), threading.Event(), {}
draw = random.Random(int(os.environ.get("SEED", "1")))


def server(*arguments):
    subprocess.run([servers, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ask(to, method, path, body=None, headers={}, timeout=30):
    connection = http.client.HTTPConnection("127.0.0.1", to, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def order(name):
    return {"order_id": name, "customer_id": "c", "currency": "EUR", "total_cents": 1, "items": []}


def count(what, n=1):
    with lock:
        counts[what] = counts.get(what, 0) + n


def singles(worker):
    n = 0
    while not stop.is_set():
        n += 1
        name = f"s-{worker}-{n}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": name}
        try:
            status, body = ask(http_port, "POST", "/v1/storefront/PlaceOrder", json.dumps(order(name)), headers)
            count(f"single {status}")
            if status in (200, 202):
                with lock:
                    acknowledged.append(json.loads(body)["position"])
            else:
                time.sleep(0.02)
        except OSError:
            count("single cut")
            time.sleep(0.1)


def batches(worker):
    n = 0
    while not stop.is_set():
        n += 1
        # One customer's key each, so that a partition gets enough records at once to go through librdkafka.
        lines = []
        for i in range(64):
            name = f"b-{worker}-{n % 7}"
            lines.append(json.dumps({"type": "PlaceOrder", "id": f"b-{worker}-{n}-{i}", "data": order(name)}))
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            status, body = ask(http_port, "POST", "/v1/storefront", "\n".join(lines) + "\n", headers)
            count(f"batch {status}")
            for line in body.decode().splitlines():
                told = json.loads(line)
                if told.get("status") in (200, 202) and "position" in told:
                    count("batch records")
                    with lock:
                        acknowledged.append(told["position"])
            time.sleep(0.05)
        except OSError:
            count("batch cut")
            time.sleep(0.1)


def ended(node):
    code = node.poll()
    if code is None:
        return
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    print(f"THE NODE ENDED: {how}; the end of its log:")
    print("".join(open(f"{work}/log").readlines()[-40:]))
    cores = [name for name in os.listdir(work) if name.startswith("core")]
    print(f"cores: {cores or 'none'}; everything is kept in {work}")
    os._exit(1)


def main():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    server("up", "kafka")
    prefix = f"kills{int(time.time()) % 1000000}_"
    node = subprocess.Popen(
        [binary, "up", os.path.join(root, "schemas/storefront"), "--log", f"kafka://127.0.0.1:{port}", "--data", f"{work}/data",
         "--set", f"log.topic_prefix={prefix}", "--http", f"127.0.0.1:{http_port}", "--admin", f"127.0.0.1:{admin_port}"],
        cwd=work, stdout=open(f"{work}/log", "ab"), stderr=subprocess.STDOUT)
    try:
        while True:
            ended(node)
            try:
                if ask(admin_port, "GET", "/readyz", timeout=2)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        load = [threading.Thread(target=singles, args=(i,), daemon=True) for i in range(4)]
        load += [threading.Thread(target=batches, args=(i,), daemon=True) for i in range(2)]
        for thread in load:
            thread.start()
        longest = 0
        for kill in range(1, kills + 1):
            time.sleep(draw.uniform(0.2, 2))
            server("one", "kill", "kafka-1")
            time.sleep(draw.uniform(0, 2))
            server("one", "up", "kafka-1")
            since, before = time.time(), (counts.get("single 202", 0), counts.get("batch records", 0))
            while counts.get("single 202", 0) == before[0] or counts.get("batch records", 0) == before[1]:
                ended(node)
                if time.time() - since > 120:
                    print(f"kill {kill}: nothing was acknowledged for 120 s after the broker listened again: {counts}")
                    sys.exit(1)
                time.sleep(0.05)
            longest = max(longest, time.time() - since)
            if kill % 10 == 0:
                print(f"{kill} kills; longest until both ways went on {longest:.1f} s; {counts}", flush=True)
        stop.set()
        for thread in load:
            thread.join()
        ended(node)
        wrong = 0
        for position in draw.sample(acknowledged, min(len(acknowledged), 5000)):
            status, body = 0, b""
            for _ in range(600):
                status, body = ask(http_port, "GET", f"/v1/storefront/outcomes/{position}")
                if status == 200 and json.loads(body)["outcome"] != "pending":
                    break
                time.sleep(0.1)
            wrong += status != 200
        said = subprocess.run([binary, "verify", "storefront", "--node", f"http://127.0.0.1:{admin_port}"], capture_output=True, text=True)
        print(f"{len(acknowledged)} acknowledged; of 5,000 of them {wrong} without an outcome; verify ends with {said.returncode}")
        node.send_signal(signal.SIGTERM)
        print(f"the node outlived {kills} kills; SIGTERM ends it with {node.wait(60)}")
        sys.exit(0 if wrong == 0 and said.returncode == 0 else 1)
    finally:
        if node.poll() is None:
            node.kill()
            node.wait()
        server("down", "kafka")
        if sys.exc_info()[0] in (None, SystemExit) and not wrong_exit():
            shutil.rmtree(work, True)


def wrong_exit():
    error = sys.exc_info()[1]
    return isinstance(error, SystemExit) and error.code not in (0, None)


main()
