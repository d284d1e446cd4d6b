"""Pieces in which it matters which object something is, and what was registered."""

from __future__ import annotations

from tests.same_answers.grammar import Piece

IDENTITIES = (
    Piece(
        """
        class $Missing:
            def __repr__(self): return 'missing'
            def __bool__(self): return False
            def __reduce__(self): return '$missing'
        $missing = $Missing()
        class $Holder:
            nothing = object()
            named = $missing
        $also = $missing
        def $f(x=$missing, y=$Holder.nothing):
            return x is $missing, y is $Holder.nothing, $also is $missing, $Holder.named is $missing, x or $g(y is x)
        """,
        values=("$missing", "$Holder.nothing", "[$missing, $also]"),
    ),
    Piece(
        """
        import enum, dataclasses, inspect
        class $Mark(enum.Enum):
            token = object()
            other = $k,
        $empty = {'default': inspect.Parameter.empty, 'field': dataclasses.MISSING, 'mark': $Mark.token}
        def $f(x, y=$Mark.token):
            found = $empty['default'] is inspect.Parameter.empty, $empty['field'] is dataclasses.MISSING
            return found, y is $Mark.token, $empty['mark'] is $Mark.token, x is $Mark.token, $g($Mark.other)
        """,
        values=("$Mark.token", "$Mark.other"),
    ),
    Piece(
        """
        class $Node:
            def __init__(self, n): self.n, self.next = n, None
        $a, $b = $Node(1), $Node($k)
        $a.next, $b.next = $b, $a
        $list = [$a]
        $list.append($list)
        $table = {'list': $list, 'f': lambda x: $f}
        $table['itself'] = $table
        def $f(x):
            return $a.next.next is $a, $b.next.n, $list[1] is $list, $table['itself'] is $table, $table['f'](1) is $f
        def $sees(x):
            return $a.n, $list[0] is $a, $b.next is $a, $g(x)
        """,
        calls=("$f", "$sees"),
        values=("$a", "$list", "$b.next"),
        edits=("$list.append(1)", "$a.n = 10"),
    ),
    Piece(
        """
        import abc, collections.abc, numbers
        class $Shape(abc.ABC):
            @classmethod
            def made(cls): return cls.__name__
        class $Round: pass
        class $Number:
            def __int__(self): return $g(3)
        @$Shape.register
        class $Flat:
            def __len__(self): return 2
            def __getitem__(self, n): return (n, $k)[n]
        collections.abc.Sequence.register($Flat)
        numbers.Number.register($Number)
        def $f(x):
            kinds = collections.abc.Sequence, numbers.Number, $Shape, collections.abc.Sized
            return [isinstance(one, kind) for kind in kinds for one in (x, $Flat(), $Number(), $Round(), 1)]
        def $more(x):
            return issubclass($Round, $Shape), $Shape.made(), list(collections.abc.Sequence.__iter__($Flat()))
        """,
        calls=("$f", "$more"),
        values=("$Flat()", "$Number()", "$Round()"),
        edits=("$Shape.register($Round)",),
    ),
    Piece(
        """
        import msgspec
        class $S(msgspec.Struct, order=True, tag='s'):
            a: int
            b: object = None
            def m(self, x): return self.a, $g(x)
        class $T($S, frozen=True, kw_only=True, rename='camel'):
            c_d: list = []
        def $f(x):
            one = $T(1, c_d=[2])
            text = msgspec.json.encode(one)
            return text, msgspec.json.decode(text, type=$T) == one, $S(1) < $S(2), isinstance(x, $S), one
        """,
        calls=("$f", "$S(1, $k).m"),
        values=("$S(1, $k)", "$T(2, c_d=[$k])"),
    ),
    Piece(
        """
        import types
        $space = {'__name__': '$space', 'g': $g, 'held': [1]}
        exec('''if 1:
            def again(x): return held, g(x)
            def f(x):
                return again(x), f is globals()['f']
            class C:
                def m(self, x): return self is not None, again(x), held
        ''', $space)
        $module = types.ModuleType('$module')
        exec('value = 1\\ndef get(x): return value, x\\ndef change(x):\\n global value\\n value += 1\\n return value',
             vars($module))
        $f = $space['f']
        def $both(x):
            return $module.get(x), $module.change(x), $module.value, $space['held'] is $f.__globals__['held']
        """,
        calls=("$f", "$both", "$space['again']", "$module.get", "$module.change", "$space['C']().m"),
    ),
    Piece(
        """
        $first = $second = [$k]
        $pair = {'one': $first, 'two': $second}
        $cell = (lambda held: (lambda x: held, lambda x: held.append(x) or held))($first)
        def $f(x, y=$first):
            $second.append(1)
            return $first, y is $second, $pair['one'] is $first, $cell[0](x) is $first
        def $g2(x):
            $cell[1](2)
            return len($first), $pair['two'] is $cell[0](1), $g(x)
        """,
        calls=("$f", "$g2"),
    ),
)
