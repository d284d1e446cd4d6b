"""Pieces about exceptions, and about the values that a program has among its globals."""

from __future__ import annotations

from tests.same_answers.grammar import Piece

EXCEPTIONS = (
    Piece(
        """
        class $E(Exception): pass
        def $f(x):
            raise $E(x, $g(x))
        """,
        values=("$E(1)", "$E"),
    ),
    Piece(
        """
        class $E(Exception):
            def __init__(self, a, *, b=2):
                super().__init__(f'{a} and {b}')
                self.a, self.b = a, b
        def $f(x):
            raise $E(1, b=$g(x))
        """,
        values=("$E(1, b=3)",),
    ),
    Piece(
        """
        class $E(ValueError):
            def __init__(self, code, text):
                self.code, self.text = code, text
            def __str__(self): return f'{self.code}: {self.text}'
        def $f(x):
            try: raise $E(3, $k)
            except ValueError as error:
                if x: raise
                return error, isinstance(error, $E), str(error)
        """
    ),
    Piece(
        """
        class $E(Exception):
            __slots__ = ('n',)
            def __init__(self, n): self.n = n
        def $f(x):
            raise $E($g(x))
        """
    ),
    Piece(
        """
        import dataclasses
        @dataclasses.dataclass(frozen=True)
        class $E(Exception):
            a: int
            b: str = 'b'
        def $f(x):
            raise $E(1)
        """
    ),
    Piece(
        """
        import dataclasses
        @dataclasses.dataclass
        class $E(Exception):
            a: object
            def __post_init__(self): super().__init__(self.a)
        def $f(x):
            raise $E($g(x)) from $E(0)
        """
    ),
    Piece(
        """
        class $E(Exception):
            def __len__(self): return 0
            def __eq__(self, other): return True
            __hash__ = Exception.__hash__
        def $f(x):
            raise $E(x)
        """
    ),
    Piece(
        """
        class $E(Exception):
            def __setattr__(self, name, value): raise TypeError('no')
            def __bool__(self): raise ValueError('no truth')
        def $f(x):
            raise $E(x)
        """
    ),
    Piece(
        """
        class $E(Exception):
            def __new__(cls, a, b):
                one = super().__new__(cls, a)
                one.b = b
                return one
            def __init__(self, a, b): pass
        def $f(x):
            raise $E(1, [x])
        """
    ),
    Piece(
        """
        class $E(Exception):
            def __reduce__(self): return $make, (self.args[0],)
        def $make(n):
            one = $E(n)
            one.made = True
            return one
        def $f(x):
            one = $E(1)
            one.made = True
            raise one
        """
    ),
    Piece(
        """
        class $E(Exception):
            def __str__(self): raise RuntimeError('no text')
        def $f(x):
            raise $E($g(x))
        """
    ),
    Piece(
        """
        class $Base(Exception): pass
        class $E($Base, KeyError):
            level = $k
            def m(self): return self.level
        def $f(x):
            try:
                raise $E(x)
            except $Base as error:
                found = error.m(), isinstance(error, KeyError)
            return found, $g(x)
        """,
        edits=("$E.level = $m",),
    ),
    Piece(
        """
        def $f(x):
            try:
                raise KeyError($k)
            except KeyError as error:
                raise ValueError($g(x)) from error
        """
    ),
    Piece(
        """
        def $f(x):
            try:
                $g(x)
                raise KeyError('context')
            except KeyError:
                raise ValueError('other')
        """
    ),
    Piece(
        """
        def $f(x):
            try:
                raise KeyError('context')
            except KeyError:
                raise ValueError('other') from None
        """
    ),
    Piece(
        """
        def $f(x):
            raise ValueError('no context') from KeyError($k)
        """
    ),
    Piece(
        """
        def $f(x):
            try:
                try:
                    raise KeyError(1)
                finally:
                    {}[2]
            except KeyError as error:
                raise TypeError(3) from OSError(2, 'cause')
        """
    ),
    Piece(
        """
        class $E(Exception):
            def __init__(self, a, b): self.a = a
        def $f(x):
            try:
                raise $E(1, 2)
            except $E as error:
                one = RuntimeError($k)
                one.inner = error
                raise one from error
        """
    ),
    Piece(
        """
        def $f(x):
            error = ValueError($k)
            error.add_note('first')
            error.add_note('ä')
            raise error
        """,
        since=(3, 11),
    ),
    Piece(
        """
        def $f(x):
            try:
                $g(x)
            except Exception as error:
                error.add_note('seen')
                raise
            raise LookupError($e)
        """,
        since=(3, 11),
    ),
    Piece(
        """
        def $a(x):
            raise ValueError(x)
        def $f(x):
            try:
                return $g(x)
            except Exception as error:
                return error, error.args
            finally:
                $h(1)
        """,
        calls=("$f", "$a"),
    ),
    Piece(
        """
        class $E(Exception):
            def __init__(self, a, b):
                super().__init__(a)
                self.b = b
        def $f(x):
            inner = ExceptionGroup('inner', [$E(1, 2), KeyError($k)])
            try: raise KeyError('cause')
            except KeyError as cause:
                inner.__cause__ = cause
            raise ExceptionGroup('outer', [ValueError(x), inner])
        """,
        since=(3, 11),
    ),
    Piece(
        """
        class $G(ExceptionGroup):
            def derive(self, members): return $G(self.message, members)
        def $f(x):
            found = []
            try:
                raise $G('own', [ValueError(1), TypeError(x), OSError(2, 'two')])
            except* ValueError as group:
                found.append(group)
            except* TypeError as group:
                found.append(group.exceptions)
        """,
        since=(3, 11),
    ),
    Piece(
        """
        def $f(x):
            found = []
            try:
                raise ExceptionGroup('g', [ValueError(1), KeyError($k), ExceptionGroup('h', [ValueError(2)])])
            except* ValueError as group:
                found = [type(group).__name__, group.exceptions]
            except* KeyError:
                pass
            return found, $g(x)
        """,
        since=(3, 11),
    ),
    Piece(
        """
        def $f(x):
            raise BaseExceptionGroup('base', [KeyboardInterrupt(), ValueError(1)])
        """,
        since=(3, 11),
    ),
    Piece(
        """
        def $f(x):
            raise StopIteration($k)
        """
    ),
    Piece(
        """
        class $E(StopIteration): pass
        def $f(x):
            raise $E($k)
        """
    ),
    Piece(
        """
        def $f(x):
            def inner():
                yield 1
                raise StopIteration(x)
            return list(inner())
        """
    ),
    Piece(
        """
        def $f(x):
            raise StopAsyncIteration(1, $k)
        """
    ),
    Piece(
        """
        def $f(x):
            raise SystemExit($k)
        """
    ),
    Piece(
        """
        def $f(x):
            raise KeyboardInterrupt
        """
    ),
    Piece(
        """
        def $f(x):
            raise GeneratorExit($k)
        """
    ),
    Piece(
        """
        class $B(BaseException): pass
        def $f(x):
            raise $B(x)
        """
    ),
    Piece(
        """
        import asyncio, concurrent.futures
        def $f(x):
            cancelled = asyncio.CancelledError(), concurrent.futures.CancelledError(1)
            others = TimeoutError('t'), concurrent.futures.BrokenExecutor(2)
            raise [*cancelled, *others][x if x in (1, 2, 3) else 0]
        """
    ),
    Piece(
        """
        def $f(x):
            open('/nonexistent/file')
        """
    ),
    Piece(
        """
        def $f(x):
            raise OSError(17, 'text', 'a', None, 'b')
        """
    ),
    Piece(
        """
        class $E(OSError):
            def __init__(self, n): super().__init__(2, 'text', 'file')
        def $f(x):
            raise $E(3)
        """
    ),
    Piece(
        r"""
        def $f(x):
            b'\xff'.decode()
        """
    ),
    Piece(
        """
        def $f(x):
            'ä'.encode('ascii')
        """
    ),
    Piece(
        """
        def $f(x):
            import nonexistent_module
        """
    ),
    Piece(
        """
        def $f(x):
            from math import nonexistent
        """
    ),
    Piece(
        """
        def $f(x):
            return undefined_name
        """
    ),
    Piece(
        """
        class $C: pass
        def $f(x):
            return $C().attribute
        """
    ),
    Piece(
        """
        def $f(x):
            compile('1 +', 'file', 'eval')
        """
    ),
    Piece(
        """
        def $f(x):
            import json
            json.loads('{')
        """
    ),
    Piece(
        """
        def $f(x):
            return $f(x)
        def $d(x):
            try: $f(x)
            except RecursionError as error: return type(error).__name__
        """,
        calls=("$d",),
    ),
    Piece(
        """
        class $E(ImportError):
            def __init__(self, a): super().__init__('text', name='n', path='p')
        def $f(x):
            raise $E(1)
        """
    ),
    Piece(
        """
        def $f(x):
            assert False, ($k, x)
        """
    ),
    Piece(
        """
        def $f(x):
            raise ValueError([$g, $C, $C()])
        class $C: pass
        """
    ),
    Piece(
        """
        class $E(Exception): pass
        $error = $E($k)
        def $f(x):
            raise $error
        """
    ),
    Piece(
        """
        def $f(x):
            raise ValueError(lambda y: y)
        """
    ),
    Piece(
        """
        def $f(x):
            if isinstance(x, BaseException): raise x
            raise TypeError('none')
        """,
        values=(
            "ValueError(1)",
            "OSError(2, 'two', 'file')",
            "UnicodeDecodeError('utf8', b'a', 0, 1, 'why')",
        ),
    ),
)

VALUES = (
    Piece(
        """
        import re, decimal, datetime, fractions, pathlib, uuid
        $when = datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)
        $numbers = decimal.Decimal('1.1'), fractions.Fraction(1, 3)
        $v = re.compile('a+', re.I), $when, $numbers, pathlib.PurePath('a/b'), uuid.UUID(int=3)
        def $f(x):
            return $v, $v[0].match('AA').group(), $g(x)
        """
    ),
    Piece(
        """
        import collections, types
        $d = collections.defaultdict(lambda: $k)
        $c = collections.Counter('aab')
        $q = collections.deque([1, 2], maxlen=2)
        $o = collections.OrderedDict(b=1, a=2)
        $chain = collections.ChainMap({'a': 1}, $o)
        $p = types.MappingProxyType({'a': 1})
        $n = types.SimpleNamespace(a=1, f=$g)
        def $f(x):
            $d['new']; $q.append(3); $c['z'] += 1
            return dict($d), $c, $q, $o, dict($chain), dict($p), $n.a, $n.f(x)
        """
    ),
    Piece(
        """
        import array, random, struct
        $a = array.array('d', [1.5])
        $r = random.Random(3)
        $s = struct.Struct('<I')
        $b = bytearray(b'ab')
        def $f(x):
            $b.append(65)
            return $a, $r.random(), $s.pack(3), bytes($b), slice(1, 2), memoryview(b'ab')[1:].tobytes(), $g(x)
        """
    ),
    Piece(
        """
        import threading
        $lock = threading.Lock()
        $rlock = threading.RLock()
        $event = threading.Event()
        $cond = threading.Condition($lock)
        $sem = threading.BoundedSemaphore(2)
        $local = threading.local()
        $local.n = 1
        def $f(x):
            with $lock, $rlock, $sem:
                $event.set()
                $local.n = getattr($local, 'n', 0) and 5
                return $event.is_set(), $lock.locked(), $cond._lock is $lock, $g(x)
        """
    ),
    Piece(
        """
        import threading
        class $C:
            lock = threading.Lock()
            def __init__(self): self.own = threading.RLock()
            def m(self, x):
                with self.lock, self.own:
                    return $g(x)
        $one = $C()
        def $f(x):
            return $one.m(x)
        """
    ),
    Piece(
        """
        import queue, logging
        $q = queue.Queue()
        $q.put($k)
        $log = logging.getLogger('some.logger')
        def $f(x):
            $q.put(x)
            return $q.qsize(), $log.name, $log is logging.getLogger('some.logger'), $g(x)
        """
    ),
    Piece(
        """
        import weakref
        class $C: pass
        $one = $C()
        $ref = weakref.ref($one)
        $set = weakref.WeakSet([$one])
        $values = weakref.WeakValueDictionary(a=$one)
        $keys = weakref.WeakKeyDictionary({$one: $k})
        $proxy = weakref.proxy($one)
        def $f(x):
            return $ref() is $one, $one in $set, $values['a'] is $one, $keys[$one], type($proxy).__name__, $g(x)
        """
    ),
    Piece(
        """
        import math as $alias, os.path as $path, xml.sax.saxutils
        def $f(x):
            return $alias.floor(2.5), $path.join('a', 'b'), xml.sax.saxutils.escape('<'), $g(x)
        """
    ),
    Piece(
        """
        $shared = [1]
        $a = ($shared, $shared)
        $b = {'s': $shared}
        $cycle = [$shared]
        $cycle.append($cycle)
        def $f(x):
            $shared.append(2)
            return $a[0] is $b['s'], $cycle[1] is $cycle, $cycle[0] is $shared, $shared, $g(x)
        """
    ),
    Piece(
        r"""
        $v = {frozenset([1]): float('inf'), (1, b'x'): -0.0, 'ä\udcff': 2 ** 100, None: ..., 1j: NotImplemented}
        $v[$k if isinstance($k, str) else 's'] = range(3)
        def $f(x):
            return $v, $g(x)
        """
    ),
    Piece(
        """
        class $C:
            def __init__(self, n): self.n = n
        $one = $C([1])
        $many = [$one, $one, $C($one)]
        def $f(x):
            $one.n.append(x)
            return $many[0] is $one, $many[2].n is $one, len($one.n), $g(x)
        """
    ),
    Piece(
        """
        class $C:
            def m(self, x):
                self.n += 1
                return self.n, $g(x)
            n = 0
        $o = $C()
        def $f(x): return $o.m(x)
        """
    ),
    Piece(
        """
        $it = iter([1, 2, 3])
        $z = zip('ab', [1, 2])
        def $f(x):
            return next($it, None), next($z, None), $g(x)
        """
    ),
)
