"""Pieces about functions: their globals, closures, decorators, and what functools makes of them."""

from __future__ import annotations

from tests.same_answers.grammar import Piece

FUNCTIONS = (
    Piece(
        """
        def $f(x):
            $body
        """
    ),
    Piece(
        """
        def $f(x, y=$k, *more, z=$m, **rest):
            return x, y, more, z, rest, $g(y)
        """
    ),
    Piece(
        """
        $f = lambda x, y=$k: (y, $e)
        """
    ),
    Piece(
        """
        $f = [lambda x, n=n: (n, $g(x)) for n in range(3)]
        """,
        calls=("$f[0]", "$f[2]"),
    ),
    Piece(
        """
        $f = {'a': lambda x: $g(x), 'b': $h}
        """,
        calls=("$f['a']", "$f['b']"),
    ),
    Piece(
        """
        def $f(x):
            'Text of it.'
            return $f.__doc__, $f.__qualname__, $f.__module__, $f.mark
        $f.mark = $k
        """
    ),
    Piece(
        """
        def $f(x):
            $f.calls = getattr($f, 'calls', 0) + 1
            return $f.calls, $g(x)
        """
    ),
    Piece(
        """
        def $f(x, seen=[]):
            seen.append(1)
            return len(seen), $g(x)
        """
    ),
    Piece(
        """
        def $f(x):
            import inspect
            return str(inspect.signature($h2)), len(inspect.getsource($h2))
        def $h2(a, /, b, *, c=$k): return a
        """
    ),
    Piece(
        """
        exec("def $f(x): return $g(x), 1")
        """
    ),
    Piece(
        r"""
        $space = {}
        exec('n = 0\ndef f(x):\n global n\n n += 1\n return n, x', $space)
        $f = $space['f']
        """
    ),
    Piece(
        """
        $f = eval("lambda x: [x, $g(x)]")
        """
    ),
    Piece(
        """
        def $f(x):
            return __name__, globals()['$a'], eval('$b')(x)
        $a = $k
        $b = $g
        """
    ),
    Piece(
        """
        def $f(x):
            return [x, *(y for y in [$g(x)])], {z: x for z in 'ab'}, [w := 3, w]
        """
    ),
    Piece(
        """
        $n = 0
        def $f(x):
            global $n
            $n += 1
            return $n, $e
        """
    ),
    Piece(
        """
        $n = $k
        $m2 = [$k]
        def $f(x):
            $m2.append($n)
            return $m2, $g(x)
        def $h2(x):
            return $n, len($m2)
        """,
        calls=("$f", "$h2"),
    ),
    Piece(
        """
        $d = {}
        def $f(x):
            $d[len($d)] = x
            return $d, $e
        def $p(x):
            return $d.get(0, $k)
        """,
        calls=("$p", "$f"),
    ),
    Piece(
        """
        $d = $a = []
        $b = {'a': $a}
        def $f(x):
            $a.append(x)
            return $d is $a, $b['a'] is $a, len($d)
        """
    ),
    Piece(
        """
        def $s(x):
            global $late
            $late = $e
            return 'set'
        def $f(x):
            return $late, x
        """,
        calls=("$s", "$f"),
    ),
    Piece(
        """
        $n = $k
        def $f(x):
            global $n
            del $n
            return $e
        def $r(x):
            return $n
        """,
        calls=("$r", "$f"),
    ),
    Piece(
        """
        $n = $k
        def $f(x):
            return $n, $e
        """,
        edits=("$n = $m", "$n = [$k, $n]"),
    ),
    Piece(
        """
        def $f(x):
            return 'first', $g(x)
        """,
        edits=("def $f(x):\n    return 'second', $e",),
    ),
    Piece(
        """
        def $a(x):
            return 1, x
        def $b(x):
            return $a(x), $e
        def $f(x):
            return $b(x)
        """,
        edits=("def $a(x):\n    return 2, x", "def $a(x):\n    return $e"),
    ),
    Piece(
        """
        def $f(x):
            return $e
        """,
        edits=("$f.__defaults__ = ($k,)", "$f.__code__ = (lambda x: (x, 'new code')).__code__"),
    ),
    Piece(
        """
        def $a(x):
            return 'a', $g(x)
        def $b(x):
            return 'b', $a(x)
        def $f(x):
            return $b(x), $a(1)
        """
    ),
    Piece(
        """
        def $f(x):
            return $e if not isinstance(x, int) or x <= 0 else [x, $f(x - 1)]
        """
    ),
    Piece(
        """
        def $a(x):
            return $f(x - 1) if isinstance(x, int) and x > 0 else $e
        def $f(x):
            return ['f', $a(x)]
        """,
        calls=("$a", "$f"),
    ),
    Piece(
        """
        def $make():
            def inner(x):
                return inner(x - 1) + 1 if isinstance(x, int) and x > 0 else 0
            return inner
        $f = $make()
        """
    ),
    Piece(
        """
        def $make(n):
            def up(x):
                nonlocal n
                n += 1
                return n, x
            def look(x):
                return n, $g(x)
            return up, look
        $f, $l = $make(5)
        """,
        calls=("$f", "$l"),
    ),
    Piece(
        """
        def $make(a):
            def middle(b):
                def inner(x):
                    return a, b, x, $g(a)
                return inner
            return middle
        $f = $make($k)($m)
        """,
        calls=("$f", "$make"),
    ),
    Piece(
        """
        def $make():
            def inner(x):
                return late, $e
            late = $k
            return inner
        $f = $make()
        """
    ),
    Piece(
        """
        def $make():
            if 0:
                empty = 1
            def inner(x):
                return empty
            return inner
        $f = $make()
        """
    ),
    Piece(
        """
        def $make(seen):
            def inner(x):
                seen.append(x)
                return len(seen), $g(x)
            inner.seen = seen
            return inner
        $f = $make([])
        """
    ),
    Piece(
        """
        def $f(x):
            total = 0
            def add(y):
                nonlocal total
                total += 1
                return total
            return add, add(x), add(x)
        """
    ),
    Piece(
        """
        def $f(x):
            return [lambda y, i=i: (i, x, y) for i in range(2)]
        """
    ),
    Piece(
        """
        def $gen(x):
            got = yield x
            yield got, $g(x)
            return 'end'
        def $outer(x):
            end = yield from $gen(x)
            yield end
        def $f(x):
            return list($outer(x))
        """
    ),
    Piece(
        """
        def $f(x):
            def numbers():
                try:
                    yield 1
                    yield $e
                finally:
                    log.append('closed')
            log = []
            it = numbers()
            first = next(it)
            it.close()
            return first, log
        """
    ),
    Piece(
        """
        class $It:
            def __init__(self, n): self.n = n
            def __iter__(self): return self
            def __next__(self):
                if self.n <= 0: raise StopIteration(self.n)
                self.n -= 1
                return self.n, $g(self.n)
        def $f(x):
            return list(x if isinstance(x, $It) else $It(2))
        """,
        values=("$It(2)",),
    ),
    Piece(
        """
        import itertools
        $chain = [1, 2]
        def $f(x):
            return list(itertools.chain($chain, map($g, [x]), itertools.repeat(x, 1)))
        """
    ),
    Piece(
        """
        def $deco(function):
            count = 0
            @functools.wraps(function)
            def wrapper(*args):
                nonlocal count
                count += 1
                return count, function(*args)
            return wrapper
        @$deco
        def $f(x):
            $body
        """,
        calls=("$f", "$f.__wrapped__"),
    ),
    Piece(
        """
        def $times(n):
            def deco(function):
                return lambda x: [function(x) for _ in range(n)]
            return deco
        @$times(2)
        @$times(1)
        def $f(x):
            return $e
        """
    ),
    Piece(
        """
        class $Deco:
            def __init__(self, function):
                functools.update_wrapper(self, function)
                self.calls = 0
            def __call__(self, *args):
                self.calls += 1
                return self.calls, self.__wrapped__(*args)
            def __get__(self, obj, kind=None):
                return self if obj is None else functools.partial(self, obj)
        @$Deco
        def $f(x):
            return $e
        class $C:
            @$Deco
            def m(self, x): return type(self).__name__, $g(x)
        """,
        calls=("$f", "(lambda x: $C().m(x))"),
    ),
    Piece(
        """
        $registry = {}
        def $register(function):
            $registry[function.__name__] = function
            return function
        @$register
        def $a(x):
            return 'a', x
        @$register
        def $f(x):
            return sorted($registry), $registry['$a'](x), $registry['$f'] is $f
        """,
        calls=("$a", "$f"),
    ),
    Piece(
        """
        import contextlib
        @contextlib.contextmanager
        def $manager(x):
            $log.append('in')
            try:
                yield $g(x)
            finally:
                $log.append('out')
        $log = []
        def $f(x):
            with $manager(x) as found:
                return found, list($log)
        @$manager(1)
        def $c(x):
            return $e
        """,
        calls=("$f", "$c"),
    ),
    Piece(
        """
        @functools.lru_cache(maxsize=2)
        def $c(x):
            return $e
        def $f(x):
            return $c(1), $c(1), $c.cache_info()[:3], $c.cache_parameters()
        """
    ),
    Piece(
        """
        @functools.cache
        def $f(n):
            return n if not isinstance(n, int) or n < 2 else $f(n - 1) + $f(n - 2)
        """
    ),
    Piece(
        """
        $f = functools.partial(lambda a, x, b=0: (a, x, b, $g(x)), $k, b=$m)
        """
    ),
    Piece(
        """
        $f = functools.partial(functools.partial($g), )
        """
    ),
    Piece(
        """
        @functools.singledispatch
        def $f(x):
            return 'any', $e
        @$f.register
        def _(x: int):
            return 'int', $g(x)
        @$f.register(str)
        @$f.register(list)
        def $text(x):
            return 'text', x, $f.dispatch(bool) is $f.dispatch(int)
        """,
        calls=("$f", "$text"),
    ),
    Piece(
        """
        class $C:
            @functools.singledispatchmethod
            def m(self, x):
                return 'any', $g(x)
            @m.register
            def _(self, x: int):
                return 'int', self.n
            @m.register(str)
            @classmethod
            def _(cls, x):
                return cls.__name__, x
            n = $k
            part = functools.partialmethod(m, 1)
        """,
        calls=("$C().m", "(lambda x: $C().part())"),
    ),
    Piece(
        """
        @functools.total_ordering
        class $C:
            def __init__(self, n): self.n = n
            def __eq__(self, other): return self.n == other.n
            def __lt__(self, other): return self.n < other.n
            def __hash__(self): return hash(self.n)
        def $f(x):
            one = x if isinstance(x, $C) else $C(2)
            return one >= $C(1), max(one, $C(5)).n, one in {$C(1), $C(7)}, sorted([one, $C(1)])
        """,
        values=("$C(7)",),
    ),
    Piece(
        """
        $key = functools.cmp_to_key(lambda a, b: (a > b) - (a < b))
        def $f(x):
            return sorted([3, 1, 2], key=$key), functools.reduce(lambda a, b: [a, b], [1, $g(x)])
        """
    ),
    Piece(
        """
        import operator
        $item, $attr = operator.itemgetter(0), operator.attrgetter('__class__')
        $method = operator.methodcaller('__class__')
        def $f(x):
            return $item([x]), $attr(x) is type(x), $method(3), $g(x)
        """
    ),
    Piece(
        """
        import asyncio
        async def $a(x):
            await asyncio.sleep(0)
            return $e
        async def $main(x):
            return await asyncio.gather($a(x), $a(1))
        def $f(x):
            return asyncio.run($main(x))
        """
    ),
    Piece(
        """
        import asyncio
        async def $numbers(x):
            for i in range(2):
                yield i, $g(x)
        class $Manager:
            async def __aenter__(self): return 'in'
            async def __aexit__(self, *error): return error[0] is ValueError
        async def $main(x):
            async with $Manager() as found:
                if x: raise ValueError(x)
                return found
            return [one async for one in $numbers(x)]
        def $f(x):
            return asyncio.run($main(x))
        """
    ),
    Piece(
        """
        import asyncio
        def $deco(function):
            @functools.wraps(function)
            async def wrapper(x):
                return 'w', await function(x)
            return wrapper
        @$deco
        async def $a(x):
            return $e
        def $f(x):
            return asyncio.iscoroutinefunction($a), asyncio.run($a(x))
        """
    ),
    Piece(
        """
        import asyncio
        async def $main(x):
            async with asyncio.TaskGroup() as group:
                one = group.create_task($a(x))
            return one.result()
        async def $a(x):
            if x: raise ValueError(x)
            return $e
        def $f(x):
            return asyncio.run($main(x))
        """,
        since=(3, 11),
    ),
    Piece(
        """
        import contextvars
        $var = contextvars.ContextVar('var', default=$k)
        $bare = contextvars.ContextVar('bare')
        def $set(x):
            before = $var.get()
            $var.set(x)
            return before, $g(x)
        def $f(x):
            return $var.get(), $bare.get('none'), $var.name, contextvars.copy_context().run($g, x)
        """,
        calls=("$f", "$set"),
    ),
    Piece(
        """
        import dataclasses
        @dataclasses.dataclass
        class $P:
            a: object
            b: object = 'b'
        class $Q:
            __match_args__ = ('n',)
            def __init__(self, n): self.n = n
        def $f(x):
            match x:
                case $P(a, b=$P()): return 'nested', a
                case $P(a=int() as n, b=b) if n: return n, b
                case $Q(n): return 'q', n
                case {'k': value, **rest}: return value, rest
                case [first, *others]: return first, others
                case None | str(): return $e
                case other: return 'other', $g(other)
        """,
        values=("$P(1, 2)", "$P(0, $P(1))", "$Q($k)"),
    ),
    Piece(
        """
        def $f[T](x: T, *more: T) -> list[T]:
            return [x, $g(x), $f.__type_params__[0].__name__, str($f.__annotations__['x'])]
        """,
        since=(3, 12),
    ),
    Piece(
        """
        class $C[T, *Ts, **P]:
            def m[U](self, x: U) -> tuple[T, U]:
                return x, [p.__name__ for p in $C.__type_params__], $g(x)
        def $f(x):
            return $C[int, str, [int]]().m(x), $C[int, str, [int]].__args__[0].__name__
        """,
        calls=("$f", "$C().m"),
        since=(3, 12),
    ),
    Piece(
        """
        type $A[T] = list[T] | dict[str, $A[T]]
        def $f(x: $A[int]):
            return $A.__name__, str($A[int]), len($A.__value__.__args__), $g(x)
        """,
        since=(3, 12),
    ),
)
