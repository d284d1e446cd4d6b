"""Which calls of a script set something that workers are to have, too."""

from __future__ import annotations

import ast
import types

import pytest

from compute_executor.functions import setting_calls


def _call(text: str) -> ast.Call:
    statement = ast.parse(text).body[0]
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    return statement.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("codecs.register(find)", True),
        ("csv.register_dialect('a', delimiter=';')", True),
        ("gc.disable()", True),
        ("logging.setLoggerClass(L)", True),
        ("mimetypes.add_type('a', '.b')", True),
        ("shop.add_customer('a')", False),
        ("lib.set_option(1)", True),
        ("lib.settle()", False),
        ("lib.user('a')", False),
        ("lib.use('a')", True),
        ("torch.manual_seed(1)", False),
        ("lib.set_seed(1)", False),
        ("os.register_at_fork()", False),
        ("sys.set_asyncgen_hooks()", False),
        ("atexit.register(f)", False),
        ("asyncio.set_event_loop(loop)", False),
        ("asyncio.set_event_loop_policy(policy)", True),
        ("signal.signal(signal.SIGALRM, f)", True),
        ("signal.signal(SIGUSR1, f)", True),
        ("signal.signal(signal.SIGINT, f)", False),
        ("signal.signal()", False),
        ("pandas.set_option('a', 1)", False),
        ("pandas.set_option('a', f)", True),
        ("numpy.set_printoptions(formatter={})", True),
        ("numpy.set_printoptions(precision=2)", False),
    ],
)
def test_which(text: str, expected: bool) -> None:
    call = _call(text)
    module, _, name = ast.unparse(call.func).partition(".")
    assert setting_calls.is_setting(module, (name,), call) is expected


def test_a_call_is_made_with_what_the_script_has() -> None:
    main = types.ModuleType("__main__")
    found: list[object] = []
    vars(main).update(take=found.append, n=2)
    again = setting_calls.repeated(_call("take([n + i for i in range(2)])"), main)
    assert again is not None
    again()
    assert found == [[2, 3]]
    assert setting_calls.repeated(_call("take(gone)"), main) is None


def test_what_has_run_without_a_line_that_runs() -> None:
    text = "a.set_x(1)\nif '__main__' == __name__:\n  y = a.set_y(2)\nif y: a.set_z()\ny\n"
    found = setting_calls.that_ran(ast.parse(text), types.ModuleType("__main__"))
    assert [ast.unparse(call) for call in found] == ["a.set_x(1)", "a.set_y(2)"]
