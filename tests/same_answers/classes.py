"""Pieces about classes: data classes, enums, abstract classes, types of `typing`, metaclasses, descriptors."""

from __future__ import annotations

from tests.same_answers.grammar import Piece

CLASSES = (
    Piece(
        """
        def $f(x):
            import collections, dataclasses, enum, typing
            Point = collections.namedtuple('Point', 'a b', defaults=[(0,)])
            class Named(typing.NamedTuple):
                a: int = 3
            @dataclasses.dataclass(frozen=True)
            class Data:
                a: object = 1
                b: list = dataclasses.field(default_factory=list)
            class Color(enum.Enum):
                RED = 'r'
            return Point(1), Named(), Data(2), Color.RED, Color('r') is Color.RED, $g(x)
        """
    ),
    Piece(
        """
        def $make(n):
            class Made:
                count = 0
                def __init__(self, x): self.x = x
                def m(self, x):
                    type(self).count += 1
                    return n, self.count, $g(x)
                @property
                def p(self): return __class__.__name__, n
            return Made
        $C, $D = $make(1), $make(2)
        def $f(x):
            return $C(x).m(x), $D(x).m(x), $C is $D, isinstance(x, $C), isinstance(x, $D), $D(1), $C(2).p
        """,
        values=("$C(1)", "$D($C(2))", "$C"),
    ),
    Piece(
        """
        class $C:
            n = $k
            def __init__(self, n=1): self.n = n
            def m(self, x): return self.n, $e
            @classmethod
            def c(cls, x): return cls.n, cls.__name__, $g(x)
            @staticmethod
            def s(x): return $h(x)
        """,
        calls=("$C().m", "$C.c", "$C.s", "$C"),
        values=("$C(2)", "$C"),
    ),
    Piece(
        """
        class $C:
            def m(self, x): return 'first', x
            n = 1
        def $f(x):
            return $C().m(x), $C.n, isinstance(x, $C)
        """,
        values=("$C()",),
        edits=(
            "$C.n = $k",
            "$C.m = lambda self, x: ('second', $g(x))",
            "class $C:\n    n = 2\n    def m(self, x): return 'third', $e",
        ),
    ),
    Piece(
        """
        class $C:
            count = 0
            seen = []
            def m(self, x):
                type(self).count += 1
                self.seen.append(x)
                return self.count, len(self.seen), $g(x)
        """,
        calls=("$C().m",),
    ),
    Piece(
        """
        class $A:
            def m(self, x): return ['A']
        class $B($A):
            def m(self, x): return ['B', *super().m(x)]
        class $C($A):
            def m(self, x): return ['C', *super().m(x), $g(x)]
        class $D($B, $C):
            def m(self, x): return [__class__.__name__, *super(__class__, self).m(x)]
        def $f(x):
            return $D().m(x), [c.__name__ for c in $D.__mro__], issubclass($D, $A)
        """,
        calls=("$f", "$D().m"),
        values=("$D()",),
        edits=("$A.m = lambda self, x: ['edited']",),
    ),
    Piece(
        """
        class $C:
            class Inner:
                class Deep:
                    def m(self, x): return type(self).__qualname__, $g(x)
                n = $k
            def make(self, x): return self.Inner.Deep(), $C.Inner.n
        """,
        calls=("$C().make", "$C.Inner.Deep().m"),
        values=("$C.Inner()", "$C.Inner.Deep"),
    ),
    Piece(
        """
        def $f(x):
            class Local:
                def __init__(self, n): self.n = n
                def m(self): return self.n
            return Local(x), Local(x).m()
        """
    ),
    Piece(
        """
        def $make(base):
            class Made(base):
                def m(self, x): return base.__name__, x
            return Made
        $C = $make(object)
        $f = $make($C)().m
        """,
        values=("$C()",),
    ),
    Piece(
        """
        class $Node:
            def __init__(self, x, other=None):
                self.x, self.other, self.me = x, other, self
        def $f(x):
            one = $Node(x)
            one.other = $Node([one], one)
            return one, $g(1)
        """,
        values=("$Node(1, $Node(2))",),
    ),
    Piece(
        """
        class $A:
            def other(self): return $B(1)
        class $B:
            home = $A
            def __init__(self, n): self.n = n
            def back(self): return self.home(), $h2
        $A.friend = $B
        def $h2(x): return $A.friend is $B, $B.home is $A, $g(x)
        def $f(x):
            return $A().other().back(), $h2(x)
        """,
        calls=("$f", "$h2"),
        values=("$A()", "$B(3)"),
    ),
    Piece(
        """
        class $C: pass
        $C.default = $C()
        $C.function = lambda self, x: (self is $C.default, $g(x))
        """,
        calls=("(lambda x: $C.default.function(x))", "$C().function"),
    ),
    Piece(
        """
        class $C:
            def __call__(self, x): return 'called', $e
            def __getattr__(self, name):
                if name.startswith('_'): raise AttributeError(name)
                return lambda x: (name, x)
        $o = $C()
        """,
        calls=("$o", "$C().some"),
        values=("$C()",),
    ),
    Piece(
        """
        class $V:
            def __init__(self, *n): self.n = n
            def __add__(self, other): return type(self)(*self.n, other)
            __radd__ = __add__
            def __eq__(self, other): return isinstance(other, $V) and self.n == other.n
            def __hash__(self): return hash(self.n)
            def __len__(self): return len(self.n)
            def __bool__(self): return False
            def __iter__(self): return iter(self.n)
            def __contains__(self, x): return x in self.n
            def __getitem__(self, i): return self.n[i]
            def __format__(self, spec): return spec
            def __repr__(self): return f'V{self.n}'
        def $f(x):
            v = $V(1, 2) + 3
            return v, 0 + v, v == $V(1, 2, 3), {v: 1}, len(v), list(v), 2 in v, f'{v:abc}', v[0], $g(1)
        """,
        values=("$V()", "$V(1)"),
    ),
    Piece(
        """
        class $C:
            @property
            def n(self):
                return self._n, $g(1)
            @n.setter
            def n(self, value): self._n = value
            @n.deleter
            def n(self): self._n = 'deleted'
            @functools.cached_property
            def once(self):
                self.__dict__['calls'] = self.__dict__.get('calls', 0) + 1
                return self.calls
        def $f(x):
            one = $C()
            one.n = x
            found = one.n, one.once, one.once
            del one.n
            return found, one._n, one, $C.n.__class__.__name__
        """,
        calls=("$f", "$C.n.fget"),
    ),
    Piece(
        """
        import weakref
        class $S:
            __slots__ = ('a', 'b', '__weakref__')
            def __init__(self, a=1): self.a = a
        class $T($S):
            __slots__ = 'c'
            def __init__(self):
                super().__init__(2)
                self.c = $k
        def $f(x):
            one = x if isinstance(x, $S) else $T()
            return one, weakref.ref(one)() is one, hasattr(one, 'b'), hasattr(one, '__dict__'), $S.__slots__
        """,
        values=("$S()", "$T()"),
    ),
    Piece(
        """
        class $S:
            __slots__ = ['__dict__', '_n']
            @property
            def n(self): return self._n
        class $T($S): pass
        def $f(x):
            one = $T()
            one._n, one.other = x, $g(x)
            return one, one.n
        """
    ),
    Piece(
        """
        class $S:
            __slots__ = {'a': 'Text of a.', '__private': None}
            def __init__(self): self.a = self.__private = 1
            def __getstate__(self): return {'a': self.a}
            def __setstate__(self, state):
                self.a, self.__private = state['a'], 'set'
            def p(self, x): return self.a, self.__private
        def $f(x):
            return x.p(1) if isinstance(x, $S) else $S().p(1)
        """
    ),
    Piece(
        """
        import copy, pickle
        class $C:
            def __init__(self, n): self.n = n
            def m(self, x): return self.n
        def $f(x):
            one = pickle.loads(pickle.dumps($C(x)))
            again = pickle.loads(pickle.dumps([$C, $f]))
            return type(one) is $C, one, copy.deepcopy(one), again[0] is $C, again[1] is $f
        """,
        values=("$C(1)",),
    ),
    Piece(
        """
        class $C:
            def __init__(self, n): self.n = n
            def __reduce__(self): return $make, (self.n,)
        def $make(n): return $C([n])
        def $f(x):
            import pickle
            return pickle.loads(pickle.dumps($C(1))).n
        """
    ),
    Piece(
        """
        class $C(dict):
            def __missing__(self, key): return $g(key)
        class $L(list):
            n = $k
            def total(self): return len(self)
        class $I(int): pass
        class $S(str):
            def m(self): return self + '!'
        def $f(x):
            one = $L([1, x])
            one.extra = 2
            return $C(a=1)['b'], one, one.total(), $I(3), $S('s'), $S('t').m(), $L.n
        """,
        values=("$C(a=1)", "$L([1])", "$I(7)", "$S('u')"),
    ),
    Piece(
        """
        import dataclasses
        @dataclasses.dataclass
        class $D:
            a: int
            b: list = dataclasses.field(default_factory=list)
            c: object = dataclasses.field(default=(1,), repr=False, compare=False)
            def m(self, x): return self.a, $g(x)
        @dataclasses.dataclass
        class $E($D):
            d: dataclasses.InitVar[int] = 3
            def __post_init__(self, d): self.b = [*self.b, d]
        def $f(x):
            missing = dataclasses.MISSING
            fields = [(f.name, f.default is missing, f.default_factory is missing) for f in dataclasses.fields($E)]
            found = fields, $E(1), dataclasses.replace($D(1), a=x), dataclasses.asdict($D(2))
            return found, $D(1) == $D(1), str($E(1))
        """,
        calls=("$f", "$D(1).m", "$D"),
        values=("$D(1)", "$E(2, [1])"),
    ),
    Piece(
        """
        import dataclasses
        @dataclasses.dataclass(frozen=True, order=True)
        class $D:
            a: int
            b: str = 'b'
        def $f(x):
            try: $D(1).a = 2
            except dataclasses.FrozenInstanceError as error: found = str(error)
            return found, $D(1) < $D(2), {$D(1): $g(1)}, hash($D(1)) == hash($D(1)), dataclasses.is_dataclass($D)
        """,
        values=("$D(1)", "$D(2, 'c')"),
    ),
    Piece(
        """
        import dataclasses
        @dataclasses.dataclass(slots=True, frozen=True, kw_only=True)
        class $D:
            a: int = 1
            b: list = dataclasses.field(default_factory=lambda: [$k])
        def $f(x):
            one = x if isinstance(x, $D) else $D(a=2)
            return one, one.b, hasattr(one, '__dict__'), $D.__match_args__, dataclasses.replace(one, a=5), $g(1)
        """,
        values=("$D(a=9)",),
    ),
    Piece(
        """
        import dataclasses
        @dataclasses.dataclass(slots=True, weakref_slot=True)
        class $D:
            a: int = 1
        def $f(x):
            import weakref
            one = $D()
            return weakref.ref(one)() is one, one
        """,
        values=("$D()",),
        since=(3, 11),
    ),
    Piece(
        """
        import dataclasses
        $D = dataclasses.make_dataclass('$D', [('a', int), ('b', 'list', None)])
        $D.m = lambda self, x: (self.a, $g(x))
        $D.__module__ = __name__
        """,
        calls=("$D(1).m",),
        values=("$D(4)",),
    ),
    Piece(
        """
        import enum
        class $E(enum.Enum):
            A = 1
            B = $k, 'b'
            C = 1
            def m(self, x): return self.name, self is $E.A, $g(x)
            @classmethod
            def _missing_(cls, value): return cls.B
        def $f(x):
            found = $E.A.m(x), $E(1) is $E.C, $E('other'), $E['A'], [e.name for e in $E]
            return found, list($E.__members__), x is $E.A, x in ($E.A, 2)
        """,
        calls=("$f", "$E.B.m"),
        values=("$E.A", "$E.B", "$E"),
    ),
    Piece(
        """
        import enum
        class $E(enum.Enum):
            def __init__(self, mass, n): self.mass = mass
            ONE = 1.5, 2
            TWO = 2.5, 3
            @property
            def half(self): return self.mass / 2
        def $f(x):
            return [(e.name, e.mass, e.half, e.value) for e in $E], $E((1.5, 2)) is $E.ONE, isinstance(x, $E)
        """,
        values=("$E.TWO",),
    ),
    Piece(
        """
        import enum
        class $E(enum.IntFlag):
            A = enum.auto()
            B = enum.auto()
            AB = A | B
        class $F(enum.Flag):
            X = 1
            Y = 2
        def $f(x):
            return $E.A | $E.B, $E.AB & $E.A, ~$E.A & 3, $F.X | $F.Y, $F.X in ($F.X | $F.Y), $E(3) is $E.AB, x
        """,
        values=("$E.A | $E.B", "$F.X | $F.Y", "$F.X"),
    ),
    Piece(
        """
        import enum
        class $E(str, enum.Enum):
            def _generate_next_value_(name, start, count, last): return name.lower()
            A = enum.auto()
            B = 'b'
        class $I(enum.IntEnum):
            ONE = 1
        def $f(x):
            return $E.A, $E.A == 'a', $E.A.upper(), $I.ONE + 1, {$E.A: $I.ONE}, $g(x)
        """,
        values=("$E.A", "$I.ONE"),
    ),
    Piece(
        """
        import enum
        class $E(enum.StrEnum):
            A = enum.auto()
            @enum.property
            def n(self): return 1
            @enum.nonmember
            class Inner: pass
        def $f(x):
            return $E.A, str($E.A), $E.A.n, $E.Inner.__name__, [e.name for e in $E]
        """,
        values=("$E.A",),
        since=(3, 11),
    ),
    Piece(
        """
        import enum
        $E = enum.Enum('$E', 'A B', module=__name__)
        def $f(x):
            return $E.A, $E['B'].value, x is $E.A, $g(x)
        """,
        values=("$E.A",),
    ),
    Piece(
        """
        import collections, typing
        $P = collections.namedtuple('$P', 'a b', defaults=[(0,)])
        class $N(typing.NamedTuple):
            a: int
            b: object = 'b'
            def m(self, x): return self.a, $g(x)
        class $S($P):
            __slots__ = ()
            def both(self): return self.a, self.b
        def $f(x):
            typed = $N.__annotations__ == {'a': int, 'b': object}
            found = $P(1), $N(1)._replace(b=x), $N._fields, typed, $S(1, 2).both()
            return found, $P._make([1, 2])._asdict(), $N(1) == (1, 'b')
        """,
        calls=("$f", "$N(3).m"),
        values=("$P(1)", "$N(2)", "$S(1, 2)"),
    ),
    Piece(
        """
        import abc
        class $A(abc.ABC):
            @abc.abstractmethod
            def m(self, x): ...
            @property
            @abc.abstractmethod
            def n(self): ...
        class $B($A):
            n = $k
            def m(self, x): return 'm', $g(x)
        class $V: pass
        $A.register($V)
        class $H(abc.ABC):
            @classmethod
            def __subclasshook__(cls, other): return hasattr(other, 'm') or NotImplemented
        def $f(x):
            try: $A()
            except TypeError as error: found = sorted($A.__abstractmethods__)
            return found, $B().m(x), issubclass($V, $A), isinstance(x, $A), issubclass($B, $H), isinstance(1, $H)
        """,
        calls=("$f", "$B().m"),
        values=("$B()", "$V()"),
    ),
    Piece(
        """
        import typing
        @typing.runtime_checkable
        class $P(typing.Protocol):
            def m(self, x) -> int: ...
        class $C:
            def m(self, x): return $g(x)
        class $D($P):
            def m(self, x): return 'd'
        def $f(x):
            return isinstance($C(), $P), isinstance(x, $P), issubclass($C, $P), $D().m(1), $P in $D.__mro__
        """,
        values=("$C()", "$D()"),
    ),
    Piece(
        """
        import typing
        $T = typing.TypeVar('$T', bound=int)
        $K = typing.TypeVar('$K', str, bytes)
        class $G(typing.Generic[$T, $K]):
            def __init__(self, x=None): self.x = x
            def m(self, x: $T) -> $K: return x, $g(x)
        class $H($G[int, str]): pass
        def $f(x):
            bases = $G[int, str].__origin__ is $G, $G.__parameters__ == ($T, $K), $H.__orig_bases__[0].__args__
            hints = typing.get_type_hints($G.m)
            return bases, $T.__bound__, $K.__constraints__, $G[int, bytes](1), hints['x'] is $T
        """,
        calls=("$f", "$H().m"),
        values=("$G(1)", "$H()"),
    ),
    Piece(
        """
        import typing
        $U = typing.NewType('$U', int)
        $P = typing.ParamSpec('$P')
        def $deco(function: typing.Callable[$P, int]) -> typing.Callable[$P, $U]:
            def inner(*args: $P.args, **kwargs: $P.kwargs): return $U(3), function(*args, **kwargs)
            return inner
        @$deco
        def $f(x: $U) -> 'int | None':
            return $U(x), $U.__name__, $U.__supertype__, $e
        """
    ),
    Piece(
        """
        import typing
        class $TD(typing.TypedDict, total=False):
            a: int
            b: typing.Annotated[str, 'note']
        def $f(x: '$TD', y: 'typing.Optional[$TD]' = None, z: typing.Literal['a', 1] = 1) -> '$TD':
            hints = typing.get_type_hints($f, include_extras=True)
            found = hints['x'] is $TD, str(hints['z']), sorted(hints)
            return found, $TD.__total__, sorted($TD.__annotations__), $TD(a=1)
        """
    ),
    Piece(
        """
        import typing, collections.abc
        $A = typing.Union[int, typing.List['$A']]
        $B = dict[str, collections.abc.Callable[[int], str]] | None
        def $f(x):
            return str($B), typing.get_args(typing.Optional[int]), $B.__args__[1], typing.get_origin(list[int]), $g(x)
        """
    ),
    Piece(
        """
        class $M(type):
            made = []
            def __new__(meta, name, bases, space, **keywords):
                cls = super().__new__(meta, name, bases, space)
                cls.keywords = keywords
                return cls
            def __init__(cls, name, bases, space, **keywords):
                super().__init__(name, bases, space)
                $M.made.append(name)
            def __call__(cls, *args): return 'called', super().__call__(*args)
            def __len__(cls): return 3
            @property
            def shape(cls): return cls.__name__
            def __getattr__(cls, name):
                if name.startswith('_'): raise AttributeError(name)
                return name
            def __contains__(cls, x): return $g(x) is None
        class $A(metaclass=$M, key=$k):
            def m(self, x): return type(self).keywords
        class $B($A, other=1):
            def __init__(self, n=0): self.n = n
        def $f(x):
            return $M.made, $B(1), len($A), $B.shape, $A.anything, x in $A, $B.keywords, type($B) is $M, $A()[1].m(1)
        """
    ),
    Piece(
        """
        class $M(type):
            @classmethod
            def __prepare__(meta, name, bases): return {'prepared': $k}
            def __instancecheck__(cls, obj): return obj == 1
            def __subclasscheck__(cls, other): return other is int
            def __iter__(cls): return iter([cls.__name__])
        class $A(metaclass=$M): pass
        def $f(x):
            return $A.prepared, isinstance(1, $A), isinstance(x, $A), issubclass(int, $A), list($A), $g(x)
        """
    ),
    Piece(
        """
        class $R:
            known = {}
            def __init_subclass__(cls, /, key, **keywords):
                super().__init_subclass__(**keywords)
                cls.key = key
                $R.known[key] = cls
        class $A($R, key='a'):
            def m(self, x): return self.key, $g(x)
        class $B($A, key=$k if isinstance($k, int) else 'b'): pass
        def $f(x):
            return sorted(map(str, $R.known)), $R.known['a'] is $A, $B.key, $R.known['a']().m(x), issubclass($B, $R)
        def $late(x):
            class Late($R, key='late'): pass
            return 'late' in $R.known, $R.known['a']
        """,
        calls=("$f", "$A().m", "$late"),
        values=("$A()", "$B()"),
    ),
    Piece(
        """
        class $D:
            def __set_name__(self, owner, name): self.name, self.owner = name, owner.__name__
            def __get__(self, obj, kind):
                return self if obj is None else obj.__dict__.get(self.name, (self.name, $g(1)))
            def __set__(self, obj, value): obj.__dict__[self.name] = [value]
            def __delete__(self, obj): obj.__dict__.pop(self.name)
        class $C:
            a = $D()
            b = $D()
        def $f(x):
            one = $C()
            one.a = x
            found = one.a, one.b, $C.a.name, $C.b.owner
            del one.a
            return found, one.a, one
        """,
        values=("$C()",),
    ),
    Piece(
        """
        class $C:
            def __class_getitem__(cls, item): return cls.__name__, item
            def __init_subclass__(cls): cls.told = True
            def __new__(cls, n=1):
                one = super().__new__(cls)
                one.n = n, 'new'
                return one
        class $S($C): pass
        def $f(x):
            return $C[1], $C(3), $S().told, $S(x), $g(1)
        """,
        values=("$C(2)", "$S()"),
    ),
    Piece(
        """
        class $One:
            _one = None
            def __new__(cls):
                if cls._one is None: cls._one = super().__new__(cls)
                return cls._one
        def $f(x):
            return $One() is $One(), $g(x)
        """
    ),
    Piece(
        """
        def $plus(cls):
            cls.extra = lambda self, x: ('extra', $g(x))
            return cls
        def $registered(cls):
            $all[cls.__name__] = cls
            return cls
        $all = {}
        @$plus
        @$registered
        class $C:
            def m(self, x): return x
        def $f(x):
            return $all['$C'] is $C, $C().extra(x)
        """,
        calls=("$f", "$C().extra"),
        values=("$C()",),
    ),
    Piece(
        """
        $S = object()
        $L = []
        $none = type('$Missing', (), {'__repr__': lambda self: 'MISSING', '__module__': __name__})()
        def $f(x=$S, y=$S, z=$none):
            return x is $S, y is $S, z is $none, x is $none, $S
        """,
        values=("$S",),
    ),
    Piece(
        """
        class $C: pass
        $classes = ($C, int)
        def $f(x):
            return $C, $f, isinstance(x, $C), isinstance($C(), $classes), type(x) is $C, $classes[0] is $C, x == $C
        """,
        values=("$C()", "$C", "$C"),
    ),
    Piece(
        """
        def $f(x):
            return x is $f, x is $g, x == $g, [x, $f]
        """,
        values=("$f",),
    ),
)
