"""AuthZEN searches: who may, on what, doing what. Answers come in the order of their ids, a page at a time, and change nothing."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from jittrust.api.authzen.evaluation import AgentQuestion, agent_question, canonical
from jittrust.api.authzen.read import PageAsked
from jittrust.core.errors import BadInputError
from jittrust.core.model import Json
from jittrust.ports.attribute_policy import AttributePolicy, AttributeQuestion
from jittrust.ports.searches import Found, Searches

MOST_ASKED: Final = 1000
"""Most candidates that one page asks the attribute rules about."""
_BREATH: Final = 32
_TAG: Final = 9


class SearchAnswerer:
    """Answers searches."""

    def __init__(self, searches: Searches, attributes: AttributePolicy | None) -> None:
        """Wire it up."""
        self._searches = searches
        self._attributes = attributes

    async def subjects(self, question: AttributeQuestion, page: PageAsked) -> dict[str, Json]:
        """Subjects of the type that may do it."""
        found = await self._found("subject", question, page)
        return _paged([{"type": question.subject.type, "id": one} for one in found.ids], found, question)

    async def resources(self, question: AttributeQuestion, page: PageAsked) -> dict[str, Json]:
        """Resources of the type that the subject may do it to."""
        found = await self._found("resource", question, page)
        return _paged([{"type": question.resource.type, "id": one} for one in found.ids], found, question)

    async def actions(self, question: AttributeQuestion, page: PageAsked) -> dict[str, Json]:
        """What the subject may do to the resource."""
        found = await self._found("action", question, page)
        return _paged([{"name": one} for one in found.ids], found, question)

    async def _found(self, wanted: str, question: AttributeQuestion, page: PageAsked) -> Found:
        after = _after(question, page.token)
        behind = _behind_broker(wanted, question)
        if behind is None:
            return await self._by_attributes(wanted, question, after, page.limit)
        if wanted == "subject":
            return await self._searches.subjects(behind.ask, after, page.limit)
        if wanted == "resource":
            return await self._searches.resources(behind.ask, after, page.limit)
        names = [name for name in await self._searches.actions(behind.ask) if name > after]
        return Found(names[: page.limit], names[page.limit - 1] if len(names) > page.limit else "")

    async def _by_attributes(self, wanted: str, question: AttributeQuestion, after: str, limit: int) -> Found:
        rules = self._attributes
        if rules is None:
            return Found(())
        candidates: Sequence[str]
        asking: Callable[[str], AttributeQuestion]
        if wanted == "subject":
            candidates = rules.entities(question.subject.type)
            asking = lambda one: replace(question, subject=replace(question.subject, id=one))  # noqa: E731
        elif wanted == "resource":
            candidates = rules.entities(question.resource.type)
            asking = lambda one: replace(question, resource=replace(question.resource, id=one))  # noqa: E731
        else:
            candidates = rules.actions()
            asking = lambda one: replace(question, action=one)  # noqa: E731
        ids: list[str] = []
        last = ""
        for asked, candidate in enumerate(one for one in candidates if one > after):
            if len(ids) >= limit or asked >= MOST_ASKED:
                return Found(ids, last)
            if asked % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # others are waiting for their decisions
            answer = rules.answer(asking(candidate))
            last = candidate
            if answer.permits and not answer.forbids:
                ids.append(candidate)
        return Found(ids)


def _behind_broker(wanted: str, question: AttributeQuestion) -> AgentQuestion | None:
    """The broker's question; what is searched for has a place holder that is not looked at."""
    held = question
    if wanted == "subject":
        held = replace(held, subject=replace(held.subject, id="*"))
    elif wanted == "resource":
        held = replace(held, resource=replace(held.resource, id="*", properties={}))
    return agent_question(held, "search") if held.subject.type == "agent" else None


def _paged(results: list[Json], found: Found, question: AttributeQuestion) -> dict[str, Json]:
    token = _token(question, found.following) if found.following else ""
    return {"results": results, "page": {"next_token": token, "count": len(results)}}


def _tag(question: AttributeQuestion) -> bytes:
    """What a token is for: the same search, not another one."""
    subject, resource = question.subject, question.resource
    spelled = canonical(
        [
            [subject.type, subject.id, subject.properties],
            [question.action, question.action_properties],
            [resource.type, resource.id, resource.properties],
            question.context,
        ]
    )
    return hashlib.sha256(spelled.encode("utf-8")).digest()[:_TAG]


def _token(question: AttributeQuestion, after: str) -> str:
    return base64.urlsafe_b64encode(_tag(question) + after.encode("utf-8")).rstrip(b"=").decode("ascii")


def _after(question: AttributeQuestion, token: str) -> str:
    """Where a page begins. A token only names a place in the order: one that was made up shows nothing that another would not."""
    if not token:
        return ""
    bad = BadInputError("page_bad", "page.token is not one that this search gave.", "Begin without a token.")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        after = raw[_TAG:].decode("utf-8")
    except (ValueError, binascii.Error):
        raise bad from None
    if raw[:_TAG] != _tag(question) or not after:
        raise bad
    return after
