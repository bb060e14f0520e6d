"""What of a message a person wrote, and what they clearly quote: what stands in a fence, behind `>`, or under the head of a mail is somebody else's.

Conservative on purpose: only forms that people and clients use for quoting, and nothing by length or style. What is quoted is content: it may hold the
values that the person means, and it asks for nothing.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_QUOTE = re.compile(r"[ \t]{0,3}>")
_HEAD = re.compile(
    r"[ \t*_]{0,4}(from|sent|to|cc|subject|date|reply-to|von|gesendet|an|betreff|datum|de|envoy[eé]|à|objet|para|asunto"
    r"|fecha|da|inviato|oggetto)[*_]{0,2}[ \t]?:",
    re.IGNORECASE,
)
_SENDERS = frozenset(("from", "von", "de", "da"))
_FORWARDED = re.compile(
    r"[ \t>]{0,4}-{2,}[ \t]?(?:original message|forwarded message|begin forwarded message|urspr[uü]ngliche nachricht|weitergeleitete nachricht"
    r"|message transf[eé]r[eé]|mensaje reenviado|mensaje original)[ \t]?-{2,}",
    re.IGNORECASE,
)
_HEAD_LINES = 4  # lines in which two lines of a head must stand to make one


def own_words(text: str) -> str:
    """The message without what it clearly quotes; the same text where it quotes nothing. Linear."""
    if not ("```" in text or "~~~" in text or ">" in text or ":" in text or "--" in text):
        return text
    kept: list[str] = []
    lines = text.split("\n")
    fence = ""
    for place, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence):
                fence = ""
            continue
        if mark is not None:
            # One that is not closed lasts to the end, as in Markdown; one that closes on its own line is inline code.
            if mark[1] not in line[mark.end() :]:
                fence = mark[1]
            continue
        if _FORWARDED.match(line) or _begins_mail(lines, place):
            break
        if _QUOTE.match(line) is None:
            kept.append(line)
    return "\n".join(kept)


def _begins_mail(lines: list[str], place: int) -> bool:
    """Whether the head of a received mail begins here: a line that names a sender among two lines of a head. A draft names none."""
    if _HEAD.match(lines[place]) is None:
        return False
    heads = [hit[1].casefold() for line in lines[place : place + _HEAD_LINES] if (hit := _HEAD.match(line)) is not None]
    return len(set(heads)) > 1 and bool(_SENDERS.intersection(heads))
