"""The same app through a real node: its messages over HTTP, kill -9 while it folds and while it replays, and every answer."""

import http.client
import json
import os
import random
import signal
import subprocess
import time
from urllib.parse import urlencode

from app import dump, plain
from engine import text


class Node:
    """A node of an app's folder; its data folder stays between its lives."""

    def __init__(self, binary, folder, port, flags=()):
        self.binary, self.folder, self.port, self.flags, self.process = binary, folder, port, list(flags), None

    def start(self):
        with open(self.folder + '/log', 'a') as log:
            self.process = subprocess.Popen(
                [self.binary, 'up', self.folder + '/app', '--http', '127.0.0.1:%d' % self.port, '--admin',
                 '127.0.0.1:%d' % (self.port + 1), '--data', self.folder + '/data'] + self.flags, stdout=subprocess.DEVNULL, stderr=log)
        while True:
            try:
                if self.ask(self.port + 1, 'GET', '/readyz')[0] == 200: return
            except OSError: pass
            if self.process.poll() is not None:
                raise RuntimeError('the node does not start: ' + open(self.folder + '/log').read()[-2000:])
            time.sleep(0.02)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, port, method, path, body=None, headers={}):
        c = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            return r.status, r.read()
        finally: c.close()

    def get(self, path):
        status, body = self.ask(self.port, 'GET', '/v1/fz/' + path)
        return status, json.loads(body)

    def run(self, *command):
        r = subprocess.run([self.binary, *command, '--node', 'http://127.0.0.1:%d' % (self.port + 1)], capture_output=True,
                           text=True, timeout=300)
        return r.returncode, (r.stdout + r.stderr)[-2000:]


def line(m):
    parts = {'type': m['type'], 'id': m['id'], 'time': text(m['time'], 'timestamp-micros'), 'data': m['json']}
    if m.get('if_match') is not None: parts['ifmatch'] = str(m['if_match'])
    return dump(parts, False)


def differences(args, app, messages, expectation, folder):
    """What a real node does otherwise."""
    outcomes, tables = expectation(app, messages)
    r = random.Random(app.seed)
    flags, own = [], 'fuzz%d_%d_' % (os.getpid(), app.seed)
    if args.log: flags += ['--log', args.log, '--set', 'log.topic_prefix=' + own, '--set', 'log.session_timeout=3s']
    if args.store: flags += ['--store', args.store, '--set', 'store.keyspace_prefix=' + own]
    node = Node(args.binary, folder, args.port + 2 * (os.getpid() % 40), flags)
    try:
        return through(node, r, app, messages, outcomes, tables)
    except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
        return ['a real node: %r' % error]
    finally:
        if node.process and node.process.poll() is None: node.kill()


def through(node, r, app, messages, outcomes, tables):
    node.start()
    positions, at = [], 0
    while at < len(messages):
        some = messages[at:at + r.randint(1, 15)]
        body = '\n'.join(map(line, some)).encode()
        status, answer = node.ask(node.port, 'POST', '/v1/fz', body, {'Content-Type': 'application/x-ndjson'})
        answers = [json.loads(x) for x in answer.splitlines()]
        refused = [a for a in answers if a.get('status') != 202]
        if status != 200 or refused or len(answers) != len(some): return ['ingest answers %s: %s' % (status, refused or answer[:500])]
        positions += [a['position'] for a in answers]
        at += len(some)
        if r.random() < 0.5:
            # All of it is in the log, and any part of it folded.
            node.kill()
            node.start()
    # A retry is answered as its first attempt was.
    outcomes = [m['first'] if o[0] == 'duplicate' and m['first'][0] == 'rejected' else o for m, o in zip(messages, outcomes)]
    wrong = settled(node, app, positions, outcomes, tables, 'folded')
    if wrong: return wrong
    if r.random() < 0.5:
        asked = subprocess.Popen([node.binary, 'replay', 'fz', '--node', 'http://127.0.0.1:%d' % (node.port + 1)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(r.random() * 0.3)
        node.kill()
        asked.kill()
        asked.wait()
        node.start()
    code, said = node.run('replay', 'fz')
    if code and 'under way' not in said and 'being built' not in said: return ['replay: exit %d: %s' % (code, said)]
    return settled(node, app, positions, outcomes, tables, 'replayed')


def settled(node, app, positions, outcomes, tables, when):
    code, said = node.run('status', '--wait')
    if code: return ['%s: status --wait: exit %d: %s' % (when, code, said)]
    code, said = node.run('verify', 'fz')
    if code: return ['%s: verify: exit %d: %s' % (when, code, said)]
    wrong = []
    for position, wanted in zip(positions, outcomes):
        _, found = node.get('outcomes/' + position)
        codes = [wanted[1]] if wanted[0] == 'dead' else wanted[1] if wanted[0] == 'rejected' else None
        if found.get('outcome') != wanted[0] or codes and found.get('codes') != codes:
            wrong.append('%s: %s is %s, expected %s' % (when, position, found, wanted))
    for topic in app.topics:
        entity = topic.get('entity')
        if entity:
            key = topic['key']
            wrong += rows(node, when, entity['name'], tables[entity['name']], [f for f, _ in key], True)
        for view in topic['views']:
            # Of a view that is split by time, one time after the other.
            cut = view['partition'] + ('bucket_by' in (view['bucket'] or ''))
            names = [view['columns'][i][0] for i in view['key'][:cut]]
            wrong += rows(node, when, view['name'], tables[view['name']], names, False)
    return wrong


def rows(node, when, table, wanted, key, is_one):
    """Every partition of a table that has rows."""
    wrong, parts = [], {}
    for row in wanted: parts.setdefault(tuple(json.dumps(row[k]) for k in key), []).append(row)
    for rows in parts.values():
        query = urlencode([(k, rows[0][k] if isinstance(rows[0][k], str) else json.dumps(rows[0][k])) for k in key])
        if len(query) > 4000: continue  # longer than a URL may be; `verify` has compared it
        items, cursor = [], None
        while True:
            status, body = node.get('%s?%s%s' % (table, query, '' if is_one else '&limit=7') + ('&cursor=' + cursor if cursor else ''))
            if status != 200: break
            items += [body] if 'items' not in body else body['items']
            cursor = body.get('next_cursor')
            if not cursor: break
        expected = json.loads(dump(rows, False))
        if status != 200 or items != expected:
            wrong.append('%s: %s?%s: %s %s, expected %s' % (when, table, query[:200], status, json.dumps(items or body)[:1500],
                                                         json.dumps(expected)[:1500]))
    return wrong
