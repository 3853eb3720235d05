"""Every peer in a virtual environment of its own, and its runner in two threads."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".envs"


@dataclass(frozen=True)
class Peer:
    """What to install, and what to run there; popglm runs where this command runs."""

    label: str
    runner: str
    requirements: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


HIMALAYA = ("himalaya", "packaging")
NEMOS = ("nemos",)
SCIKIT_LEARN = ("scikit-learn",)
STATSMODELS = ("statsmodels",)
GLUM = ("glum",)
ADELIE = ("numpy<2", "adelie==1.1.52")
POPGLM = Peer("popglm", "with_popglm.py")
PEERS = {
    "adelie": Peer("adelie", "with_adelie.py", ADELIE),
    "adelie-gram": Peer("adelie, shared XᵀX", "with_adelie.py", ADELIE, ("--gram",)),
    "glum": Peer("glum", "with_glum.py", GLUM),
    "himalaya": Peer("himalaya", "with_himalaya.py", HIMALAYA),
    "nemos": Peer("NeMoS", "with_nemos.py", NEMOS),
    "scikit-learn": Peer("scikit-learn", "with_scikit_learn.py", SCIKIT_LEARN),
    "skglm": Peer("skglm", "with_skglm.py", ("skglm",)),
    "popglm-adam": Peer("popglm, adam", "with_popglm.py", (), ("--solver", "adam", "--all-rows")),
}

#: The search over weights of feature spaces, which is no job of `peers.py`.
BANDED = {
    "popglm": Peer("popglm, FactorSearch", "banded_ridge.py"),
    "himalaya": Peer("himalaya, GroupRidgeCV", "banded_ridge.py", HIMALAYA, ("--himalaya",)),
    "himalaya-kernels": Peer(
        "himalaya, MultipleKernelRidgeCV", "banded_ridge.py", HIMALAYA, ("--himalaya", "--kernels")
    ),
}

#: Coupled neurons, which are no job of `peers.py`.
COUPLED = {
    "popglm": Peer("popglm", "coupling_fits.py"),
    "nemos": Peer("NeMoS", "coupling_fits.py", NEMOS, ("--nemos",)),
}

#: Counts with a dispersion, which no peer fits with groups.
DISPERSED = {
    "popglm": Peer("popglm", "dispersed_counts.py"),
    "statsmodels": Peer("statsmodels", "dispersed_counts.py", STATSMODELS, ("--peer", "statsmodels")),
    "glum": Peer("glum", "dispersed_counts.py", GLUM, ("--peer", "glum")),
}

#: Responses of several classes, which are no job of `peers.py`.
CLASSES = {
    "popglm": Peer("popglm", "class_fits.py"),
    "adelie": Peer("adelie", "class_fits.py", ADELIE, ("--peer", "adelie")),
    "scikit-learn": Peer("scikit-learn", "class_fits.py", SCIKIT_LEARN, ("--peer", "scikit-learn")),
}


def interpreter(peer: Peer) -> Path:
    """Python of the peer's environment, which is made at its first use."""
    if not peer.requirements:
        return Path(sys.executable)
    # of several runners
    shared = {HIMALAYA: "himalaya", NEMOS: "nemos", ADELIE: "adelie", SCIKIT_LEARN: "scikit_learn"}
    shared |= {STATSMODELS: "statsmodels", GLUM: "glum"}
    name = shared.get(peer.requirements, peer.runner.removeprefix("with_").removesuffix(".py"))
    folder = ENVIRONMENTS / name
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(peer.requirements)
    if not installed.exists() or installed.read_text() != wanted:
        print(f"making the environment of {peer.label}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *peer.requirements], check=True)
        installed.write_text(wanted)
    return python


def run(peer: Peer, arrays: Path, result: Path, threads: int, budget: float, extra: tuple[str, ...] = ()) -> str:
    """Run the peer's runner on a job; returns "" or why there is no (complete) result.

    Held to as many cores as threads, since not every library listens to the variables.
    """
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names}
    command = [str(interpreter(peer)), str(HERE / "runners" / peer.runner), str(arrays), str(result)]
    command += ["--threads", str(threads), "--budget", str(budget), *peer.arguments, *extra]
    if hasattr(os, "sched_setaffinity"):
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))
        command = ["taskset", "-c", cores, *command]
    limit = None if math.isinf(budget) else 2 * budget
    try:
        done = subprocess.run(command, env=environment, timeout=limit, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return f"ended after {limit:.0f} s"
    print(done.stdout, end="", flush=True)
    return "" if done.returncode == 0 else f"failed: {done.stderr.strip().splitlines()[-1]}"
