"""What all folds have in common: each turns facts of some types into numbers, and can take them back."""

from typing import Any

from processors.core.state.customers import Customer


class Fold:
    """Folds the facts of some types. Any order of the same facts gives the same numbers (S27)."""

    def add(self, customer: Customer, at_us: int, fact: Any) -> None:
        """Add a fact of a customer; `at_us`: its instant, in microseconds since 1970."""
        raise NotImplementedError

    def remove(self, customer: Customer, at_us: int, fact: Any) -> None:
        """Take a fact back (it was retracted, or is too old to keep): as if it had never come."""
        raise NotImplementedError

    def withdraw(self, customer: Customer, at_us: int, fact: Any) -> None:
        """Keep a fact, but take back what it contributes, until `refold`: its rep is about to move."""
