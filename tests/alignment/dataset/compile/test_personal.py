"""Personal data and secrets: what is found, what is left alone, and how it is replaced."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.dataset.compile.personal import Handling, PersonalFindings, find, handled
from alignment.dataset.judgement import Candidate, Judgement, Kind, Message
from alignment.dataset.rows import PairRow

HEX = "0123456789abcdef" * 4
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n0AAB\n-----END RSA PRIVATE KEY-----"  # no real key
FOUND = [
    ("EMAIL", "Write to jane.doe+news@example.co.uk.", "jane.doe+news@example.co.uk"),
    ("EMAIL", "jörg@müller.de schrieb", "jörg@müller.de"),
    ("EMAIL", "<a@b.org>", "a@b.org"),
    ("EMAIL", "问：王小明@例子.公司。", "问：王小明@例子.公司".removeprefix("问：")),
    ("PHONE", "Call +49 30 901820 today", "+49 30 901820"),
    ("PHONE", "+1 (212) 555-0123", "+1 (212) 555-0123"),
    ("PHONE", "0044 20 7946 0958", "0044 20 7946 0958"),
    ("PHONE", "+4915112345678", "+4915112345678"),
    ("PHONE", "+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
    ("PHONE", "(212) 555-0123", "(212) 555-0123"),
    ("PHONE", "212-555-0123", "212-555-0123"),
    ("PHONE", "212.555.0123", "212.555.0123"),
    ("PHONE", "030 12345678", "030 12345678"),
    ("PHONE", "020 7946 0958", "020 7946 0958"),
    ("PHONE", "01 23 45 67 89", "01 23 45 67 89"),
    ("PHONE", "Tel. 5550123", "5550123"),
    ("IBAN", "IBAN DE89 3704 0044 0532 0130 00, please", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "GB29NWBK60161331926819", "GB29NWBK60161331926819"),
    ("CARD", "4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("CARD", "378282246310005", "378282246310005"),
    ("CARD", "5555-5555-5555-4444", "5555-5555-5555-4444"),
    ("SSN", "My number is 123-45-6789.", "123-45-6789"),
    ("IP", "from 203.0.113.77:8080", "203.0.113.77"),
    ("IP", "ssh 192.168.178.20", "192.168.178.20"),
    ("IP", "2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::8a2e:370:7334"),
    ("LOGIN", "postgresql://ann:s3cret@db.example.org/x", "ann:s3cret"),
    ("TOKEN", "AKIA" + "ABCDEFGHIJKLMNOP", "AKIA" + "ABCDEFGHIJKLMNOP"),
    ("TOKEN", "ghp_" + "a1B2" * 9, "ghp_" + "a1B2" * 9),
    ("TOKEN", "key sk-" + "proj-" + "Ab3" * 12 + ".", "sk-" + "proj-" + "Ab3" * 12),
    ("TOKEN", "xoxb-" + "123456789012-abcdefGHIJ", "xoxb-" + "123456789012-abcdefGHIJ"),
    ("TOKEN", "AIza" + "Sy0" * 11 + "ab", "AIza" + "Sy0" * 11 + "ab"),
    ("TOKEN", "hf_" + "aB1" * 11, "hf_" + "aB1" * 11),
    ("TOKEN", "Authorization: Bearer abcdef1234567890abcdef", "abcdef1234567890abcdef"),
    (
        "TOKEN",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ),
    ("SECRET", "password: hunter22", "hunter22"),
    ("SECRET", 'api_key = "' + HEX[:24] + '"', HEX[:24]),
    ("SECRET", '{"client_secret": "a1b2c3d4e5"}', "a1b2c3d4e5"),
    ("SECRET", "My password is Tr0ub4dor&3.", "Tr0ub4dor&3"),
    ("SECRET", "https://example.org/?token=abc123def456&x=1", "abc123def456"),
    ("PRIVATE_KEY", f"Here: {KEY} ok", KEY),
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND, ids=[f"{kind}:{text[:24]}" for kind, text, _ in FOUND])
def test_what_has_a_known_shape_is_found_exactly(kind: str, text: str, value: str) -> None:
    assert [(found.kind, text[found.start : found.end]) for found in find(text)] == [(kind, value)]


PLAIN = [
    "17 + 25 = 42, and 1,234,567 + 7,654,321 = 8,888,888.",
    "The total is 100 000 000 or +250 000 000 more than 012345.",
    "3.141592653589793238462643 and 0.4242424242424242 and 1e10",
    "2024-01-05, 05/06/2024, 5.6.2024, 01-02-2024 10:30:45, 2024-01-05T10:30:45Z",
    "From 1914-1918 to 1939-1945, in 2001, 1999/2000 and 1990–2000.",
    "Python 3.11.4, version 1.20.300.4, v2.10.0.12, Chrome 120.0.6099.109, numpy==1.26.10.4, section 12.3.4.5",
    "8.8.8.8 and 127.0.0.1 and 1.1.1.1 are addresses of nobody in particular.",
    "The ratio 16:9, the time 12:30:45, the MAC 00:1A:2B:3C:4D:5E, std::vector<int>, x[::2], a::b::c",
    "He scored 555 points in 1234 games; ISBN 978-3-16-148410-0; order 4111111111111112.",
    "password: required. Token: a unit of text. The secret is patience. The key is under the mat.",
    "token = tokenizer.decode(ids); password = getpass(); api_key=os.environ['API_KEY'] password=$PASSWORD",
    "@ada said: meet me @ 5. user@host, a@b, lodash@4.17.21, git@github.com:org/repo.git",
    "https://example.org:8080/a/b?c=1#d and http://host/path@2x.png",
    "sk-learn, skip-the-line, AKIA is a prefix, hf_transfer, basic understanding of chemistry",
    "The ID is 123456789012 and the phone was new. Call 911 or dial 112. Page 020 of 345.",
    "DE44 is a road; XX00 1234 5678 9012 3456; GB29NWBK60161331926818 has a wrong check digit.",
    "2 + 3 * 4 - 5 / 6 = 13.1666; -12345678; (555) is odd; 1-2-3-4-5-6-7-8-9-10",
    "Coordinates 52.520008, 13.404954; 40°26′46″N; pH 7.4; 98.6 °F; $1,999.99; 10^15",
    "SHA-256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "<EMAIL_1> wrote to <PHONE_2>.",
]


@pytest.mark.parametrize("text", PLAIN, ids=lambda text: text[:30])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert [(found.kind, text[found.start : found.end]) for found in find(text)] == []


WORDS = [
    "the",
    "sum",
    "of",
    "in",
    "version",
    "room",
    "about",
    "=",
    "+",
    "-",
    "(",
    ")",
    ",",
    "times",
    "password",
    "key",
    ":",
]


@settings(max_examples=500)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(WORDS),
            st.integers(0, 99_999).map(str),
            st.integers(1500, 2100).map(str),
            st.dates().map(lambda date: date.strftime("%Y-%m-%d")),
            st.dates().map(lambda date: date.strftime("%d.%m.%Y")),
            st.floats(0, 1e6, allow_nan=False).map(lambda value: f"{value:.3f}"),
            st.tuples(st.integers(0, 9), st.integers(0, 99), st.integers(0, 99)).map(lambda v: "{}.{}.{}".format(*v)),
        ),
        max_size=12,
    )
)
def test_numbers_dates_and_versions_between_words_are_never_flagged(words: list[str]) -> None:
    assert find(" and ".join(words)) == []


def test_findings_never_overlap_and_the_secret_wins_over_what_it_holds() -> None:
    text = "https://ann:pw1@mail.example.org/ and password=a@example.org1"
    found = find(text)
    assert found[0].kind == "LOGIN"
    assert all(first.end <= second.start for first, second in pairwise(found))


def pair(prompt: str, chosen: str, rejected: str) -> PairRow:
    """A pair on one question."""
    return PairRow((Message("user", prompt),), chosen, rejected, 1.0, 1.0, ("mail@example.org",), "compare")


def test_equal_values_in_a_row_get_equal_placeholders_and_others_get_others() -> None:
    findings = PersonalFindings()
    row = pair("I am ann@a.org.", "Hello Ann@A.org and bob@b.org!", "+49 30 901820 or +49 30 90 18 20, bob@b.org")
    after = handled(row, Handling.REPLACE, findings)
    assert after.prompt[0].content == "I am <EMAIL_1>."
    assert after.chosen == "Hello <EMAIL_1> and <EMAIL_2>!"
    assert after.rejected == "<PHONE_1> or <PHONE_1>, <EMAIL_2>"
    assert after.judgements == row.judgements  # lineage is not a person's words
    assert findings.to_record(Handling.REPLACE) == {"handling": "replace", "rows": 1, "found": {"EMAIL": 2, "PHONE": 1}}


def test_flag_counts_and_changes_nothing_and_off_does_not_look() -> None:
    row = pair("ann@a.org", "yes", "no")
    findings = PersonalFindings()
    assert handled(row, Handling.FLAG, findings) is row
    assert (findings.rows, findings.kinds) == (1, Counter(EMAIL=1))
    assert handled(pair("hi", "yes", "no"), Handling.FLAG, findings) == pair("hi", "yes", "no")
    assert findings.rows == 1
    none = PersonalFindings()
    assert handled(row, Handling.OFF, none) is row
    assert none.rows == 0


def test_a_placeholder_that_is_already_there_is_not_given_to_another_value() -> None:
    after = handled(pair("<EMAIL_1> and ann@a.org", "x", "y"), Handling.REPLACE, PersonalFindings())
    assert after.prompt[0].content == "<EMAIL_1> and <EMAIL_2>"


def test_a_judgement_loses_values_in_every_text_and_keeps_its_ids() -> None:
    judgement = Judgement(
        id="ann@a.org",
        task="t",
        person="p",
        kind=Kind.LIKE,
        context=(Message("user", "ann@a.org"),),
        candidates=(Candidate("c", "bob@b.org", "base", 0, correction="ann@a.org"),),
        comment="bob@b.org",
        reasons=("ann@a.org",),
    )
    after = handled(judgement, Handling.REPLACE, PersonalFindings())
    assert (after.id, after.kind) == ("ann@a.org", Kind.LIKE)
    assert after.context[0].content == after.candidates[0].correction == after.reasons[0] == "<EMAIL_1>"
    assert after.candidates[0].text == after.comment == "<EMAIL_2>"


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from([value for _, _, value in FOUND]),
    st.sampled_from(["<EMAIL_1>", "<IP_3>", " "]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=8).map(" ".join), st.lists(PIECES, max_size=8).map(" ".join))
def test_replacing_twice_is_replacing_once_and_leaves_nothing_to_find(first: str, second: str) -> None:
    once = handled(pair(first, second, "no"), Handling.REPLACE, PersonalFindings())
    findings = PersonalFindings()
    assert handled(once, Handling.REPLACE, findings) == once
    assert findings.rows == 0


@pytest.mark.parametrize(
    "piece",
    ["1", "+1", "1 ", "(1)", "a.", "a@", "a@a.", "tel 1", "0 1", "::", "1.", "password:", "A1", "://a:", "eyJ.", "sk-"],
)
def test_a_text_made_to_be_slow_is_read_to_its_end(piece: str) -> None:
    text = "tel +0" + piece * 4000
    assert all(0 <= found.start < found.end <= len(text) for found in find(text))


@pytest.mark.parametrize("text", ["+49(0)30 901820", "Tel: (030)901820", "+1-212-555-0123", "phone 030/901820"])
def test_brackets_and_strokes_belong_to_a_number(text: str) -> None:
    (found,) = find(text)
    assert (found.kind, found.end) == ("PHONE", len(text))
