"""A definition is what a model can read of a tool; whatever of it changes is a change."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.world import READ

from jittrust.core.authority.pin import PinState, definition_hash, judge_definition
from jittrust.core.units import Instant

NOW = Instant(1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
definitions = st.dictionaries(st.text(min_size=1, max_size=4).filter(lambda k: k != "_meta"), json_values, max_size=4)


def shuffled(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


@given(definitions, json_values)
def test_the_order_of_members_and_meta_do_not_matter(definition: dict[str, Any], meta: Any) -> None:  # noqa: ANN401
    assert definition_hash(shuffled(definition)) == definition_hash(definition)
    assert definition_hash({**definition, "_meta": meta}) == definition_hash(definition)


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Read a file. "},
        {"description": "Read a fi\u200ble."},
        {"title": "Read"},
        {"annotations": {"readOnlyHint": True, "openWorldHint": True}},
        {"annotations": {"readOnlyHint": 1, "openWorldHint": False}},
        {
            "inputSchema": {
                "type": "object",
                "properties": {"path": {"type": "string", "description": "x"}},
                "required": ["path"],
            }
        },
        {"outputSchema": {}},
        {"x-unknown": None},
    ],
)
def test_any_change_of_any_member_at_any_depth_is_a_change(change: dict[str, Any]) -> None:
    first = judge_definition(None, "srv", "read_file", READ, NOW)
    second = judge_definition(first, "srv", "read_file", {**READ, **change}, NOW)

    assert (first.state, second.state) == (PinState.PINNED, PinState.CHANGED)
    assert (second.pin, second.definition) == (first.pin, first.definition)


def test_a_definition_that_changes_and_changes_back_stays_changed() -> None:
    pin = judge_definition(None, "srv", "read_file", READ, NOW)
    for shown in ({**READ, "description": "B"}, READ, READ):
        pin = judge_definition(pin, "srv", "read_file", shown, NOW)
        assert pin.state is PinState.CHANGED
    assert pin.seen == pin.pin


def test_the_same_definition_again_changes_nothing() -> None:
    pin = judge_definition(None, "srv", "read_file", READ, NOW)

    assert judge_definition(pin, "srv", "read_file", dict(READ), Instant(9)) is pin
