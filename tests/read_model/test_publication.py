"""What goes to Redis at once: pieces of a publication that hold nothing up, and leave nothing out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.read_model import publication
from processors.read_model.publication import steps_of
from schemas.views import SECTIONS, Changes

FIELDS, SIZE = 5, 60

sections = st.sampled_from(SECTIONS)
names = st.text("abc", min_size=1, max_size=4)
changes = st.builds(
    Changes,
    st.dictionaries(sections, st.dictionaries(names, st.binary(max_size=40), min_size=1, max_size=12)),
    st.dictionaries(sections, st.lists(names, min_size=1, max_size=12, unique=True)),
)


def fields_of(piece: Changes) -> list[tuple[str, str, bytes | None]]:
    """Every field with its section, and None for one that is to go."""
    return [
        *((section, name, value) for section, values in piece.puts.items() for name, value in values.items()),
        *((section, name, None) for section, gone in piece.deletes.items() for name in gone),
    ]


@given(st.lists(changes, max_size=3))
def test_pieces_fit_and_hold_every_field_once(portions: list[Changes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication, "MAX_STEP_FIELDS", FIELDS)
        patch.setattr(publication, "MAX_STEP_BYTES", SIZE)
        pieces = list(map(fields_of, steps_of(portions)))
    for piece in pieces:
        size = sum(len(name) + len(value or b"") for _, name, value in piece)
        assert len(piece) == 1 or (len(piece) <= FIELDS and size <= SIZE)
    assert all(pieces)
    published = [field for piece in pieces for field in piece]
    assert sorted(published, key=repr) == sorted(
        (field for portion in portions for field in fields_of(portion)), key=repr
    )
