"""Read .npy files of image names and ground truth, pickled ones too, without running anything that they hold.

NumPy's own `allow_pickle` calls whatever function a file names. The unpickler here knows the functions with which NumPy
writes arrays, in the spellings of NumPy 1 and 2, and refuses every other name.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from vpr.errors import DataError


class _ArrayType:
    """Stands for the name `numpy.ndarray` in a pickle, which may only be handed to `_empty`."""


def _empty(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """Return the empty array that the pickle's next step fills, as NumPy's `_reconstruct` does."""
    if kind is not _ArrayType:
        raise pickle.UnpicklingError(f"{kind!r} is not numpy.ndarray")
    return np.ndarray((0,), np.dtype("b"))


def _as_bytes(text: str, encoding: str) -> bytes:
    """Return the bytes that pickles of protocol 2 hold as text; stands for `_codecs.encode`."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the encoding {encoding!r} does not belong to an array")
    return text.encode("latin-1")


def _scalar(kind: np.dtype, content: bytes = b"") -> Any:
    """Return a NumPy number from its bytes."""
    if kind.hasobject:
        raise pickle.UnpicklingError("a number that is an object")
    return np.frombuffer(content, dtype=kind, count=1)[0]


def _array(content: bytes, kind: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Return an array from its bytes, as pickles of protocol 5 hold it."""
    return np.frombuffer(content, dtype=kind).reshape(shape, order="F" if order == "F" else "C")


KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _as_bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array for core in ("core", "_core")},
}
"""What stands for each name that a pickled array may hold."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no list needs")
        return KNOWN[module, name]


def read_npy(file: Path) -> np.ndarray:
    """Read an array from a .npy file.

    Args:
        file: The file; its arrays of objects may hold numbers, text, lists and arrays.

    Returns:
        The array.

    Raises:
        DataError: The file is not a .npy file, is cut short, or asks for anything but arrays.
    """
    try:
        with file.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = header(stream)
            if not kind.hasobject:
                stream.seek(0)
                return np.lib.format.read_array(stream, allow_pickle=False)
            found = _Unpickler(stream, encoding="latin1").load()  # latin1: files that Python 2 wrote
            if not isinstance(found, np.ndarray):
                raise ValueError("it holds no array")
            return found.reshape(shape)
    except Exception as error:  # a broken pickle can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{file} cannot be read as a list ({reason}); take it again from where it was published"
        ) from None


def read_names(file: Path) -> list[str]:
    """Read the image paths of a .npy file, with `/` between the parts. Raises DataError."""
    names = [
        name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name for name in read_npy(file).ravel()
    ]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise DataError(f"{file} holds {wrong[0]!r} where image paths belong; give a list of paths")
    return [str(name).replace("\\", "/").removeprefix("./") for name in names]


def read_truth(file: Path, queries: int, database: int, with_query: bool = False) -> list[np.ndarray]:
    """Read for each query the database indices that are right.

    Args:
        file: Holds a list or array of indices for each query, or one index for each.
        queries: Number of queries, Q.
        database: Number of database images, N.
        with_query: Whether each entry is `[query, indices]`, as in VPR-Bench, in any order.

    Returns:
        Q arrays of int64, ascending, each index once.

    Raises:
        DataError: The file has another number of queries, or an index outside 0 to N-1.
    """
    table = read_npy(file)
    if table.ndim == 0 or len(table) != queries:
        length = len(table) if table.ndim else 1
        raise DataError(f"{file} has {length} entries for {queries} queries; it belongs to other images")
    rows = _by_query(file, table, queries) if with_query else list(table)
    return [_indices(file, query, row, database) for query, row in enumerate(rows)]


def _by_query(file: Path, table: np.ndarray, queries: int) -> list[Any]:
    rows: dict[int, Any] = {}
    for number, entry in enumerate(table):
        try:
            query, indices = entry
            query = int(query)
        except (TypeError, ValueError):
            raise DataError(f"{file}, entry {number} is not [query, [indices]]; take it from VPR-Bench again") from None
        if query in rows or not 0 <= query < queries:
            raise DataError(f"{file}, entry {number} names query {query}, twice or outside 0 to {queries - 1}")
        rows[query] = indices
    return [rows[query] for query in range(queries)]


def _indices(file: Path, query: int, row: Any, database: int) -> np.ndarray:
    try:
        numbers = np.asarray(row).ravel()
        with np.errstate(invalid="ignore"):  # of NaN, which is not a whole number
            whole = numbers.astype(np.int64)  # also of lists that NumPy kept as objects
        found = np.unique(whole)
        is_whole = numbers.dtype != bool and bool((numbers == whole).all())
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        raise DataError(f"{file}: the entry of query {query} holds no whole numbers; it belongs to another layout")
    if len(found) and (found[0] < 0 or found[-1] >= database):
        wrong = found[0] if found[0] < 0 else found[-1]
        raise DataError(f"{file}: query {query} has index {wrong}, outside 0 to {database - 1}; it is of other images")
    return found
