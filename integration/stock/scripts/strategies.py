"""Texts of serialization strategies. Arguments: "write", or "read" and the file of what was written."""

import json
import sys

from globus_compute_sdk.serialize import (
    AllCodeStrategies,
    AllDataStrategies,
    CombinedCode,
    ComputeSerializer,
    DillCode,
    DillCodeSource,
    DillCodeTextInspect,
    DillDataBase64,
    JSONData,
    PureSourceDill,
    PureSourceTextInspect,
)
from work import say

CODE = (
    AllCodeStrategies,
    CombinedCode,
    DillCode,
    DillCodeSource,
    DillCodeTextInspect,
    PureSourceDill,
    PureSourceTextInspect,
)
DATA = (AllDataStrategies, DillDataBase64, JSONData)
VALUE = [1, 2.5, "text: with colons\n", None, {"a": [True]}]


def area(width, height=2):
    return width * height


def read(text, use):
    try:
        return use(ComputeSerializer().deserialize(text))
    except Exception as error:
        return f"{type(error).__name__}: {error}"[-300:]


if sys.argv[1] == "write":
    say(
        code={one.__name__: ComputeSerializer(strategy_code=one()).serialize(area) for one in CODE},
        data={one.__name__: ComputeSerializer(strategy_data=one()).serialize(VALUE) for one in DATA},
    )
else:
    with open(sys.argv[2]) as file:
        written = json.load(file)
    say(
        code={
            name: read(text, lambda function: function(3, height=5)) for name, text in written["code"].items()
        },
        data={name: read(text, lambda value: value) for name, text in written["data"].items()},
    )
