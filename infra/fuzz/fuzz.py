#!/usr/bin/env python3
"""Random apps and messages through Tidefold and through an independent engine: no difference in any outcome or row.

    fuzz.py BINARY [--apps 2000] [--seed 1] [--messages 40] [--every 20] [--port 22000] [--out target/fuzz] [--jobs N]
            [--log kafka://… --store scylla://…]

Each seed makes one app. `tidefold check --scenarios` folds its messages as a node would and compares every outcome and every
row with what the engine says. Every so many apps a real node folds them too: it is killed (kill -9) between and while it
folds, rebuilds its tables by `replay`, is killed during that as well, and in the end has to answer every row and outcome,
and `verify` has to be clean. An app with a difference is made smaller and written to --out with all that shows it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from app import App, dump, plain
from engine import text
from model import Topic
import node


def expectation(app, messages):
    """What the engine says: outcomes, and the rows of every table."""
    topics = [Topic(spec) for spec in app.topics]
    outcomes = [topics[m['topic']].send(m) for m in messages]
    tables = {}
    for topic in topics:
        if topic.spec.get('entity'):
            columns = topic.spec['entity']['columns']
            tables[topic.spec['entity']['name']] = [{c: plain(s[c], t) for c, t in columns.items()} for s in topic.entities()]
        for view in topic.spec['views']:
            types = {name: (n.t if hasattr(n, 't') else n[3], True) for name, n in view['columns']}
            tables[view['name']] = [{c: plain(v, types[c]) for c, v in row.items()} for row in topic.rows(view)]
    return outcomes, tables


def outcome_toml(o):
    return '"%s"' % o[0] if len(o) == 1 else '{ %s = %s }' % (o[0], dump(o[1], True))


def scenario(app, messages, outcomes, tables):
    lines = ['[[scenario]]', 'name = "seed %d"' % app.seed, 'when = [']
    for m in messages:
        parts = ['type = "%s"' % m['type'], 'id = "%s"' % m['id'], 'time = "%s"' % text(m['time'], 'timestamp-micros')]
        if m.get('caller'): parts.append('caller = ' + dump(m['caller'], True))
        if m.get('if_match') is not None: parts.append('if_match = %d' % m['if_match'])
        lines.append('  { %s, data = %s },' % (', '.join(parts), dump(m['json'], True)))
    lines += [']', 'then.outcome = [%s]' % ', '.join(map(outcome_toml, outcomes))]
    lines += ['then.%s = %s' % (name, dump(rows, True)) for name, rows in tables.items()]
    return '\n'.join(lines) + '\n'


def differences(binary, app, messages, folder):
    """What Tidefold says otherwise; the app and its scenario are in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    app.write(folder)
    os.makedirs(folder + '/scenarios')
    outcomes, tables = expectation(app, messages)
    with open(folder + '/scenarios/fuzz.toml', 'w') as f: f.write(scenario(app, messages, outcomes, tables))
    ran = subprocess.run([binary, 'check', folder, '--scenarios', '-o', 'json'], capture_output=True, text=True, timeout=120)
    try: wrong = [line for one in json.loads(ran.stdout) for line in one['wrong']]
    except (ValueError, KeyError, TypeError): wrong = ['refused: ' + (ran.stdout + ran.stderr)[:3000]]
    if ran.returncode and not wrong: wrong = ['exit %d: %s' % (ran.returncode, ran.stderr[:2000])]
    return wrong


def smaller(binary, app, messages, folder, seconds=20):
    """Drops messages and views as long as a difference stays."""
    end = time.monotonic() + seconds
    def still(messages): return time.monotonic() < end and differences(binary, app, messages, folder)
    for topic in app.topics:
        for view in list(topic['views']):
            kept = topic['views']
            topic['views'] = [v for v in kept if v is not view]
            if not still(messages): topic['views'] = kept
    size = len(messages) // 2
    while size:
        at = 0
        while at < len(messages):
            fewer = messages[:at] + messages[at + size:]
            if still(fewer): messages = fewer
            else: at += size
        size //= 2
    return messages


def one(args, seed):
    """One app; its differences."""
    real = bool(args.every) and seed % args.every == 0
    folder = tempfile.mkdtemp(prefix='fuzz-%d-' % seed)
    try:
        app = App(seed, real)
        messages = app.messages(args.messages)
        wrong = differences(args.binary, app, messages, folder + '/app')
        if not wrong and real:
            wrong = node.differences(args, app, messages, expectation, folder)
        elif wrong:
            out = '%s/%d' % (args.out, seed)
            messages = smaller(args.binary, app, messages, folder + '/app')
            wrong = differences(args.binary, app, messages, folder + '/app') or wrong
        if wrong:
            out = '%s/%d' % (args.out, seed)
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(folder, out, ignore=shutil.ignore_patterns('data'))
            with open(out + '/differences.txt', 'w') as f: f.write('\n'.join(wrong) + '\n')
        return seed, real, len(messages), wrong
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('binary')
    p.add_argument('--apps', type=int, default=2000)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--messages', type=int, default=40)
    p.add_argument('--every', type=int, default=20)
    p.add_argument('--port', type=int, default=22000)
    p.add_argument('--log', help='the log of the real nodes: kafka://host:port; embedded without it')
    p.add_argument('--store', help='their store: scylla://host:port; embedded without it')
    p.add_argument('--out', default='target/fuzz')
    p.add_argument('--jobs', type=int, default=os.cpu_count() or 2)
    args = p.parse_args()
    args.binary = os.path.abspath(args.binary)
    os.makedirs(args.out, exist_ok=True)
    print('fuzz: seeds %d to %d, %d messages each; every %dth through a real node' %
          (args.seed, args.seed + args.apps - 1, args.messages, args.every), flush=True)
    bad, nodes, sent, began = 0, 0, 0, time.monotonic()
    with ProcessPoolExecutor(args.jobs) as pool:
        for done, future in enumerate([pool.submit(one, args, args.seed + i) for i in range(args.apps)]):
            seed, real, count, wrong = future.result()
            nodes, sent = nodes + real, sent + count
            if wrong:
                bad += 1
                print('seed %d: %s\n  %s/%d: tidefold check app --scenarios' % (seed, wrong[0][:600], args.out, seed), flush=True)
            if done % 200 == 199: print('  %d apps, %d with a difference' % (done + 1, bad), flush=True)
    print('fuzz: %d apps, %d messages, %d through a real node with kill -9 and replay, %d with a difference, %d s' %
          (args.apps, sent, nodes, bad, time.monotonic() - began))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
