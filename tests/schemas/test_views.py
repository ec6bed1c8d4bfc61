"""Fields of the read model can be taken apart whatever the ids contain."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.views import Partial, Scope, partial_field, split_partial_field


@given(st.sampled_from(["rep", "team", "company"]), st.text(max_size=20), st.integers(-100_000, 100_000))
def test_a_partial_field_splits_into_what_it_was_made_of(scope: Scope, subject: str, day: int) -> None:
    assert split_partial_field(partial_field(scope, subject, day)) == (scope, subject, day)


@pytest.mark.parametrize(
    "partial", [Partial(), Partial(responses=2, activities={"call": 3}, stages={"p": {"s": [1, 2, 3]}})]
)
def test_a_partial_survives_the_trip_through_msgpack(partial: Partial) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(partial), type=Partial) == partial
