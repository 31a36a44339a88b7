"""What messages make of an app's entities and views, by the documents: outcomes, states, rows. See engine.py for values."""

import math
import re
from fractions import Fraction

from engine import NoValue, ev, text, truth

KEY_BYTES, ROW_KEY_BYTES = 1024, 65_535


def key_text(values, types):
    """The text of a key: of several columns joined by `/`, with `%` and `/` in them escaped."""
    parts = [text(v, t) for v, t in zip(values, types)]
    if len(parts) > 1: parts = [p.replace('%', '%25').replace('/', '%2F') for p in parts]
    return '/'.join(parts)


def long_bytes(n):
    """How many bytes a number has in Avro."""
    z = n * 2 if n >= 0 else -n * 2 - 1
    return max(1, (z.bit_length() + 6) // 7)


def avro_bytes(v, column):
    """How many bytes a value has in Avro."""
    t, nullable = column
    if nullable: return 1 + (0 if v is None else avro_bytes(v, (t, False)))
    k = t if isinstance(t, str) else t[0]
    if k == 'boolean': return 1
    if k == 'float': return 4
    if k == 'double': return 8
    if k == 'fixed': return t[2]
    if k == 'enum': return long_bytes(t[2].index(v))
    if k == 'decimal':
        if len(t) > 3: return t[4]
        n = int(v * 10**t[2])
        size = ((n if n >= 0 else ~n).bit_length() + 8) // 8
        return long_bytes(size) + size
    if k == 'array': return (long_bytes(len(v)) if v else 0) + sum(avro_bytes(x, t[1]) for x in v) + 1
    if k == 'map':
        return (long_bytes(len(v)) if v else 0) + 1 + sum(avro_bytes(x, ('string', False)) + avro_bytes(y, t[1])
                                                         for x, y in v.items())
    if k == 'record': return sum(avro_bytes(v[f], c) for f, c in t[2])
    if isinstance(v, str): v = v.encode()
    if isinstance(v, bytes): return long_bytes(len(v)) + len(v)
    return long_bytes(v)


def row_key_bytes(view, values):
    """How much of its bound the key of a row takes."""
    total = (16 if view.get('bucket') else 0) + (12 if view['rollup'] else 0)
    for v, t in zip(values, view['key_types']):
        k = t if isinstance(t, str) else t[0]
        if isinstance(v, bool): total += 1
        elif isinstance(v, str): total += len(v.encode()) + v.count('\0') + 2
        else: total += 16 if k == 'decimal' else 8
        total += 8
    return total


def order(view, values):
    """What rows are sorted by."""
    out = []
    for v, desc in zip(values, view['descending']):
        v = v.encode() if isinstance(v, str) else v
        out.append(Down(v) if desc else Up(v))
    return out


class Up:
    def __init__(self, v): self.v = v
    def __eq__(self, other): return self.v == other.v
    def __lt__(self, other): return self.v < other.v


class Down(Up):
    def __lt__(self, other): return other.v < self.v


def value(n, env):
    """In a view what has no value is NULL."""
    try: return ev(n, env)
    except NoValue: return None


def passes(n, env):
    try: return n is None or truth(n, env)
    except NoValue: return False


def source_rows(view, env):
    """What a view looks at, one for each row it may make."""
    if not view['unnest']:
        if passes(view['where'], env): yield env
        return
    array = value(view['unnest'], env)
    for at, element in enumerate(array or []):
        inner = dict(env, elem=element, n=at + 1)
        if passes(view['where'], inner): yield inner


def rows_of(view, env):
    """The rows a state or event has in a view: key and what comes with it."""
    for inner in source_rows(view, env):
        key = [value(view['columns'][at][1], inner) for at in view['key']]
        if any(v is None for v in key): continue
        yield key, inner


class Topic:
    """One topic folded: its messages' outcomes, in the end its tables."""

    def __init__(self, spec):
        self.spec = spec
        self.states = {}       # by key text: columns, or None where deleted
        self.versions = {}
        self.seen = {}
        self.events = []       # environments of applied events

    def send(self, m):
        """The outcome of a message: ('applied',), ('rejected', codes), ('duplicate',), ('dead', code)."""
        spec, message = self.spec, self.spec['messages'][m['type']]
        key = key_text([m['data'][f] for f, _ in spec['key']], [t for _, t in spec['key']])
        if not key: return 'dead', 'no_key'
        if len(key.encode()) > KEY_BYTES: return 'dead', 'key_too_long'
        is_event = message['event']
        if is_event and m.get('if_match') is not None: return 'dead', 'bad_header'
        first = self.seen.get((m.get('caller'), m['id'], key))
        if first is not None:
            m['first'] = first[1]
            return ('duplicate',) if first[0] == m['data'] else ('rejected', ['idempotency_conflict'])
        env = {'msg': m['data'], 'event_time': m['time'], 'append_time': m['time'], 'caller': m.get('caller')}
        outcome = self.judge(m, key, message, env) if spec.get('entity') else self.event(env, m['type'])
        if outcome[0] in ('applied', 'rejected'): self.seen[(m.get('caller'), m['id'], key)] = m['data'], outcome
        return outcome

    def judge(self, m, key, message, env):
        entity, on = self.spec['entity'], message['on']
        refuse = (lambda code: ('dead', code)) if message['event'] else (lambda code: ('rejected', [code]))
        old = self.states.get(key)
        version = self.versions.get(key, 0)
        if m.get('if_match') is not None and m['if_match'] != version: return 'rejected', ['version_mismatch']
        if on['when'] == 'absent' and old is not None: return refuse('already_exists')
        if on['when'] == 'present' and old is None: return refuse('not_found')
        env['state'] = old or dict.fromkeys(entity['columns'])
        env['let'] = {}
        guards, failed = used_lets(on, [r for _, r in on['require']]), False
        action = used_lets(on, [e for _, e in on['set']])
        for name, n in on['let']:
            if name not in guards and name not in action: continue
            try: env['let'][name] = ev(n, env)
            except NoValue:
                env['let'][name] = None
                if name in guards: return 'dead', 'evaluation_failed'
                failed = True
        try: codes = [code for code, n in on['require'] if not truth(n, env)]
        except NoValue: return 'dead', 'evaluation_failed'
        if codes: return 'rejected', codes
        if failed: return 'dead', 'evaluation_failed'
        new = None
        if not on.get('delete'):
            new = dict(env['state'])
            if old is None: new.update((f, m['data'][f]) for f, _ in self.spec['key'])
            try: new.update([(c, ev(n, env)) for c, n in on['set']])
            except NoValue: return 'dead', 'evaluation_failed'
            if any(v is None and not entity['columns'][c][1] for c, v in new.items()): return 'dead', 'null_column'
            size = sum(avro_bytes(new[c], column) for c, column in entity['columns'].items())
            if size > entity['max_state_bytes']: return refuse('state_too_large')
            code = self.too_large({'state': new}, None)
            if code: return 'dead', code
        self.states[key] = new
        self.versions[key] = version + 1
        return ('applied',)

    def event(self, env, name):
        code = self.too_large(env, name)
        if code: return 'dead', code
        self.events.append((name, env))
        return ('applied',)

    def too_large(self, env, event):
        for view in self.spec['views']:
            if view.get('event') == event and any(row_key_bytes(view, key) > ROW_KEY_BYTES for key, _ in rows_of(view, env)):
                return 'key_too_large'
        return None

    # === what the tables hold in the end ===

    def entities(self):
        """All rows, in the order of the key's text."""
        there = sorted((k.encode(), s) for k, s in self.states.items() if s is not None) if self.states else []
        return [s for _, s in there]

    def rows(self, view):
        """All rows of a view, in the order of its key: values by column."""
        sources = ([{'state': s} for s in self.entities()] if self.spec.get('entity')
                   else [env for name, env in self.events if name == view['event']])
        if not view['rollup']:
            table = {}
            for env in sources:
                for key, inner in rows_of(view, env):
                    table[tuple(key)] = {name: value(n, inner) for name, n in view['columns']}
            return [table[key] for key in sorted(table, key=lambda key: order(view, key))]
        groups = {}
        for env in sources:
            for key, inner in rows_of(view, env): groups.setdefault(tuple(key), []).append(inner)
        return [group(view, key, groups[key]) for key in sorted(groups, key=lambda key: order(view, key))]


def used_lets(on, nodes):
    """The lets that expressions need."""
    found = set()
    for n in nodes: found.update(re.findall(r'\blet\d+\b', n.sql))
    for name, n in reversed(on['let']):
        if name in found: found.update(re.findall(r'\blet\d+\b', n.sql))
    return found


VARIANCES = {'var_pop': 0, 'var_samp': 1, 'stddev_pop': 0, 'stddev_samp': 1}


def variance(function, values):
    """Of a population, or (`_samp`) of a sample; exact up to the one rounding."""
    n = len(values)
    if n <= VARIANCES[function]: return None
    mean = sum(values) / n
    found = float(sum((v - mean) ** 2 for v in values) / (n - VARIANCES[function]))
    return math.sqrt(found) if function.startswith('stddev') else found


def group(view, key, members):
    row = {}
    for at, (name, n) in enumerate(view['columns']):
        if at in view['key']:
            row[name] = key[view['key'].index(at)]
            continue
        function, argument, where, t = n
        counted = [env for env in members if passes(where, env)]
        if argument is None:
            row[name] = len(counted)
            continue
        values = [v for v in (value(argument, env) for env in counted) if v is not None]
        if function == 'count': row[name] = len(values)
        elif function == 'approx_count_distinct': row[name] = len(set(values))
        elif not values: row[name] = None
        elif function == 'min': row[name] = min(values)
        elif function == 'max': row[name] = max(values)
        elif function == 'avg': row[name] = float(Fraction(sum(map(Fraction, values)), len(values)))
        elif function == 'bool_and': row[name] = all(values)
        elif function == 'bool_or': row[name] = any(values)
        elif function in VARIANCES: row[name] = variance(function, list(map(Fraction, values)))
        else:
            total = sum(values)
            fits = abs(total) * 10**t[2] < 10**38 if t[0] == 'decimal' else -2**63 <= total < 2**63
            row[name] = total if fits else None
    return row
