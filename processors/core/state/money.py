"""Amounts as integer cents of the configured currency."""

from decimal import Decimal
from typing import Final

from schemas.errors import BadRecord, Reason

MAX_AMOUNT: Final = Decimal(10) ** 12
"""Beyond any deal in any currency; 92,000 amounts of it in one sum would not fit the 64 bits of the read model."""
CENT: Final = Decimal("0.01")
SHOWN_CHARACTERS: Final = 40
"""Of an amount in a dead letter's detail: it may have thousands of digits."""


def cents(amount: Decimal) -> int:
    """An amount with at most 2 decimal places and at most 10^12 units, as cents; raises BadRecord."""
    # Comparing is exact whatever the exponent; abs() would round, and raise for the largest ones.
    if not amount.is_finite() or not -MAX_AMOUNT <= amount <= MAX_AMOUNT:
        raise BadRecord(Reason.MALFORMED, f"amount {_shown(amount)} is not a number of at most 10^12 - at `$.amount`")
    quantized = amount.quantize(CENT)
    if quantized != amount:
        raise BadRecord(Reason.MALFORMED, f"amount {_shown(amount)} has more than 2 decimal places - at `$.amount`")
    return int(quantized * 100)


def _shown(amount: Decimal) -> str:
    text = str(amount)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def amount_text(value_cents: int) -> str:
    """Cents as a decimal string with two places: 105 is `1.05`, -5 is `-0.05`."""
    sign = "-" if value_cents < 0 else ""
    return f"{sign}{abs(value_cents) // 100}.{abs(value_cents) % 100:02d}"
