"""Takes functions and classes apart that travel by value, for `constructors` to make them again.

On top of cloudpickle, whose reducers are used for everything else. Different from it:

* what has a global name in the caller's program is referred to by that name, and travels once, as a unit (`packer`);
* a cell that two functions share is shared again; a class is made with its slots, and without running what its bases
  and metaclasses do for each new class; an enum's members keep what their own ``__new__`` and ``__init__`` gave them;
* code keeps its file name, and takes its source along (`Sources`), which is no part of the content.
"""

from __future__ import annotations

import builtins
import pickle
import sys
from collections.abc import Iterable
from enum import Enum
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle
from cloudpickle import cloudpickle as theirs

from compute_executor.serialization import (
    by_value,
    class_parts,
    code_names,
    constructors,
    exception_parts,
    nameless_classes,
    namespaces,
    per_process,
    reading,
    reducers,
    refs,
    remade,
    sentinels,
    struct_classes,
    well_known,
)
from compute_executor.serialization.large import Part
from compute_executor.serialization.namespaces import Name
from compute_executor.serialization.sources import SourceFiles

PROTOCOL = 5

if TYPE_CHECKING:  # cloudpickle has no types
    TheirPickler = pickle.Pickler
else:
    TheirPickler = cloudpickle.Pickler


class Owner:
    """What a pickler asks for: implemented by `packer.Packer`."""

    def space(self, names: dict[str, Any], module: ModuleType | None, example: FunctionType | None) -> str:
        """Return the key of a namespace."""
        raise NotImplementedError

    def need(self, name: Name, names: dict[str, Any], *, optional: bool = False) -> None:
        """Have a global name travel along."""
        raise NotImplementedError

    def name_of(self, obj: Any, names: dict[str, Any], module: ModuleType | None) -> Name | None:
        """Return the global name that stands for ``obj`` in a namespace."""
        raise NotImplementedError

    def need_unit(self, name: Name, unit: namespaces.Unit) -> None:
        """Have a unit travel along that an object here was made from."""
        raise NotImplementedError

    def borrow(self, name: Name) -> None:
        """Note that what is being written cannot do without an object in the unit of this name."""
        raise NotImplementedError

    def refer(self, part: Part) -> None:
        """Note a part that has to be kept for the stream."""
        raise NotImplementedError


class EmptyCell:
    """A cell as it is made: without its contents, which may refer to what holds it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return constructors.make_cell, ()


class Pickler(TheirPickler):
    """Writes one stream. ``own``: the names whose values it is to hold itself."""

    def __init__(self, file: Any, owner: Owner, own: Iterable[Name] = ()) -> None:
        super().__init__(file, protocol=PROTOCOL, buffer_callback=file.take)
        self.sources: SourceFiles = SourceFiles()
        self.direct: set[Name] = set()
        """The names that objects in the stream refer to."""
        self.edges: dict[Name, None] = {}
        """Those, and the names that its code looks up."""
        self.held: dict[int, Any] = {}
        """What travels inside and must not be made twice: functions, classes and cells by value, by id."""
        self._owner = owner
        self._own = frozenset(own)
        self._cells: dict[int, EmptyCell] = {}

    def reducer_override(self, obj: Any) -> Any:
        """Return how one object is taken apart; NotImplemented: as pickle and cloudpickle do."""
        kind = type(obj)
        if issubclass(kind, type):
            return self._class(obj)
        if kind is FunctionType:
            return self._function(obj)
        own = _PARTS.get(kind)
        if own is not None:
            return own(self, obj)
        special = reducers.find(kind)
        if special is None:
            return self._other(obj)
        found = None
        if special.found_by == "name":
            found = self._by_name(obj)
        elif special.found_by == "identity":
            found = self._by_identity(obj)
        return self.hold(obj, special.reduce(obj)) if found is None else found

    # -- references ------------------------------------------------------------------------------------------

    def _by_name(self, obj: Any) -> Any:
        """Return the reference to what is found by its name: by that of a module, or of the program; None: it is
        not."""
        made = namespaces.unit_of(obj)
        if made is not None and made[0] not in self._own:
            self._owner.need_unit(*made)
            return self._reference(made[0])
        home = by_value.home(obj)
        if home is None:
            return self._by_another_name(obj)
        if home.by_name():
            return NotImplemented
        example = obj if isinstance(obj, FunctionType) else None
        name = self._owner.space(home.names, home.module, example), home.path[0]
        if name in self._own:
            return None
        self._owner.need(name, home.names)
        return self._reference(name, home.path[1:])

    def _by_another_name(self, obj: Any) -> Any:
        """Return the reference to a function or class that is a global of the program, not under the name that it was
        made with: a lambda, what a decorator or a factory has given back."""
        module = by_value.loaded(getattr(obj, "__module__", None) or "")
        if module is not None and by_value.travels_by_name(module):
            short = next((short for short, value in list(vars(module).items()) if value is obj), None)
            return None if short is None else (reading.imported, (module.__name__, short))
        names = _namespace(obj)
        if names is None:
            return None
        name = self._owner.name_of(obj, names, by_value.module_of(names))
        if name is None or name in self._own:
            return None
        self._owner.need(name, names)
        return self._reference(name)

    def _reference(self, name: Name, path: tuple[str, ...] = ()) -> Any:
        self.direct.add(name)
        self.edges[name] = None
        return reading.named, (*name, *path)

    def hold(self, obj: Any, reduced: Any) -> Any:
        """Note that an object must not be made twice."""
        self.held[id(obj)] = obj
        return reduced

    def _method(self, method: Any) -> Any:
        """Return a bound method: of an object that each process has of its own, it is the worker's."""
        found = by_value.method_of_module(method) or per_process.method_of_the_interpreter(method)
        return self._other(method) if found is None else (reading.imported, found)

    def _own_name(self, obj: Any) -> str:
        """Return the name that the stream defines with this object; "" if it is another one's."""
        name = getattr(obj, "__qualname__", "")
        return name if any(name == short for _, short in self._own) and by_value.home(obj) is not None else ""

    def _other(self, obj: Any) -> Any:
        """Return an object of any other kind."""
        if reducers.is_decorator(obj):
            found = self._by_name(obj)
            reduced = reducers.decorator(obj) if found is None else found
            if reduced is not None:
                return reduced
        kind = type(obj)
        if kind.__name__ == "ufunc":
            return reducers.numpy_function(obj) or NotImplemented
        if type(kind).__name__ == "PyCFuncPtrType":
            reduced = reducers.c_libraries().of_function(obj)
            if reduced is not None:
                return self.hold(obj, reduced)
        if reducers.asks_itself(type(obj)):
            return reducers.plainly(obj)
        if reducers.is_disguised(obj):
            return reducers.disguised(obj)
        found = exception_parts.reduce(obj) if isinstance(obj, BaseException) else self._sentinel(obj)
        return NotImplemented if found is None else found

    def _sentinel(self, obj: Any) -> Any:
        """Return the reference to an object of which an equal one would not do; None: it is none, or travels as it
        is."""
        found: Any = sentinels.member(obj) if isinstance(obj, Enum) else None
        if found is not None:
            return found
        if sentinels.names_itself(type(obj)) and type(obj) not in self.dispatch_table:
            found = obj.__reduce_ex__(PROTOCOL)
            return self._by_its_own_name(obj, found) if isinstance(found, str) else found
        return self._by_identity(obj) if sentinels.is_known_by_identity(obj) else None

    def _by_its_own_name(self, obj: Any, given: str) -> Any:
        """Return the reference to an object whose ``__reduce__`` gives the name of the global that it is."""
        module = by_value.loaded(getattr(obj, "__module__", None) or type(obj).__module__)
        if module is None or by_value.travels_by_name(module):
            return given
        short, *path = given.split(".")
        names = vars(module)
        if by_value.found(names, (short, *path)) is not obj:
            raise pickle.PicklingError(
                f"{given}, as its __reduce__ says, is not this object in {module.__name__}"
            )
        name = self._owner.space(names, module, None), short
        if name in self._own:
            return reducers.plainly(obj, remade.bare)
        self._owner.need(name, names)
        return self._reference(name, tuple(path))

    def _by_identity(self, obj: Any) -> Any:
        """Return the reference to an object that is known by its identity, if a global of the program is it, or an
        attribute of one of its classes."""
        imported = sentinels.imported(obj)
        if imported is not None:
            return reading.imported, imported
        kind = type(obj)
        for module in (sys.modules.get("__main__"), sys.modules.get(kind.__module__)):
            if not isinstance(module, ModuleType) or by_value.travels_by_name(module):
                continue
            names = vars(module)
            for short, value in list(names.items()):
                if value is obj:
                    name = self._owner.space(names, module, None), short
                    if name in self._own:
                        return None
                    self._owner.need(name, names)
                    return self._reference(name)
            holder = sentinels.holder(obj, module)
            if holder is not None:
                key = self._owner.space(names, module, None)
                own = (key, holder[0].__qualname__.partition(".")[0]) in self._own
                return None if own else (getattr, holder)
        return None

    # -- functions -------------------------------------------------------------------------------------------

    def _function(self, function: FunctionType) -> Any:
        found = self._by_name(function)
        if found is not None:
            return found
        special = reducers.of_function(function)
        if special is not None:
            return self.hold(function, special)
        names, code = function.__globals__, function.__code__
        key = self._owner.space(names, by_value.module_of(names), function)
        used = code_names.looked_up(code)
        for name in used:
            self.edges[key, name] = None
            self._owner.need((key, name), names)
            if name not in names and name in vars(builtins) and not well_known.is_of_python(name):
                self._built_in(name)
        for name in code_names.perhaps(code, names):
            self.edges[key, name] = None
            self._owner.need((key, name), names, optional=True)
        for module in filter(None, map(by_value.comes_along, code_names.imported(code))):
            self._module(module)
        self._hints(key, names, function.__annotations__)
        cells = function.__closure__
        empty = None if cells is None else tuple(self._cell(cell) for cell in cells)
        state = self._function_state(function, [names[name] for name in used if name in names], empty)
        made = self._own_name(function), code, key, function.__name__, empty
        return self.hold(
            function, (constructors.make_function, made, state, None, None, constructors.fill_function)
        )

    def _built_in(self, name: str) -> None:
        """Have a name travel along that the program has put among the built-in ones."""
        names = builtins.__dict__
        where = self._owner.space(names, builtins, None), name
        self.edges[where] = None
        self._owner.need(where, names)

    def _function_state(self, function: FunctionType, values: list[Any], empty: Any) -> tuple[Any, ...]:
        special: dict[str, Any] = {
            "__qualname__": "".join(function.__qualname__),
            "__annotations__": function.__annotations__,
            "__kwdefaults__": function.__kwdefaults__,
            "__defaults__": function.__defaults__,
            "__module__": function.__module__,
            "__doc__": function.__doc__,
        }
        parameters = getattr(function, "__type_params__", None)
        if parameters:
            special["__type_params__"] = parameters
        if overloads := reducers.overloads(function):
            special["overloads"] = overloads
        attributes = {"".join(name): value for name, value in function.__dict__.items()}
        contents = [self._contents(cell) for cell in function.__closure__ or ()]
        values += [one[0] for one in contents if one]
        modules = theirs._find_imported_submodules(function.__code__, values)
        if modules:
            attributes, special = dict(attributes), dict(special)
            contents.append((modules,))
            empty = (*(empty or ()), EmptyCell())  # read for its effect: the submodules are imported
        return attributes, special, tuple(zip(empty or (), contents, strict=True))

    def _cell(self, cell: CellType) -> EmptyCell:
        self.held[id(cell)] = cell
        return self._cells.setdefault(id(cell), EmptyCell())

    def _contents(self, cell: CellType) -> tuple[Any, ...]:
        """Return what a new cell is to be filled with."""
        return _contents(cell)

    def numbers(self) -> dict[int, tuple[int, Any]]:
        """Return what is in the stream, with its number there, by id."""
        found: dict[int, tuple[int, Any]] = self.memo.copy()
        for identity, made in self._cells.items():
            if id(made) in found:
                found[identity] = found[id(made)][0], self.held[identity]
        return found

    def _cell_alone(self, cell: CellType) -> Any:
        return (
            constructors.same,
            (self._cell(cell),),
            self._contents(cell),
            None,
            None,
            constructors.fill_cell,
        )

    def _ref(self, ref: refs.Ref) -> Any:
        part = ref.part()
        self._owner.refer(part)
        return refs.load, (part.name, part.size)

    def _code(self, code: CodeType) -> Any:
        args = list(theirs._code_reduce(code)[1])
        args[constructors.FILE_NAME] = self.sources.number(code)
        return constructors.make_code, tuple(args)

    def _hints(self, key: str, names: dict[str, Any], annotations: Any) -> None:
        """Annotations that are text name what only `typing.get_type_hints` looks up."""
        for text in annotations.values() if isinstance(annotations, dict) else ():
            if isinstance(text, str):
                for name in reducers.names_in(text):
                    if name in names and (key, name) not in self.edges:
                        self.edges[key, name] = None
                        self._owner.need((key, name), names, optional=True)

    # -- classes ---------------------------------------------------------------------------------------------

    def _class(self, cls: Any) -> Any:
        if cls in (type(None), type(Ellipsis), type(NotImplemented)) or cls in theirs._BUILTIN_TYPE_NAMES:
            return theirs._class_reduce(cls)
        if not cls.__flags__ & class_parts.HEAP_TYPE:
            return NotImplemented
        found = self._by_name(cls)
        if found is None and type(cls).__module__ == "_ctypes":
            found = reducers.c_libraries().of_type(cls)
        if found is not None:
            return found
        own = self._own_name(cls)
        tracked = "" if own else nameless_classes.tracker(cls)
        module = sys.modules.get(cls.__module__)
        if isinstance(module, ModuleType) and not by_value.travels_by_name(module):
            key = self._owner.space(vars(module), module, None)
            self._hints(key, vars(module), vars(cls).get("__annotations__"))
        reduced = self._enum(cls, own, tracked) if issubclass(cls, Enum) else self._plain(cls, own, tracked)
        return self.hold(cls, reduced)

    def _plain(self, cls: Any, own: str, tracked: str) -> tuple[Any, ...]:
        metaclass: Any = type(cls)
        maker: Any = class_parts.maker(metaclass)
        first, rest = class_parts.attributes(cls)
        keywords = None
        if struct_classes.is_struct(metaclass):
            first.pop("__slots__", None)
            first |= struct_classes.fields(cls) | {"__annotations__": rest.pop("__annotations__", {})}
            if "__post_init__" in rest:
                first["__post_init__"] = struct_classes.post_init
            keywords = struct_classes.options(cls)
        elif metaclass.__module__ == "_ctypes":  # whose metaclasses have no names, and read these at once
            first |= {name: rest.pop(name) for name in class_parts.LAYOUT if name in rest}
            rest = {name: value for name, value in rest.items() if type(value).__name__ != "CField"}
            metaclass = maker = None
        elif "_sa_class_manager" in vars(cls):
            raise class_parts.OnlyItsStatement(
                "SQLAlchemy has mapped this class, which only its class statement can do: move it into a module that "
                "the script imports"
            )
        elif not (maker is type or maker.__flags__ & class_parts.HEAP_TYPE):
            raise class_parts.OnlyItsStatement(f"classes of {metaclass.__module__} are made by that alone")
        plan = constructors.ClassPlan(metaclass, maker, cls.__name__, cls.__bases__, first, tracked, keywords)
        return (
            constructors.make_class,
            (own, plan),
            (rest, class_parts.virtual(cls), class_parts.registered_with(cls)),
            None,
            None,
            constructors.fill_class,
        )

    def _enum(self, cls: Any, own: str, tracked: str) -> tuple[Any, ...]:
        metaclass = type(cls)
        first, rest = class_parts.attributes(cls)
        members = {id(one): one for one in cls.__members__.values()}.values()
        kept = {member._name_: class_parts.own_attributes(member) for member in members}
        aliases = {name: member._name_ for name, member in cls.__members__.items() if name != member._name_}
        drop = {*cls.__members__, *class_parts.ENUM_MACHINERY}
        rest = {name: value for name, value in rest.items() if name not in drop}
        keywords = {"boundary": cls._boundary_} if getattr(cls, "_boundary_", None) is not None else {}
        values = [(one._name_, one._value_, class_parts.mixed_in(cls._member_type_, one)) for one in members]
        plan = constructors.ClassPlan(
            metaclass, class_parts.maker(metaclass), cls.__name__, cls.__bases__, first, tracked
        )
        made = own, plan, values, keywords
        state = rest, kept, aliases, class_parts.registered_with(cls)
        return constructors.make_enum, made, state, None, None, constructors.fill_enum

    # -- modules ---------------------------------------------------------------------------------------------

    def _module(self, module: ModuleType) -> Any:
        if by_value.travels_by_name(module):
            return theirs.subimport, (module.__name__,)
        names = vars(module)
        key = self._owner.space(names, module, None)
        if key != namespaces.MAIN:
            for name in list(names):
                if name not in _OF_IMPORT:
                    self.edges[key, name] = None
                    self._owner.need((key, name), names, optional=True)
        return reading.module, (key,)


_OF_IMPORT = frozenset(
    {
        "__name__",
        "__package__",
        "__file__",
        "__path__",
        "__loader__",
        "__spec__",
        "__cached__",
        "__builtins__",
    }
)
"""What the import system gives a module."""

# Not bound methods of each pickler: that is a circle, in which arguments would live until the next collection.
_PARTS: dict[type, Any] = {
    refs.Ref: Pickler._ref,
    CodeType: Pickler._code,
    CellType: Pickler._cell_alone,
    ModuleType: Pickler._module,
    MethodType: Pickler._method,
    BuiltinMethodType: Pickler._method,
}


def _namespace(obj: Any) -> dict[str, Any] | None:
    """Return the globals of the program that a function looks up, or a class was made in; None: an imported
    module's."""
    if isinstance(obj, FunctionType):
        names = obj.__globals__
        module = by_value.module_of(names)
        return names if module is None or not by_value.travels_by_name(module) else None
    module = by_value.loaded(getattr(obj, "__module__", None) or "")
    return None if module is None or by_value.travels_by_name(module) else vars(module)


def _contents(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # empty
        return ()
