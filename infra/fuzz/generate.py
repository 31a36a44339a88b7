"""Random apps and messages, at the extremes of every type. One seed, one app."""

import random
import struct
from fractions import Fraction

from engine import DAY, DAYS, N, NoValue, kind, number_text, parse, same, single, text

NAMES = ['boolean', 'int', 'long', 'float', 'double', 'bytes', 'string', 'uuid', 'date', 'time-millis', 'time-micros',
         'timestamp-millis', 'timestamp-micros', 'local-timestamp-millis', 'local-timestamp-micros']
NUMBERS = ('int', 'long', 'decimal', 'float', 'double')
CASTS = {'timestamp-millis': 'timestamp(3)', 'timestamp-micros': 'timestamp(6)', 'time-millis': 'time(3)',
         'time-micros': 'time(6)', 'local-timestamp-millis': 'timestamp(3) without time zone',
         'local-timestamp-micros': 'timestamp(6) without time zone'}
TEXTS = ['', ' ', 'a', 'A', 'ab', 'aB%', 'a_b', 'a/b', '%2F', 'é', '𝄞x', '\0', 'a\0', '\0\0b', "it's", '"', '\\', '\n', ' a ', 'zz',
         '0', '-0', '42', '-1', '1.5', '1e3', '2147483648', '9223372036854775807', 'true', 'ONE', 'TWO', '9999-12-31',
         '0001-01-01', '2024-02-29', '23:59:59.999999', '9999-12-31T23:59:59.999999Z', '0001-01-01T00:00:00Z',
         '2026-01-31T12:00:00+05:30', '1969-12-31T23:59:59.9995', '0190163D-8694-739B-AEA5-966C26F8AD91', '\ufffd', '\U0010ffff']
DOUBLES = [0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 0.1, 1e16, 1e15, 123456.789, 1e-5, 1e-4, 9007199254740992.0, -9223372036854775808.0,
           9223372036854775807.0, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1e38, 1e37,
           1e22, 1e23, 3.4028234663852886e38, 2147483647.5, -2147483648.5, 0.30000000000000004]
KEY_TYPES = ['string', 'string', 'int', 'long', 'uuid', 'date', 'boolean', 'timestamp-millis', 'timestamp-micros', 'enum', 'decimal']


def sql_name(t):
    k = kind(t)
    if k == 'decimal': return 'decimal(%d,%d)' % (t[1], t[2])
    return t[1] if k in ('enum', 'fixed', 'record') else CASTS.get(k, k)


def quoted(s): return "'" + s.replace("'", "''") + "'"


def digits(t):
    """Digits and places of an exact number."""
    return {'int': (10, 0), 'long': (19, 0)}.get(kind(t)) or (t[1:3] if kind(t) == 'decimal' else None)


def decimal(p, s): return ('decimal', p, s) if 1 <= p <= 38 and 0 <= s <= p else None


def common(a, b):
    """The smallest common type of two numbers; None if there is none."""
    if same(a, b): return a
    if 'double' in (a, b) or 'float' in (a, b): return 'double'
    if {a, b} == {'int', 'long'}: return 'long'
    (p, s), (q, r) = digits(a), digits(b)
    return decimal(max(p - s, q - r) + max(s, r), max(s, r))


def read_by_many(v):
    """Whether readers of JSON that are not exact to the last bit read this double as it is."""
    t = number_text(v).lstrip('-')
    mantissa, _, exponent = t.partition('e')
    whole, _, frac = mantissa.partition('.')
    n, e = int(whole + frac), int(exponent or 0) - len(frac)
    if n.bit_length() > 63 or abs(e) > 300: return False
    return (float(n) * 10.0**e if e >= 0 else float(n) / 10.0**-e) == abs(v)


class Values:
    """Random types and values."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.fixed = set()
        self.named = [('enum', 'E1', ('ONE', 'TWO', 'THREE')), ('enum', 'E2', ('TWO', 'ONE', 'a1')), ('fixed', 'F4', 4)]

    def decimal(self):
        p = self.r.choice([1, 2, 5, 9, 18, 19, 30, 37, 38, 38])
        t = ('decimal', p, self.r.choice([0, 0, p, p // 2, min(2, p)]))
        if self.r.random() < 0.2:
            # As many bytes as the digits need, or more.
            size = (10**p).bit_length() // 8 + 1 + self.r.choice([0, 0, 3])
            t += ('D%d_%d_%d' % (p, t[2], size), size)
            self.fixed.add(t)
        return t

    def scalar(self, key=False):
        k = self.r.choice(KEY_TYPES if key else NAMES + ['decimal'] * 4 + ['enum', 'enum', 'fixed', 'long', 'string'])
        if k == 'decimal': return self.decimal()
        if k in ('enum', 'fixed'): return self.r.choice([t for t in self.named if t[0] == k])
        return k

    def type(self, depth=0):
        c = self.r.random()
        if depth > 1 or c < 0.8: return self.scalar()
        if c < 0.9: return ('array', self.column(depth + 1))
        if c < 0.95: return ('map', self.column(depth + 1))
        return next((t for t in self.named if t[0] == 'record'), 'long')

    def column(self, depth=0): return (self.type(depth), self.r.random() < 0.4)

    def number(self, low, high):
        c = self.r.random()
        if c < 0.35: return self.r.choice([low, low + 1, high, high - 1])
        if c < 0.7: return self.r.randint(-3, 3) if low < 0 else self.r.randint(0, 3)
        return self.r.randint(low, high)

    def string(self):
        c = self.r.random()
        if c < 0.75: return self.r.choice(TEXTS)
        if c < 0.97: return ''.join(self.r.choice('ab\0é%_/') for _ in range(self.r.randint(1, 12)))
        return self.r.choice(['\0', 'x', 'é', 'a/']) * self.r.choice([340, 500, 1022, 2000, 16_000, 32_700, 32_760, 65_000])

    def value(self, t, nullable=False):
        r, k = self.r, kind(t)
        if nullable and r.random() < 0.25: return None
        if k == 'boolean': return r.random() < 0.5
        if k == 'int': return self.number(-2**31, 2**31 - 1)
        if k == 'long': return self.number(-2**63, 2**63 - 1)
        if k == 'decimal':
            most = 10**t[1] - 1
            return Fraction(self.number(-most, most), 10**t[2])
        if k == 'double':
            while True:
                v = r.choice(DOUBLES) if r.random() < 0.7 else struct.unpack('<d', r.randbytes(8))[0]
                if v - v == 0 and read_by_many(v): return v + 0.0
        if k == 'float':
            while True:
                v = r.choice([0.0, 1.0, -1.5, 0.1, 16777216.0, 3.4028234663852886e38, 1e-45, 1.17549435e-38, 1e10]) \
                    if r.random() < 0.7 else struct.unpack('<f', r.randbytes(4))[0]
                if v - v == 0: return single(v) + 0.0
        if k == 'bytes': return r.choice([b'', b'\0', b'\0\0\1', b'abc', r.randbytes(9)])
        if k == 'fixed': return r.choice([b'\0' * t[2], b'\xff' * t[2], r.randbytes(t[2])])
        if k == 'enum': return r.choice(t[2])
        if k == 'uuid': return r.choice(['00000000-0000-0000-0000-000000000000', '0190163d-8694-739b-aea5-966c26f8ad91',
                                         'ffffffff-ffff-ffff-ffff-ffffffffffff'])
        if k == 'time-millis': return r.choice([0, 86_399_999, 43_200_250, r.randrange(86_400_000)])
        if k == 'time-micros': return r.choice([0, 86_399_999_999, 43_200_250_000, r.randrange(86_400_000_000)])
        if k in DAY:
            size, (first, last) = DAY[k], DAYS
            days = r.choice([first, first + 1, last, last - 1, 0, -1, 11_016, 19_782, 20_000, r.randint(first, last)])
            return days * size + r.choice([0, 0, size - 1, r.randrange(size), size // 2])
        if k == 'array': return [self.value(*t[1]) for _ in range(r.choice([0, 1, 1, 2, 3]))]
        if k == 'map': return {s: self.value(*t[1]) for s in r.sample(['', 'a', 'b', 'é', '\0', 'a/b'], r.choice([0, 1, 2, 3]))}
        if k == 'record': return {f: self.value(*c) for f, c in t[2]}
        return self.string()


class Expressions(Values):
    """Random expressions over `self.refs`: nodes that can be named, each with its type."""

    def __init__(self, seed):
        super().__init__(seed)
        self.refs = []
        self.in_view = self.over_events = False

    def cast(self, n, t):
        if n.op == 'lit' and n.t == 'string':
            # A wrong literal in a CAST is a mistake of the app.
            try: parse(n.a[0], t)
            except NoValue: n = N('concat', 'string', [n, N('lit', 'string', [''], "''")], "(%s || '')" % n.sql)
        return N('cast', t, [n], 'CAST(%s AS %s)' % (n.sql, sql_name(t)))

    def literal(self, t):
        """A literal of a written type; None of a type that has none."""
        k = kind(t)
        if k in ('bytes', 'fixed', 'array', 'map', 'record'): return None
        t = t[:3] if k == 'decimal' else t
        v = self.value(t)
        if k == 'string':
            v = v.replace('\0', '0')[:40]
            return N('lit', t, [v], quoted(v))
        if k == 'boolean': return N('lit', t, [v], 'TRUE' if v else 'FALSE')
        if k in ('int', 'long') and self.r.random() < 0.7: return N('lit', t, [v], 'CAST(%d AS %s)' % (v, k))
        return N('lit', t, [v], 'CAST(%s AS %s)' % (quoted(text(v, t)), sql_name(t)))

    def bare(self, t):
        """A literal that takes its type from what it stands beside."""
        k = kind(t)
        if k in ('bytes', 'fixed', 'boolean', 'float'): return None
        v = self.value(t)
        if k == 'string': v = v.replace('\0', '0')[:40]
        if k == 'double': return N('lit', t, [float(int(v))], '%d' % v) if abs(v) < 2**31 else None
        numbers = k in ('int', 'long', 'decimal')
        return N('lit', t, [v], text(v, t) if numbers else quoted(text(v, t)))

    def leaf(self, t):
        found = [n for n in self.refs if same(n.t, t)]
        if found and self.r.random() < 0.75: return self.r.choice(found)
        return self.literal(t) or (self.r.choice(found) if found else None)

    def of(self, t, d):
        """An expression of exactly this type, or None."""
        if d <= 0 or self.r.random() < 0.15: return self.leaf(t)
        for _ in range(4):
            n = self.node(t, d)
            if n is None: continue
            if same(n.t, t): return n
            if castable(n.t, t): return self.cast(n, t)
        return self.leaf(t)

    def node(self, t, d):
        k, c = kind(t), self.r.random()
        if c < 0.12: return self.choice(t, d)
        if k in NUMBERS: return self.numeric(t, d)
        if k == 'boolean': return self.boolean(d)
        if k == 'string': return self.texts(d)
        if k in DAY or k.startswith('time-'): return self.time(t, d)
        if k in ('enum', 'uuid') and c < 0.5: return self.of('string', d - 1)
        return self.leaf(t)

    def choice(self, t, d):
        r = self.r
        a, b = self.of(t, d - 1), self.of(t, d - 1)
        if a is None or b is None: return a or b
        c = r.randrange(5)
        comparable = kind(t) not in ('array', 'map', 'record')
        if c == 0: return N('coalesce', t, [a, b], 'coalesce(%s, %s)' % (a.sql, b.sql))
        if c == 1 and comparable: return N('nullif', t, [a, b], 'nullif(%s, %s)' % (a.sql, b.sql))
        if c == 2 and comparable:
            f = r.choice(['least', 'greatest'])
            return N(f, t, [a, b], '%s(%s, %s)' % (f, a.sql, b.sql))
        if c == 3:
            s = self.scalar()
            x, y = self.of(s, d - 1), self.of(s, d - 1)
            if x is not None and y is not None and kind(s) not in ('bytes', 'fixed'):
                return N('switch', t, [x, [(y, a)], b], '(CASE %s WHEN %s THEN %s ELSE %s END)' % (x.sql, y.sql, a.sql, b.sql))
        w = self.boolean(d - 1)
        other = b if r.random() < 0.7 else None
        tail = ' ELSE %s' % b.sql if other is not None else ''
        return N('case', t, [[(w, a)], other], '(CASE WHEN %s THEN %s%s END)' % (w.sql, a.sql, tail))

    def some_number(self, d, t=None):
        t = t if t is not None and self.r.random() < 0.6 else self.r.choice(['int', 'long', 'double', 'float', self.decimal()[:3]])
        return self.of(t, d)

    def numeric(self, t, d):
        r = self.r
        c = r.random()
        if c < 0.5:
            a, b = self.some_number(d - 1, t), self.some_number(d - 1, t)
            if a is not None and a.op in ('ref', 'field') and a.t != 'float' and r.random() < 0.3:
                return self.binary(r.choice('+-'), a, self.bare(a.t[:3] if kind(a.t) == 'decimal' else a.t) or b)
            return self.binary(r.choice('+-*/%+-*/'), a, b)
        if c < 0.6:
            a = self.some_number(d - 1, t)
            f = r.choice(['neg', 'abs', 'round', 'floor', 'ceil', 'round'])
            return self.unary(f, a)
        if c < 0.7 and kind(t) in ('int', 'long'):
            if r.random() < 0.5:
                s = self.of('string', d - 1)
                return N('length', 'long', [s], 'length(%s)' % s.sql)
            found = [n for n in self.refs if kind(n.t) in ('array', 'map')]
            if found:
                a = r.choice(found)
                return N('cardinality', 'long', [a], 'cardinality(%s)' % a.sql)
        if c < 0.8 and kind(t) == 'long': return self.part(d)
        if c < 0.83: return self.of('string', d - 1)
        return self.some_number(d - 1)

    def binary(self, op, a, b):
        if a is None or b is None: return None
        exacts = digits(a.t), digits(b.t)
        if op in '*/' and all(exacts) and 'decimal' in (kind(a.t), kind(b.t)):
            (p, s), (q, z) = exacts
            t = decimal(min(38, p + q), s + z) if op == '*' else decimal(38, max(s, 6))
            if t is None: return None
            w = [N('cast', decimal(*x), [n], n.sql) for n, x in zip((a, b), exacts)]
        else:
            t = common(a.t, b.t)
            if t is None: return None
            t = 'double' if t == 'float' else t[:3] if kind(t) == 'decimal' else t
            w = [N('cast', t, [n], n.sql) for n in (a, b)]
        return N('arith', t, [op] + w, '(%s %s %s)' % (a.sql, op, b.sql))

    def unary(self, f, a):
        if a is None: return None
        t = 'double' if a.t == 'float' else a.t[:3] if kind(a.t) == 'decimal' else a.t
        w = N('cast', t, [a], a.sql)
        if f == 'neg': return N('neg', t, [w], '(- %s)' % a.sql)
        if f == 'abs': return N('abs', t, [w], 'abs(%s)' % a.sql)
        args, sql, places = [w], '%s(%s)' % (f, a.sql), 0
        if f == 'round' and self.r.random() < 0.6:
            places = self.r.choice([0, 1, 2, 6, 37])
            args, sql = [w, N('lit', 'int', [places], '')], 'round(%s, %d)' % (a.sql, places)
        if kind(t) == 'decimal': t = decimal(min(38, t[1] - t[2] + 1 + places), places)
        return N(f, t, args, sql)

    def part(self, d):
        t = self.r.choice(['date', 'timestamp-millis', 'timestamp-micros', 'time-millis', 'local-timestamp-micros'])
        a = self.of(t, d - 1)
        if a is None: return None
        names = ['year', 'quarter', 'month', 'week', 'day', 'dow', 'doy'] if t[:5] != 'time-' else []
        if t != 'date': names += ['hour', 'minute', 'second']
        p = self.r.choice(names + ['epoch'] * (t[:5] != 'time-'))
        return N('part', 'long', [p, a], 'extract(%s FROM %s)' % (p, a.sql))

    def texts(self, d):
        r, c = self.r, self.r.random()
        if c < 0.35:
            t = self.scalar()
            n = self.of(t, d - 1)
            return self.cast(n, 'string') if n is not None and castable(t, 'string') and t != 'string' else n
        a = self.of('string', d - 1)
        if c < 0.55:
            b = self.of('string', d - 1)
            return N('concat', 'string', [a, b], '(%s || %s)' % (a.sql, b.sql))
        if c < 0.7:
            f = r.choice(['lower', 'upper', 'trim'])
            return N(f, 'string', [a], '%s(%s)' % (f, a.sql))
        if c < 0.85:
            args = [N('lit', 'long', [v], '%d' % v) for v in (r.randint(-1, 4), r.randint(0, 3))][:r.randint(1, 2)]
            if r.random() < 0.3: args = [self.of('long', d - 1)] + args[1:]
            return N('substr', 'string', [a] + args, 'substr(%s)' % ', '.join(x.sql for x in [a] + args))
        b, e = self.of('string', d - 1), self.of('string', d - 1)
        return N('replace', 'string', [a, b, e], 'replace(%s, %s, %s)' % (a.sql, b.sql, e.sql))

    def time(self, t, d):
        r, k = self.r, kind(t)
        if k.startswith('time-'): return self.of(r.choice(['time-millis', 'time-micros', 'string']), d - 1)
        a = self.of(t if r.random() < 0.6 else r.choice(list(DAY)), d - 1)
        if a is None: return None
        c = r.random()
        if c < 0.45:
            count, unit = r.choice([(1, 'day'), (0, 'day'), (400, 'day'), (3, 'weeks'), (4_000_000, 'days')])
            micros = count * {'day': 86_400_000_000, 'days': 86_400_000_000, 'weeks': 604_800_000_000}[unit]
            if a.t != 'date' and r.random() < 0.5:
                count, unit, micros = r.choice([(15, 'minutes', 900_000_000), (1, 'millisecond', 1000), (99_999, 'hours', 359_996_400_000_000)])
            op = r.choice('+-')
            shift = micros * DAY[a.t] // 86_400_000_000
            return N('shift', a.t, [a, shift if op == '+' else -shift], "(%s %s INTERVAL '%d %s')" % (a.sql, op, count, unit))
        if c < 0.8:
            units = ['day', 'week', 'month', 'quarter', 'year'] + (['second', 'minute', 'hour'] if a.t != 'date' else [])
            u = r.choice(units)
            return N('trunc', a.t, [u, a], "date_trunc('%s', %s)" % (u, a.sql))
        if a.t != 'date' and r.random() < 0.5: return N('to_date', 'date', [a], 'to_date(%s)' % a.sql)
        return a

    def boolean(self, d):
        r, c = self.r, self.r.random()
        if d <= 0: return self.leaf('boolean')
        if c < 0.12:
            op = r.choice(['and', 'or'])
            parts = [self.boolean(d - 1) for _ in range(r.randint(2, 3))]
            return N(op, 'boolean', parts, '(' + (' %s ' % op.upper()).join('(%s)' % p.sql for p in parts) + ')')
        if c < 0.2:
            a = self.boolean(d - 1)
            op, sql = r.choice([('not', '(NOT (%s))'), ('istrue', '((%s) IS TRUE)'), ('isfalse', '((%s) IS FALSE)')])
            return N(op, 'boolean', [a], sql % a.sql)
        if c < 0.35:
            s = self.of('string', d - 1)
            if r.random() < 0.3:
                b = self.of('string', d - 1)
                return N('starts_with', 'boolean', [s, b], 'starts_with(%s, %s)' % (s.sql, b.sql))
            p = r.choice(['%', '', '_', 'a%', '%b', '%a_%', '_\\%', 'a!%', '%!_b'])
            escape = '!' if '!' in p else None
            n = N('like', 'boolean', [s, p, escape], '(%s LIKE %s%s)' % (s.sql, quoted(p), " ESCAPE '!'" if escape else ''))
            return n
        t = self.scalar()
        a, b = self.of(t, d - 1), self.of(t, d - 1)
        if a is None or b is None: return self.leaf('boolean')
        if c < 0.45: return N('isnull', 'boolean', [a], '((%s) IS NULL)' % a.sql)
        if c < 0.53: return N('distinct', 'boolean', [a, b], '(%s IS DISTINCT FROM %s)' % (a.sql, b.sql))
        if c < 0.61: return N('in', 'boolean', [a, b, b], '(%s IN (%s, %s))' % (a.sql, b.sql, b.sql))
        if c < 0.67:
            e = self.of(t, d - 1)
            return N('between', 'boolean', [a, b, e], '(%s BETWEEN %s AND %s)' % (a.sql, b.sql, e.sql))
        if kind(t) in NUMBERS and r.random() < 0.5:
            b = self.some_number(d - 1)
            u = common(a.t, b.t)
            if u is None: return self.leaf('boolean')
            a, b = (N('cast', u, [n], n.sql) for n in (a, b))
        elif a.op in ('ref', 'field', 'env') and r.random() < 0.4: b = self.bare(t) or b
        elif kind(t) == 'enum' and r.random() < 0.5:
            b = self.of(r.choice(self.named[:2]), 0)
        op = r.choice(['=', '<>', '<', '<=', '>', '>='])
        return N('cmp', 'boolean', [op, a, b], '(%s %s %s)' % (a.sql, op, b.sql))


def castable(a, b):
    """Whether a CAST converts between two different types."""
    a, b = kind(a), kind(b)
    words = NUMBERS + ('boolean', 'uuid', 'enum', 'string') + tuple(DAY) + ('time-millis', 'time-micros')
    if b == 'string': return a in words
    if a == 'string': return b in words
    if a in NUMBERS: return b in NUMBERS
    if a == 'boolean': return b in ('int', 'long')
    return a in DAY and b in DAY or a[:5] == b[:5] == 'time-' or a == 'fixed' and b == 'bytes'
