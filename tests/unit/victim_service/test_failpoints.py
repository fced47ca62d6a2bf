import asyncio
import subprocess
import sys
import time

import pytest

from tests.support.victims import ROOT
from victim_service import failpoints
from victim_service.errors import StartError


@pytest.fixture(autouse=True)
def disarmed():
    yield
    failpoints.arm("")


def test_nothing_happens_unless_it_is_asked_for():
    failpoints.arm("")
    for point in failpoints.POINTS:
        asyncio.run(failpoints.reach(point))


def test_a_failpoint_fails_at_its_visit_only():
    failpoints.arm("before-model=fail@2, after-model=fail")
    asyncio.run(failpoints.reach("before-model"))
    with pytest.raises(RuntimeError, match="before-model"):
        asyncio.run(failpoints.reach("before-model"))
    asyncio.run(failpoints.reach("before-model"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="after-model"):
            asyncio.run(failpoints.reach("after-model"))


def test_a_failpoint_sleeps():
    failpoints.arm("after-commit=sleep:0.2")
    begun = time.monotonic()
    asyncio.run(failpoints.reach("after-commit"))
    assert time.monotonic() - begun >= 0.2


def test_a_failpoint_kills():
    code = (
        "import asyncio; from victim_service import failpoints as f; f.arm('after-reserve=kill@2');"
        "asyncio.run(f.reach('after-reserve')); print('one', flush=True);"
        "asyncio.run(f.reach('after-reserve')); print('two', flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -9
    assert done.stdout.splitlines()[-1] == "one"


@pytest.mark.parametrize(
    "text",
    [
        "after-reserve",
        "nowhere=kill",
        "after-reserve=explode",
        "after-reserve=kill@0",
        "=",
        "a=sleep",
    ],
)
def test_what_is_no_failpoint_is_refused_with_advice(text):
    with pytest.raises(StartError, match="Write POINT=kill"):
        failpoints.arm(text)
