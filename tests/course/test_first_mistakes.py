"""A beginner's first errors, each made in a kernel of the course: a sentence stands under the traceback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.course import jupyter
from tests.servers import kernels

MISTAKES = {
    "nc": "'nc' doesn't exist yet: run the cells above",
    "await client.subscribe('x', cb=lambda message: None)": "defined with `async def`; a plain `def`",
    "def heard(message): ...\nawait client.subscribe('x', cb=heard)": "a plain `def` or a lambda",
    "await client.publish('x', 'text')": 'of type str: write a text as b"text"',
    "await client.request('x', {'a': 1})": "this payload is of type dict",
    "await closed.publish('x', b'y')": "This client is closed.*run the cell that connects again",
    "async def main(): ...\nasyncio.run(main())": "event loop is already running: `await` the call",
    "client.subscribe('x').next_msg()": "An `await` is missing: a coroutine is a call",
    "async for message in client.subscribe('x'): ...": "An `await` is missing",
    "await client.publish('store us', b'')": "no spaces, and no token is empty",
    "await client.subscribe('store..us')": "no spaces, and no token is empty",
}
OTHERS = ["1 / 0", "'a' + 1", "raise RuntimeError('nothing of ours')", "len(5)"]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kernels.Kernel]:
    with pytest.MonkeyPatch.context() as patch:
        profile = jupyter._profile(tmp_path_factory.mktemp("workspace"))
        patch.setenv("IPYTHONDIR", str(profile))
        with kernels.kernel() as kernel:
            kernel.run(
                "import asyncio, labkit\n"
                "lab = labkit.start('single')\n"
                "closed = await lab.connect()\n"
                "lab = labkit.start('single')  # the server's cell, run again\n"
                "client = await lab.connect()"
            )
            yield kernel


@pytest.mark.parametrize("cell", MISTAKES)
def test_a_first_mistake_has_its_sentence(kernel: kernels.Kernel, cell: str):
    with pytest.raises(AssertionError, match=MISTAKES[cell]):
        kernel.run(cell)


def test_a_call_without_its_await_says_so(kernel: kernels.Kernel):
    shown = "get_ipython().display_formatter.format(client.publish('x', b'y'))[0]['text/plain']"
    assert "put `await` in front of the call" in kernel.run(f"print({shown})")


@pytest.mark.parametrize("cell", OTHERS)
def test_another_error_is_shown_as_it_is(kernel: kernels.Kernel, cell: str):
    with pytest.raises(AssertionError) as shown:
        kernel.run(cell)
    last = str(shown.value).splitlines()[-1]
    assert "Error" in last, "nothing stands under the traceback"


def test_the_sentences_are_there_after_a_restart_too(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(jupyter._profile(tmp_path)))
    with kernels.kernel() as kernel:
        for _ in range(2):
            with pytest.raises(AssertionError, match="'nc' doesn't exist yet"):
                kernel.run("nc")
            assert kernel.run("print(1 + 1)") == "2\n"
            kernels.restart(kernel)
