"""Pieces in which what a call changes is seen by another one: objects without a name that several globals share,
namespaces of `exec`, closures in containers, views, settings of modules."""

from __future__ import annotations

from tests.same_answers.grammar import Piece

SHARING = (
    Piece(
        """
        class $Node:
            def __init__(self, n): self.n, self.hits, self.near = n, 0, []
        $list = [$Node(n) for n in (1, 2, 3)]
        $index = {node.n: node for node in $list}
        $list[0].near += [$index[2], $index]
        $last = ($list[-1], [$index[1].near])
        def $hit(x):
            $index[3].hits += 1
            return $index[3].hits, $g(x)
        def $tag(x):
            $list[0].near.append(1)
            return len($last[1][0]), $list[0].near[0] is $list[1]
        def $f(x):
            return sum(node.hits for node in $list), $last[0].hits, len($index[1].near), $last[0] is $list[2]
        """,
        calls=("$hit", "$f", "$tag"),
        starts=("(lambda x, node=$list[2]: (node.hits, $hit(x)))",),
    ),
    Piece(
        """
        $shared = [$k]
        $one = {'__name__': '$one', 'a': $shared, 'g': $g}
        $two = {'b': {'it': [$shared]}, 'c': $shared}
        exec('''if 1:
            count = 0
            def add(x):
                global count
                count += 1
                a.append(1)
                return len(a), count, g(x)
            def look(x): return len(a), count
            held = [lambda x: (add(x), count)]
        ''', $one)
        exec('def see(x): return len(b["it"][0]), len(c), b["it"][0] is c, x', $two)
        def $f(x):
            return len($shared), $one['add'](x), $two['see'](x)
        """,
        calls=("$f", "$one['add']", "$one['look']", "$two['see']"),
        starts=("$one['held'][0]",),
        edits=("$one['count'] = 10", "$two['b'] = {'it': [$shared]}"),
    ),
    Piece(
        """
        def $make(n, held):
            def hit(x):
                nonlocal n
                n += 1
                held.append(n)
                return n, len(held), $g(x)
            def look(x): return n, len(held)
            return {'hit': hit, 'look': look, 'both': [hit, (look,)]}
        $log = []
        $pair, $other = $make(0, $log), ($make(5, [$log]),)
        $look = $pair['look']
        $hits = [$pair['hit']]
        def $f(x): return $hits[0](x), $look(x), len($log), $pair['both'][1][0](x)
        def $see(x): return $look(x), len($log), $other[0]['look'](x)
        """,
        calls=("$f", "$see", "(lambda x: $hits[0](x))"),
    ),
    Piece(
        """
        class $A:
            cache = {}
            def put(self, x, into=cache):
                into[len(into)] = 1
                return len(self.cache), $g(x)
        class $B:
            known = [$A.cache]
            cache = $A.cache
        def $f(x, seen=$B.known):
            return len($B.cache), seen[0] is $A.cache, len($B.known[0])
        $f.seen = $A.cache
        """,
        calls=("$f", "(lambda x: $A().put(x))"),
    ),
    Piece(
        """
        import collections
        $table, $ordered = {'a': $k}, collections.OrderedDict(b=$m)
        $keys, $values = $table.keys(), [$ordered.values()]
        $chain = collections.ChainMap({}, $table)
        def $put(x):
            $table[len($table)] = $ordered[len($ordered)] = $chain['z'] = 1
            return $g(x)
        def $f(x):
            return list($keys), len($values[0]), sorted(map(str, $chain)), len($chain.maps[0])
        """,
        calls=("$f", "$put"),
    ),
    Piece(
        """
        import numpy
        $grid = numpy.arange(6.0).reshape(2, 3)
        $row, $back = $grid[1], {'back': $grid[::-1, ::-2]}
        $turned = $grid.T
        def $fill(x):
            $row[:] += 1
            $turned[0, 0] = 9
            return $grid.tolist(), $g(x)
        def $f(x):
            return $row.tolist(), $turned.tolist(), $grid.sum().item(), $back['back'].shape
        """,
        calls=("$f", "$fill"),
    ),
    Piece(
        """
        import decimal, numpy
        def $f(x):
            with decimal.localcontext() as context, numpy.errstate(divide='raise', over='ignore'):
                context.prec, context.traps[decimal.Inexact] = 5, x == 3
                try:
                    numpy.float64(1) / numpy.float64(isinstance(x, str))
                    return decimal.Decimal(1) / 3, $g(x)
                except (FloatingPointError, decimal.Inexact) as error:
                    return type(error).__name__, $g(x)
        $context = decimal.Context(prec=3, rounding=decimal.ROUND_UP, traps=[decimal.InvalidOperation])
        $number = decimal.Decimal('1.25000')
        $exact = decimal.getcontext().copy()
        def $with(x):
            made = $context.divide(1, 7), $context.quantize($number, decimal.Decimal('0.1'))
            return made, [bool($context.flags[one]) for one in sorted($context.flags, key=str)], $exact.prec
        """,
        calls=("$f", "$with"),
        values=("$number", "numpy.float64(1.5)", "decimal.Decimal('-0.0')"),
    ),
    Piece(
        """
        import attrs
        @attrs.define
        class $A:
            a: int = attrs.field(default=1, converter=str)
            b: list = attrs.field(factory=list)
            c: object = attrs.field(factory=lambda: $k, eq=False, repr=False)
            @b.validator
            def check(self, attribute, value):
                if not isinstance(value, list): raise TypeError(attribute.name)
            def m(self, x):
                self.b.append(x)
                return len(self.b), attrs.asdict(self)['a'], $g(x)
        @attrs.frozen(kw_only=True)
        class $B($A):
            d: str = 'd'
            def __attrs_post_init__(self): self.b.append(self.d)
        $held = $A(5)
        $also = {'held': [$held]}
        def $f(x):
            try: $A(1, x)
            except TypeError as error: found = str(error)
            else: found = 'list'
            return found, attrs.evolve($B(d='e'), a=x).a, $B() == $B(), len($also['held'][0].b), attrs.has($B)
        """,
        calls=("$f", "(lambda x: $held.m(x))"),
        starts=("$A(2).m",),
        values=("$A(1, [2])", "$B(d='q')"),
    ),
)
