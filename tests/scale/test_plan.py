"""What fits are said to take, and how they are divided over clusters."""

import json
import math
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from many import RECIPE, write_sessions
from typer.testing import CliRunner

import popglm as pg
from popglm.analysis.cost import (
    PARTS,
    FitShape,
    Rates,
    cpu_seconds,
    evaluations_per_strength,
    parts_of_cost,
    units_of_cost,
)
from popglm.analysis.recipe import parse_recipe
from popglm.cli import app
from popglm.scale.division import divide

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")
SHAPE = FitShape(n_samples=30_000, n_features=300, n_neurons=1_000)


class TestTheModel:
    def test_units_are_counted(self):
        n, p, q, strengths, fits, each = 1_000, 10, 7, 3, 6, 2.5
        shape = FitShape(n, p, q, strengths, fits)
        problems = q * strengths * fits
        # five folds leave 800 samples each, and one fit has all
        rows = (5 * 800 + 1_000) / 6
        products, samples, evaluations, curvature, steps = units_of_cost(shape, each)
        assert products == pytest.approx(0.2 * 4 * p * rows * each * problems)
        assert samples == pytest.approx(rows * each * problems)
        assert evaluations == pytest.approx(each * problems)
        assert curvature == pytest.approx(each * problems * p**3 / n)
        assert steps == pytest.approx(each * strengths * fits * p)

    def test_gaussian_samples_are_met_once(self):
        shape = FitShape(1_000, 10, 7, family="gaussian")
        assert units_of_cost(shape, 1.0)[0] == 2 * 1_000 * 10 * 17
        assert parts_of_cost(shape)["samples"] == 0

    def test_parts_grow_as_they_should(self):
        once, more = parts_of_cost(SHAPE, 4.0), parts_of_cost(replace(SHAPE, n_samples=60_000), 4.0)
        ratios = {part: more[part] / once[part] for part in PARTS}
        assert ratios == pytest.approx({"products": 2, "samples": 2, "evaluations": 1, "curvature": 0.5, "steps": 1})
        # a core of half the speed takes twice as long, and so do numbers of twice the size
        slow = Rates(7.9e10 / 2, 2.1e9 / 2)
        assert cpu_seconds(SHAPE, rates=slow) == pytest.approx(2 * cpu_seconds(SHAPE))
        assert cpu_seconds(replace(SHAPE, itemsize=8)) == pytest.approx(2 * cpu_seconds(SHAPE))

    def test_evaluations_are_those_of_other_families_and_penalties(self):
        usual = evaluations_per_strength(SHAPE)
        assert evaluations_per_strength(replace(SHAPE, penalty="lasso")) > usual
        assert evaluations_per_strength(replace(SHAPE, penalty="ridge")) < usual
        assert evaluations_per_strength(FitShape(100, 1, 1)) >= 1

    def test_shapes_of_recipes(self, tmp_path):
        text = RECIPE.split("[model]")[0] + "[model]\n"
        recipe = parse_recipe(
            text + 'family = "bernoulli"\npenalty = "lasso"\nlambdas = [1.0, 0.1]\ncv = 3\nprecision = "float64"\n',
            tmp_path / "r.toml",
        )
        shape = FitShape.of_recipe(recipe, 10, 2, 3)
        assert shape == FitShape(10, 2, 3, 2, 4, "bernoulli", "lasso", 8)

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("n_lambdas = 0", "n_lambdas=0 must be a whole number, 1 or more"),
            ("n_lambdas = -6", "n_lambdas=-6 must be"),
            ('n_lambdas = "6"', "n_lambdas='6' must be"),
            ("n_lambdas = 2.5", "n_lambdas=2.5 must be"),
            ("lambdas = []", r"lambdas=\[\] holds no strength"),
        ],
    )
    def test_no_strengths_are_told_with_their_line(self, line, words, tmp_path):
        recipe = parse_recipe(f"{RECIPE.split('[model]')[0]}[model]\n{line}\n", tmp_path / "r.toml")
        name = line.split()[0]
        with pytest.raises(ValueError, match=rf"line \d+ \(model\.{name}\): {words}"):
            FitShape.of_recipe(recipe, 10, 2, 3)

    def test_rates_are_those_of_some_machine(self):
        found = Rates.here()
        assert 1e8 < found.products < 1e13
        assert 1e6 < found.exponentials < 1e12


class TestDivisions:
    def test_a_machine_with_one_core_takes_the_sum(self):
        divided = divide({"m": SHAPE}, pg.Cluster(nodes=1, cores=1, memory=1e12))
        assert (divided.over, divided.nodes_per_task, divided.threads_per_task) == ("neurons", 1, 1)
        assert sum(divided.parts[part] for part in PARTS) == pytest.approx(cpu_seconds(SHAPE), rel=0.05)
        assert divided.seconds == pytest.approx(sum(divided.parts.values()))

    def test_nodes_share_the_work(self):
        seconds = [divide({"m": SHAPE}, pg.Cluster(nodes, cores=8, memory=1e12)).seconds for nodes in (1, 2, 4, 8)]
        assert all(fewer > more > fewer / 2.2 for fewer, more in pairwise(seconds))

    def test_tasks_have_room(self):
        cluster = pg.Cluster(nodes=2, cores=8, memory=4e9)
        divided = divide({"m": SHAPE}, cluster)
        places = cluster.cores // divided.threads_per_task
        assert divided.over == "neurons"
        assert divided.memory_per_task * places <= cluster.memory
        assert divided.n_tasks * divided.neurons_per_task >= SHAPE.n_neurons

    def test_rows_are_shared_where_no_node_holds_them(self):
        large = FitShape(10**6, 10**4, 100)
        divided = divide({"m": large}, pg.Cluster(nodes=8, cores=16, memory=64e9))
        assert divided.over == "rows"
        assert 2 <= divided.nodes_per_task <= 8
        assert divided.parts["network"] > 0
        assert divided.memory_per_task <= 64e9

    def test_what_no_cluster_holds_is_told(self):
        large = FitShape(10**6, 10**4, 100)
        with pytest.raises(
            MemoryError, match=r"session 'm' has a design matrix of 40 GB, which 2 nodes of 16 GB .* 10 nodes"
        ):
            divide({"m": large}, pg.Cluster(nodes=2, cores=4, memory=16e9))

    def test_a_slow_network_costs(self):
        large = FitShape(10**6, 10**4, 1_000)
        fast, slow = (divide({"m": large}, pg.Cluster(8, 16, 64e9, network)) for network in (1.25e10, 1.25e7))
        assert slow.seconds > fast.seconds
        assert slow.bottleneck == "network"

    def test_chunks_are_of_some_megabytes(self):
        for shape in (SHAPE, FitShape(10**6, 10**4, 10), FitShape(100, 3, 1)):
            rows = divide({"m": shape}, pg.Cluster(4, 8, 1e13)).rows_per_chunk
            assert 1 <= rows <= shape.n_samples
            assert rows == shape.n_samples or 1.5e7 <= rows * shape.n_features * 4 <= 2.6e8

    @pytest.mark.parametrize(
        ("options", "told"),
        [({"nodes": 0}, "nodes must be an integer >= 1"), ({"cores": 2.5}, "cores"), ({"memory": -1}, "memory"),
         ({"network": math.nan}, "network"), ({"latency": 0}, "latency"), ({"disk": "fast"}, "disk")],
    )  # fmt: skip
    def test_wrong_clusters_are_told(self, options, told):
        with pytest.raises(ValueError, match=told):
            pg.Cluster(**options)


class TestPlans:
    @pytest.mark.thorough
    def test_shapes_are_those_of_the_sessions_and_evaluations_those_of_a_fit(self, tmp_path):
        paths, recipe = write_sessions(tmp_path, 2)
        found = pg.plan(paths, recipe, pg.Cluster(nodes=2, cores=4, memory=8e9))
        results = pg.fit_sessions(paths, recipe, tmp_path / "results")
        assert list(found.table.index) == list(results.table.index)
        name = found.pilot.session
        model = pg.load(results.table.loc[name, "path"])
        assert found.table.loc[name, "neurons"] == model.coef_.shape[0]
        assert found.table.loc[name, "features"] == model.coef_.shape[1]
        # the pilot has all neurons of so small a session
        every = [model.n_iter_, *model.cv_n_iter_]
        assert found.pilot.evaluations == pytest.approx(np.mean([np.mean(one) for one in every]))
        # its seconds are those of the plan
        assert found.table.loc[name, "cpu_seconds"] == pytest.approx(found.pilot.seconds)
        # what sessions take beside their fits is added: these are alike
        each = found.pilot.reading + found.pilot.explaining
        assert found.beside == pytest.approx(2 * each, rel=1e-6)
        assert each > 0
        facts = found.facts()
        assert facts["seconds"] == pytest.approx(found.division.seconds + 2 * each / 8, rel=0.01)
        assert facts["cpu_hours_beside_the_fits"] == pytest.approx(2 * each / 3600, rel=0.01)

    def test_sessions_of_one_file_name_are_planned(self, tmp_path):
        paths, recipe = write_sessions(tmp_path, 1)
        other = tmp_path / "other" / paths[0].name
        other.parent.mkdir()
        shutil.copy(paths[0], other)
        found = pg.plan([paths[0], other], recipe, pg.Cluster(cores=1), pilot_seconds=0)
        assert sorted(found.table.index) == sorted(f"{path.parent.name}_{path.stem}" for path in (paths[0], other))

    def test_nothing_is_fitted_without_seconds(self, tmp_path):
        paths, recipe = write_sessions(tmp_path, 1)
        found = pg.plan(paths, recipe, pg.Cluster(cores=1), pilot_seconds=0)
        assert found.pilot is None
        assert "simulations" in found.facts()["pilot"]
        with pytest.raises(ValueError, match="pilot_seconds must be a number that is not negative; found -1"):
            pg.plan(paths, recipe, pilot_seconds=-1)

    def test_the_command_tells_the_same(self, tmp_path):
        paths, recipe = write_sessions(tmp_path, 2)
        command = ["plan", *map(str, paths), "--recipe", str(recipe), "--nodes", "2", "--cores", "4", "--memory", "8"]
        found = CliRunner().invoke(app, [*command, "--pilot-seconds", "0", "--json"])
        assert found.exit_code == 0, found.output
        facts = json.loads(found.output)
        expected = pg.plan(paths, recipe, pg.Cluster(2, 4, 8e9), pilot_seconds=0).facts()
        assert facts == json.loads(json.dumps(expected))
        assert facts["cluster"] == "2 nodes of 4 cores and 8 GB"
