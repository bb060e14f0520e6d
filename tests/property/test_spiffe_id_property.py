"""The SPIFFE ID grammar, for any text: against a reader written a second time from the specification, and against the `spiffe` library."""

from __future__ import annotations

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from spiffe import SpiffeId as TheirId
from spiffe.errors import PySpiffeError

from jittrust.core.errors import BadInputError
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain

LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NAME_SIGNS = frozenset(LOWER + "._-")
PATH_SIGNS = frozenset(LOWER + UPPER + "._-")
PREFIX = "spiffe://"

# Signs that one reader or another stumbles over: separators, escapes, look-alikes, ends of lines, what case folding changes.
ODD = (
    "/:@%?#[]\\;*+ \t\r\n\x00\x85\u2028\u00adéäß\u0430\uff41\uff0f\u2215\u3002\u212a\u017f\u0131\u0661\u200d\U0001f600"
)


def model(text: str) -> tuple[str, list[str]] | None:
    """SPIFFE-ID §2, sign by sign: the trust domain and the segments; None = no SPIFFE ID."""
    if len(text.encode("utf-8", "surrogatepass")) > 2048 or text[: len(PREFIX)] != PREFIX:
        return None
    domain, segments, place = "", list[str](), 0
    for sign in text[len(PREFIX) :]:
        if sign == "/":
            segments.append("")
            place += 1
        elif place:
            if sign not in PATH_SIGNS:
                return None
            segments[-1] += sign
        elif sign not in NAME_SIGNS:
            return None
        else:
            domain += sign
    if not 1 <= len(domain) <= 255 or any(segment in {"", ".", ".."} for segment in segments):
        return None
    return domain, segments


def read(text: str) -> SpiffeId | None:
    try:
        return SpiffeId.parse(text)
    except BadInputError:
        return None


def theirs(text: str) -> str | None:
    """What the `spiffe` library makes of it; None where it refuses."""
    try:
        made: str = str(TheirId(text))
    except PySpiffeError:
        return None
    return made


segments = st.text(alphabet=sorted(PATH_SIGNS), min_size=1, max_size=12) | st.sampled_from([".", "..", "...", ".a", ""])
domains = st.text(alphabet=sorted(NAME_SIGNS), min_size=0, max_size=20) | st.sampled_from(
    ["a" * 255, "a" * 256, "Example.org"]
)
near: st.SearchStrategy[str] = st.builds(
    lambda prefix, domain, path, tail: prefix + domain + "".join(f"/{one}" for one in path) + tail,
    st.sampled_from([PREFIX] * 8 + ["SPIFFE://", "spiffe:/", "spiffe:///", "spiffe:", "https://", ""]),
    domains,
    st.lists(segments, max_size=5),
    st.sampled_from([""] * 8 + list(ODD)),
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A text close to the grammar with one odd sign put somewhere."""
    text = draw(near)
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.sampled_from(ODD) | st.characters()) + text[place:]


honest: st.SearchStrategy[str] = st.builds(
    lambda domain, path: PREFIX + domain + "".join(f"/{one}" for one in path),
    st.text(alphabet=sorted(NAME_SIGNS), min_size=1, max_size=20),
    st.lists(st.text(alphabet=sorted(PATH_SIGNS), min_size=1, max_size=12), max_size=5),
)
texts = st.one_of(honest, near, damaged(), st.text(max_size=40))
few: st.SearchStrategy[str] = st.builds(
    lambda domain, path: PREFIX + domain + path,
    st.sampled_from("ab"),
    st.sampled_from(["", "/a", "/b", "/a/b", "/A", "/"]),
)


@settings(max_examples=1500)
@given(texts)
@example(PREFIX + "a/" + "b" * 2037)
@example(PREFIX + "a/" + "b" * 2038)
@example(PREFIX + "a\n")
@example(PREFIX + "a/b\n")
@example(PREFIX + "a/é")
def test_a_text_is_a_spiffe_id_exactly_if_the_specification_says_so(text: str) -> None:
    wanted, got = model(text), read(text)
    event("taken" if got else "refused")
    assert (got is None) == (wanted is None)
    if got is not None and wanted is not None:
        assert str(got) == text
        assert got.trust_domain.name == wanted[0]
        assert got.path == "".join(f"/{one}" for one in wanted[1])


@settings(max_examples=1500)
@given(texts)
def test_whatever_we_take_the_spiffe_library_takes_as_the_same_id(text: str) -> None:
    if read(text) is not None:
        assert theirs(text) == text


@settings(max_examples=1500)
@given(texts)
def test_what_the_spiffe_library_takes_and_we_refuse_is_only_what_it_repairs_or_does_not_measure(text: str) -> None:
    made = theirs(text)
    if made is None or read(text) is not None:
        return
    # It lowers the case of scheme and trust domain, overlooks a newline at the end, and has no limits of length.
    repaired = made.replace("\n", "")
    too_long = len(text) > 2048 or len(text[len(PREFIX) :].partition("/")[0]) > 255
    event("too long" if too_long else "repaired")
    assert too_long or repaired != text
    # With a newline behind it the library takes a dot for a segment, too.
    dots = made.endswith("\n") and repaired.rpartition("/")[2] in {".", ".."}
    assert too_long or dots or read(repaired) is not None


@given(few | texts, few | texts)
def test_two_texts_are_one_identity_only_if_they_are_one_text(one: str, other: str) -> None:
    first, second = read(one), read(other)
    if first is not None and second is not None:
        assert (first == second) == (one == other)
        assert (first < second) == ((first.trust_domain.name, first.path) < (second.trust_domain.name, second.path))


@given(domains, st.lists(segments | st.text(max_size=5), max_size=4))
def test_an_id_made_of_parts_reads_back_as_these_parts(domain: str, path: list[str]) -> None:
    try:
        made = SpiffeId.of(TrustDomain(domain), *path)
    except BadInputError:
        assert model(PREFIX + domain + "".join(f"/{one}" for one in path)) is None or any("/" in one for one in path)
    else:
        assert read(str(made)) == made
