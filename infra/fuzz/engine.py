"""An independent engine for Tidefold's app language: what outcomes and tables have to be, by docs/app-language-sql.md,
docs/app-language.md and docs/types.md alone. It shares nothing with the fold: exact numbers are Fractions, times are
Python's calendar, states are dicts, and a view is computed anew from the final states or from all events.

A type is its name, or a tuple: ('decimal', p, s), ('fixed', name, size), ('enum', name, symbols), ('array', column),
('map', column), ('record', name, [(field, column)]). A column is (type, nullable). A value is None, bool, int (of times too,
in their unit), Fraction (decimal), float, str, bytes, list, dict.
"""

import base64
import datetime
import math
import re
import struct
import sys
from fractions import Fraction

sys.set_int_max_str_digits(0)
MAX_TEXT = 1 << 20
DAY = {'date': 1, 'timestamp-millis': 86_400_000, 'local-timestamp-millis': 86_400_000,
       'timestamp-micros': 86_400_000_000, 'local-timestamp-micros': 86_400_000_000}
FIRST, LAST = datetime.date(1, 1, 1), datetime.date(9999, 12, 31)
EPOCH = datetime.date(1970, 1, 1).toordinal()
DAYS = (FIRST.toordinal() - EPOCH, LAST.toordinal() - EPOCH)


class NoValue(Exception):
    """An expression has no value: overflow, division by zero, a CAST that fails, a text that is too long."""


class N:
    """A node of an expression: what it does, its type, what it is made of, and how it is written."""
    __slots__ = ('op', 't', 'a', 'sql')

    def __init__(self, op, t, a, sql):
        self.op, self.t, self.a, self.sql = op, t, a, sql


def kind(t):
    return t if isinstance(t, str) else t[0]


def same(a, b):
    if kind(a) == kind(b) == 'decimal': return a[1:3] == b[1:3]
    return a == b


def single(v):
    """The nearest 32-bit float, as a double."""
    try: v = struct.unpack('<f', struct.pack('<f', v))[0]
    except OverflowError: raise NoValue
    return v


def reads_as(text, v):
    try: return single(float(text)) == v
    except NoValue: return False


def single_of(exact):
    """The 32-bit float nearest to an exact number (not by way of a double, which would round twice)."""
    v = single(float(exact))
    bits = struct.unpack('<i', struct.pack('<f', v))[0]
    near = []
    for b in (bits - 1, bits, bits + 1):
        try: w = struct.unpack('<f', struct.pack('<i', b))[0]
        except struct.error: continue
        if math.isfinite(w): near.append((abs(Fraction(w) - exact), b & 1, w))
    return min(near)[2]


def checked(v, t):
    """The value, if its type has it."""
    k = kind(t)
    if k == 'int': ok = -2**31 <= v < 2**31
    elif k == 'long': ok = -2**63 <= v < 2**63
    elif k == 'decimal': ok = abs(v * 10**t[2]) < 10**t[1]
    elif k == 'double' or k == 'float':
        ok = math.isfinite(v)
        v = (single(v) if ok and k == 'float' else v) + 0.0
    elif k == 'date': ok = DAYS[0] <= v <= DAYS[1]
    elif k in DAY: ok = DAYS[0] * DAY[k] <= v < (DAYS[1] + 1) * DAY[k]
    elif k == 'time-millis': ok = 0 <= v < 86_400_000
    elif k == 'time-micros': ok = 0 <= v < 86_400_000_000
    else: ok = True
    if not ok: raise NoValue
    return v


def half_away(x, digits=0):
    scaled = abs(x) * 10**digits
    n = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator) if isinstance(scaled, Fraction) else scaled
    return Fraction(-n if x < 0 else n, 10**digits)


def half_even(x, digits):
    return Fraction(round(x * 10**digits), 10**digits)


# === texts of values ===

def near(v, places):
    """The nearest texts with so many places: below a power of two, floats lie closer than above it."""
    text = '%.*e' % (places, v)
    mantissa, exponent = text.split('e')
    n = int(mantissa.replace('.', ''))
    others = sorted((abs(Fraction(m) * Fraction(10) ** (int(exponent) - places) - Fraction(v)), m) for m in (n - 1, n + 1))
    return [text] + ['%de%d' % (m, int(exponent) - places) for _, m in others]


def number_text(v, is_single=False):
    """The shortest text that reads back to the same float."""
    if v == 0: return '0.0'
    if is_single:
        text = next(x for n in range(9) for x in near(v, n) if reads_as(x, v))
    else:
        text = repr(v)
    m = re.fullmatch(r'(-?)(\d+)(?:\.(\d*))?(?:e([+-]?\d+))?', text)
    sign, whole, frac, exp = m[1], m[2], m[3] or '', int(m[4] or 0)
    point = len(whole) + exp
    digits = whole + frac
    lead = len(digits) - len(digits.lstrip('0'))
    digits, point = digits.lstrip('0').rstrip('0'), point - lead
    most, least = (13, -6) if is_single else (16, -5)
    if len(digits) <= point <= most: return sign + digits + '0' * (point - len(digits)) + '.0'
    if 0 < point <= most: return sign + digits[:point] + '.' + digits[point:]
    if least < point <= 0: return sign + '0.' + '0' * -point + digits
    return sign + digits[0] + ('.' + digits[1:] if len(digits) > 1 else '') + 'e%+d' % (point - 1)


def clock_text(micros):
    s, f = divmod(micros, 1_000_000)
    text = '%02d:%02d:%02d' % (s // 3600, s // 60 % 60, s % 60)
    if f: text += '.%03d' % (f // 1000) if f % 1000 == 0 else '.%06d' % f
    return text


def day(days):
    return datetime.date.fromordinal(days + EPOCH)


def text(v, t):
    """The text a value has in JSON, without quotes."""
    k = kind(t)
    if k == 'boolean': return 'true' if v else 'false'
    if k in ('int', 'long'): return str(v)
    if k in ('float', 'double'): return number_text(v, k == 'float')
    if k == 'decimal':
        n = v * 10**t[2]
        digits = str(abs(n.numerator)).rjust(t[2] + 1, '0')
        return ('-' if n < 0 else '') + (digits[:-t[2]] + '.' + digits[-t[2]:] if t[2] else digits)
    if k == 'date': return day(v).isoformat()
    if k == 'time-millis': return clock_text(v * 1000)
    if k == 'time-micros': return clock_text(v)
    if k in DAY:
        d, rest = divmod(v, DAY[k])
        return day(d).isoformat() + 'T' + clock_text(rest * (86_400_000_000 // DAY[k])) + ('' if k[0] == 'l' else 'Z')
    if k in ('bytes', 'fixed'): return base64.b64encode(v).decode()
    return v


def parse_clock(s):
    m = re.fullmatch(r'(\d\d):(\d\d):(\d\d)(?:\.(\d+))?', s, re.ASCII)
    if not m or int(m[1]) > 23 or int(m[2]) > 59 or int(m[3]) > 59: raise NoValue
    return ((int(m[1]) * 60 + int(m[2])) * 60 + int(m[3])) * 1_000_000 + int((m[4] or '').ljust(6, '0')[:6])


def parse_day(s):
    if not re.fullmatch(r'\d{4}-\d\d-\d\d', s, re.ASCII): raise NoValue
    try: return datetime.date.fromisoformat(s).toordinal() - EPOCH
    except ValueError: raise NoValue


def parse_local(s):
    m = re.fullmatch(r'(.{10})[Tt ](.*)', s, re.DOTALL)
    if not m: raise NoValue
    return parse_day(m[1]) * 86_400_000_000 + parse_clock(m[2])


def parse_instant(s):
    m = re.fullmatch(r'(.*?)(?:[Zz]|([+-])(\d\d):(\d\d))', s, re.DOTALL | re.ASCII)
    if not m: raise NoValue
    v = parse_local(m[1])
    if m[2]:
        if int(m[3]) > 23 or int(m[4]) > 59: raise NoValue
        v -= (int(m[3]) * 60 + int(m[4])) * 60_000_000 * (-1 if m[2] == '-' else 1)
    return v


def parse(s, t):
    k = kind(t)
    if k == 'boolean' and s in ('true', 'false'): return s == 'true'
    if k in ('int', 'long') and re.fullmatch(r'-?(0|[1-9]\d*)', s, re.ASCII): return checked(int(s), t)
    number = re.fullmatch(r'-?(\d+(?:\.\d+)?)(?:[eE]([+-]?\d+))?', s, re.ASCII)
    if k in ('float', 'double') and number:
        return checked(single_of(Fraction(s)) if k == 'float' and 1e-60 < abs(float(s)) < 1e39 else float(s), t)
    if k == 'decimal' and number:
        if not number[1].strip('0.'): return Fraction(0)
        if abs(int(number[2] or 0)) > 100_000: raise NoValue
        v = Fraction(s)
        if (v * 10**t[2]).denominator != 1: raise NoValue
        return checked(v, t)
    if k == 'enum' and s in t[2]: return s
    if k == 'uuid' and re.fullmatch('[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}', s): return s.lower()
    if k == 'date': return parse_day(s)
    if k == 'time-millis': return parse_clock(s) // 1000
    if k == 'time-micros': return parse_clock(s)
    if k in DAY:
        v = parse_local(s) if k[0] == 'l' else parse_instant(s)
        return checked(v * DAY[k] // 86_400_000_000, t)
    raise NoValue


# === expressions ===

def exact(v, t):
    return Fraction(v) if kind(t) in ('int', 'long', 'decimal', 'float', 'double') else None


def cast(v, f, t):
    if v is None or same(f, t): return v
    a, b = kind(f), kind(t)
    if b == 'string':
        s = text(v, f)
        if len(s.encode()) > MAX_TEXT: raise NoValue
        return s
    if a == 'string': return parse(v, t)
    if a == 'fixed': return v
    if a == 'boolean': return int(v)
    if b in ('int', 'long'): return checked(int(half_away(exact(v, f))), t)
    if b == 'decimal': return checked((half_even if a in ('float', 'double') else half_away)(exact(v, f), t[2]), t)
    if b == 'double': return checked(float(v), t)
    if b == 'float':
        return checked(single(v) if a == 'double' else single_of(exact(v, f)), t)
    if b == 'time-micros': return v * 1000
    if b == 'time-millis': return v // 1000
    return checked(v * DAY[b] // DAY[a], t)


def arithmetic(op, x, y, t):
    k = kind(t)
    if x is None or y is None: return None
    if op in '/%' and y == 0: raise NoValue
    if op == '+': v = x + y
    elif op == '-': v = x - y
    elif op == '*': v = x * y
    elif k in ('float', 'double'): v = x / y if op == '/' else math.fmod(x, y)
    else:
        q = Fraction(x) / Fraction(y)
        if op == '%': v = x - y * int(q)
        else: v = int(q) if k in ('int', 'long') else half_away(q, t[2])
    return checked(v, t)


def like(s, pattern, escape):
    out, chars = '', iter(pattern)
    for c in chars:
        if c == escape: out += re.escape(next(chars))
        elif c == '%': out += '.*'
        elif c == '_': out += '.'
        else: out += re.escape(c)
    return re.fullmatch(out, s, re.DOTALL) is not None


def ascii_case(s, upper):
    return ''.join(c if ord(c) > 127 else c.upper() if upper else c.lower() for c in s)


def truncate(unit, v, t):
    size = DAY[kind(t)]
    if unit in ('second', 'minute', 'hour', 'day'):
        size = size // {'second': 86_400, 'minute': 1440, 'hour': 24, 'day': 1}[unit]
        return v // size * size
    d = day(v // size)
    if unit == 'week': d -= datetime.timedelta(days=d.weekday())
    elif unit == 'month': d = d.replace(day=1)
    elif unit == 'quarter': d = d.replace(month=(d.month - 1) // 3 * 3 + 1, day=1)
    else: d = d.replace(month=1, day=1)
    return (d.toordinal() - EPOCH) * size


def part(name, v, t):
    k = kind(t)
    if k in DAY: days, rest = divmod(v, DAY[k])
    else: days, rest = 0, v
    unit = {'date': 1, 'time-millis': 1000, 'time-micros': 1_000_000}.get(k) or DAY[k] // 86_400
    d, s = day(days), rest // unit
    return {'year': d.year, 'quarter': (d.month + 2) // 3, 'month': d.month, 'week': d.isocalendar()[1], 'day': d.day,
            'dow': d.isoweekday() % 7, 'doy': d.timetuple().tm_yday, 'hour': s // 3600, 'minute': s // 60 % 60,
            'second': s % 60, 'epoch': days * 86_400 + s}[name]


def rounded(name, v, f, t, digits):
    if kind(f) in ('int', 'long'): return v
    if kind(f) == 'decimal':
        if name == 'round': v = half_away(v, digits)
        else: v = Fraction((math.floor if name == 'floor' else math.ceil)(v))
        return checked(v, t)
    if name != 'round': return float((math.floor if name == 'floor' else math.ceil)(v))
    factor = 10.0**digits
    scaled = v * factor
    if not abs(scaled) < 9e15: return v
    return checked(float(half_away(Fraction(scaled))) / factor, t)


def call(name, args, v, t):
    f = args[0].t
    if name == 'abs': return checked(abs(v[0]), t)
    if name in ('round', 'floor', 'ceil'): return rounded(name, v[0], f, t, v[1] if len(v) > 1 else 0)
    if name == 'lower' or name == 'upper': return ascii_case(v[0], name == 'upper')
    if name == 'length' or name == 'cardinality': return len(v[0])
    if name == 'trim': return v[0].strip(' ')
    if name == 'starts_with': return v[0].startswith(v[1])
    if name == 'substr':
        last = min(v[1] + v[2], len(v[0]) + 1) if len(v) > 2 else len(v[0]) + 1
        return v[0][max(v[1], 1) - 1:max(last - 1, 0)]
    if name == 'replace':
        times = v[0].count(v[1]) if v[1] else 0
        if times and len(v[0].encode()) + times * (len(v[2].encode()) - len(v[1].encode())) > MAX_TEXT: raise NoValue
        return v[0].replace(v[1], v[2]) if times else v[0]
    if name == 'to_date': return cast(v[0], f, 'date')
    if name == 'map_value': return v[0].get(v[1])
    raise KeyError(name)


def truth(n, env):
    """Whether it is TRUE; what has no value fails."""
    return ev(n, env) is True


def compare(op, x, y):
    if x is None or y is None: return None
    return {'=': x == y, '<>': x != y, '<': x < y, '<=': x <= y, '>': x > y, '>=': x >= y}[op]


def ev(n, env):
    """The value of an expression; NoValue where it has none."""
    op, a = n.op, n.a
    if op == 'lit': return a[0]
    if op == 'ref': return env[a[0]][a[1]]
    if op == 'env': return env[a[0]]
    if op == 'cast': return cast(ev(a[0], env), a[0].t, n.t)
    if op == 'field':
        v = ev(a[0], env)
        return None if v is None else v[a[1]]
    if op == 'and' or op == 'or':
        unknown = False
        for x in a:
            v = ev(x, env)
            if v is (op == 'or'): return v
            unknown = unknown or v is None
        return None if unknown else op == 'and'
    if op == 'case':
        for when, then in a[0]:
            if truth(when, env): return ev(then, env)
        return ev(a[1], env) if a[1] else None
    if op == 'switch':
        v = ev(a[0], env)
        for when, then in a[1]:
            if compare('=', v, ev(when, env)): return ev(then, env)
        return ev(a[2], env) if a[2] else None
    if op == 'coalesce':
        for x in a:
            v = ev(x, env)
            if v is not None: return v
        return None
    if op == 'in':
        v, unknown = ev(a[0], env), False
        if v is None: return None
        for x in a[1:]:
            w = compare('=', v, ev(x, env))
            if w: return True
            unknown = unknown or w is None
        return None if unknown else False
    return strict(n, env)


def strict(n, env):
    """What computes all its operands first."""
    op, a = n.op, n.a
    v = [ev(x, env) for x in a if isinstance(x, N)]
    if op == 'isnull': return v[0] is None
    if op == 'istrue': return v[0] is True
    if op == 'isfalse': return v[0] is False
    if op == 'distinct': return not (v[0] is None and v[1] is None) and (v[0] is None or v[1] is None or v[0] != v[1])
    if op == 'between':
        low, high = compare('>=', v[0], v[1]), compare('<=', v[0], v[2])
        return False if low is False or high is False else None if low is None or high is None else True
    if op == 'nullif': return None if compare('=', v[0], v[1]) else v[0]
    if any(x is None for x in v): return None
    if op == 'arith': return arithmetic(a[0], v[0], v[1], n.t)
    if op == 'shift': return checked(v[0] + a[1], n.t)
    if op == 'neg': return checked(-v[0], n.t)
    if op == 'cmp': return compare(a[0], v[0], v[1])
    if op == 'not': return not v[0]
    if op == 'concat':
        if len((v[0] + v[1]).encode()) > MAX_TEXT: raise NoValue
        return v[0] + v[1]
    if op == 'like': return like(v[0], a[1], a[2])
    if op == 'least': return min(v)
    if op == 'greatest': return max(v)
    if op == 'trunc': return checked(truncate(a[0], v[0], n.t), n.t)
    if op == 'part': return part(a[0], v[0], a[1].t)
    return call(op, [x for x in a if isinstance(x, N)], v, n.t)
