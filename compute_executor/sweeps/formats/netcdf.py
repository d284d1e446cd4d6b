"""netCDF, by xarray: the swept parameters of a grid are dimensions with coordinates; of samples and tables there is
one dimension, ``row``, and the parameters are its coordinates. Arrays in a cell add dimensions of their own."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.tabulation import TableRecord, Tabulation
from compute_executor.sweeps.values import storable

ROW = "row"
_HIDDEN = frozenset("/")  # netCDF's own separator of groups
FIRST_YEAR, LAST_YEAR = 1678, 2261
_OUTSIDE = f"it is outside the years {FIRST_YEAR} to {LAST_YEAR}, which count in nanoseconds"


def write(path: Path, table: Tabulation) -> None:
    """Write ``table`` to ``path``. Raises InvalidRequest for what netCDF cannot hold."""
    made = dataset(table)
    for name in (*made.variables, *made.dims):
        if _HIDDEN.intersection(str(name)):
            raise InvalidRequest(f"netCDF cannot hold a variable called {name!r}: it has a / in it")
    for name, variable in made.variables.items():
        _check_written(str(name), variable)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=UserWarning)
            made.to_netcdf(path, engine="h5netcdf")
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"netCDF cannot hold these values: {error}") from None


def dataset(table: Tabulation) -> Any:
    """Return the table as an ``xarray.Dataset``. Raises InvalidRequest for what has no place in one."""
    xarray: Any = optional("xarray", "table", "a Dataset")
    numpy: Any = optional("numpy", "table", "a Dataset")
    records = list(table.records())
    layout = _layout(table, records)
    made = xarray.Dataset(attrs={"title": table.title} if table.title else {})
    for name, (dims, values) in layout.coordinates.items():
        made = made.assign_coords({name: (dims, _array(numpy, name, values))})
    beside = [name for name in table.names if name not in made.coords]
    for name in [*beside, *table.results(), *([ERROR] if any(r.error for r in records) else [])]:
        for part, variable in _variables(xarray, numpy, name, records, layout):
            _check_labels(made, part, variable)
            made[part] = variable
    for name, unit in table.units.items():
        if name in made.variables:
            made[name].attrs["units"] = unit
    return made


class _Layout(NamedTuple):
    """Where records go: ``dims`` and their ``shape``, the place of each record in it, and the coordinates."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    places: list[tuple[int, ...]]
    coordinates: Mapping[str, tuple[tuple[str, ...], list[Any]]]


def _layout(table: Tabulation, records: Sequence[TableRecord]) -> _Layout:
    grid = _grid(table.dimensions, records) if table.dimensions else None
    if grid is not None:
        return grid
    coordinates = {
        (name if name != ROW else f"{ROW}_"): ((ROW,), [record.parameters.get(name) for record in records])
        for name in table.names
    }
    return _Layout((ROW,), (len(records),), [(place,) for place in range(len(records))], coordinates)


def _grid(dimensions: Sequence[str], records: Sequence[TableRecord]) -> _Layout | None:
    """Return the dimensions of a grid; None if two records have one place, or their values cannot be told apart.
    ``repeat`` is a dimension of its own, ``seed`` has a value at each place."""
    extra = [name for name in ("repeat",) if records and name in records[0].parameters]
    dims = tuple(dict.fromkeys([*dimensions, *extra]))
    try:
        steps = {name: list(dict.fromkeys(record.parameters[name] for record in records)) for name in dims}
    except (KeyError, TypeError):
        return None
    index = {name: {value: place for place, value in enumerate(values)} for name, values in steps.items()}
    places = [tuple(index[name][record.parameters[name]] for name in dims) for record in records]
    if len(set(places)) < len(places):
        return None
    return _Layout(
        dims,
        tuple(len(steps[name]) for name in dims),
        places,
        {name: ((name,), values) for name, values in steps.items()},
    )


def _variables(
    xarray: Any, numpy: Any, name: str, records: Sequence[TableRecord], layout: _Layout
) -> Iterator[tuple[str, Any]]:
    """Yield the variables of a column: one, and those that lie beside labelled arrays."""
    if name == ERROR:
        values: list[Any] = [record.error for record in records]
    else:
        values = [record.results.get(name, record.parameters.get(name)) for record in records]
    if any(hasattr(value, "dims") for value in values):
        yield from _labelled(xarray, numpy, name, values, layout)
        return
    cells, inner = _cells(numpy, name, values)
    whole = _filled(numpy, name, cells, layout, inner)
    yield name, xarray.Variable((*layout.dims, *(f"{name}_{axis}" for axis in range(len(inner)))), whole)


def _check_labels(made: Any, name: str, variable: Any) -> None:
    """Raise InvalidRequest for a dimension that is there already with other labels or another length: what is
    assigned would be lined up with those, and lost."""
    for dim in variable.dims:
        there = made.indexes.get(dim)
        labels = getattr(variable, "indexes", {}).get(dim)
        other_labels = there is not None and labels is not None and not labels.equals(there)
        if other_labels or made.sizes.get(dim, variable.sizes[dim]) != variable.sizes[dim]:
            raise InvalidRequest(
                f"column {name!r}: its dimension {dim!r} has other labels than that of another column; "
                "give them different names"
            )


def _labelled(
    xarray: Any, numpy: Any, name: str, values: Sequence[Any], layout: _Layout
) -> Iterator[tuple[str, Any]]:
    """Arrays of xarray keep their own dimensions, labels and attributes; coordinates beside those are variables of
    their own, ``NAME.COORDINATE``."""
    if any(value is not None and not isinstance(value, xarray.DataArray) for value in values):
        raise InvalidRequest(
            f"column {name!r} holds a Dataset, or arrays beside other values: return a DataArray"
        )
    known = [value for value in values if value is not None]
    first = known[0]
    if any(value.dims != first.dims for value in known) or set(first.dims) & set(layout.dims):
        raise InvalidRequest(f"column {name!r}: its arrays have different dimensions, or those of the sweep")
    if any(
        not value.indexes.keys() == first.indexes.keys() or not _same_labels(value, first) for value in known
    ):
        raise InvalidRequest(f"column {name!r}: its arrays have different labels")
    if any(value.attrs != first.attrs for value in known):
        raise InvalidRequest(f"column {name!r}: its arrays have different attributes, units say")
    cells, inner = _cells(numpy, name, [None if value is None else value.values for value in values])
    whole = _filled(numpy, name, cells, layout, inner)
    labels = {dim: first.coords[dim] for dim in first.dims if dim in first.coords}
    yield name, xarray.DataArray(whole, dims=(*layout.dims, *first.dims), coords=labels, attrs=first.attrs)
    beside = dict.fromkeys(str(one) for value in known for one in value.coords if one not in value.dims)
    for coordinate in beside:
        parts = [None if value is None else _beside(value, coordinate) for value in values]
        yield from _labelled(xarray, numpy, f"{name}.{coordinate}", parts, layout)


def _same_labels(one: Any, other: Any) -> bool:
    return (
        all(one.indexes[dim].equals(other.indexes[dim]) for dim in one.indexes) and one.shape == other.shape
    )


def _beside(value: Any, coordinate: str) -> Any:
    """Return a coordinate that is no dimension, with the labels of those."""
    found = value.coords.get(coordinate)
    return None if found is None else found.drop_vars([one for one in found.coords if one not in found.dims])


def _cells(numpy: Any, name: str, values: Sequence[Any]) -> tuple[list[Any], tuple[int, ...]]:
    """Return each value as an array of one shape, and the shape; None stays."""
    arrays = [None if _is_nothing(value) else _array_of(numpy, name, value) for value in values]
    shapes = {array.shape for array in arrays if array is not None}
    if len(shapes) > 1:
        raise InvalidRequest(
            f"column {name!r} holds arrays of different shapes ({', '.join(map(str, sorted(shapes)))}); netCDF wants "
            "one shape: --out FILE.parquet or FILE.pickle holds these"
        )
    return arrays, shapes.pop() if shapes else ()


def _is_nothing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # of pandas


def _array_of(numpy: Any, name: str, value: Any) -> Any:
    if isinstance(value, (numpy.ndarray, numpy.generic)) and value.dtype.kind in "iufbmMUS":
        return _unmasked(numpy, name, numpy.asanyarray(value))
    value = _stored(name, value)
    if isinstance(value, (dict, bytes)):
        raise InvalidRequest(f"column {name!r} holds a {type(value).__name__}, for which netCDF has no type")
    return _array(numpy, name, value if isinstance(value, list) else [value]).reshape(
        numpy.shape(value) if isinstance(value, list) else ()
    )


def _stored(name: str, value: Any) -> Any:
    try:
        return storable(value)
    except Exception as error:  # objects of the user are asked for their fields
        raise InvalidRequest(
            f"column {name!r}: netCDF cannot hold a {type(value).__name__}: {error}"
        ) from error


def _unmasked(numpy: Any, name: str, array: Any) -> Any:
    """Return an array of one type without what is masked in it, which is NaN or NaT; raises InvalidRequest where
    there is none for its type, and for times that netCDF cannot count."""
    if array.dtype.kind in "mM" and numpy.datetime_data(array.dtype)[0] == "generic":  # NaT alone
        array = array.astype(f"{array.dtype.kind}8[ns]")
    if array.dtype.kind == "M":
        _check_times(numpy, name, array)
    if not isinstance(array, numpy.ma.MaskedArray):
        return array
    if not numpy.ma.is_masked(array):
        return array.data
    if array.dtype.kind not in "iufmM":
        raise InvalidRequest(f"column {name!r}: netCDF cannot hold a masked array of {array.dtype}")
    if array.dtype.kind in "iu":
        _check_ints(name, [array.compressed()], numpy.dtype(float))
        array = array.astype(float)
    return array.filled(_blank(numpy, array.dtype))


def _check_times(numpy: Any, name: str, array: Any) -> None:
    years = array.astype("M8[Y]").astype(int) + 1970
    wrong = ~numpy.isnat(array) & ((years < FIRST_YEAR) | (years > LAST_YEAR))
    if numpy.any(wrong):
        raise InvalidRequest(f"column {name!r}: netCDF cannot hold {array[wrong].flat[0]}: {_OUTSIDE}")


def _filled(numpy: Any, name: str, cells: Sequence[Any], layout: _Layout, inner: tuple[int, ...]) -> Any:
    """Return the array of all cells. Where there is none: NaN, which makes floats of ints and booleans; NaT; no
    text."""
    kinds = {cell.dtype.kind for cell in cells if cell is not None}
    if len(kinds) > 1 and not kinds <= set("iuf"):
        raise InvalidRequest(f"column {name!r} holds values of different types; netCDF wants one")
    known = [cell for cell in cells if cell is not None]
    dtype = numpy.result_type(*(cell.dtype for cell in known)) if known else numpy.dtype(float)
    missing = len(known) < _size(layout.shape)
    if missing and dtype.kind in "biu":
        dtype = numpy.dtype(float)
    _check_ints(name, known, dtype)
    if dtype.kind in "OU":
        whole = numpy.full((*layout.shape, *inner), "", dtype=object)
    else:
        whole = numpy.full((*layout.shape, *inner), _blank(numpy, dtype) if missing else 0, dtype=dtype)
    for place, cell in zip(layout.places, cells, strict=True):
        if cell is not None:
            whole[place] = cell[()]
    return whole


def _check_ints(name: str, known: Sequence[Any], dtype: Any) -> None:
    """Raise InvalidRequest for ints among floats that no float can stand for."""
    if dtype.kind != "f":
        return
    for cell in known:
        large = [one for one in cell.ravel().tolist() if abs(one) > 2**53] if cell.dtype.kind in "iu" else []
        if large:
            raise InvalidRequest(
                f"column {name!r}: {large[0]} beside floats or missing values would lose digits in netCDF"
            )


def _blank(numpy: Any, dtype: Any) -> Any:
    return {"f": numpy.nan, "c": numpy.nan, "M": numpy.datetime64("NaT"), "m": numpy.timedelta64("NaT")}[
        dtype.kind
    ]


def _array(numpy: Any, name: str, values: Sequence[Any]) -> Any:
    """Return values of one type as an array. Raises InvalidRequest for others."""
    stored = [_stored(name, value) for value in values]
    if any(isinstance(value, str) and "\0" in value for value in _leaves(stored)):
        raise InvalidRequest(f"column {name!r}: netCDF cannot hold a NUL in a text")
    kinds = {type(value) for value in _leaves(stored)}
    if len(kinds) > 1 and not kinds <= {int, float}:
        shown = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InvalidRequest(f"column {name!r} holds values of different types ({shown}); netCDF wants one")
    try:
        made = numpy.array([_moment(numpy, value) for value in stored])
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"column {name!r}: netCDF cannot hold {_shown(stored[0])}: {error}") from None
    if made.dtype.kind == "U":
        return made.astype(object)
    if made.dtype.kind == "f" and any(type(v) is int and int(float(v)) != v for v in _leaves(stored)):
        raise InvalidRequest(f"column {name!r}: a whole number of {made} is too large for netCDF")
    if made.dtype.kind in "OSV":
        raise InvalidRequest(f"column {name!r}: netCDF has no type for {_shown(stored[0])}")
    return made


def _shown(value: Any) -> str:
    try:
        return str(value)[:80]
    except Exception:  # objects of the user are asked for their text
        return f"a {type(value).__name__}"


def _leaves(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _leaves(value)
        else:
            yield value


def _moment(numpy: Any, value: Any) -> Any:
    """Times as numpy's."""
    if isinstance(value, datetime.date):
        if getattr(value, "tzinfo", None) is not None:
            raise ValueError("it has a time zone")
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            raise ValueError(_OUTSIDE)
        exact = _of_pandas(value, "to_datetime64")
        return numpy.datetime64(value, "us") if exact is None else exact
    if isinstance(value, datetime.timedelta):
        if abs(value) > datetime.timedelta(days=100_000):
            raise ValueError("it is longer than 100,000 days, which count in nanoseconds")
        exact = _of_pandas(value, "to_timedelta64")
        return numpy.timedelta64(value, "us") if exact is None else exact
    return value


def _of_pandas(value: Any, method: str) -> Any:
    """Return a time of pandas with its nanoseconds; None for another."""
    convert = getattr(value, method, None)
    return None if convert is None else convert()


def _check_written(name: str, variable: Any) -> None:
    """Raise InvalidRequest for text that the library would cut or change in silence."""
    if variable.dtype.kind == "c":
        raise InvalidRequest(f"column {name!r} holds complex numbers; netCDF has none: return two columns")
    if variable.dtype.kind in "OU":
        for value in variable.values.flat:
            if (
                not isinstance(value, str)
                or "\0" in value
                or any("\ud800" <= one <= "\udfff" for one in value)
            ):
                raise InvalidRequest(f"column {name!r}: netCDF cannot hold {value!r:.80}")


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
