"""What a learner does wrong in notebook 31 short of a wrong answer has its sentence too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import labkit


@pytest.fixture
def lab() -> Iterator[labkit.Lab]:
    with labkit.start({"n1": "server_name: n1"}) as lab:
        yield lab


async def said(check: object, outcome: str) -> str:
    result = await check
    assert result.outcome == outcome, repr(result)
    return repr(result)


@pytest.mark.parametrize("nothing", [(), (...,), ("",), (b"server_name: kiosk",)])
async def test_a_config_that_is_no_text(nothing: tuple[object, ...], lab: labkit.Lab):
    assert 'check("3.1", kiosk)' in await said(labkit.check("3.1", *nothing), "not yet")


async def test_a_check_without_a_lab_says_which_cell_to_run():
    assert "no lab runs" in await said(labkit.check("3.1", "server_name: kiosk"), "not yet")


@pytest.mark.parametrize("id", ["3.2", "3.3"])
async def test_a_function_that_was_called_already(id: str, lab: labkit.Lab):
    async def function() -> None:
        """Never awaited by its caller."""

    assert "without parentheses" in await said(labkit.check(id, function()), "not yet")


async def test_a_function_with_other_parameters(lab: labkit.Lab):
    async def suspects() -> dict[str, str]:
        return {}

    assert "cannot be called" in await said(labkit.check("3.2", suspects), "wrong")


@pytest.mark.parametrize("strange", [None, object(), float("nan"), ["ada"]])
async def test_suspects_that_are_no_names(strange: object, lab: labkit.Lab):
    async def suspects(server: object) -> dict[str, object]:
        return dict.fromkeys(["messages", "bytes", "subscriptions", "slow"], strange)

    assert "That isn't a name" in await said(labkit.check("3.2", suspects), "wrong")


async def test_a_limit_that_is_no_number(lab: labkit.Lab):
    async def limit_clients(server: labkit.Lab, most: int) -> object:
        return server.varz()

    text = await said(labkit.check("3.3", limit_clients), "wrong")
    assert "it must return the limit that it has set" in text
    assert "not the right max_connections" in text


async def test_no_server_of_a_check_is_left(lab: labkit.Lab):
    async def suspects(server: object) -> None:
        raise RuntimeError

    await said(labkit.check("3.2", suspects), "wrong")
    await said(labkit.check("3.1", "max_paylod: 1"), "wrong")
    assert labkit.running() == [lab]
