"""Python values to JSON and back."""

import enum
import math
from typing import Any

import pytest

from sutazai import Kernel


class Colour(enum.IntEnum):
    RED = 3


class Name(str):
    pass


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (-(1 << 63), -(1 << 63)),
        ((1 << 64) - 1, (1 << 64) - 1),
        (1.5, 1.5),
        (-0.0, 0.0),
        (5e-324, 5e-324),
        ("", ""),
        ("ä€😀\x00", "ä€😀\x00"),
        ([], []),
        ((1, (2,)), [1, [2]]),
        ({"a": {"b": [None, {}]}}, {"a": {"b": [None, {}]}}),
        (Colour.RED, 3),
        (Name("x"), "x"),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
    ],
)
def test_values_come_back(kernel: Kernel, value: object, back: object) -> None:
    kernel.add_echo_agent()
    answer = kernel.call("echo", value)
    assert answer == back and type(answer) is type(back)


def test_big_structures_come_back(kernel: Kernel) -> None:
    kernel.add_echo_agent()
    value = {str(n): [n, {"text": "x" * (n % 50)}] for n in range(10_000)}
    assert kernel.call("echo", value) == value


def test_the_answer_is_a_new_object(kernel: Kernel) -> None:
    kernel.add_echo_agent()
    value: dict[str, list[int]] = {"a": []}
    answer = kernel.call("echo", value)
    answer["a"].append(1)
    assert value == {"a": []}


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (math.nan, ValueError, "$: NaN"),
        ([1, math.inf], ValueError, "$[1]: inf"),
        (1 << 64, ValueError, "64 bits"),
        (-(1 << 63) - 1, ValueError, "64 bits"),
        ({"a": [0, {1, 2}]}, TypeError, '$["a"][1]: set'),
        ({"a": {1: 2}}, TypeError, '$["a"]: dict keys must be str, not int'),
        ([b"x"], TypeError, "base64"),
        (object(), TypeError, "object has no JSON form"),
        (1j, TypeError, "complex"),
        ("\ud800", ValueError, "surrogates"),
    ],
)
def test_what_has_no_json_form_is_refused_with_its_place(
    kernel: Kernel, value: object, error: type[Exception], says: str
) -> None:
    for use in (kernel.call, kernel.submit, kernel.publish):
        with pytest.raises(error) as caught:
            use("echo", value)
        assert says in str(caught.value)


def test_depth_is_bounded(kernel: Kernel) -> None:
    kernel.add_echo_agent()
    deep: list[Any] = []
    for _ in range(119):
        deep = [deep]
    assert kernel.call("echo", deep) == deep
    with pytest.raises(ValueError, match="nested deeper"):
        kernel.call("echo", [deep])
    deep.append(deep)
    with pytest.raises(ValueError, match="contains itself"):
        kernel.call("echo", deep)

