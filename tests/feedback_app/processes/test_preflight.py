"""What must hold before a start: each thing that does not is one sentence naming the setting."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from feedback_app.errors import Unavailable, UsageError
from feedback_app.home_model import model_of, recorded
from feedback_app.processes.preflight import before_start, check_disk, check_model, check_port, prepare_model
from feedback_app.settings import Settings

SHIPPED = Path(__file__).resolve().parents[3] / "data" / "model"


def test_a_port_in_use_names_its_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=f"Port {port} on 127.0.0.1 is in use.*ALIGNLOOP_PORT"):
            check_port("127.0.0.1", port, "ALIGNLOOP_PORT")
    check_port("127.0.0.1", port, "ALIGNLOOP_PORT")


def test_an_address_of_another_machine_names_the_host_setting() -> None:
    with pytest.raises(Unavailable, match="ALIGNLOOP_HOST"):
        check_port("192.0.2.1", 0, "ALIGNLOOP_PORT")


def test_too_little_disk_says_how_much_is_free_and_needed(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"Only \d+ MiB are free .* needs \d+ MiB.*ALIGNLOOP_HOME"):
        check_disk(tmp_path / "home", 2**60)
    assert check_disk(tmp_path / "home", 1) > 0
    assert list((tmp_path / "home").iterdir()) == []


def test_a_home_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="ALIGNLOOP_HOME"):
        check_disk(tmp_path / "file" / "home")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_names_the_setting(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable, match="ALIGNLOOP_HOME"):
        check_disk(tmp_path)


def test_a_model_folder_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path)):
        check_model(Settings(model=str(tmp_path)))


def test_the_ports_of_the_app_and_of_vllm_must_differ(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    with pytest.raises(UsageError, match="ALIGNLOOP_VLLM_PORT"):
        before_start(Settings(home=tmp_path, port=port, vllm_port=port), vllm_here=True)


def test_a_home_keeps_the_model_that_it_was_begun_with(tmp_path: Path) -> None:
    home, mine = tmp_path / "home", tmp_path / "mine"
    home.mkdir()
    shutil.copytree(SHIPPED, mine)
    prepare_model(Settings(home=home, model=str(mine)))
    assert Settings(home=home).model_source == str(mine)
    assert prepare_model(Settings(home=home)).architecture == "LlamaForCausalLM"
    assert prepare_model(Settings(home=home, model=f"{mine}/.")).architecture == "LlamaForCausalLM"
    with pytest.raises(
        UsageError, match=f"begun with {mine}, and ALIGNLOOP_MODEL names tiny.*alignloop model use tiny"
    ):
        prepare_model(Settings(home=home, model="tiny"))
    assert recorded(home) == str(mine)


def test_a_home_from_before_the_record_keeps_what_shipped_and_takes_what_a_variable_says(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    assert (recorded(tmp_path), model_of(tmp_path)) == ("", "tiny")
    (tmp_path / "model.json").write_text("cut off {")
    assert model_of(tmp_path) == "tiny"
    shutil.copytree(SHIPPED, tmp_path / "mine")
    prepare_model(Settings(home=tmp_path, model=str(tmp_path / "mine")))
    assert recorded(tmp_path) == str(tmp_path / "mine")
