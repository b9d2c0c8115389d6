"""The cost of calls in a growing fake, and of growing answers, compared with that at the smallest size.

A fake that looks at every company would be a hundred times slower at 100,000; smart linking looks for similar names
and may grow, the rest should not. Fakes of all sizes are in one process and take turns, and every call is timed by
itself: the figures are medians, since a garbage collection of a large heap otherwise lands on one call.
"""

from __future__ import annotations

import gc
from functools import partial
from itertools import count
from statistics import median, quantiles
from string import ascii_lowercase
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._answer_growth import answer_rows
from benchmarks._input_growth import input_rows
from benchmarks._measure import Part, Row, cpu_seconds, interleaved, number, seeded
from benchmarks._service_growth import service_rows
from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording.redactors import personal_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

_SIZES = (1_000, 10_000, 100_000)
_ROUNDS = 20
_FIRST = ("Alpine", "Amber", "Bright", "Coastal", "Golden", "Green", "Happy", "Nordic", "Prime", "Quiet", "Silver")
_SECOND = ("Coffee", "Foods", "Labs", "Media", "Motors", "Optics", "Outdoor", "Paper", "Skin", "Sports", "Studio")


class _Bar(NamedTuple):
    """The maximum ratio of a figure to that at 1,000 companies; shown as *text*."""

    max_ratio: float
    text: str


# A constant cost grows a little: the rows of a larger table are less often in the caches of the processor.
_CONSTANT, _LINKING, _ONBOARDING = _Bar(1.5, "1 (≤ 1.5)"), _Bar(20, "≤ 20"), _Bar(3, "≤ 3")


class _Operation(NamedTuple):
    """A call to time: its name, how often in a row, and a function that returns it with its arguments ready."""

    what: str
    times: int
    bar: _Bar
    prepare: Callable[[_World], Callable[[], object]]


class _World:
    """A fake with many companies, each linked to an organisation `org_0`, `org_1` ..."""

    def __init__(self, size: int, names: Iterator[str], random: Random) -> None:
        self.random, self.size, self._fresh = random, size, names
        self._orgs = count(size)
        self.fake = FakeTransport(demo_catalogue())
        self.client = ChatarminOS(transport=self.fake)
        self.names = [next(names) for _ in range(size)]
        self.ids = [self.fake.add_company(name) for name in self.names]
        for order, company in enumerate(self.ids):
            self.client.links.create(company_id=company, external_org_id=f"org_{order}")
        self.fake.calls.clear()

    def check(self) -> Callable[[], object]:
        company = self.random.choice(self.ids)
        return partial(self.client.features.check, company_id=company, feature_code="ai_credit")

    def get_by_product_link(self) -> Callable[[], object]:
        org = f"org_{self.random.randrange(self.size)}"
        return partial(self.client.companies.get_by_product_link, external_org_id=org)

    def smart_link(self, name: Callable[[_World], str], min_confidence: float | None) -> Callable[[], object]:
        org, hints = f"org_{next(self._orgs)}", {"company_name": name(self)}
        link = self.client.companies.smart_link
        return partial(link, external_org_id=org, hints=hints, min_confidence=min_confidence)

    def onboard(self) -> Callable[[], object]:
        org, hints = f"org_{next(self._orgs)}", {"company_name": next(self._fresh)}
        return partial(self.client.onboard, external_org_id=org, hints=hints, tier_code="free")

    def equal(self) -> str:
        return self.random.choice(self.names)

    def with_a_typo(self) -> str:
        """Return a company's name with another letter in its first word."""
        name = self.equal()
        place = self.random.randrange(1, 5)
        letter = self.random.choice(ascii_lowercase.replace(name[place], ""))
        return name[:place] + letter + name[place + 1 :]

    def like_nobodys(self) -> str:
        return _letters(self.random)


def _letters(random: Random) -> str:
    return "".join(random.choices(ascii_lowercase, k=random.randint(8, 14))).title()


def _vocabulary_names(random: Random) -> Iterator[str]:
    """Yield similar names: two of a few words, and a number."""
    for order in count(1):
        yield f"{random.choice(_FIRST)} {random.choice(_SECOND)} {order}"


def _branch_names(_: Random) -> Iterator[str]:
    """Yield names that share most of their words, as the branches of one chain do."""
    for order in count(1):
        yield f"Store Vienna {order} Holding"


def _letter_names(random: Random) -> Iterator[str]:
    """Yield dissimilar names."""
    while True:
        yield _letters(random)


def _operations() -> Iterator[_Operation]:
    yield _Operation("`features.check`", 20, _CONSTANT, _World.check)
    yield _Operation("`companies.get_by_product_link`", 20, _CONSTANT, _World.get_by_product_link)
    yield _Operation("`onboard` a new company", 5, _ONBOARDING, _World.onboard)
    for min_confidence, words in ((None, ""), (0, ", `min_confidence=0`")):
        for what, name in (
            ("an equal name", _World.equal),
            ("a name with a typo", _World.with_a_typo),
            ("a name like nobody's", _World.like_nobodys),
        ):
            prepare = partial(_World.smart_link, name=name, min_confidence=min_confidence)
            yield _Operation(f"`smart_link`, {what}{words}", 5, _LINKING, prepare)


def run() -> Part:
    """Measure fakes of three sizes, filled with similar and with dissimilar names."""
    rows = []
    for kind, names in (
        ("words and a number", _vocabulary_names),
        ("branches of one chain", _branch_names),
        ("random letters", _letter_names),
    ):
        worlds = [_World(size, names(seeded("names")), seeded("calls")) for size in _SIZES]
        rows += _measured(kind, worlds)
        del worlds
        gc.collect()
    rows += input_rows()
    rows += answer_rows()
    rows += _redacting()
    rows += service_rows()
    sizes = " → ".join(f"{size:,}" for size in _SIZES)
    note = (
        f"Process time of one call on a fake with {sizes} companies; ratios of the second and the third to the first. "
        "Medians, since a garbage collection of a large heap otherwise lands on one call; p90: nine of ten calls "
        f"took less. Of long inputs: the call with {sizes} characters. Of answers: time for each of {sizes} parts. "
        "Of `personal_data`: the time for each thousand letters, in texts of as many letters."
    )
    return Part("Growth", note, rows)


def _measured(kind: str, worlds: list[_World]) -> list[Row]:
    random, operations = seeded("order"), list(_operations())
    order = [(operation, world) for operation in operations for world in worlds]
    taken: dict[tuple[str, int], list[float]] = {(operation.what, world.size): [] for operation, world in order}
    gc.collect()
    for turn in range(_ROUNDS + 1):
        random.shuffle(order)
        for operation, world in order:
            figures = [cpu_seconds(operation.prepare(world)) for _ in range(operation.times)]
            if turn:  # the first only warms up
                taken[operation.what, world.size] += figures
            world.fake.calls.clear()
    return [_row(kind, operation, [taken[operation.what, size] for size in _SIZES]) for operation in operations]


def _row(kind: str, operation: _Operation, by_size: list[list[float]]) -> Row:
    medians, slow = [median(taken) for taken in by_size], [quantiles(taken, n=10)[-1] for taken in by_size]
    ratios = [taken / medians[0] for taken in medians[1:]]
    figure = f"{_arrows(medians)} µs (p90 {_arrows(slow)} µs)"
    what, ratio = f"{kind}: {operation.what}", " → ".join(map(number, ratios))
    return Row(what, figure, ratio, operation.bar.text, max(ratios) <= operation.bar.max_ratio)


def _arrows(seconds: list[float]) -> str:
    return " → ".join(number(taken * 1e6) for taken in seconds)


def _redacting() -> list[Row]:
    """Measure a redactor on texts of three sizes: per letter the time should stay the same."""
    texts = {"letters, as of a picture": "a", "addresses": "ann@acme.com ", "combining marks": "\u0301"}
    rows = []
    for what, part in texts.items():
        by_size = {str(size): (part * size)[:size] for size in _SIZES}
        measures = {size: partial(_redact_seconds, text) for size, text in by_size.items()}
        samples = interleaved(measures, rounds=_ROUNDS)
        medians = [samples.median(size) for size in by_size]
        ratios = [samples.ratio(size, str(_SIZES[0])) for size in by_size][1:]
        is_met = max(ratios) <= _CONSTANT.max_ratio
        ratio = " → ".join(map(number, ratios))
        rows.append(Row(f"`personal_data`, {what}", f"{_arrows(medians)} µs", ratio, _CONSTANT.text, is_met))
    return rows


def _redact_seconds(text: str) -> float:
    """Return the process time for each thousand letters."""
    content = [text, {"name": text, "email": text, "message": text}]
    return cpu_seconds(partial(personal_data, content)) * 1000 / len(text)
