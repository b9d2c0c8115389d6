"""Which company an organisation is, asked in batches and remembered for a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import ChatarminError, NotFoundError
from chatarmin_os.outbox.delivery import answers_to, refused_whole
from chatarmin_os.procedures.companies import GetByProductLinkInput

_MAX_AGE_SECONDS = 60.0
_MAX_BATCH = 50


class Companies:
    """The companies of organisations. Only those that were found are remembered."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: dict[str, tuple[str, float]] = {}
        self._size = self._max_size = _MAX_BATCH

    def known(self, organisation: str) -> str | None:
        """Return the company of an organisation that was looked up within the last minute."""
        company, at = self._known.get(organisation, (None, 0.0))
        return company if 0 <= self._now() - at < _MAX_AGE_SECONDS else None

    def look_up(self, client: ChatarminOS, organisations: Iterable[str]) -> dict[str, str | ChatarminError | None]:
        """Ask the service for as many as one request can hold; None stands for one that is not linked.

        The result is empty if the request was refused as a whole: the next one is half as large.
        """
        asked = list(dict.fromkeys(organisations))[: self._size]
        questions = [GetByProductLinkInput(external_org_id=name) for name in asked]
        answers = answers_to(len(asked), lambda: client.batch(questions))
        cause = refused_whole(answers)
        if cause is not None:
            self._size = len(asked) // 2
            self._max_size = self._max_size if cause == "content" else self._size
            return {}
        self._size = min(2 * self._size, self._max_size)
        now = self._now()
        self._known = {name: known for name, known in self._known.items() if 0 <= now - known[1] < _MAX_AGE_SECONDS}
        found: dict[str, str | ChatarminError | None] = {}
        for name, answer in zip(asked, answers, strict=True):
            if isinstance(answer, NotFoundError) and not answer.is_missing_procedure:
                found[name] = None
            elif isinstance(answer, ChatarminError) or answer is None:
                found[name] = answer
            else:
                found[name] = answer.id
                self._known[name] = answer.id, now
        return found
