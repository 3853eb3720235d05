"""Files of tables in CSV and Parquet: names of columns, their kinds, and their values."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from popglm.checks import check_names
from popglm.messages import listed, shown
from popglm.recording.delimited import has_decimal_comma, how_separated, read_delimited
from popglm.recording.files import StoredColumns, nearest, optional_library
from popglm.recording.written_times import HOW_WRITTEN, as_seconds, typed

__all__ = ["Table"]


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
            for name in self.frame:
                self.frame[name] = typed(self.frame[name])
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
        """What a column holds: "steps" (whole numbers, flags), "continuous", "text", "times", or another name."""
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_integer_dtype(column):
            return "steps"
        if pd.api.types.is_float_dtype(column):
            return "continuous"
        if column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype):
            return "text"
        return str(column.dtype) if as_seconds(column) is None else "times"

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

    def times(self, name: str, argument: str) -> np.ndarray:
        """A column of times (s): of numbers, of dates, which count from 1970 (UTC), or of durations."""
        self.check(argument, [name])
        if self.kinds[name] in ("steps", "continuous"):
            return self.numbers([name], argument)[:, 0].astype(np.float64)
        column = typed(self.read([name])[name])
        seconds = as_seconds(column)
        if seconds is None:
            dates = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
            found = self._example(name, dates.notna().to_numpy())
            raise ValueError(
                f"{self.reader}: {argument}: column {name!r} must hold times; found {found}; {HOW_WRITTEN}"
            )
        return seconds

    def in_seconds(self) -> pd.DataFrame:
        """All columns, times among them in seconds."""
        found = self.read(self.names)
        return found.assign(**{name: self.column(name) for name in self.names if self.kinds[name] == "times"})

    def _example(self, name: str, fine: np.ndarray | bool = False) -> str:
        """The first value of a column that is neither fine nor a number, and where it is."""
        values = self.read([name])[name]
        is_wrong = (values.notna() & pd.to_numeric(values, errors="coerce").isna()).to_numpy() & ~np.asarray(fine)
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
        """Values of one column: what is missing is NaN among numbers, None among text; times are in seconds."""
        values = self.read([name])[name]
        if self.kinds[name] == "times":
            return self.times(name, "column")
        if self.kinds[name] == "text":
            return values.astype(object).where(values.notna(), None).to_numpy(dtype=object)
        if values.isna().any():
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return values.to_numpy()
