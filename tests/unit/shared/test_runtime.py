import subprocess
import sys

import pytest
import torch

from shared.runtime import DeviceError, available_processors, choose_device, tune_process


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tune_process()
    assert torch.get_num_threads() == 1
    tune_process(2)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert available_processors() >= 1


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(DeviceError, match="Use auto"):
        choose_device("warp")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(DeviceError, match="no CUDA"):
        choose_device("cuda:0")


@pytest.mark.parametrize("module", ["victim_service.__main__", "attacker.__main__"])
def test_commands_that_do_not_compute_do_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
