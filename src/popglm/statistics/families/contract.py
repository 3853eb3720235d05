"""The contract of a family: all that fits, estimators and explanations ask of one, and the only place that they ask.

A family is the distribution of a response y around its mean μ = h(η), h the inverse link and η = b + xᵀw + offset the
linear predictor. ℓ(y, η) is its negative log-likelihood, less what no prediction changes. One object stands for a
family under one inverse link. It holds no data: equal objects are the same loss, and engines use them as keys of what
they compiled.

A family may have nuisance parameters, such as a dispersion: one number per neuron that its best weights depend on. They
are fields of the object, named as in `Family.parameters`, and a registered family has none but their limits of no
effect. `Family.at` gives the same loss at the values of a fit: an object that lives for one call.

Methods that take ``xp`` work elementwise on arrays of any library (``xp`` is its array namespace), in any precision,
with NumPy scalars too. They are compiled: no branch on values, no in-place writes. Their forms overflow for no η that
has a finite loss, and take no logarithm of a clipped rate. All other methods are NumPy's, in float64. Responses that
are not recorded come in as 0 with a weight of 0: what a method says of them is not used, but a NaN in a sum would be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from popglm.messages import shown
from popglm.statistics.families.links import InverseLink
from popglm.statistics.families.units import Units

__all__ = ["Chunks", "Family", "Parameter", "Samples"]

Array = Any
#: Calls give the samples again, in parts: y and their weights s, shape (n_neurons, n_rows), and the offset (n_rows,).
Chunks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]
#: Calls with numbers of neurons give their samples again, in parts: y and weights s, shape (n_neurons, n_rows), and η,
#: in that shape or, where all samples have the same, (n_neurons, 1).
Samples = Callable[[np.ndarray], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Parameter:
    """A nuisance parameter of a family.

    Attributes
    ----------
    name : str
        Of the family's field, and as users read it.
    start : float
        Where an estimate starts.
    range : (float, float)
        Between which values lie; both belong to it.
    power : float
        It has the unit of the activity to that power: y/c has the parameter of y over c to the power.
    """

    name: str
    start: float
    range: tuple[float, float]
    power: float = 0.0


@dataclass(frozen=True)
class Family(ABC):
    """One family under one inverse link; a new one is a subclass that says what differs.

    Attributes
    ----------
    link : InverseLink
        h.
    name : str
        Of the family, as users write it.
    parameters : tuple of Parameter
        Nuisance parameters that the best weights depend on, one number per neuron (the dispersion of a negative
        binomial); fields of the object. A dispersion that only scales ℓ, as that of Gaussian or gamma activity, is
        none. `estimate` finds their values between strengths.
    valid_range : (float, float)
        Between which responses, and their means, lie; `is_outside` says whether the ends belong to it.
    out_of_range : (str, str)
        What a response outside of it is called, and what to do about it, for a complaint.
    other_links : str
        Why the family has no other inverse links, for a complaint: "inverse_link='exp' …".
    is_exponential : bool
        ℓ is a(η) − yθ(η) + c(y), as in an exponential family: the best constant predictor has the mean of the
        responses, and `null`, `saturated_mean` and `constant` say what they do below.
    is_convex : bool
        ℓ is convex in η; then a duality gap certifies a fit.
    is_canonical : bool
        dℓ/dη is μ − y.
    is_least_squares : bool
        ℓ is (y − η)²/2: moments of the samples say everything.
    has_exp_sums : bool
        ℓ is exp(η) − yη: the sums of `popglm.solve.passes.window_passes.exp_sums` say everything, at any intercept.
    has_barrier : bool
        A sample with y > 0 needs η > 0, and one with y = 0 has a kink there.
    has_events : bool
        y = 0 says that nothing happened: a neuron can be silent, and with few events little is known of it.
    has_fractions : bool
        y strictly between 0 and 1 takes another form of `excess` than y of 0 or 1; see `of_events`.
    can_separate : bool
        ℓ of some sample falls for ever as η goes to infinity; see `sides`.
    can_collapse : bool
        ℓ with its parameters has no least value where predictors meet all responses above 0.
    intercept_steps : {"newton", "ratio", "logits"}
        How the best intercept beside given weights is found from Σr and Σh over samples, r and h those of
        `derivatives`: by b − Σr/Σh; by b + log(1 − Σr/Σh) where one such step is all; by Newton's method on
        logit(mean μ) = logit(mean y).
    has_trials : bool
        A response is the share of successes among trials, and its weight the number of trials.
    has_dispersion : bool
        `variance` is known up to a factor that the samples have to tell.
    scale : {"linear", "proportional", "log"}, or None
        Where a response in another unit has the same model: its predictor has the unit too, and may be shifted, or may
        not; or its intercept is shifted by the logarithm of the unit. None: in no other unit. See `units`.
    """

    link: InverseLink

    name: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    valid_range: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    out_of_range: ClassVar[tuple[str, str]] = ("", "")
    other_links: ClassVar[str] = "has no meaning for this family"
    is_exponential: ClassVar[bool] = True
    is_convex: ClassVar[bool] = False
    is_canonical: ClassVar[bool] = False
    is_least_squares: ClassVar[bool] = False
    has_exp_sums: ClassVar[bool] = False
    has_barrier: ClassVar[bool] = False
    has_events: ClassVar[bool] = False
    has_fractions: ClassVar[bool] = False
    can_separate: ClassVar[bool] = False
    can_collapse: ClassVar[bool] = False
    intercept_steps: ClassVar[Literal["newton", "ratio", "logits"]] = "newton"
    has_trials: ClassVar[bool] = False
    has_dispersion: ClassVar[bool] = False
    scale: ClassVar[Literal["linear", "proportional", "log"] | None] = None

    @property
    def is_smooth(self) -> bool:
        """Whether ℓ has a continuous derivative in η."""
        return self.link.is_smooth

    @property
    def gathers(self) -> bool:
        """Whether sums over samples may be taken at nodes of η: ℓ is smooth in it, and a line in y > 0 or of 0."""
        return self.is_exponential and self.is_smooth and not (self.has_barrier or self.is_unbounded)

    @property
    def is_unbounded(self) -> bool:
        """Whether any number is a response: 0 means nothing then, and all activity may lie far from it."""
        return self.valid_range == (-np.inf, np.inf)

    def with_power(self, power: Any) -> Family:
        """The family whose variance is the mean to this power, where that is a choice.

        Raises
        ------
        ValueError
        """
        raise ValueError(
            f"power={shown(power)} has no effect under family={self.name!r}; leave it None, or use family='tweedie'."
        )

    # nuisance parameters

    def given(self, *values: Array) -> Self:
        """The same loss at values of its parameters, numbers or arrays that broadcast with the responses."""
        return replace(self, **{own.name: value for own, value in zip(self.parameters, values, strict=True)})

    def at(self, values: Array | None) -> Self:
        """The loss at values (n_neurons, n_parameters), for responses (n_neurons, n_rows); itself where it has none."""
        if not self.parameters or values is None:
            return self
        return self.given(*(values[:, i : i + 1] for i in range(len(self.parameters))))

    def of_neurons(self, values: np.ndarray) -> Self:
        """`at`, for numbers (n_neurons,), or responses (n_rows, n_neurons)."""
        return self.given(*values.T) if self.parameters else self

    def estimate(self, samples: Samples, start: np.ndarray, with_intercept: bool = False) -> np.ndarray:
        """Values (n_neurons, n_parameters) of the largest likelihood, beside given predictors; ``start`` are near.

        A neuron's depend on its own samples alone. They are finite, also where its samples say nothing of them.

        Parameters
        ----------
        with_intercept : bool
            The intercept is best beside the values afterwards. Where the two depend on each other much, a family does
            well to let it move along.
        """
        return start

    def estimate_at_nodes(self, nodes: Any, responses: tuple[np.ndarray, np.ndarray], start: np.ndarray) -> np.ndarray:
        """`estimate` from `Nodes`, and responses, each once, with their weights (n_neurons, n_responses)."""
        raise NotImplementedError

    def normaliser(self, y: np.ndarray) -> np.ndarray:
        """What ℓ leaves out of the negative log-likelihood that depends on a parameter."""
        return np.zeros(np.shape(y))

    # the loss of a sample, in any array library

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        """What the logarithm of a response's density has beside −ℓ over the dispersion."""
        return np.zeros(np.shape(y))

    def dispersion(self, eta: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
        """The dispersion that densities are taken at, of a neuron's samples (n_samples,); 1 for families without."""
        if not self.has_dispersion:
            return 1.0
        return max(float(weight @ self.deviance(eta, y) / weight.sum()), np.finfo(float).tiny)

    def log_density(self, eta: np.ndarray, y: np.ndarray, dispersion: float = 1.0) -> np.ndarray:
        """Logarithm of a response's density, or of its probability."""
        # exp overflows to a density of 0 there, which is the truth
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return -self.value(np, eta, y) / dispersion + self.log_base(y, dispersion)

    def log_likelihood(self, eta: np.ndarray, y: np.ndarray, weight: np.ndarray, dispersion: float = 1.0) -> float:
        """Logarithm of the likelihood of weighted samples (n_samples,)."""
        return float(weight @ self.log_density(eta, y, dispersion))

    @abstractmethod
    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        """ℓ(y, η), +inf outside the domain of η."""

    @abstractmethod
    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        """ℓ(y, η) above its least value over η, half the unit deviance; +inf outside the domain of η.

        Fits add this up. It needs all its digits where the prediction is right: no difference of larger numbers.
        """

    @abstractmethod
    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        """Residual r = dℓ/dη, and its Fisher weight h: the mean of d²ℓ/dη² over responses with the mean h(η).

        Where ℓ is not that of an exponential family, h may be d²ℓ/dη² itself.
        No NaN, where ℓ is infinite either. h ≥ 0 makes the model of a step, also where ℓ is not convex.
        """

    def excess_and_derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array, Array]:
        """`excess` and `derivatives`, for families to which the one tells much of the other."""
        return self.excess(xp, eta, y), *self.derivatives(xp, eta, y)

    # the loss of a sample, in NumPy

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """d²ℓ/dη² of a convex loss: the Fisher weight, as for canonical links, unless a family says otherwise."""
        return self.derivatives(np, eta, y)[1]

    @abstractmethod
    def saturated(self, y: np.ndarray) -> np.ndarray:
        """Least value of ℓ(y, η) over η: `value` less `excess`."""

    def constant(self, y: np.ndarray | float) -> np.ndarray | float:
        """c(y) where ℓ(y, η) = a(η) − yθ(η) + c(y)."""
        return np.zeros_like(y) if np.ndim(y) else 0.0

    def deviance(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Unit deviance 2[ℓ(y, η) − saturated(y)], exact for means that underflow too."""
        eta, y = np.asarray(eta, float), np.asarray(y, float)
        # exp overflows to an infinite loss there, which is the truth
        with np.errstate(over="ignore", invalid="ignore"):
            return np.maximum(2 * self.excess(np, eta, y), 0)

    @abstractmethod
    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        """The same of given means μ inside `valid_range`, whatever the link; infinite where μ rules y out."""

    @abstractmethod
    def variance(self, mu: np.ndarray) -> np.ndarray:
        """Variance of a response with the mean μ, up to a dispersion."""

    def parameter_derivatives(self, eta: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Derivatives of the negative log-likelihood of samples (n_samples,) in the parameters.

        Returns
        -------
        (first, cross, own), or None
            In each parameter, and in η and each parameter, shape (n_samples, n_parameters); in two parameters, shape
            (n_samples, n_parameters, n_parameters). None where the second are 0 on average, at the true parameters:
            then errors of weights need not know of them.
        """
        return None

    def deviance_of_event(self, size: np.ndarray, share: np.ndarray) -> np.ndarray:
        """What a unit of log-likelihood is worth in half the deviance, where events are few.

        Parameters
        ----------
        size : ndarray, shape (n_neurons,)
            Mean of the responses that are not 0.
        share : ndarray, shape (n_neurons,)
            Of the samples that are not 0.
        """
        return size

    @abstractmethod
    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        """Responses at random with the means μ."""

    # the null model: no weights, an intercept and the offset

    def null(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Half the deviance from a mean: the loss of the null model without an offset, above `saturated`.

        A Bregman divergence: a weighted sum of it is least at the weighted mean of y, and less by as many times
        ``null(mean of y, mean)``. 0, and no NaN, where a mean of no samples is 0.
        """
        return 0.5 * self.unit_deviance(y, mean)

    def saturated_mean(self, mean: np.ndarray, null: np.ndarray) -> np.ndarray:
        """Mean of `saturated` over responses with this mean, ``null`` the mean of what `null` says of them."""
        return self.saturated(mean) - null

    def inside(self, mean: np.ndarray, n: np.ndarray, event: np.ndarray | float = 1.0) -> np.ndarray:
        """Means in the open range of family and link, for ``n`` samples and events of the size ``event``.

        A neuron that never fired gets the rate of half an event in the recording (the Jeffreys prior's estimate):
        its intercept stays finite and held-out spikes are merely very surprising; likewise one that always fired.
        """
        floor = 0.5 * event / np.maximum(n, 1)
        low = max(self.valid_range[0], self.link.means[0])
        high = min(self.valid_range[1], self.link.means[1])
        mean = np.where(mean > low, mean, low + floor) if np.isfinite(low) else mean
        return np.where(mean < high, mean, high - floor) if np.isfinite(high) else mean

    def start_intercept(self, mean: np.ndarray, n: np.ndarray, event: np.ndarray | float = 1.0) -> np.ndarray:
        """Intercept of the null model without an offset, where every fit starts; arguments as in `inside`."""
        return self.link.link(self.inside(mean, n, event))

    def offset_intercept(self, chunks: Chunks, inside: np.ndarray, total: np.ndarray) -> np.ndarray | None:
        """Intercept of the null model beside an offset where a formula has it; None: by steps.

        Parameters
        ----------
        chunks : callable
            See `Chunks`.
        inside, total : ndarray, shape (n_neurons,)
            The mean as `inside` gives it, and the sum of the weights.
        """
        return None

    def events(self, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of events, y > 0, and of others, y < 1, along the last axis: of samples of positive weight."""
        counted = weight > 0
        return (counted & (y > 0)).sum(axis=-1), (counted & (y < 1)).sum(axis=-1)

    def fittable(
        self, n: np.ndarray, n_events: np.ndarray, n_non_events: np.ndarray, constant: np.ndarray
    ) -> np.ndarray:
        """Whether anything beyond the null model can be estimated from ``n`` samples.

        Parameters
        ----------
        n_events, n_non_events : ndarray of int, shape (n_neurons,)
            As `events` counts them.
        constant : ndarray of bool, shape (n_neurons,)
        """
        enough = (n >= 2) & ~constant
        return enough & (n_events >= 2) if self.has_events else enough

    # responses

    def is_outside(self, y: np.ndarray) -> np.ndarray:
        """Whether a response cannot be one of the family; False for NaN."""
        return (y < self.valid_range[0]) | (y > self.valid_range[1])

    def into_range(self, values: np.ndarray, y: np.ndarray) -> np.ndarray:
        """``values`` moved to the nearest response of the family; ``y`` are recorded ones, for their size."""
        return np.clip(values, *self.valid_range)

    def of_events(self) -> Family:
        """The same loss for responses of which none lies strictly between 0 and 1, in its cheapest form."""
        return self

    def sides(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which samples must not go down, and which not up, where η moves for ever and no loss may grow in the end."""
        everything = np.ones(np.shape(y), bool)
        return everything, everything

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        """What a fit in units of about ten to the power ``decade`` says of the activity as it was recorded.

        Only where `scale` says that there are other units; else the activity's own.

        Parameters
        ----------
        shift : ndarray, shape (n_neurons,)
            What is taken from the activity; 0 unless the scale is linear.
        has_norm : bool
            Whether the penalty has a norm of the weights, and not their square alone.
        """
        return Units.plain(len(shift))
