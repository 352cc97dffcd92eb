"""The command lines as a user meets them."""

from __future__ import annotations

import dataclasses
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

import nnmf_runner
from nnmf_runner import cli
from nnmf_runner.config.engines import DaskWorkers
from nnmf_runner.core import optimizers
from nnmf_runner.store.record import find_records, read_factors, read_record, run_folder, write_record

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
ENDLESS = ["method=deep", "max_iter=10000000", "tol=0"]
LOG_LINE = re.compile(r"(hier|deep|neural) [\d-]+ \w+ seed \d+: |outputs/\w+: \d+ of \d+ runs are done")


def records_below(folder):
    return [read_record(path) for path in find_records(folder)]


def is_silent_but_for_the_log(result):
    return (
        result.status == 0 and all(LOG_LINE.match(line) for line in result.err.splitlines()) and "\r" not in result.err
    )


def test_a_run_prints_its_table_and_folder_and_writes_its_record(command, tmp_path):
    result = command("method=neural", "layers=[9,4,2]")
    assert is_silent_but_for_the_log(result)
    header, *rows, folder = result.out.splitlines()
    assert all(
        name in header for name in ("layer", "rank", "relative error", "Eckart-Young floor", "accuracy", "unlabelled")
    )
    assert [row.split()[:2] for row in rows] == [["0", "9"], ["1", "4"], ["2", "2"]]
    written = {path.name for path in (tmp_path / folder).iterdir()}
    assert written == {"record.json", "factors.npz", "history.csv"}
    # outputs, runs, the first digits, the folder and what is in it: Hydra writes nothing
    assert len(result.files) == 2 + 2 + 3


def test_a_semisupervised_run(command, tmp_path):
    result = command("method=hier", "layers=[9,4]", "label_fraction=0.4", "seed=3", "max_iter=20")
    assert is_silent_but_for_the_log(result)
    (record,) = records_below(tmp_path)
    assert (record["regime"], record["config"]["seed"], record["config"]["layers"]) == ("semisupervised", 3, [9, 4])
    last = result.out.splitlines()[2].split()
    assert float(last[2]) == pytest.approx(record["metrics"]["relative_error"], abs=5e-5)
    assert float(last[5]) == pytest.approx(record["metrics"]["accuracy_unknown"], abs=5e-5)


def test_a_sweep_ends_with_the_errors_of_its_own_runs_alone(command):
    command("method=hier", "layers=[9]", "max_iter=2")
    shown = command("-m", "method=deep", "layers=[4]", "seed=0,1", "max_iter=2").out
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[-1] for row in rows[:1]] == ["deep |"]
    assert len(rows) == 3  # of which one is that of the runs
    assert "n = 2." in shown


@pytest.mark.slow
def test_a_sweep_runs_every_combination(command, tmp_path):
    result = command("-m", "method=hier,deep,neural", "layers=[9],[9,4]", "label_fraction=0,1", "max_iter=2")
    assert is_silent_but_for_the_log(result)
    assert "12 done, 0 failed" in result.out
    assert result.out.splitlines()[-1].startswith("nnmf-collect outputs/runs writes")
    errors = [row for row in result.out.splitlines() if row.startswith(("| unsupervised", "| supervised"))]
    assert len(errors) == 4  # of two depths with and without labels, for all methods
    cells = {(r["config"]["method"]["name"], len(r["layers"]), r["regime"]) for r in records_below(tmp_path)}
    assert len(cells) == 12


def test_what_hydra_writes_is_not_left_beside_the_records(command, tmp_path):
    command("-m", "seed=0,1", "max_iter=2")
    assert all(path.is_dir() for path in (tmp_path / "outputs" / "runs").iterdir())


def test_layers_in_the_shell_safe_form_are_the_same_run(command):
    first, second = command("layers=9-4", "max_iter=2"), command("layers=[9,4]", "max_iter=2")
    assert first.out.splitlines()[-1] == second.out.splitlines()[-1]
    assert first.files == second.files


def test_trials_are_averaged_in_one_table(command, tmp_path):
    result = command("trials=3", "layers=9", "max_iter=5")
    assert is_silent_but_for_the_log(result)
    records = records_below(tmp_path)
    assert sorted(record["config"]["seed"] for record in records) == [0, 1, 2]
    mean = np.mean([record["metrics"]["relative_error"] for record in records])
    assert float(result.out.splitlines()[1].split()[2]) == pytest.approx(mean, abs=5e-5)
    assert "standard deviation of 3 trials" in result.out


@pytest.mark.slow
def test_a_sweep_of_one_configuration_of_an_experiment(command, tmp_path):
    result = command("experiment=table1", "method=neural", "layers=9", "trials=1", "max_iter=3")
    assert is_silent_but_for_the_log(result)
    records = records_below(tmp_path / "outputs" / "table1")
    assert sorted(record["regime"] for record in records) == ["semisupervised", "supervised", "unsupervised"]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("--cfg job -p foo", "--package foo is not in the configuration"),
        ("--cfg job seed=0,1", "seed=0,1 is several values"),
        ("--foo", "unrecognized arguments: --foo"),
        ("-sc query=tcsh", "-sc query=tcsh"),
        ("-m seed=interval(0,1)", "seed=interval(0,1) is not a list of values"),
    ],
)
def test_questions_without_an_answer_are_refused_in_one_line(command, line, part):
    result = command(*line.split())
    assert (result.status, result.out, result.files, result.err.count("\n")) == (2, "", [], 1)
    assert result.err.startswith("nnmf-run: ")
    assert part in result.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "dataset=images dataset.size=8",
            "dataset.size=8 is not valid. Expected a list, such as 'dataset.size=[8,8]'.",
        ),
        ("dataset=images dataset.size=8-9", "Expected a list, such as 'dataset.size=[8,9]'."),
        ("dataset=images dataset.size=[8]", "Expected [height,width], such as [28,28]."),
        ("layers=", "layers= is empty. Expected at least one rank, such as layers=[9,4,2]."),
        ("init=nofolder", "Expected one of: greedy, nndsvd, random; or a path that is there, of a run"),
        ("init=randm", "Did you mean 'random'?"),
        (
            "--help metho=deep",
            "metho=deep cannot be described. Expected name=value, such as method=neural. Did you mean",
        ),
        ("--help foo", "foo cannot be described."),
        ("-m hydra/luncher=slurm", "Did you mean 'hydra/launcher'?"),
    ],
)
def test_what_is_told_to_do_instead_can_be_done(command, line, said):
    result = command(*line.split())
    assert (result.status, result.out, result.files, result.err.count("\n")) == (2, "", [], 1)
    assert said in result.err


def test_a_misspelt_option_is_not_taken_for_one_of_another_part_unless_it_is_very_near(command):
    assert "Did you mean" not in command("method.strenth=2").err
    assert "'method.pool_size' of method=deep" in command("method.pol_size=2").err
    assert "'method.solver'?" in command("method=hier", "method.slv=mu").err


def test_a_misspelt_list_of_ranks_is_named(command):
    result = command("dataset=planted", "rnks=2..4", program="nnmf-rank")
    assert result.err.endswith("Did you mean 'ranks=2..4'?\n")


def test_too_high_ranks_are_refused_before_anything_is_said_of_their_fits(command):
    result = command("dataset=planted", "ranks=2..70", program="nnmf-rank")
    assert (result.status, result.out, result.files, result.err.count("\n")) == (2, "", [], 1)
    assert result.err.startswith("nnmf-rank: ranks go up to 70")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_runs_nothing(command, flag):
    result = command("seed=abc", flag, "method=deep")
    assert (result.status, result.err, result.files) == (0, "", [])
    assert result.out.startswith("method=deep\n")


@pytest.mark.parametrize("program", ["nnmf-run", "nnmf-status", "nnmf-shards", "nnmf-collect"])
def test_every_program_knows_its_version_and_refuses_what_it_does_not_know(command, program):
    assert command("--version", program=program).out == f"{program} {nnmf_runner.__version__}\n"
    assert command("--help", program=program).out.startswith(f"usage: {program} ")
    result = command("--nonsense", program=program)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert result.err.startswith(f"{program}: ")


def test_overrides_stand_on_both_sides_of_the_flag_of_sweeps(command):
    assert "4 done, 0 failed" in command("method=hier,deep", "-m", "seed=0,1", "max_iter=2").out


@pytest.mark.slow
def test_the_package_runs_as_a_module(tmp_path):
    def call(*arguments):
        line = [sys.executable, "-m", "nnmf_runner", *arguments]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT)

    assert call("max_iter=2", "threads=2", "workers=2", "trials=2").returncode == 0
    assert {(record["threads"], record["blas_threads"]) for record in records_below(tmp_path)} == {(2, 1)}
    assert call("sede=1").stderr.startswith("nnmf-run: sede is not an option.")


def test_a_diverged_run_ends_with_status_one_and_says_where(command, monkeypatch):
    monkeypatch.setattr(optimizers, "FARTHEST", 1e9)  # no step that may be asked for leads as far as it is
    result = command("optimizer=gd", "optimizer.step=1e60", "max_iter=20")
    assert result.status == 1
    assert "diverged" in result.err
    assert "Traceback" not in result.err


def test_one_damaged_record_is_named_and_the_rest_is_collected(command, tmp_path):
    command("trials=2", "layers=9", "max_iter=2")
    broken = find_records(tmp_path)[0]
    broken.write_text("{")
    result = command("outputs", "--no-figures", program="nnmf-collect")
    assert result.status == 0
    lines = [line for line in result.err.splitlines() if not line.endswith("report.html")]
    assert len(lines) == 1
    assert str(broken.relative_to(tmp_path)) in lines[0]
    assert "| unsupervised | 9 |" in result.out
    assert {
        "outputs/report/table.csv",
        "outputs/report/table.md",
        "outputs/report/table.tex",
        "outputs/report/records.csv",
    } <= set(result.files)


@pytest.mark.slow
def test_run_force_and_collect_as_processes(script, tmp_path):
    arguments = ["layers=9-4", "label_fraction=0.4", "max_iter=5"]
    first, again = script("nnmf-run", *arguments), script("nnmf-run", *arguments, "force=true")
    assert is_silent_but_for_the_log(first)
    assert is_silent_but_for_the_log(again)
    assert (again.out, again.files) == (first.out, first.files)
    collected = script("nnmf-collect", "outputs/runs")
    assert collected.status == 0
    assert (tmp_path / "outputs/runs/report/table.md").read_text() in collected.out
    assert len([name for name in collected.files if name.endswith((".png", ".pdf"))]) == 4


@pytest.mark.slow
def test_workers_find_what_one_process_finds(script, tmp_path):
    arguments = ["trials=3", "layers=9-4", "label_fraction=0.4", "init=random", "max_iter=10"]
    shared = script("nnmf-run", *arguments, "workers=2", "name=shared")
    alone = script("nnmf-run", *arguments, "name=alone")
    assert shared.status == alone.status == 0
    assert "\r" not in shared.err
    assert shared.out.splitlines()[:-1] == alone.out.splitlines()[:-1]
    for path in find_records(tmp_path / "outputs" / "alone"):
        twin = tmp_path / "outputs" / "shared" / path.parent.relative_to(tmp_path / "outputs" / "alone")
        ours, theirs = read_factors(path.parent), read_factors(twin)
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


class Terminal:
    """A command line whose standard error is a terminal."""

    def __init__(self, arguments, folder):
        self.leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (24, 100))  # a new one has no columns, and then shows no bar
        self.process = subprocess.Popen(
            [BIN / "nnmf-run", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=follower,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        os.close(follower)
        self.text = ""

    def read_until(self, pattern, seconds=60.0):
        """Read until the pattern is seen, or the end."""
        os.set_blocking(self.leader, False)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not re.search(pattern, self.text):
            try:
                self.text += os.read(self.leader, 65536).decode()
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # the process has closed its side
                break
        return self.text

    def finish(self, seconds=15.0):
        """Exit status; the whole session is killed if it does not end in time."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read_until("$^", 0.1)  # a full terminal would block what it belongs to
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self.read_until("$^", 0.2)
        os.close(self.leader)
        return self.process.returncode


def wait_for(happened, seconds=60.0):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def terminal(tmp_path):
    """Start command lines in a terminal; what a failing test leaves running is killed."""
    started = []

    def start(arguments):
        started.append(Terminal(arguments, tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.communicate()


@pytest.mark.slow
def test_what_is_said_of_trials_stands_on_lines_of_its_own_above_their_bar(terminal):
    line = terminal(["trials=3", "workers=2", "layers=[4]", "max_iter=5"])
    line.read_until(r"(?s)(unsupervised seed \d: .*){3}\n")
    assert line.finish() == 0
    assert "trial/s" in line.text
    said = re.findall(r"(?:^|[\r\n])(neural 4 unsupervised seed \d: [^\r]*)\r\n", line.text)
    assert len(said) == line.text.count("unsupervised seed") == 3


@pytest.mark.slow
def test_ctrl_c_while_many_configurations_are_composed_ends_in_one_line(terminal, tmp_path):
    line = terminal(["experiment=regimes", "trials=1", "seed=range(15)"])
    assert re.search(r"configurations composed: +[1-9]", line.read_until(r"configurations composed: +[1-9]"))
    os.killpg(line.process.pid, signal.SIGINT)
    assert line.finish() == 130
    assert re.search(r"\r *\rinterrupted\. [^\r]*\r\n$", line.text)  # in place of the bar
    assert list(tmp_path.iterdir()) == []


def is_whole(folder):
    """No half-written file: every record reads, nothing is hidden but what Hydra keeps of a sweep."""
    for path in find_records(folder):
        read_record(path)
        assert {entry.name for entry in path.parent.iterdir()} == {"record.json", "factors.npz", "history.csv"}
        assert all(np.isfinite(factor).all() for factor in read_factors(path.parent).values())
    return not [path for path in folder.rglob(".*") if path.name != ".sweep"]


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_a_command_silently(script, tmp_path):
    script("nnmf-run", "max_iter=5")
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [BIN / "nnmf-status", "outputs/runs"], cwd=tmp_path, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.slow
def test_a_terminal_sees_a_bar_and_control_c_ends_the_run_as_interrupted(terminal, tmp_path):
    running = terminal(ENDLESS)
    shown = running.read_until(r"it/s.*cost 0\.\d+")
    assert re.search(r"deep 9-4-2 seed 0: \d+it .*cost 0\.\d+", shown)
    running.process.send_signal(signal.SIGINT)
    assert running.finish() == 130
    assert "Traceback" not in running.text
    (record,) = records_below(tmp_path)
    assert record["status"] == "interrupted"
    assert record["n_iter"] > 0
    assert re.search(
        r"interrupted\. The record, with the factors so far, is kept in \S+; the same command begins anew\.",
        running.text,
    )
    assert is_whole(tmp_path)


# Sends Ctrl-C when a module is asked for, in whose place another error comes, as C code of scipy's raises one.
LOADING = """
import signal, sys
import nnmf_runner.cli as cli

class Interrupts:
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError(name)

sys.meta_path.insert(0, Interrupts)
sys.exit(getattr(cli, {command!r})())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "module"),
    [("run", "numpy"), ("run", "scipy.linalg"), ("rank", "hydra"), ("collect", "nnmf_runner.report.collect")],
)
def test_control_c_while_modules_are_loaded_ends_in_one_line(command, module, tmp_path):
    code = LOADING.format(command=command, module=module)
    line = [sys.executable, "-c", code, *([str(tmp_path)] if command == "collect" else [])]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_control_c_ends_a_sweep_before_its_next_run(terminal, tmp_path):
    running = terminal(["-m", "seed=0,1", *ENDLESS])
    running.read_until(r"0/2 .*1 running, 0 failed")
    running.process.send_signal(signal.SIGINT)
    assert running.finish() == 130
    assert [(r["status"], r["config"]["seed"]) for r in records_below(tmp_path)] == [("interrupted", 0)]
    assert "Runs that are over stay recorded; the same command goes on with the others." in running.text
    assert is_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["group", "parent"])
def test_control_c_ends_all_workers(terminal, tmp_path, to):
    """A terminal sends it to every process of the group; `kill -INT` and schedulers to the parent alone."""
    running = terminal([*ENDLESS, "trials=4", "workers=2"])
    running.read_until(r"0/4")
    wait_for(lambda: len([*tmp_path.rglob(".*.claim")]) == 2)  # both workers have begun
    (os.killpg if to == "group" else os.kill)(running.process.pid, signal.SIGINT)
    assert running.finish() == 130
    assert "Traceback" not in running.text
    assert [record["status"] for record in records_below(tmp_path)] == ["interrupted"] * 2
    assert is_whole(tmp_path)


@pytest.mark.slow
def test_control_c_while_workers_start_ends_without_a_traceback(terminal, tmp_path):
    running = terminal([*ENDLESS, "trials=4", "workers=2"])
    running.read_until(r"0/4")
    wait_for(Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text)
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.finish() == 130
    assert "Traceback" not in running.text
    assert is_whole(tmp_path)


@pytest.mark.slow
def test_a_full_disk_below_standard_output_is_named(tmp_path):
    command = [BIN / "nnmf-run", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        unheard = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=full, check=False)
    assert done.stderr == "nnmf-run: standard output cannot be used: No space left on device.\n"
    assert (done.returncode, unheard.returncode) == (2, 2)


def test_what_is_left_of_an_interrupted_run_is_true(configure, record_of, tmp_path):
    config = configure("layers=9", f"output={tmp_path}")
    folder = run_folder(config.folder, config.identity(config.seed))
    assert cli._kept(config) == "There is no record of the run; the same command begins anew."
    for status, said in {
        "interrupted": f"The record, with the factors so far, is kept in {folder}; the same command begins anew.",
        "done": f"The run is recorded in {folder}.",
    }.items():
        write_record(folder, record_of(status=status))
        assert cli._kept(config) == said
    assert cli._kept(dataclasses.replace(config, trials=2)) == cli.OTHERS_REMAIN
    shared = dataclasses.replace(config, engine=DaskWorkers(workers=1))
    assert cli._kept(shared) == "There is no record of the run; the same command goes on from the last checkpoint."
