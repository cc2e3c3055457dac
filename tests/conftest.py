"""A toy task, its pairs, and a registry with the real metrics: runs that take milliseconds."""

from __future__ import annotations

import os

# Before NumPy and PyTorch are imported, here and in processes begun from here: there are as many
# processes as cores and more, and threads that wait for one another would take most of the time.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import gc
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from browsing import browser, visit  # noqa: F401  # fixtures: one browser a session
from codonbench import (
    Dataset,
    EvaluationSet,
    Input,
    Sequences,
    Split,
    Target,
    TaskSpec,
    hookimpl,
)
from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.prepare import Job, prepare
from codonbench.execution.run import run
from codonbench.plugins.discovery import load_registry
from codonbench.plugins.registry import Registry
from codonbench_datasets.decipher import DecipheredTask
from codonbench_datasets.human_codon.orfs import SimulatedDataset

ROOT = Path(__file__).resolve().parent.parent

gc.disable()  # until all tests are collected: a fifth of that time is spent in finding no garbage

# The same inputs each time, and no clock: what the suite says is about the code alone.
settings.register_profile(
    "suite",
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", settings.get_profile("suite"), max_examples=200)
settings.load_profile("suite")


@pytest.fixture
def server(monkeypatch):
    """A server of files on this machine; see `serving.Server`."""
    from serving import serving

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


RESIDUES = "GAVLI"
DIPEPTIDES = tuple(first + second for first in RESIDUES for second in RESIDUES)
LABELS = tuple((i // 5 + 2 * (i % 5)) % 4 for i in range(25))
RARITY = 1 + np.arange(25.0)

SPEC = TaskSpec(
    name="dipeptide",
    version="1",
    title="Which of four classes a dipeptide of five residues belongs to",
    input=Input.of_length(
        2, unit="dipeptide", symbol="residue", alphabet=RESIDUES, enumerable=True
    ),
    target=Target(names=("north", "east", "south", "west"), class_weights=(1.0, 2.0, 3.0, 4.0)),
    protocol="decipher",
    evaluation=EvaluationSet(inputs=DIPEPTIDES, targets=LABELS, groups={"stop": (0, 1)}),
    train_size=1_500,
    test_size=100,
    default_epochs=50,
    facts={"instrument_batches": [10, 20], "watched_groups": ["stop"]},
)


@dataclass(frozen=True, eq=False)
class Drawn(Dataset):
    """Pairs drawn independently by `frequencies`, from the inputs that are not held out."""

    def split(self, rng):
        p = self.frequencies
        if p is None:  # cannot be enumerated: train on anything but the evaluation set
            p = np.ones(len(self.items))
            p[self.evaluation] = 0
            p = p / p.sum()
        n = self.spec.train_size + self.spec.test_size
        pairs = rng.choice(len(self.items), size=n, p=p)
        none = np.zeros(0, dtype=np.int64)
        return Split(pairs[: self.spec.train_size], none, pairs[self.spec.train_size :])


class DipeptideTask(DecipheredTask):
    name = "dipeptide"
    version = "1"
    title = SPEC.title
    protocol = "decipher"
    default_data = "dice"

    def load(self, data, options, *, cache, offline=False):
        return Drawn(
            spec=SPEC,
            source="dice",
            checksum="d" * 64,
            simulated=True,
            items=Sequences.of(DIPEPTIDES, RESIDUES),
            targets=np.array(LABELS),
            evaluation=np.arange(25),
            frequencies=RARITY / RARITY.sum(),
        )


GC_INPUTS = np.random.default_rng(20).integers(4, size=(3_000, 12))
GC_LABELS = (np.isin(GC_INPUTS, (1, 3)).sum(axis=1) > 6).astype(int)  # letters UCAG: C and G


class GcRichTask(DecipheredTask):
    """Inputs that cannot be enumerated: 4 ** 12 sequences, of which 3,000 are ever drawn."""

    name = "gc-rich"
    version = "1"
    title = "Whether most letters of a sequence of twelve are G or C"
    protocol = "decipher"
    default_data = "dice"

    def load(self, data, options, *, cache, offline=False):
        held_out = np.arange(200)
        return Drawn(
            spec=TaskSpec(
                name=self.name,
                version=self.version,
                title=self.title,
                input=Input.of_length(12, alphabet="UCAG"),
                target=Target(names=("poor", "rich")),
                protocol="decipher",
                evaluation=EvaluationSet(
                    inputs=tuple("".join("UCAG"[i] for i in row) for row in GC_INPUTS[held_out]),
                    targets=tuple(GC_LABELS[held_out].tolist()),
                    target_accuracy=0.9,
                ),
                train_size=2_000,
                test_size=0,
            ),
            source="dice",
            checksum="e" * 64,
            simulated=True,
            items=Sequences.of_rows(GC_INPUTS),
            targets=GC_LABELS,
            evaluation=held_out,
        )


def plugin_module(name, *, models=(), tasks=(), metrics=()):
    """A module that registers these plugins, as a stranger's distribution would have it."""
    module = ModuleType(name)

    def hook(kind, plugins):
        def register_all(register):
            for plugin in plugins:
                register(plugin)

        register_all.__name__ = f"register_{kind}"
        setattr(module, register_all.__name__, hookimpl(register_all))

    hook("models", models)
    hook("tasks", tasks)
    hook("metrics", metrics)
    return module


class Toys:
    """Builders that tests share."""

    def __init__(self, installed: Registry) -> None:
        self.installed = installed
        self.spec = SPEC

    module = staticmethod(plugin_module)

    def registry(self, *models) -> Registry:
        """Everything installed, the two toy tasks, and `models`."""
        registry = Registry()
        registry.models.update(self.installed.models)
        registry.metrics.update(self.installed.metrics)
        registry.tasks.update(self.installed.tasks)
        registry.protocols.update(self.installed.protocols)
        tasks = (DipeptideTask(), GcRichTask())
        registry.add(plugin_module("toys", models=models, tasks=tasks), "toy-shop", "1.0")
        assert not registry.failures
        return registry

    def job(self, model="mlp-64", *, registry=None, **request) -> Job:
        """The job of a request; `model` is a name or a class, on the dipeptides by default."""
        if not isinstance(model, str):
            registry, model = self.registry(model), model.info.name
        asked = {"task": "dipeptide", "model": model, **request}
        return prepare(RunRequest(**asked), registry or self.registry(), Path("no-cache"))

    def run(
        self,
        model="mlp-64",
        on_snapshot=lambda pairs, progress: None,
        *,
        registry=None,
        **request,
    ):
        """The record and the trajectory of a request's first run."""
        if not isinstance(model, str):
            registry, model = self.registry(model), model.info.name
        registry = registry or self.registry()
        job = self.job(model, registry=registry, **request)
        job = replace(job, run_specs=job.run_specs[:1])
        ((record, trajectory),) = run(job, registry, lambda run_spec: on_snapshot)
        return record, trajectory


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Give slow tests their time, and begin with them: the last to end keeps no worker waiting.

    Those of the clean environment come first, so that one worker has them all and builds it once;
    those of no folder, which follow whole pages, come after the slow ones.
    """
    for item in items:
        if is_slow(item) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))
    items.sort(
        key=lambda item: (
            "clean_environment" not in item.fixturenames,
            not is_slow(item),
            item.path.parent != ROOT / "tests",
        )
    )


def pytest_collection_finish():
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # each look costs, and finds little
    gc.enable()


def is_slow(item):
    return any(item.get_closest_marker(name) for name in ("slow", "nightly"))


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_users_in_the_way(tmp_path_factory):
    """Keep tests from the runs that this machine's user makes elsewhere, and from its data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODONBENCH_LOCKS", str(tmp_path_factory.mktemp("locks")))
        for name in ("CODONBENCH_DATA", "CODONBENCH_MODELS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_heard():
    """Hear Ctrl-C, here and in processes begun from here, though the suite may run unheard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _codons_drawn_once(request):
    """Draw a seed's 640,000 simulated codons once: it takes longer than most runs of tests."""
    if request.config.getoption("--hypothesis-profile") == "nightly":
        yield
        return
    draw, drawn = SimulatedDataset.split, {}

    def split(self, rng):
        key = type(rng), pickle.dumps((self.usage, self.lengths, rng))
        if key not in drawn:
            drawn[key] = draw(self, rng)
            if len(drawn) > 16:  # of five megabytes each
                del drawn[next(iter(drawn))]
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedDataset, "split", split)
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Make a folder by a name once in a test run, whichever of its processes asks first."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose own folder lies in that of the run
        root = root.parent

    def made_once(name, make):
        folder, begun = root / name, root / f"{name}-begun"
        with FileLock(root / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir()
                make(begun)
                begun.rename(folder)
        return folder

    return made_once


@pytest.fixture(scope="session")
def _forker(request):
    if sys.platform != "linux" or request.config.getoption("--hypothesis-profile") == "nightly":
        yield subprocess.Popen
    else:
        from forking import forking

        with forking() as popen:
            yield popen


@pytest.fixture(scope="session")
def forked(_forker):
    """Fork workers, within this context, that a test is not about the start of."""
    names = SimpleNamespace(**vars(subprocess) | {"Popen": _forker})

    @contextmanager
    def forked():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("codonbench.execution.process.subprocess", names)
            yield

    return forked


@pytest.fixture
def forked_workers(forked):
    """Fork the workers of a test that is not about how they start; by night they start."""
    with forked():
        yield


@pytest.fixture(scope="session")
def toys():
    return Toys(load_registry())


@pytest.fixture(scope="session")
def finished(toys):
    """The record and the trajectory of one small finished run."""
    return toys.run("mlp-64", pairs=3_000, full=True)


@dataclass(frozen=True)
class CleanEnvironment:
    """A virtual environment with the wheel of codonbench in it, its requirements, and no more."""

    folder: Path

    def call(self, command, cwd, **environment):
        """Run a command with this environment first on the path; return its standard output."""
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        kept["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self, *what):
        """Install distributions beside what is there.

        What this environment has compiled of the same files is taken over: to compile PyTorch
        anew takes longer than all that is done with it.
        """
        self.call([sys.executable, ROOT / "scripts" / "install.py", self.folder, *what], ROOT)
        ours = Path(sysconfig.get_path("purelib"))
        (theirs,) = (self.folder / "lib").glob("python*/site-packages")
        for package in (path for path in ours.iterdir() if (theirs / path.name).is_dir()):
            for compiled in package.rglob("__pycache__"):
                place = theirs / compiled.relative_to(ours)
                if place.parent.is_dir():
                    shutil.copytree(compiled, place, dirs_exist_ok=True)

    def uninstall(self, distribution):
        """Take a distribution out again."""
        uv = [sys.executable, "-m", "uv", "pip", "uninstall", "--quiet"]
        self.call([*uv, "--python", self.folder, distribution], self.folder)

    def build(self, project, into):
        """Build the wheel of a project; return it."""
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", into]
        self.call([*build, project], into)
        (wheel,) = into.glob("*.whl")
        return wheel


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory):
    """The environment of a stranger who has installed codonbench's wheel; built once."""
    environment = CleanEnvironment(tmp_path_factory.mktemp("clean") / "env")
    environment.install(environment.build(ROOT, tmp_path_factory.mktemp("dist")))
    return environment
