"""Bad input: one line that names the argument, exit status 2, nothing written."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from nnmf_runner.config import composition, schema
from nnmf_runner.core.checks import InputError

pytestmark = pytest.mark.slow

# Command line, and what its message has to name.
SINGLE = [
    ("method=foo", ["method=foo", "deep, deep_mu, hier", "neural"]),
    ("method=neurl", ["Did you mean 'neural'?"]),
    ("dataset=foo", ["dataset=foo", "toy"]),
    ("cost=foo", ["cost=foo", "energy, kl, multilevel, reconstruction"]),
    ("optimizer=foo", ["optimizer=foo", "lbfgs"]),
    ("init=foo", ["init=foo", "nndsvd"]),
    ("experiment=tabel1", ["experiment=tabel1", "Did you mean 'table1"]),
    ("methd=neural", ["methd", "Did you mean 'method'?"]),
    ("sede=3", ["sede", "Did you mean 'seed'?"]),
    ("supervision.wieght=1", ["supervision.wieght", "Did you mean 'supervision.weight'?"]),
    ("method.solver=mu", ["method.solver", "method=hier"]),
    ("method=hier method.pooling=max", ["method.pooling", "method=deep"]),
    ("optimizer.step=1", ["optimizer.step", "optimizer=gd"]),
    ("method.foo=1", ["method.foo"]),
    ("+foo=1", ["foo"]),
    ("++foo=1", ["foo"]),
    ("++method.foo=1", ["method.foo"]),
    ("+method.foo=1", ["method.foo"]),
    ("~method", ["method"]),
    ("~optimizer", ["optimizer"]),
    ("~foo", ["foo"]),
    ("method=null", ["method"]),
    ("dataset=null", ["dataset"]),
    ("method=[", ["method"]),
    ("seed", ["seed"]),
    ("seed=abc", ["seed", "abc"]),
    ("seed=1.5", ["seed", "1.5"]),
    ("seed=-1", ["seed=-1"]),
    ("trials=x", ["trials", "x"]),
    ("trials=0", ["trials=0"]),
    ("workers=0", ["workers=0"]),
    ("max_iter=-1", ["max_iter=-1"]),
    ("tol=-1", ["tol=-1"]),
    ("tol=nan", ["tol=nan"]),
    ("tol=inf max_iter=1", ["tol=inf"]),
    ("force=maybe", ["force", "maybe"]),
    ("force=5", ["force=5", "true or false"]),
    ("method=ncpd method.exact_codes=7", ["method.exact_codes=7", "true or false"]),
    ("method=semi layers=4 method.nonnegative=5", ["method.nonnegative=5", "true or false"]),
    ("layers=[[9,4],[2]]", ["layers=[[9,4],[2]]", "single values"]),
    ("layers={a:1}", ["layers={a:1}"]),
    ("cost=energy cost.weights=[[1]]", ["cost.weights=[[1]]"]),
    ("supervision.levels=[[0]]", ["supervision.levels=[[0]]", "a list of single values"]),
    ("dataset=file dataset.labels=[[a,b],[c]]", ["dataset.labels=[[a,b],[c]]", "without lists in it"]),
    ("output=~nobodyhere/x", ["output=~nobodyhere/x", "no user"]),
    ("init=~nobodyhere/x", ["init=~nobodyhere/x", "no user"]),
    ("dataset=file dataset.path=~nobodyhere/x.npz", ["dataset.path=~nobodyhere/x.npz", "no user"]),
    ("dataset=newsgroups dataset.cache=~nobodyhere", ["dataset.cache=~nobodyhere", "no user"]),
    ("label_fraction=high", ["label_fraction", "high"]),
    ("label_fraction=2", ["label_fraction=2", "[0, 1]"]),
    ("label_fraction=-0.1", ["label_fraction=-0.1"]),
    ("label_fraction=nan", ["label_fraction=nan"]),
    ("label_level=7", ["label_level=7"]),
    ("eval_label_level=3", ["eval_label_level=3 does not exist", "at most 2"]),
    ("eval_label_level=-1", ["eval_label_level=-1"]),
    ("layers=[]", ["layers", "empty"]),
    ("layers=", ["layers"]),
    ("layers=null", ["layers"]),
    ("layers=0", ["layers[0]=0", "positive integer"]),
    ("layers=[9,0]", ["layers[1]=0"]),
    ("layers=[-3]", ["layers[0]=-3"]),
    ("layers=[9,4.5]", ["layers[1]=4.5"]),
    ("layers=true", ["layers"]),
    ("layers=nine", ["layers", "nine"]),
    ("layers=9-x", ["layers[1]=x"]),
    ("layers=[9,12]", ["layers[1]=12 exceeds layers[0]=9"]),
    ("method=unfolded layers=9-4", ["method=unfolded has no hierarchy", "2 ranks, expected one rank"]),
    ("method=unfolded layers=9 method.unfold=0", ["method.unfold=0"]),
    ("method=unfolded layers=9 method.beta=3", ["method.beta=3", "[1, 2]"]),
    ("layers=[88]", ["layers[0]=88", "87"]),
    ("name=../x", ["name=../x"]),
    ("name=..", ["name=.."]),
    ("name=a/b", ["name=a/b"]),
    ("cost=energy method=hier", ["method=hier", "cost=energy"]),
    ("cost=energy cost.weights=[1,1,1,1] layers=9-4", ["cost.weights", "4", "2"]),
    ("cost=energy cost.weights=[-1]", ["cost.weights[0]=-1"]),
    ("cost.weights=[1,1]", ["cost.weights=[1.0, 1.0] has 2 entries", "expected 3"]),
    ("cost.weights=[0,0,0]", ["cost.weights", "no positive entry"]),
    ("cost.weights=[1,nan,1]", ["cost.weights[1]=nan"]),
    ("method=hier cost=multilevel", ["method=hier has no cost=multilevel"]),
    ("method=deep cost.weights=[1,1,1]", ["cost.weights"]),
    ("supervision.levels=most", ["supervision.levels=most", "all, auto, last"]),
    ("supervision.levels=[0,1,9]", ["supervision.levels[2]=9 does not exist", "at most 2"]),
    ("supervision.levels=[0,1]", ["supervision.levels=[0, 1] has 2 entries", "expected 3"]),
    ("supervision.levels=[0,1,2] label_level=1", ["label_level=1 and supervision.levels=[0, 1, 2]"]),
    ("supervision.levels=all method=hier", ["method=hier learns from labels in its last layer alone"]),
    ("regularisation.l2_A=0.1 regularisation.l2_S=0.1 cost=energy", ["cost=energy", "cannot be regularised"]),
    ("method=hier supervision.loss=cross_entropy", ["method=hier", "supervision.loss=cross_entropy"]),
    ("supervision.loss=square", ["supervision.loss=square", "Did you mean 'squared'?"]),
    ("dataset.noise=-1", ["dataset.noise=-1"]),
    ("dataset.noise=inf max_iter=1", ["dataset.noise=inf"]),
    ("dataset.topics=[0,0]", ["dataset."]),
    ("dataset.levels=[0,0,0] dataset.noise=0", ["X holds only zeros"]),
    ("published=table9 max_iter=1", ["published=table9", "table1, table2"]),
    ("trials=100000000000000000000", ["trials=100000000000000000000", "an integer in [1, 1e+06]"]),
    ("seed=-1180591620717411303424", ["seed=-1180591620717411303424", "an integer in [0, inf)"]),
    ("max_iter=10**20", ["max_iter=10**20", "an integer"]),
    ("output=/dev/null/x max_iter=1", ["/dev/null"]),
    ("output=/proc/nowhere max_iter=1", ["/proc/nowhere"]),
    ("hydra/launcher=nope", ["hydra/launcher=nope"]),
    ("hydra=null", ["hydra=null"]),
    ("experiment=null", ["experiment=null"]),
    ("hydra/launcher=null", ["hydra/launcher=null"]),
    ("=1", ["=1 cannot be read"]),
    ("--resolve", ["--resolve goes with --cfg alone"]),
    ("-s q", ["-sc"]),
    ("--nonsense", ["--nonsense", "--help lists all options"]),
    ("-x", ["-x"]),
    ("-- --nonsense", ["--nonsense"]),
    ("+seed=1", ["seed has a value already", "seed=..., without a plus"]),
    ("output=.", ["output=. is not valid", "a name of its own"]),
    ("output=~", ["output=~ is not valid"]),
    (f"layers={10**30}", [f"layers[0]={10**30}"]),
    (f"method=unfolded layers=9 method.unfold={10**30}", [f"method.unfold={10**30}"]),
    (f"dataset=planted dataset.samples={10**30}", [f"dataset.samples={10**30}"]),
    ("seed=1\n2", ["seed=", "Expected an integer"]),
    ("se\ned=1", ["se\\ned=1"]),
    ("\N{LINE SEPARATOR}=1", ["\\u2028=1"]),
    ("\x1b[31m=1", ["\\x1b[31m=1"]),
    ("\udcff=1", ["\\udcff=1"]),
    ("name=\udcff", ["name=\\udcff"]),
    ("mask=\udcff", ["mask=\\udcff"]),
    ("init=/\udcff", ["init.path=/\\udcff"]),
    ("dataset=file dataset.path=\udcff.npz", ["dataset.path=\\udcff.npz"]),
    ("experiment=\udcff", ["experiment=\\udcff"]),
    ("published=\udcff", ["published=\\udcff"]),
    ("init=" + "a" * 100_000, ["init=aaa", "is not known"]),
    ("init=/" + "a/" * 5000, ["init.path=/a/a"]),
    ("mask=" + "a/" * 5000, ["mask=a/a"]),
    ("dataset=file dataset.path=" + "a/" * 5000, ["a/a"]),
]

SWEEPS = [
    ("-m seed=0,abc,1", ["seed", "abc"]),
    ("-m method=neural,foo,deep", ["method=foo"]),
    ("-m layers=[9],[9,12],[9,4]", ["layers[1]=12"]),
    ("-m label_fraction=0,1.5,1", ["label_fraction=1.5"]),
    ("-m layers=[9],[88],[4]", ["layers[0]=88"]),
    ("-m seed=0,1 sede=3", ["sede"]),
    ("-m cost=energy cost.weights=[1,1] layers=[9,4],[9]", ["cost.weights"]),
    ("-m seed=0,1 output=/dev/null/x", ["/dev/null"]),
    ("-m seed=0,1 name=../x", ["name=../x"]),
    ("-m method=hier,neural cost=reconstruction,energy", ["method=hier", "cost=energy"]),
    ("experiment=table1 seed=abc", ["seed", "abc"]),
    ("-m hydra/launcher=null", ["hydra/launcher=null"]),
    (f"-m seed={','.join(map(str, range(100)))} layers=0", ["layers[0]=0"]),
    ("-m seed=range(0,1000000000)", ["seed=range(0,1000000000)", "100000 configurations", "split"]),
    ("-m seed=range(0,3,0)", ["seed=range(0,3,0)"]),
    ("-m seed=range(0,inf)", ["seed=range(0,inf)"]),
    ("-m seed=range(0,1000) label_fraction=range(0,1,0.001)", ["seed, label_fraction", "100000 configurations"]),
    ("-m seed=0,1 trials=1000000", ["trials=1000000", "1000000 runs"]),
]
RANKS = [
    ("", ["ranks has to be given", "ranks=2..20"]),
    ("ranks=", ["ranks= cannot be read"]),
    ("ranks=9..2", ["ranks=9..2 holds no rank"]),
    ("ranks=1..9", ["ranks=1..9 begins with 1"]),
    ("ranks=2..3", ["Expected at least 3"]),
    ("ranks=58..61 dataset=planted", ["ranks go up to 61", "Expected ranks of at most 60"]),
    ("ranks=2..5 layers=9", ["layers=9 cannot be set"]),
    ("ranks=2..5 label_fraction=0.4", ["label_fraction=0.4", "Expected label_fraction=0"]),
    ("ranks=2..5 seed=0,1", ["seed=0,1 is several values"]),
    ("ranks=2..5 holdout=0.1", ["holdout=0.1 cannot be set"]),
    ("ranks=2..5 method=hi", ["method=hi is not known", "hier"]),
    ("ranks=2..5 sede=3", ["sede", "Did you mean 'seed'?"]),
    ("ranks=2..5 dataset=blocks", ["resample=halves takes a part of a matrix, but dataset=blocks is a tensor"]),
    ("ranks=2..5 dataset=file dataset.path=absent.npz", ["dataset.path=", "absent.npz"]),
    ("ranks=2..5 hydra/launcher=nope", ["hydra/launcher=nope"]),
    ("ranks=2..5 output=/dev/null/x", ["/dev/null"]),
    ("ranks=2..5 -m", ["-m", "nnmf-rank --help"]),
]
# Options of numbers with what chooses the part that has them.
NUMBERS = [
    (f"{below}={part.name}" if below in schema.GROUPS else "seed=0", f"{below}.{name}".removeprefix("."))
    for below, part in schema.parts()
    for name in schema.fields_of(part)
    if re.search(r"\b(int|float)\b", str(schema.types_of(part)[name]))
]


def is_one_line_that_names(result, parts, program="nnmf-run"):
    assert result.files == []
    assert result.status == 2
    assert "Traceback" not in result.err
    assert result.err.count("\n") == 1
    assert result.err.startswith(f"{program}: ")
    assert [part for part in parts if part not in result.err] == []
    assert result.out == ""


@pytest.mark.parametrize("sweep", [[], ["-m", "label_fraction=0,1"]])
@pytest.mark.parametrize("option", ["seed=N", "max_iter=-N", "layers=N", "layers=[9,N]", "supervision.levels=[N]"])
def test_an_integer_of_more_digits_than_python_reads_is_refused(command, sweep, option):
    parts = [f"{option.partition('=')[0]} has an integer of too many digits", "4300"]
    is_one_line_that_names(command(*sweep, option.replace("N", "9" * 5000)), parts)


@pytest.mark.parametrize(("chosen", "option"), NUMBERS)
def test_a_number_of_any_size_is_read_or_refused_in_one_line(chosen, option):
    for number in (10**30, -(10**30), 10**400):
        with suppress(InputError):
            composition.read([chosen, f"{option}={number}"])


def test_a_list_of_more_letters_than_a_file_name_may_have_is_a_sweep():
    sweep = composition.read(["-m", f"seed={','.join(map(str, range(100)))}"])
    assert (sweep.size, [cell.config.seed for cell in sweep.cells]) == (100, [*range(100)])


@pytest.mark.parametrize(("line", "parts"), SINGLE, ids=[ascii(line)[:80] for line, _ in SINGLE])
def test_a_run_is_refused_before_anything_is_written(command, line, parts):
    is_one_line_that_names(command("max_iter=3", *line.split(" ")), parts)


@pytest.mark.parametrize(("line", "parts"), SWEEPS, ids=[line[:80] for line, _ in SWEEPS])
def test_a_sweep_with_one_bad_value_is_refused_before_its_first_run(command, line, parts):
    is_one_line_that_names(command(*line.split(), "max_iter=3"), parts)


@pytest.mark.parametrize(("line", "parts"), RANKS, ids=[line or "nothing" for line, _ in RANKS])
def test_a_choice_of_ranks_is_refused_before_anything_is_written(command, line, parts):
    is_one_line_that_names(command(*line.split(), program="nnmf-rank"), parts, "nnmf-rank")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "parts"),
    [("methd=neural", ["methd", "'method'"]), ("layers=[9,12]", ["layers[1]=12"]), ("-m seed=0,x", ["seed", "x"])],
)
def test_so_it_is_in_a_process_of_its_own(script, line, parts):
    is_one_line_that_names(script("nnmf-run", *line.split()), parts)


def test_an_output_folder_that_is_a_file_is_refused(command, tmp_path_factory):
    file = tmp_path_factory.mktemp("other") / "file"
    file.write_text("content")
    is_one_line_that_names(command(f"output={file}", "max_iter=3"), [str(file)])
    assert file.read_text() == "content"


def test_too_long_a_name_is_refused(command):
    result = command(f"name={'a' * 300}", "max_iter=3")
    assert result.status == 2
    assert "a" * 300 in result.err.splitlines()[-1]
    assert [name for name in result.files if name != "outputs"] == []


@pytest.mark.parametrize("program", ["nnmf-status", "nnmf-collect"])
def test_the_home_of_an_unknown_user_is_refused_everywhere(command, program):
    result = command("~nobodyhere/x", program=program)
    is_one_line_that_names(result, ["folder=~nobodyhere/x", "no user"], program)


def test_collecting_a_missing_folder_or_one_without_records_is_refused(command, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    for folder in (empty / "absent", empty):
        is_one_line_that_names(command(folder, program="nnmf-collect"), [f"folder={folder}"], "nnmf-collect")
    assert list(empty.iterdir()) == []


def test_collecting_damaged_records_alone_is_refused(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "record.json").write_text("{")
    result = command(folder, program="nnmf-collect")
    assert result.status == 2
    assert result.err.splitlines()[-1].startswith(f"nnmf-collect: folder={folder} holds no record")
    assert "Traceback" not in result.err
    assert [path.name for path in folder.iterdir()] == ["record.json"]
