"""Fields of the read model can be taken apart whatever the ids contain."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.views import Partial, Scope, partial_field, pooled_subject, split_partial_field, split_pooled_subject


@given(st.sampled_from(["rep", "team", "company"]), st.text(max_size=20), st.integers(-100_000, 100_000))
def test_a_partial_field_splits_into_what_it_was_made_of(scope: Scope, subject: str, day: int) -> None:
    assert split_partial_field(partial_field(scope, subject, day)) == (scope, subject, day)


@given(st.sampled_from(["team", "company"]), st.text(max_size=20), st.integers(-100_000, 100_000))
def test_a_pooled_subject_splits_into_team_and_zones(scope: Scope, team: str, day: int) -> None:
    for zones in ("UTC", "Pacific/Chatham,Pacific/Pago_Pago:1"):
        found, subject, when = split_partial_field(partial_field(scope, pooled_subject(team, zones), day))
        assert (found, *split_pooled_subject(subject), when) == (scope, team, zones, day)


def test_a_pooled_subject_keeps_its_golden_form() -> None:
    """Boards of other versions read it."""
    assert partial_field("team", pooled_subject("a|b %", "Asia/Tokyo"), 20_500) == "team|a%7Cb %25|Asia/Tokyo|20500"
    assert partial_field("company", pooled_subject("", "UTC"), -1) == "company||UTC|-1"


@pytest.mark.parametrize(
    "partial", [Partial(), Partial(responses=2, activities={"call": 3}, stages={"p": {"s": [1, 2, 3]}})]
)
def test_a_partial_survives_the_trip_through_msgpack(partial: Partial) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(partial), type=Partial) == partial
