"""Who is in the team: names, teams and zones, and how skilled and how fast everybody is."""

import msgspec

from processors.core.time.instants import moment
from processors.ingest.simulator.dice import Dice
from processors.ingest.simulator.shifts import WorkingHours
from schemas.events import RepUpdated

TEAM_SIZE = 6

OFFICES = (
    ("Hansa", "Europe/Berlin"),
    ("Thames", "Europe/London"),
    ("Hudson", "America/New_York"),
    ("Harbour", "Asia/Singapore"),
    ("Cascade", "America/Los_Angeles"),
    ("Deccan", "Asia/Kolkata"),
    ("Fjord", "Europe/Oslo"),
    ("Pampa", "America/Sao_Paulo"),
    ("Coral", "Australia/Sydney"),
)
FIRST_NAMES = (
    *("Ada", "Bruno", "Chiara", "Dev", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kavya", "Liam", "Mei"),
    *("Nadia", "Omar", "Paula", "Quentin", "Rosa", "Sven", "Tara", "Ugo", "Vera", "Wren", "Ximena", "Yusuf", "Zoe"),
)
LAST_NAMES = (
    *("Abbott", "Bianchi", "Castro", "Dahl", "Eriksen", "Fontaine", "Garcia", "Haddad", "Ito", "Jansen", "Kowalski"),
    *(
        "Lindqvist",
        "Moreau",
        "Nakamura",
        "Okafor",
        "Petrov",
        "Quist",
        "Rossi",
        "Sharma",
        "Tan",
        "Ueda",
        "Vogel",
        "Wolf",
    ),
)
SEGMENTS = (*("small",) * 5, *("medium",) * 3, *("enterprise",) * 1, None)


class SimulatedRep(msgspec.Struct, frozen=True):
    """One rep: `skill` (about 0 to 1) wins opportunities, `slowness` (around 1) multiplies every delay."""

    number: int
    rep_id: str
    name: str
    team: str
    time_zone: str
    hours: WorkingHours
    skill: float
    slowness: float
    diligence: float
    """Share of answers and activities that are linked to what they belong to."""
    teammates: tuple[str, ...]


class SimulatedCustomer(msgspec.Struct):
    """One customer, unknown to the CRM until the first contact."""

    customer_id: str
    segment: str | None
    known: bool = False


def hire(number: int, reps: int, dice: Dice) -> SimulatedRep:
    """The rep of this number (from 0) among `reps`."""
    team = number // TEAM_SIZE
    office, zone = OFFICES[team % len(OFFICES)]
    begin = dice.pick((8.0, 8.5, 9.0, 9.0, 9.5))
    return SimulatedRep(
        number=number,
        rep_id=rep_id(number),
        name=_name(number),
        team=office if team < len(OFFICES) else f"{office} {team // len(OFFICES) + 1}",
        time_zone=zone,
        hours=WorkingHours(begin, dice.pick((12.0, 12.25, 12.5)), begin + 8.75),
        skill=0.25 + 0.6 * dice.random(),
        slowness=dice.around(1.0, 0.5),
        diligence=0.82 + 0.17 * dice.random(),
        teammates=_teammates(number, reps),
    )


def rep_id(number: int) -> str:
    """The id of the rep of this number."""
    return f"rep-{number + 1:03d}"


def clientele(number: int, reps: int, customers: int, dice: Dice) -> list[SimulatedCustomer]:
    """The customers whom the rep of this number looks after: all customers are dealt out in turn."""
    return [SimulatedCustomer(f"C-{one + 1:05d}", dice.pick(SEGMENTS)) for one in range(number, customers, reps)]


def entry(rep: SimulatedRep, event_id: str, at_us: int) -> RepUpdated:
    """The rep's entry in the directory."""
    return RepUpdated(
        rep_id=rep.rep_id,
        name=rep.name,
        team=rep.team,
        time_zone=rep.time_zone,
        event_id=event_id,
        occurred_at=moment(at_us),
    )


def _name(number: int) -> str:
    """Different for the first 598 reps: 26 and 23 have no common divisor."""
    serial = number // (len(FIRST_NAMES) * len(LAST_NAMES))
    name = f"{FIRST_NAMES[number % len(FIRST_NAMES)]} {LAST_NAMES[number % len(LAST_NAMES)]}"
    return f"{name} {serial + 1}" if serial else name


def _teammates(number: int, reps: int) -> tuple[str, ...]:
    first = number // TEAM_SIZE * TEAM_SIZE
    members = range(first, min(first + TEAM_SIZE, reps))
    return tuple(rep_id(member) for member in members if member != number)
