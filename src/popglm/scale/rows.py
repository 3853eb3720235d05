"""One session over many workers: rows of X on the workers of a Dask cluster, which sum over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import is_number
from popglm.messages import shown
from popglm.scale.row_sources import is_dask, readable_by_workers, row_edges
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.remote.shares import Shares
from popglm.solve.stream import RowStream

__all__ = ["rows_on_workers"]


def rows_on_workers(X: Any, client: Any = None, n_shares: int | None = None) -> RemoteRows:
    """A design matrix whose rows lie on the workers of a Dask cluster while a model is fitted.

    Give the answer to ``fit`` in place of X. Each worker reads its rows and holds them, centred, in the precision of
    the fit. Every evaluation sends weights to the workers, and adds up their sums: the solver, its certificates and
    its results are those of one machine, to rounding. When the fit ends, the workers let go of the rows.

    Parameters
    ----------
    X : dask.array.Array, zarr.Array, h5py.Dataset, np.memmap, RowStream or array, shape (n_samples, n_features)
        Chunks of a Dask array are computed where they will lie. Zarr arrays, HDF5 datasets and memory maps are read by
        every worker from the same path. Rows of an array in memory are sent.
    client : distributed.Client, optional
        The one that is active unless given.
    n_shares : int, optional
        Parts into which the rows are cut; as many as there are workers unless given. A worker may hold several. Another
        number adds up in another order: give it to go on, on another cluster, with what ``checkpoint=`` kept.

    Returns
    -------
    RemoteRows
        Rows that ``fit``, ``predict``, ``evaluate`` and others take for X. All but ``fit`` fetch them block by block.

    Raises
    ------
    ImportError
        If distributed is not installed.
    TypeError
        If X is a DataFrame: give ``X.to_numpy()``, and its groups as ``feature_groups`` of the model.
    ValueError
        If there is no client or worker, if X is no matrix of real numbers, or if workers lack memory for their rows;
        the last by ``fit``.

    Notes
    -----
    A worker needs memory for its rows as they are stored, for its samples of Y, and 300 MB. Y, weights and predictions
    are held where the fit runs. Where a worker is lost, another one reads its rows, and the evaluation is repeated.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> from distributed import Client
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((2_000, 5))
    >>> Y = rng.poisson(np.exp(X[:, :2] - 1))
    >>> with Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as client:
    ...     far = pg.GLM(penalty="lasso", lambdas=[0.01]).fit(pg.rows_on_workers(X, client), Y)
    >>> near = pg.GLM(penalty="lasso", lambdas=[0.01]).fit(X, Y)
    >>> np.allclose(far.coef_, near.coef_, atol=1e-3)
    True
    """
    if isinstance(X, pd.DataFrame):
        raise TypeError(
            "X is a DataFrame, whose names of columns rows on workers do not keep; give X.to_numpy(), and the model "
            "feature_groups=X.columns.get_level_values(0) if it has groups."
        )
    client = _client(client)
    # only where distributed is installed
    from popglm.scale.row_carrier import DaskCarrier, workers_of

    source = X.source if isinstance(X, RowStream) else X
    if is_dask(source):
        source = _known_chunks(source)
    else:
        source = source if (readable := readable_by_workers(source)) is None else readable
    stream = RowStream(source)
    if n_shares is not None and not (is_number(n_shares) and n_shares >= 1 and int(n_shares) == n_shares):
        raise ValueError(f"n_shares={shown(n_shares)} must be a whole number of at least 1.")
    workers = workers_of(client)
    if not workers:
        raise ValueError("The Dask client has no workers; start some, and wait for them with client.wait_for_workers.")
    threads = [worker.threads for worker in workers]
    chunks = (getattr(source, "chunks", None) or (None,))[0]
    edges = row_edges(len(stream), threads if n_shares is None else [1] * int(n_shares), chunks)
    carrier = DaskCarrier(client, source, edges, stream.dtype)
    return RemoteRows(carrier.fetched(), Shares(carrier, edges))


def _client(client: Any) -> Any:
    """A synchronous client of Dask."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError("rows_on_workers needs distributed; install it with: pip install 'popglm[dask]'") from error
    if client is None:
        try:
            client = distributed.default_client()
        except ValueError as error:
            raise ValueError(
                "There is no Dask client; make one, such as distributed.Client() for the cores of this machine, and "
                "give it as client=."
            ) from error
    if not isinstance(client, distributed.Client) or client.asynchronous:
        raise TypeError(f"client must be a distributed.Client that is not asynchronous; found {type(client).__name__}.")
    return client


def _known_chunks(X: Any) -> Any:
    """An array of Dask in chunks of whole rows."""
    if np.isnan(np.array(X.shape, float)).any():
        raise ValueError("X is a Dask array of unknown length; call X.compute_chunk_sizes() first.")
    return X if X.ndim != 2 or X.numblocks[1] == 1 else X.rechunk({1: -1})
