"""A whole random app: topics, entities, views, messages; and how they are written as files."""

import json
import os
from fractions import Fraction

from engine import N, kind, number_text, text
from model import KEY_BYTES, ROW_KEY_BYTES, VARIANCES, key_text, row_key_bytes, rows_of
from generate import DAY, Expressions, KEY_TYPES, digits, sql_name

KEYS = [t for t in KEY_TYPES if t not in ('enum', 'decimal')]


class Raw(str):
    """A number as it is written."""


# === values as JSON and TOML ===

def plain(v, column):
    """A value as the query API writes it."""
    t, k = column[0], kind(column[0])
    if v is None: return None
    if k in ('boolean', 'int', 'long'): return v
    if k in ('float', 'double'): return Raw(text(v, t))
    if k == 'array': return [plain(x, t[1]) for x in v]
    if k == 'map': return {x: plain(y, t[1]) for x, y in v.items()}
    if k == 'record': return {f: plain(v[f], c) for f, c in t[2]}
    return text(v, t)


def written(r, v, column):
    """A value as some publisher may write it."""
    t, k = column[0], kind(column[0])
    if v is None or r.random() < 0.6 and k not in ('array', 'map', 'record'): return plain(v, column)
    if k == 'long': return str(v)
    if k == 'double' and v == 0: return Raw('-0.0')
    if k == 'decimal': return text(v, t).rstrip('0').rstrip('.') if t[2] else text(v, t)
    if k == 'uuid': return v.upper()
    if k in ('timestamp-millis', 'local-timestamp-micros', 'timestamp-micros'): return v
    if k == 'array': return [written(r, x, t[1]) for x in v]
    if k == 'map': return {x: written(r, y, t[1]) for x, y in v.items()}
    if k == 'record': return {f: written(r, v[f], c) for f, c in t[2]}
    return plain(v, column)


def dump(v, toml):
    if v is None: return '{ null = true }' if toml else 'null'
    if isinstance(v, Raw): return str(v)
    if isinstance(v, bool): return 'true' if v else 'false'
    if isinstance(v, int): return str(v)
    if isinstance(v, str): return json.dumps(v, ensure_ascii=False).replace('\x7f', '\\u007f')
    if isinstance(v, list): return '[' + ', '.join(dump(x, toml) for x in v) + ']'
    mark = ' = ' if toml else ': '
    return '{' + ', '.join(dump(x, toml) + mark + dump(y, toml) for x, y in v.items()) + '}'


def type_text(column):
    """A type as app.toml writes it."""
    t, nullable = column
    k = kind(t)
    if k in ('array', 'map'): name = '%s<%s>' % (k, type_text(t[1]))
    elif k == 'decimal': name = t[3] if len(t) > 3 else 'decimal(%d,%d)' % t[1:3]
    else: name = t if isinstance(t, str) else t[1]
    return name + ('?' if nullable else '')


def avro(column):
    t, nullable = column
    k = kind(t)
    base = {'timestamp-millis': 'long', 'timestamp-micros': 'long', 'local-timestamp-millis': 'long', 'date': 'int',
            'local-timestamp-micros': 'long', 'time-millis': 'int', 'time-micros': 'long', 'uuid': 'string'}.get(k)
    if base: found = {'type': base, 'logicalType': k}
    elif k == 'decimal': found = t[3] if len(t) > 3 else {'type': 'bytes', 'logicalType': k, 'precision': t[1], 'scale': t[2]}
    elif k == 'array': found = {'type': k, 'items': avro(t[1])}
    elif k == 'map': found = {'type': k, 'values': avro(t[1])}
    else: found = t if isinstance(t, str) else t[1]
    return ['null', found] if nullable else found


class App(Expressions):
    """An app out of a seed."""

    def __init__(self, seed, real=False, depth=3):
        super().__init__(seed)
        self.seed, self.real, self.depth = seed, real, depth
        self.named.append(('record', 'R1', [('x%d' % i, (self.scalar(), self.r.random() < 0.4)) for i in range(self.r.randint(1, 4))]))
        self.views = 0
        self.topics = [self.topic(0, True), self.topic(1, False)]

    def topic(self, at, has_entity):
        r = self.r
        key = []
        for i in range(r.choice([1, 1, 1, 2])):
            t = r.choice(KEYS) if r.random() < 0.8 else self.scalar(key=True)
            key.append(('k%d' % i, t))
        topic = {'name': 't%d' % at, 'key': key, 'partitions': r.choice([1, 2, 3]), 'messages': {}, 'views': []}
        if has_entity:
            columns = dict((f, (t, False)) for f, t in key)
            columns.update(('c%d' % i, self.column()) for i in range(r.randint(2, 6)))
            topic['entity'] = {'name': 'e%d' % at, 'columns': columns, 'max_state_bytes': r.choice([65_536, 65_536, 300, 1_000_000])}
            for i, (when, event) in enumerate([('any', False), ('absent', False), ('present', False), ('present', True), ('delete', False)]):
                self.message(topic, 'M%d%d' % (at, i), when, event)
        else:
            for i in range(r.randint(1, 2)): self.message(topic, 'M%d%d' % (at, i), None, True)
        for _ in range(r.randint(2, 4)):
            event = None if has_entity else r.choice(list(topic['messages']))
            topic['views'].append(self.view(topic, event))
        return topic

    # === messages ===

    def message(self, topic, name, when, event):
        r = self.r
        fields = {f: (t, False) for f, t in topic['key']}
        given = []
        if when != 'delete':
            for i in range(r.randint(2, 5)): fields['f%d' % i] = self.column()
        entity = topic.get('entity')
        if when in ('any', 'absent'):
            # What a column needs where no expression gives it.
            for c, column in entity['columns'].items():
                if c not in dict(topic['key']) and r.random() < (0.6 if column[1] else 0.85): fields['g' + c], given = column, given + [c]
        message = {'event': event, 'fields': fields, 'defaults': [f for f, (_, n) in fields.items() if n and r.random() < 0.5]}
        topic['messages'][name] = message
        if not entity: return
        self.in_view = False
        self.refs = self.names('msg', fields, 'msg.') + self.names('state', entity['columns'], 'state.')
        for e in ('event_time', 'append_time'):
            if e == 'event_time' or not self.real:  # of a real node, nobody knows
                self.refs.append(N('env', 'timestamp-micros', [e], e + '()'))
        self.refs.append(N('env', 'string', ['caller'], 'caller()'))
        on = {'when': 'present' if when == 'delete' else when, 'let': [], 'require': [], 'set': [], 'delete': when == 'delete'}
        for i in range(r.choice([0, 1, 2])):
            n = self.of(self.scalar(), self.depth)
            if n is None: continue
            on['let'].append(('let%d' % i, n))
            self.refs.append(N('ref', n.t, ['let', 'let%d' % i], 'let%d' % i))
        if not event:
            for i in range(r.choice([0, 0, 0, 1, 2])):
                n = self.boolean(2)
                if r.random() < 0.8: n = N('or', 'boolean', [N('isnull', 'boolean', [n], '((%s) IS NULL)' % n.sql), n],
                                           '((%s) IS NULL OR (%s))' % (n.sql, n.sql))
                on['require'].append(('code%d' % i, n))
        if when != 'delete':
            for c, (t, nullable) in entity['columns'].items():
                if c in dict(topic['key']): continue
                if c in given: n = next(x for x in self.refs if x.sql == 'msg.g' + c)
                elif r.random() < 0.6 or when in ('any', 'absent') and not nullable: n = self.of(t, r.choice([1, 1, 2, self.depth]))
                else: continue
                if n is None and when in ('any', 'absent') and not nullable:
                    fields['g' + c] = (t, False)
                    n = N('ref', t, ['msg', 'g' + c], 'msg.g' + c)
                if n is not None: on['set'].append((c, n))
            if not on['set']:
                on['set'] = [(c, N('ref', t, ['state', c], 'state.' + c)) for c, (t, n) in list(entity['columns'].items())[-1:]
                             if c not in dict(topic['key']) and (n or when == 'present')]
        message['on'] = on

    def names(self, space, columns, prefix):
        refs = []
        for c, (t, _) in columns.items():
            n = N('ref', t, [space, c], prefix + c)
            refs.append(n)
            refs.extend(self.inside(n))
        return refs

    def inside(self, n):
        if kind(n.t) == 'record':
            return [N('field', t, [n, f], '%s.%s' % (n.sql, f)) for f, (t, _) in n.t[2]]
        if kind(n.t) == 'map':
            return [N('map_value', n.t[1][0], [n, N('lit', 'string', [k], "'%s'" % k)], "map_value(%s, '%s')" % (n.sql, k)) for k in ('a', '')]
        return []

    # === views ===

    def view(self, topic, event):
        r = self.r
        self.in_view, name = True, 'v%d' % self.views
        self.views += 1
        columns = topic['messages'][event]['fields'] if event else topic['entity']['columns']
        self.refs = self.names('msg' if event else 'state', columns, '')
        if event: self.refs.append(N('env', 'timestamp-micros', ['event_time'], 'event_time()'))
        arrays = [n for n in self.refs if kind(n.t) == 'array']
        view = {'name': name, 'event': event, 'unnest': None, 'bucket': None, 'rollup': r.random() < 0.5,
                'from': event or topic['entity']['name']}
        if arrays and r.random() < 0.6:
            view['unnest'] = r.choice(arrays)
            item = N('env', view['unnest'].t[1][0], ['elem'], 'item')
            self.refs += [item] * 2 + self.inside(item) * 2 + [N('env', 'long', ['n'], 'place')]
            view['from'] += ', UNNEST(%s) WITH ORDINALITY AS u(item, place)' % view['unnest'].sql
        where = [self.boolean(2)] if r.random() < 0.25 else []
        keys = []
        for i in range(r.randint(1, 2) if view['rollup'] else r.choice([0, 1, 1, 2])):
            t = self.scalar(key=True)
            sure = [x for x in self.refs if x.op in ('ref', 'env') and kind(x.t) in KEY_TYPES]
            n = r.choice(sure) if sure and r.random() < 0.5 else self.of(t[:3] if kind(t) == 'decimal' else t, r.choice([1, 1, 2, self.depth]))
            if n is None: continue
            keys.append(('g%d' % i, n))
            where.append(N('not', 'boolean', [N('isnull', 'boolean', [n], '')], '(%s) IS NOT NULL' % n.sql))
        if not view['rollup']:
            keys += [(f, next(n for n in self.refs if n.sql == f)) for f, _ in topic['key']]
            if view['unnest']: keys.append(('place', next(n for n in self.refs if n.sql == 'place')))
        elif not keys:
            f = topic['key'][0][0]
            keys = [(f, next(n for n in self.refs if n.sql == f))]
        others = []
        for i in range(r.randint(1, 4)):
            if view['rollup']: others.append(('a%d' % i, self.aggregate(event)))
            else:
                n = r.choice(self.refs) if r.random() < 0.3 else self.of(self.type(), self.depth)
                if n is not None: others.append(('a%d' % i, n))
        view['where'] = None
        if where: view['where'] = N('and', 'boolean', where, ' AND '.join('(%s)' % n.sql for n in where))
        return self.keyed(view, keys, others)

    def keyed(self, view, keys, others):
        r = self.r
        columns = keys + others
        r.shuffle(columns)
        order = [columns.index(k) for k in keys]
        r.shuffle(order)
        cut = r.randint(1, len(order))
        view.update(columns=columns, key=order, partition=cut, key_types=[columns[at][1].t for at in order])
        view['descending'] = [i >= cut and r.random() < 0.5 for i in range(len(order))]
        if cut < len(order):
            if r.random() < 0.2: view['bucket'] = 'buckets = %d' % r.choice([2, 7])
            elif kind(columns[order[cut]][1].t) in DAY and r.random() < 0.7:
                view['bucket'] = 'bucket_by = "%s"' % r.choice(['day', 'month', 'year'])
        return view

    def aggregate(self, event):
        r = self.r
        where = self.boolean(2) if r.random() < 0.3 else None
        f = r.choice(['count', 'count', 'sum', 'sum', 'avg', 'bool_and', 'bool_or'] + sorted(VARIANCES)
                     + (['min', 'max', 'approx_count_distinct'] if event else []))
        if f == 'count' and r.random() < 0.5: return 'count', None, where, 'long'
        if f in ('bool_and', 'bool_or'): return f, self.boolean(2), where, 'boolean'
        if f in ('sum', 'avg') or f in VARIANCES:
            most = 19 if f in VARIANCES else 38
            t = r.choice(['int', 'long', self.decimal()[:3], self.decimal()[:3]])
            exacts = [n for n in self.refs if digits(n.t) and digits(n.t)[0] <= most]
            n = r.choice(exacts) if exacts and r.random() < 0.6 else self.of(t, 2)
            if n is None or digits(n.t)[0] > most: return 'count', None, where, 'long'
            t = 'double' if f != 'sum' else ('decimal', 38, n.t[2]) if kind(n.t) == 'decimal' else 'long'
            return f, n, where, t
        t = self.scalar(key=True)
        if f in ('min', 'max'): t = r.choice(['string', 'int', 'double', 'float', 'date', 'timestamp-micros', self.decimal()[:3], 'uuid'])
        n = self.of(t[:3] if kind(t) == 'decimal' else t, 2)
        if n is None: return 'count', None, where, 'long'
        return f, n, where, 'long' if f in ('count', 'approx_count_distinct') else n.t

    # === what is sent ===

    def key(self, fields):
        """The key fields of a message, within the bounds of a record key; some of them just."""
        types = [t for _, t in fields]
        while True:
            values = [self.value(t) for t in types]
            if 'string' in types and self.r.random() < 0.15:
                at, c = types.index('string'), self.r.choice(['x', '/', '\0', 'é', '%'])
                values[at] = ''
                room = KEY_BYTES - len(key_text(values, types).encode())
                size = len(key_text([c] * len(types), ['string'] * len(types)).encode()) // len(types)
                values[at] = c * (room // size)
            if 0 < len(key_text(values, types).encode()) <= KEY_BYTES: return dict(zip([f for f, _ in fields], values))

    def to_the_bound(self, topic, name, data):
        """Makes a text so long that the key of a row is as long as can be, or one byte longer."""
        for view in topic['views']:
            named = [view['columns'][at][1] for at in view['key']]
            texts = [n.a[1] for n in named if n.op == 'ref' and n.t == 'string' and n.a[1] not in dict(topic['key'])]
            if view['event'] != name or not texts: continue
            data[texts[0]] = ''
            found = list(rows_of(view, {'msg': data, 'event_time': 0, 'append_time': 0, 'caller': None}))
            if not found: continue
            room = ROW_KEY_BYTES - row_key_bytes(view, found[0][0]) + self.r.choice([0, 0, 1])
            data[texts[0]] = '\0' * (room // 2) + 'x' * (room % 2) if self.r.random() < 0.3 else 'x' * room
            return

    def messages(self, count):
        r, out = self.r, []
        pools = [[self.key(topic['key']) for _ in range(r.randint(1, 5))] for topic in self.topics]
        time = 1_767_225_600_000_000
        for i in range(count):
            at = r.choice([0, 0, 0, 1])
            topic = self.topics[at]
            name = r.choice(list(topic['messages']) + list(topic['messages'])[:1] * 3)
            fields = topic['messages'][name]['fields']
            data = {f: self.value(*c) for f, c in fields.items()}
            data.update(r.choice(pools[at]))
            if r.random() < 0.1 and not topic.get('entity'): self.to_the_bound(topic, name, data)
            m = {'topic': at, 'type': name, 'id': 'm-%d' % i, 'data': data, 'omit': [f for f in topic['messages'][name]['defaults']
                 if data[f] is None and r.random() < 0.5]}
            m['json'] = {f: written(r, v, fields[f]) for f, v in data.items() if f not in m['omit']}
            first, last = -62_135_596_800_000_000, 253_402_300_799_999_999
            time += 1_000_000
            m['time'] = time if r.random() < 0.6 else r.choice([first, last, 0, -1, r.randint(first, last)])
            if self.real: m['caller'] = 'anonymous'
            elif r.random() < 0.3: m['caller'] = r.choice(['a', 'é', 'b'])
            if r.random() < 0.06: m['if_match'] = r.randint(0, 4)
            if topic['messages'][name]['event']: m.pop('if_match', None)
            out.append(m)
            if r.random() < 0.08:
                again = dict(r.choice(out))
                if r.random() < 0.3:
                    changed = {f: self.value(*c) for f, c in topic['messages'][again['type']]['fields'].items()} \
                        if again['topic'] == at else again['data']
                    key = {f: again['data'][f] for f, _ in self.topics[again['topic']]['key']}
                    again['data'] = dict(changed, **key)
                    fields = self.topics[again['topic']]['messages'][again['type']]['fields']
                    again['json'], again['omit'] = {f: plain(v, fields[f]) for f, v in again['data'].items()}, []
                out.append(again)
        return out

    # === files ===

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        types = []
        for t in self.named:
            if t[0] == 'enum': types.append({'type': 'enum', 'name': t[1], 'symbols': list(t[2])})
            elif t[0] == 'fixed': types.append({'type': 'fixed', 'name': t[1], 'size': t[2]})
            else: types.append({'type': 'record', 'name': t[1], 'fields': [{'name': f, 'type': avro(c)} for f, c in t[2]]})
        types += [{'type': 'fixed', 'name': t[3], 'size': t[4], 'logicalType': 'decimal', 'precision': t[1], 'scale': t[2]}
                  for t in sorted(self.fixed)]
        toml = ['app = "fz"']
        for topic in self.topics:
            commands = [m for m, s in topic['messages'].items() if not s['event']]
            events = [m for m, s in topic['messages'].items() if s['event']]
            toml += ['[topics.%s]' % topic['name'], 'key = %s' % json.dumps([f for f, _ in topic['key']]),
                     'partitions = %d' % topic['partitions'], 'commands = %s' % json.dumps(commands), 'events = %s' % json.dumps(events)]
            for name, message in topic['messages'].items():
                fields = [dict({'name': f, 'type': avro(c)}, **({'default': None} if f in message['defaults'] else {}))
                          for f, c in message['fields'].items()]
                types.append({'type': 'record', 'name': name, 'fields': fields})
            if topic.get('entity'): toml += self.entity_toml(topic)
            for view in topic['views']: toml += view_toml(view)
        with open(folder + '/app.toml', 'w') as f: f.write('\n'.join(toml) + '\n')
        with open(folder + '/types.avsc', 'w') as f: json.dump(types, f, indent=1)

    def entity_toml(self, topic):
        entity = topic['entity']
        toml = ['[entities.%s]' % entity['name'], 'topic = "%s"' % topic['name'], 'max_state_bytes = %d' % entity['max_state_bytes'],
                '[entities.%s.columns]' % entity['name']]
        toml += ['%s = "%s"' % (c, type_text(t)) for c, t in entity['columns'].items() if c not in dict(topic['key'])]
        for name, message in topic['messages'].items():
            on = message['on']
            toml += ['[entities.%s.on.%s]' % (entity['name'], name), 'when = "%s"' % on['when']]
            toml += ['let.%s = %s' % (n, dump(e.sql, True)) for n, e in on['let']]
            toml += ['require.%s = %s' % (n, dump(e.sql, True)) for n, e in on['require']]
            if on['delete']: toml.append('delete = true')
            elif on['set']: toml.append('set = %s' % dump(', '.join('%s = %s' % (c, e.sql) for c, e in on['set']), True))
        return toml


def view_toml(view):
    outputs, groups = [], []
    for at, (name, n) in enumerate(view['columns']):
        if isinstance(n, N): sql = n.sql
        else:
            sql = '%s(%s)' % (n[0], n[1].sql if n[1] else '*') + (' FILTER (WHERE %s)' % n[2].sql if n[2] else '')
        if at in view['key']: groups.append(str(at + 1))
        outputs.append('%s AS %s' % (sql, name))
    sql = 'SELECT %s FROM %s' % (', '.join(outputs), view['from'])
    if view['where']: sql += ' WHERE ' + view['where'].sql
    if view['rollup']: sql += ' GROUP BY ' + ', '.join(groups)
    names = [view['columns'][at][0] for at in view['key']]
    marks = [' DESC' if d else '' for d in view['descending']]
    cut = view['partition']
    toml = ['[views.%s]' % view['name'], 'sql = %s' % dump(sql, True), 'partition_key = %s' % json.dumps(names[:cut])]
    toml.append('clustering = %s' % json.dumps([n + m for n, m in list(zip(names, marks))[cut:]]))
    return toml + ([view['bucket']] if view['bucket'] else [])
