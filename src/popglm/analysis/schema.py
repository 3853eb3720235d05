"""What a recipe may say: every table and line of it, and of which kind."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from popglm.analysis.kinds import KINDS, check_options, kind_of
from popglm.analysis.makers import OF_NEURONS, TERM_OPTIONS, missing_of

__all__ = ["Offsets", "RecipeModel", "Source", "VariableOfRecipe"]

Number = int | float


class _Strict(BaseModel):
    """A table of a recipe, which holds nothing but what is named here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """A file or folder with a part of the recording.

    Attributes
    ----------
    path : str
        From the recipe's own folder on; or a URL.
    format : str, optional
        Told by its name and content unless given.
    options : dict
        Further arguments of the reader.
    """

    path: str
    format: str | None = None
    options: dict[str, Any] = {}


class Data(Source):
    """Where the recording lies.

    Attributes
    ----------
    path, format, options
        As of every `Source`.
    also : list of str or Source
        Other files of the same recording, such as the behaviour beside a folder of suite2p.
    activity : str or list of str, optional
        What is fitted; several planes or probes are put side by side.
    activity_scale : float
        Activity is multiplied by it.
    """

    also: list[str | Source] = []
    activity: str | list[str] | None = None
    activity_scale: float = Field(1.0, gt=0)


class Grid(_Strict):
    """The bins of time: a period in seconds, or the name of a series whose samples they are."""

    dt: Number | str | None = None
    series: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Grid:
        """Give dt or series, not both."""
        if self.dt is not None and self.series is not None:
            raise ValueError("give dt or series, not both")
        return self


class Trials(_Strict):
    """Where trials come from: intervals or a signal of numbers, a pair of events, or the length of blocks (s).

    Attributes
    ----------
    source : str, pair of str, or number
    none : int, optional
        What a signal of numbers holds where there is no trial.
    where : str, optional
        A query over intervals.
    """

    source: str | tuple[str, str] | Number = "trials"
    none: int | None = None
    where: str | None = None


class VariableOfRecipe(_Strict):
    """As `popglm.Variable`."""

    source: str
    rule: Literal["mean", "interpolate", "hold", "count", "sum", "max"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    where: str | None = None
    previous: bool = False
    unit: str | None = None
    period: float | None = Field(None, gt=0, allow_inf_nan=False)


class Factor(_Strict):
    """A term by itself.

    Attributes
    ----------
    basis : str
        The function of popglm that makes it.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    basis: str

    @field_validator("basis")
    @classmethod
    def _known(cls, basis: str) -> str:
        """A basis that popglm has."""
        if basis not in TERM_OPTIONS:
            raise ValueError(f"unknown|{basis}|{'|'.join(TERM_OPTIONS)}")
        return basis

    @model_validator(mode="after")
    def _options_of_the_basis(self) -> Factor:
        """The arguments of its basis and no others, all that it needs among them."""
        given, known = set(self.model_extra or {}), TERM_OPTIONS[self.basis]
        more = [name for name in type(self).model_fields if name != "basis"]
        for option in sorted(given - set(known)):
            raise ValueError(f"unknown|{option}|{'|'.join([*known, *more])}")
        missing = missing_of(self.basis, given)
        if missing:
            raise ValueError(f"{self.basis} needs {' and '.join(missing)}")
        return self


class Term(Factor):
    """A term of the design, and its products with others.

    Attributes
    ----------
    alone : bool
        Whether the term itself is in the design, beside its products.
    times : list of str or Factor
        Variables or terms that it is multiplied with, a term each.
    """

    alone: bool = True
    times: list[str | Factor] = []

    @model_validator(mode="after")
    def _no_product_of_the_past(self) -> Term:
        """Each neuron has its own history and coupling, which products would not keep apart."""
        past = [one.basis for one in (self, *self.times) if isinstance(one, Factor) and one.basis in OF_NEURONS]
        if past and (self.times or not self.alone):
            raise ValueError(f"{past[0]} has no products; leave out times and alone")
        return self


class DesignOfRecipe(_Strict):
    """As `popglm.Design`."""

    standardize: bool = True
    dtype: Literal["float32", "float64"] = "float32"


class Offsets(BaseModel):
    """What is added to the linear predictors of the parts of a `TwoPartGLM`, or of classes: names of variables."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, str]

    events: str | None = None
    amounts: str | None = None

    @property
    def variables(self) -> dict[str, str]:
        """By the names of parts or classes."""
        known = {"events": self.events, "amounts": self.amounts} | (self.model_extra or {})
        return {name: variable for name, variable in known.items() if variable is not None}

    @model_validator(mode="after")
    def _of_one_at_least(self) -> Offsets:
        """A table that names nothing was meant to."""
        if not self.variables:
            raise ValueError("name the variable of events, of amounts, or of both; of a classifier that of a class")
        return self


class FitOfRecipe(_Strict):
    """Arguments of the model's ``fit`` with a value per bin: names of variables.

    Attributes
    ----------
    sample_weight : str, optional
    offset : str or Offsets, optional
    response : str or list of str, optional
        What a classifier tells the classes of, in the place of activity.
    """

    sample_weight: str | None = None
    offset: str | Offsets | None = None
    response: str | list[str] | None = None

    @property
    def responses(self) -> list[str]:
        """Names of the responses of a classifier."""
        return [self.response] if isinstance(self.response, str) else list(self.response or ())

    @property
    def beside(self) -> dict[str, str]:
        """Names of variables by argument: sample weights and the offset; "offset.events" is that of a part or class."""
        given = {"sample_weight": self.sample_weight}
        if isinstance(self.offset, Offsets):
            given |= {f"offset.{name}": variable for name, variable in self.offset.variables.items()}
        else:
            given["offset"] = self.offset
        return {argument: name for argument, name in given.items() if name is not None}


class Test(_Strict):
    """Trials that are kept from the fit, to test it."""

    fraction: float = Field(0.15, gt=0, lt=1)
    seed: int = Field(0, ge=0)


class BinsOfRecipe(_Strict):
    """Bins along a variable: evenly spaced centers, half a width on either side."""

    low: float
    high: float
    n: int = Field(gt=0)
    half_width: float | None = Field(None, gt=0)
    unit: str = ""


class Explain(_Strict):
    """What of the fit is explained.

    Attributes
    ----------
    variables : dict of str to list of str, optional
        The feature groups, or patterns of them, that make up each variable; every variable of the design with the
        groups that it takes part in unless given.
    by : dict
        Bins along variables, in which contributions are told as well.
    compare : bool
        Whether models are fitted again without each variable.
    bootstrap : int
        Resamples for bands of the kernels; 0 for none.
    n_points : int
        Points of a kernel.
    """

    variables: dict[str, str | list[str]] | None = None
    by: dict[str, BinsOfRecipe] = {}
    compare: bool = False
    bootstrap: int = Field(default=0, ge=0)
    n_points: int = Field(default=50, ge=2)

    @field_validator("bootstrap")
    @classmethod
    def _enough(cls, bootstrap: int) -> int:
        """None, or as many as have a spread."""
        if bootstrap == 1:
            raise ValueError("one resample has no spread; give 2 or more, or 0 for none")
        return bootstrap


class RecipeModel(_Strict):
    """A whole recipe."""

    data: Data
    grid: Grid = Grid()
    clock_scale: dict[str, float] = {}
    clock_shift: dict[str, float] = {}
    clock_rate: dict[str, float] = {}
    clock_order: dict[str, Literal["sort"]] = {}
    neurons: str | None = None
    trials: Trials = Trials()
    variables: dict[str, str | VariableOfRecipe] | None = None
    terms: list[Term] = Field(min_length=1)
    design: DesignOfRecipe = DesignOfRecipe()
    masks: dict[str, str] = {}
    model: dict[str, Any] = {}
    fit: FitOfRecipe = FitOfRecipe()
    test: Test | None = None
    explain: Explain = Explain()

    @field_validator("model")
    @classmethod
    def _known_options(cls, model: dict[str, Any]) -> dict[str, Any]:
        """The name of a model in ``kind``, and arguments of that model."""
        kind = kind_of(model)
        if kind not in KINDS:
            raise ValueError(f"unknown|kind.{kind}|{'|'.join(KINDS)}")
        check_options({name: value for name, value in model.items() if name != "kind"}, kind)
        return model
