"""Classes of msgspec in a script: laid out in the worker as they are here."""

from __future__ import annotations

from tests.serialization.conftest import Script


def test_fields_defaults_and_options(script: Script) -> None:
    script.run(
        "import msgspec, typing\n"
        "class Base(msgspec.Struct, rename='camel', kw_only=True, tag_field='kind', tag=str.lower):\n"
        " my_id: int\n opt: typing.Optional[str] = None\n"
        "class A(Base, frozen=True):\n sub_list: list = msgspec.field(default_factory=lambda: [1])\n"
        "class B(Base, omit_defaults=True):\n named: int = msgspec.field(name='nm', default=3)\n"
        "class Node(msgspec.Struct, weakref=True, order=True):\n v: int\n kids: typing.List['Node'] = []\n"
        "def configured(): return [(c.__struct_fields__, c.__struct_encode_fields__, c.__match_args__, "
        "c.__struct_config__.frozen, c.__struct_config__.tag) for c in (Base, A, B, Node)]\n"
        "def use(x):\n read = msgspec.json.decode\n"
        " both = [A(my_id=1), B(my_id=2)]\n"
        ' return x, msgspec.json.encode(both), read(b\'{"v":1,"kids":[{"v":2}]}\', type=Node)\n'
    )
    here, names = script.names["configured"](), script.names
    assert script.call("configured") == here
    given = names["A"](my_id=7)
    back, written, node = script.call("use", given)
    assert (back, node) == (given, names["Node"](1, [names["Node"](2)]))
    assert (type(back), type(node)) == (names["A"], names["Node"])
    assert written == b'[{"kind":"a","subList":[1],"myId":1,"opt":null},{"kind":"b","myId":2}]'


def test_methods_and_what_is_done_after_the_init(script: Script) -> None:
    script.run(
        "import msgspec, typing\nT = typing.TypeVar('T')\n"
        "class One(msgspec.Struct):\n n: int\n def __post_init__(self): self.n += 1\n"
        " def name(self): return __class__.__name__, self.n\n"
        "class Two(One):\n def __post_init__(self):\n  super().__post_init__()\n  self.n *= 10\n"
        "class Three(Two): pass\n"
        "class Box(msgspec.Struct, typing.Generic[T]):\n x: T\n"
        "def use(): return One(1).name(), Two(1).n, Three(1).n, msgspec.json.decode(b'{\"x\":1}', type=Box[int])\n"
    )
    assert script.call("use") == (("One", 2), 20, 20, script.names["Box"](1))
