"""The rooms of the house: who imports whom, what is loaded when, what a configuration can reach."""

from __future__ import annotations

import ast
import copy
import dataclasses
import doctest
import importlib
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

import nnmf_runner
from nnmf_runner.config import composition, engine, schema
from nnmf_runner.config.help import options_of
from nnmf_runner.core.checks import InputError
from nnmf_runner.estimators import ESTIMATORS
from nnmf_runner.methods import METHODS
from nnmf_runner.methods.hier import Hierarchical

PACKAGE = Path(nnmf_runner.__file__).parent
CONF = Path(engine.conf_dir())
TESTS = Path(__file__).parent
# From the mathematics up.
ROOMS = ["core", "methods", "store", "datasets", "config", "task", "metrics", "running", "report", "estimators", "cli"]
ALLOWED = {room: set(ROOMS[: i + 1]) for i, room in enumerate(ROOMS)}
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return str(path.relative_to(PACKAGE))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py").replace("__main__", "cli")


def imports(path):
    """Full names of the modules that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def has_code(path):
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(ast.parse(path.read_text())))


def test_of(path):
    """The file of tests of a module, in the same place and of its name; that of the package itself is this one."""
    parts = path.relative_to(PACKAGE)
    if parts == Path("__init__.py"):
        return Path(__file__)
    name = path.parent.name if path.stem == "__init__" else path.stem  # a folder's own code goes by the folder's name
    return TESTS / parts.with_name(f"test_{name}.py")


test_of.__test__ = False  # no test itself


@pytest.mark.parametrize("path", [p for p in MODULES if has_code(p)], ids=name_of)
def test_every_module_has_its_tests_in_the_same_place(path):
    assert test_of(path).exists()


def test_every_file_of_tests_is_of_a_module_or_of_the_whole():
    of_the_whole = {TESTS / folder for folder in ("end_to_end", "cluster", "fuzz")}
    rest = {path for path in TESTS.rglob("test_*.py") if path.parent not in of_the_whole}
    assert rest - {test_of(path) for path in MODULES} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != PACKAGE or p.name != "__init__.py"], ids=name_of)
def test_a_room_imports_only_from_rooms_before_it(path):
    used = {name.split(".")[1] for name in imports(path) if name.startswith("nnmf_runner.")}
    assert used - {"__version__"} <= ALLOWED[room_of(path)]


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) == "core"], ids=name_of)
def test_the_core_needs_numpy_and_scipy_alone(path):
    tops = {name.split(".")[0] for name in imports(path)}
    assert tops - set(sys.stdlib_module_names) <= {"numpy", "scipy", "nnmf_runner"}


# Distributions whose modules have other names.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "mlflow": "mlflow-skinny",
    "sklearn": "scikit-learn",
    "tensorboardX": "tensorboardx",
    "yaml": "pyyaml",
}
# The extras of files that are not imported without their packages.
EXTRAS = {
    "report/page/render.py": "report",
    "running/distributed.py": "dask",
    "running/search.py": "optuna",
    "store/trackers/mlflow.py": "mlflow",
    "store/trackers/tensorboard.py": "tensorboard",
}
# What is used where it is installed, and nothing asks for.
IF_THERE = {("task.py", "threadpoolctl"), ("estimators/factorisation.py", "scikit-learn")}


def distributions(names):
    """The distributions of modules that are of neither Python nor this package."""
    tops = {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, "nnmf_runner"}
    return {DISTRIBUTIONS.get(top, top) for top in tops}


def declared(extra=None):
    """What is installed with the package, or the extra of it."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else [])]
    return {re.match(r"[\w-]+", each)[0].lower() for each in wanted}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_a_module_imports_is_declared_where_its_message_says(path):
    """Not what happens to come with something else."""
    name, tree = name_of(path), ast.parse(path.read_text())
    used = {each for each in distributions(imports(path)) if (name, each) not in IF_THERE}
    assert used <= declared(EXTRAS.get(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "required":
            module, extra = (argument.value for argument in node.args[:2])
            assert distributions([module]) <= declared(extra)
    for extra in re.findall(r"nnmf-runner\[(\w+)\]", path.read_text()):
        assert declared(extra)


@pytest.mark.slow
def test_hydra_is_known_to_the_configuration_alone_and_what_it_keeps_private_to_one_file():
    users = {room_of(p) for p in MODULES if {n.split(".")[0] for n in imports(p)} & {"hydra", "omegaconf"}}
    assert users == {"config"}
    assert [name_of(p) for p in MODULES if "hydra._internal" in " ".join(imports(p))] == ["config/engine.py"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_runs_code_that_a_file_names(path):
    tree = ast.parse(path.read_text())
    called = {ast.unparse(node.func).split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"eval", "exec", "compile_command", "instantiate", "get_class", "get_method", "get_object"}
    assert not {n.split(".")[0] for n in imports(path)} & {
        "pickle",
        "dill",
        "cloudpickle",
        "joblib",
        "marshal",
        "shelve",
    }
    assert "allow_pickle=True" not in path.read_text()


def loaded(code, folder):
    """Top-level modules that are loaded after some code."""
    tail = "\nimport sys; print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + tail], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.partition("LOADED")[2].split())


def test_the_version_is_known_without_loading_numbers(tmp_path):
    assert not loaded("import nnmf_runner; nnmf_runner.__version__", tmp_path) & {"numpy", "hydra"}


def test_starting_the_command_line_loads_no_numbers(tmp_path):
    assert not loaded("import nnmf_runner.cli", tmp_path) & {"numpy", "pandas", "matplotlib", "scipy", "hydra"}


@pytest.mark.slow
def test_completion_shows_the_public_names_and_nothing_else():
    names = dir(nnmf_runner)
    assert {"NeuralNMF", "HierarchicalNMF", "load", "nnls", "__version__"} <= {*names}
    assert all(hasattr(nnmf_runner, name) for name in names)
    assert not {"Any", "_HOMES"} & {*names}


def test_a_run_loads_neither_pandas_nor_matplotlib(tmp_path):
    code = "import sys; from nnmf_runner.cli import run; sys.argv = ['nnmf-run', 'max_iter=2']; assert run() == 0"
    names = loaded(code, tmp_path)
    assert "numpy" in names
    assert not names & {"pandas", "matplotlib"}


@pytest.mark.slow
def test_estimators_do_not_load_hydra(tmp_path):
    names = loaded("from nnmf_runner import NeuralNMF, HierarchicalNMF, DeepNMF, nnls", tmp_path)
    assert not names & {"hydra", "omegaconf", "pandas", "matplotlib", "sklearn"}


OPTIONS = [(group, option) for group in schema.GROUPS for option in options_of(group)]


@pytest.fixture
def part_of(configure):
    """The part that an option of a group stands for; with one rank where it can have no more."""

    def make(group, option):
        one_rank = getattr(schema.GROUPS[group].get(option), "most_layers", None) == 1
        return getattr(configure(f"{group}={option}", *(["layers=9"] if one_rank else [])), group)

    return make


@pytest.mark.slow
@pytest.mark.parametrize(("group", "option"), OPTIONS, ids="=".join)
def test_every_option_composes_and_resolves(part_of, group, option):
    part = part_of(group, option)
    assert type(part) in schema.GROUPS[group].values()


def test_parts_are_options_without_a_file_and_files_are_presets_of_them():
    assert {path.name for path in CONF.iterdir() if path.is_dir()} <= {"experiment", "hydra", *schema.GROUPS}
    for group, registry in schema.GROUPS.items():
        assert not {path.stem for path in (CONF / group).glob("*.yaml")} & set(registry)
        assert all(part.name == name for name, part in registry.items())


@pytest.mark.slow
def test_a_part_of_ones_own_needs_its_registry_alone(monkeypatch):
    @dataclass
    class Mine(Hierarchical):
        name: ClassVar[str] = "mine"
        costs: ClassVar[tuple[str, ...]] = ("kl", "reconstruction")
        solver: str = "mu"

    Plugins.instance()  # which brings its own parts into the store, once, and not only into the copy
    monkeypatch.setitem(METHODS, "mine", Mine)
    monkeypatch.setattr(ConfigStore.instance(), "repo", copy.deepcopy(ConfigStore.instance().repo))
    config = composition.read(["method=mine"])
    assert (type(config.method), config.cost.name) == (Mine, "kl")
    assert composition.read(["method=mine", "cost=reconstruction"]).cost.name == "reconstruction"
    assert "method.solver=mu" in composition.read(["method=mine", "--help"])
    with pytest.raises(InputError, match=r"deep, deep_mu, hier, hier_mu, mine, ncpd, neural"):
        composition.read(["method=yours"])


@pytest.mark.parametrize("name", [path.stem for path in sorted((CONF / "experiment").glob("*.yaml"))])
def test_every_experiment_composes(configure, name):
    config = configure(f"experiment={name}")
    assert config.name in (name, "runs") or name.startswith(f"{config.name}_")


def options(part):
    """Options of a configuration by their own names: objects by theirs, the method's options among the others."""
    found = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.name in schema.GROUPS and field.name != "method":
            found[field.name] = value.name
        else:
            found |= options(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return found


@pytest.mark.parametrize("name", ESTIMATORS)
def test_defaults_of_the_schema_and_the_estimators_agree(configure, name):
    parameters = ESTIMATORS[name]().get_params()
    assert parameters.pop("random_state", "absent") is None  # a seed there, of more than the fit
    config = configure(f"method={ESTIMATORS[name]._method.name}", *(["layers=9"] if name == "UnfoldedNMF" else []))
    assert options(config.method).keys() <= parameters.keys()
    assert parameters.pop("seed_words", None) is None  # there in a file, of the dataset
    found = options(config) | {"fixed": ()}
    assert parameters == {name: found[name.removeprefix("label_")] for name in parameters}


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in MODULES if ">>> " in p.read_text()], ids=name_of)
def test_examples_of_docstrings_run(path):
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", [n for n in nnmf_runner.__all__ if not n.endswith(("Error", "Warning"))])
def test_public_names_have_an_example(name):
    assert ">>> " in getattr(nnmf_runner, name).__doc__


def test_other_names_are_refused_as_attributes():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = nnmf_runner.nonsense
