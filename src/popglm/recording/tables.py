"""Tables in CSV and Parquet: a row per sample."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import check_name, check_names, is_number
from popglm.messages import listed, shown
from popglm.recording.delimited import has_decimal_comma, how_separated, read_delimited
from popglm.recording.files import StoredColumns, nearest, optional_library, path_of
from popglm.recording.lazy import lazily
from popglm.recording.series import signal, traces
from popglm.recording.session import Session

__all__ = ["Table", "read_table"]

READER = "read_table"
#: Kinds of columns that become signals where none are named.
SIGNALS = ("steps", "continuous", "text")


def read_table(
    path: Any,
    *,
    activity: str | Iterable[str] | None = None,
    signals: str | Iterable[str] | None = None,
    steps: str | Iterable[str] = (),
    trials: str | None = None,
    times: str | None = None,
    rate: float | None = None,
    separator: str | None = None,
    decimal: str = ".",
) -> Session:
    """Read a table with a row per sample, in CSV or Parquet.

    Parameters
    ----------
    path : path
        A .parquet, .pqt, .csv or .tsv file; CSV may be compressed (.csv.gz).
    activity : str or list of str, optional
        Columns of the neurons: their names, or patterns such as "neuron_*".
    signals : str or list of str, optional
        Columns of variables, by name or pattern. All other columns of numbers or text, unless given.
    steps : str or list of str, optional
        Those of the signals whose values hold until the next sample. Others do if they are not of floating-point
        numbers.
    trials : str, optional
        The column with the trial number of each sample: a signal whose values hold.
    times : str, optional
        The column of times (s).
    rate : float, optional
        Samples per second, in place of times.
    separator : str, optional
        The character between values in text: a tab in a .tsv file, a comma in others, unless given.
    decimal : str, optional
        The character before the decimals of numbers in text.

    Returns
    -------
    Session
        Activity "activity", a neuron per column, and a signal per variable. Of Parquet, the columns of neurons are read
        when they are asked for.

    Raises
    ------
    TypeError
        If neither times nor a rate is given, or both.
    ValueError
        If the file is damaged, empty, or separated by another character; a column is not there; or one of neurons or
        times holds no numbers.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the file is in Parquet, and pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame({"t": [0.0, 0.1, 0.2], "n_1": [0, 1, 0], "n_2": [2, 0, 0], "speed": [1.0, 1.5, 2.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(Path(folder, "session.csv"), index=False)
    ...     session = read_table(Path(folder, "session.csv"), activity="n_*", times="t")
    >>> session
    Session: activity activity (3 samples × 2 neurons); signals speed
    """
    table = Table(path_of(path, READER), READER, separator, decimal)
    if not table.n_rows:
        raise ValueError(f"{READER}: {table.path.name} has names of columns, but no rows; save it again")
    if (times is None) == (rate is None):
        raise TypeError(
            f"{READER}: give times= (the column of times in s) or rate= (samples per second); found "
            f"{'neither' if times is None else 'both'}"
        )
    if rate is not None and not is_number(rate):
        raise TypeError(f"{READER}: rate must be a number; found {shown(rate)}")
    check_name(f"{READER}: times", times)
    check_name(f"{READER}: trials", trials)
    neurons = table.matching("activity", activity)
    reserved = {*neurons, *(name for name in (times, trials) if name is not None)}
    variables = table.matching("signals", signals)
    if signals is None:
        variables = [name for name in table.names if name not in reserved and table.kinds[name] in SIGNALS]
    held = set(table.matching("steps", steps)) | ({trials} if trials is not None else set())
    variables += [name for name in table.names if name in held and name not in variables]
    clock: dict[str, Any] = {"rate": rate}
    if times is not None:
        clock = {"times": table.numbers([times], "times")[:, 0].astype(np.float64)}
    if trials is not None:
        table.check("trials", [trials])
    found: dict[str, Any] = {}
    if neurons:
        values = lazily(("sample", "neuron"), table.numbers(neurons, "activity").stored())
        found["activity"] = traces(values, **clock, neurons=neurons)
    holds = {name: name in held or table.kinds[name] != "continuous" for name in variables}
    series = {name: signal(table.column(name), **clock, steps=holds[name]) for name in variables}
    return Session(activity=found, signals=series, attrs={"source": str(path), "format": "table"})


class Table:
    """A table in a file: names of its columns, and their values.

    Parameters
    ----------
    path : Path
    reader : str
        Who reads, for messages.
    separator, decimal : str, optional
        As `read_table` takes them.

    Raises
    ------
    TypeError
        If separator or decimal is given for Parquet, or is not one character.
    ValueError
        If the file is damaged, or separated by another character.
    """

    def __init__(self, path: Path, reader: str, separator: str | None = None, decimal: str = ".") -> None:
        self.path, self.reader = path, reader
        self.is_parquet = path.suffix.lower() in (".parquet", ".pqt")
        self._check_marks(separator, decimal)
        if self.is_parquet:
            parquet = optional_library("pyarrow.parquet", "parquet", reader)
            try:
                self.n_rows = parquet.read_metadata(path).num_rows
                self.empty = parquet.read_schema(path).empty_table().to_pandas().reset_index()
            except (ValueError, OSError) as error:
                raise ValueError(f"{reader}: {path.name} {self._fault()}") from error
            # an index that counts rows is not stored as a column
            stored = set(parquet.read_schema(path).names)
            self.empty = self.empty[[name for name in self.empty if str(name) in stored]]
        else:
            self.frame = self._of_text(separator, decimal)
            self.n_rows, self.empty = len(self.frame), self.frame.iloc[:0]
        self.names = [str(name) for name in self.empty]
        self.kinds = {str(name): self._kind(self.empty[name]) for name in self.empty}

    def _check_marks(self, separator: object, decimal: object) -> None:
        """Complain of characters that cannot lie between values, or within numbers."""
        if self.is_parquet and (separator is not None or decimal != "."):
            raise TypeError(
                f"{self.reader}: separator and decimal are for tables in text; {self.path.name} is in Parquet"
            )
        for argument, mark in (("separator", "," if separator is None else separator), ("decimal", decimal)):
            if not isinstance(mark, str) or len(mark) != 1:
                raise TypeError(f"{self.reader}: {argument} must be one character, such as ';'; found {shown(mark)}")

    def _of_text(self, separator: str | None, decimal: str) -> pd.DataFrame:
        """The table in a file of text."""
        mark = ("\t" if ".tsv" in self.path.suffixes else ",") if separator is None else separator
        if decimal == mark:
            raise ValueError(
                f"{self.reader}: separator and decimal are both {mark!r}; give the one between values, such as ';'"
            )
        options = how_separated(self.path, mark) if separator is None else None
        if options is not None:
            found = options.partition(" and ")[0].removeprefix("separator=")
            raise ValueError(f"{self.reader}: {self.path.name} seems to be separated by {found}; give {options}")
        try:
            return read_delimited(self.path, mark, decimal)
        except pd.errors.EmptyDataError as error:
            raise ValueError(f"{self.reader}: {self.path.name} is empty; copy it again") from error
        except (ValueError, OSError, EOFError) as error:
            what = f"is no table: {error}" if "more values" in str(error) else self._fault()
            raise ValueError(f"{self.reader}: {self.path.name} {what}") from error

    def _fault(self) -> str:
        """What keeps the file from being read."""
        if self.path.stat().st_size == 0:
            return "is empty; copy it again"
        return f"is cut short, or not in {'Parquet' if self.is_parquet else 'CSV'}; copy it again"

    @staticmethod
    def _kind(column: pd.Series) -> str:
        """What a column holds: "steps" (whole numbers, flags), "continuous", "text", or another name."""
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_integer_dtype(column):
            return "steps"
        if pd.api.types.is_float_dtype(column):
            return "continuous"
        if column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype):
            return "text"
        return str(column.dtype)

    def check(self, argument: str, names: Iterable[str]) -> None:
        """Complain of a column that is not there."""
        for name in names:
            if name not in self.kinds:
                raise ValueError(f"{self.reader}: {argument}: there is no column {name!r}; {nearest(name, self.names)}")

    def matching(self, argument: str, given: str | Iterable[str] | None) -> list[str]:
        """Columns of these names and patterns, in their order."""
        found: dict[str, None] = {}
        for name in () if given is None else check_names(self.reader, argument, given):
            if "*" in name and name not in self.kinds:
                alike = [column for column in self.names if fnmatchcase(column, name)]
                if not alike:
                    raise ValueError(
                        f"{self.reader}: {argument}: no column is like {name!r}; there are {listed(self.names)}"
                    )
                found |= dict.fromkeys(alike)
            else:
                self.check(argument, [name])
                found[name] = None
        return list(found)

    def read(self, names: list[str]) -> pd.DataFrame:
        """Some columns."""
        if not self.is_parquet:
            return self.frame[names]
        parquet = optional_library("pyarrow.parquet", "parquet", self.reader)
        try:
            return parquet.read_table(self.path, columns=names).to_pandas(ignore_metadata=True)[names]
        except (ValueError, OSError) as error:
            raise ValueError(f"{self.reader}: {self.path.name} {self._fault()}") from error

    def numbers(self, names: list[str], argument: str) -> StoredColumns:
        """Columns of numbers side by side, float64 unless all are float32; read when they are asked for."""
        self.check(argument, names)
        for name in names:
            if self.kinds[name] not in ("steps", "continuous"):
                raise ValueError(
                    f"{self.reader}: {argument}: column {name!r} must hold numbers; found {self._example(name)}"
                )
        narrow = all(self.empty[name].dtype == np.float32 for name in names)
        dtype = np.float32 if narrow else np.float64
        return StoredColumns(
            lambda some: self.read(some).to_numpy(dtype=dtype, na_value=np.nan), names, self.n_rows, dtype
        )

    def _example(self, name: str) -> str:
        """The first value of a column that is no number, and where it is."""
        values = self.read([name])[name]
        is_wrong = (values.notna() & pd.to_numeric(values, errors="coerce").isna()).to_numpy()
        if not is_wrong.any():
            # text of numbers, in Parquet, or nothing at all
            is_wrong = values.notna().to_numpy()
        if not is_wrong.any():
            return "nothing but missing values"
        row = int(np.argmax(is_wrong))
        value = values.iloc[row]
        remedy = "; give decimal=','" if not self.is_parquet and has_decimal_comma(value) else ""
        return f"{shown(value)} in row {row:,}, counted from 0{remedy}"

    def column(self, name: str) -> np.ndarray:
        """Values of one column: what is missing is NaN among numbers, None among text."""
        values = self.read([name])[name]
        if self.kinds[name] == "text":
            return values.astype(object).where(values.notna(), None).to_numpy(dtype=object)
        if values.isna().any():
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return values.to_numpy()
