"""Every code block of the README runs, in order, as a reader would run it."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_chat_server import serve

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf8"), re.M | re.S)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for language, code in BLOCKS if language == "bash" for line in code.splitlines() if line.strip()]
# Set-up is what the reader has done when these tests run.
SET_UP = ("pip install", "python -m venv", "python -m pytest", "ruff ", "mypy", "git clone", "cd ")


def test_all_blocks_are_of_a_kind_that_is_tested():
    assert {language for language, _ in BLOCKS} <= {"python", "bash", "text", "ini"}
    assert len(PYTHON) >= 5


SERVER = "http://localhost:8000/v1"


@pytest.mark.parametrize("code", PYTHON, ids=[f"block {i}" for i in range(len(PYTHON))])
def test_python_blocks(code, tmp_path, capsys, monkeypatch):
    program = tmp_path / "block.py"
    monkeypatch.chdir(tmp_path)
    # Where a block names a server, one is there.
    with serve(gold={"Angela Merkel": "politician", "Paul McCartney": "musician"}) as server:
        program.write_text(code.replace(SERVER, server.url), encoding="utf8")
        printed = run_alone(program) if code == PYTHON[0] or "__main__" in code else run_here(program, capsys)
    assert bool(server.requests) == (SERVER in code)
    expected = [line.removeprefix("# -> ").strip() for line in code.splitlines() if line.startswith("# -> ")]
    for line in expected:
        assert line in printed


def run_alone(program):
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, cwd=program.parent)
    assert run.returncode == 0, run.stderr
    return run.stdout


def run_here(program, capsys):
    """In this process, which has imported everything: a new one takes ten seconds to begin."""
    runpy.run_path(str(program))
    return capsys.readouterr().out


def test_ini_blocks_are_configs_that_load(tmp_path):
    from spacy.util import load_config_from_str, load_model_from_config

    for language, code in BLOCKS:
        if language == "ini":
            load_model_from_config(load_config_from_str(code), auto_fill=True)


def command(line):
    """A line with its marks: whole projects take minutes."""
    return pytest.param(line, marks=[pytest.mark.slow] if "spacy project" in line else [])


@pytest.mark.parametrize("line", [command(line) for line in COMMANDS if not line.startswith(SET_UP)])
def test_commands(line, tmp_path):
    if line.startswith("python -m benchmarks"):
        module = shlex.split(line)[2]
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
        return
    program = line.replace("python ", f"{shlex.quote(sys.executable)} ", 1)
    cwd = ROOT if "scripts/" in line or "spacy project" in line else tmp_path
    with serve(answer=lambda _: '{"entities": [{"entity": "Oslo", "type": "city"}]}') as server:
        run = subprocess.run(
            ["bash", "-c", program.replace(SERVER, server.url)], capture_output=True, text=True, cwd=cwd
        )
    assert bool(server.requests) == (SERVER in line)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()
