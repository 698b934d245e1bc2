"""What personal data and secrets look like: one recogniser per kind, each a function from a text to spans.

A recogniser gives (start, end) of values in order. It is made to be right rather than complete where a shape
is shared with ordinary text: sums, dates, years, version numbers and identifiers are not personal data.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

Spans = Iterator[tuple[int, int]]
Recogniser = Callable[[str], Spans]


# --- secrets -------------------------------------------------------------------------------------------

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<what>[A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END (?P=what)-----|\Z)", re.DOTALL
)


def private_keys(text: str) -> Spans:
    """PEM and PGP private-key blocks, to their end line or, where that was cut off, to the end of the text."""
    if "PRIVATE KEY" in text:
        yield from _spans(_PRIVATE_KEY, text)


# Prefixes that issuers give their tokens, so that scanners can find them.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS access key
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"
    r"|glpat-[A-Za-z0-9_\-]{20,64}"
    r"|xox[abeoprs]-[A-Za-z0-9\-]{10,250}"  # Slack
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,128}"  # Stripe
    r"|sk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_\-]{20,250}"  # model providers
    r"|AIza[A-Za-z0-9_\-]{35}"  # Google
    r"|ya29\.[A-Za-z0-9_\-]{20,250}"
    r"|hf_[A-Za-z0-9]{30,64}"
    r"|npm_[A-Za-z0-9]{36}"
    r"|pypi-[A-Za-z0-9_\-]{50,250}"
    r"|SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{32,64}"  # SendGrid
    r"|\d{8,10}:AA[A-Za-z0-9_\-]{33}"  # Telegram bot
    r"|eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"  # JSON web token (RFC 7519)
    r")(?![A-Za-z0-9_\-])"
)
_BEARER = re.compile(r"(?i)\b(?:bearer|basic) +([A-Za-z0-9._~+/\-]{16,}=*)(?![A-Za-z0-9])")
_AWS_SECRET = re.compile(r"(?i)aws.{0,20}?['\"=: ]([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")


def tokens(text: str) -> Spans:
    """API keys and tokens: those with a known prefix, and what follows `Bearer` or names an AWS secret."""
    yield from _spans(_TOKEN, text)
    for pattern in (_BEARER, _AWS_SECRET):
        for match in pattern.finditer(text):
            if _mixed(match[1]):
                yield match.span(1)


_ASSIGNED = re.compile(
    r"(?i)(?<![A-Za-z])(?:(?P<pass>pass(?:word|wd|phrase)?|pwd)|secret|(?:api|access|auth|secret|private)[_\- ]?key"
    r"|(?:access|auth|refresh|api|id|session)[_\-]?token|client[_\-]?secret|token)"
    r"[\"']?\s*(?::=|=|:|\bis\b)\s*[\"'`]?"
    r"(?P<value>[A-Za-z0-9!@#%^*_+=.~/$?\-](?:[A-Za-z0-9!@#%^*_+=.~/$?\-]|(?(pass)&|(?!))){5,127})"
)


def assigned_secrets(text: str) -> Spans:
    """The value that is given to something called password, secret, token or key, when it looks like one.

    It must mix letters with digits; so `password: required` and `token = get()` are left alone.
    """
    for match in _ASSIGNED.finditer(text):
        value = match["value"].rstrip(".,")
        end = match.start("value") + len(value)
        called = text[end : end + 1] in ("(", "[", "{")
        if len(value) >= 6 and _mixed(value) and not called and not value.startswith(("$", "%")):
            yield match.start("value"), end


_LOGIN = re.compile(r"\b[a-z][a-z0-9+.\-]{1,20}://([^\s/@:<>\"']{1,100}:[^\s/@<>\"']{1,200})@(?=[\w\[])", re.IGNORECASE)


def logins(text: str) -> Spans:
    """`user:password` inside an address (RFC 3986, section 3.2.1); the rest of the address stays readable."""
    if "://" in text:
        for match in _LOGIN.finditer(text):
            yield match.span(1)


# --- people --------------------------------------------------------------------------------------------

_EMAIL = re.compile(
    r"(?<![\w.+\-@/:])([^\W_](?:[\w.+\-%']{0,63}[\w+\-])?|[^\W_])"
    r"@((?:[^\W_](?:[\w\-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24})(?![\w@])"
)


def emails(text: str) -> Spans:
    """E-mail addresses, in any script. `git@host:path` names a repository and no person."""
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        if not (match[1] == "git" and text[match.end() : match.end() + 1] in (":", "/")):
            yield match.span()


# Country calling codes (ITU-T E.164, annex D), one and two digits long; the others have three.
_SHORT = (
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 "
    "86 90 91 92 93 94 95 98"
)
_LONG = "21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99"
_SHORT_CODES, _LONG_CODES = frozenset(_SHORT.split()), frozenset(_LONG.split())
_PLUS = re.compile(
    r"(?<![\w+.,\-*/^=)])(?:\+|00(?=[1-9]))"
    r"(\(?\d{1,15}\)?(?:(?:[ .\-/]{1,2}\(?|\(|(?<=\)))\d{1,14}\)?){0,8})(?![\d%]|[.,]\d)"
)
_NANP = re.compile(
    r"(?<![\w.,\-+/$€£])(?:1[ .\-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d([ .\-]))[2-9]\d\d(?(1)\1|[ .\-])\d{4}(?!\w|[.,\-/]\d)"
)
_NATIONAL = re.compile(
    r"(?<![\w.,\-+/:])\(?0\d{1,4}\)?(?:[ /]|[ ]?-[ ]?)\d{2,8}(?:[ \-]\d{2,5}){0,4}(?![\w]|[.,\-/:]\d)"
)
_CALLED = re.compile(
    r"(?i)(?<![A-Za-z])(?:tel(?:ephone|efon)?|phone(?: number)?|mobile|cell|fax|handy|call(?: me)?(?: (?:at|on))?"
    r"|whatsapp|t[eé]l[eé]phone)\b[ .:#]{0,3}(?:is )?(\(?\d{2,15}\)?(?:(?:[ .\-/]\(?|(?<=\)))\d{2,15}\)?){0,5})(?!\d)"
)
_DATE = re.compile(r"\d{1,2}[ .\-/]\d{1,2}[ .\-/](?:19|20)\d\d|\d{4}[ .\-/]\d{1,2}[ .\-/]\d{1,2}")


def phones(text: str) -> Spans:
    """Telephone numbers: with a country's code, with a leading 0, North American, or called so."""
    found: list[tuple[int, int]] = []
    for match in _PLUS.finditer(text):
        ends = [match.end(), *(i for i in range(match.end() - 1, match.start(), -1) if text[i] in " .-/")]
        end = next((end for end in ends if _international(text[match.start(1) : end])), 0)
        if end:
            found.append(_trimmed(text, match.start(), end))
    found += [match.span() for match in _NANP.finditer(text)]
    for match in _NATIONAL.finditer(text):
        if 9 <= len(_digits(match.group())) <= 12 and not _DATE.match(match.group()):
            found.append(_trimmed(text, match.start(), match.end()))
    for match in _CALLED.finditer(text):
        if 7 <= len(_digits(match[1])) <= 15 and not _DATE.match(match[1]):
            found.append(_trimmed(text, *match.span(1)))
    yield from _disjoint(found)


def _international(number: str) -> bool:
    """Whether digits behind a + begin with a country's code and go on as its numbers do."""
    digits = _digits(number)
    code = digits[:1] if digits[:1] in _SHORT_CODES else digits[:2] if digits[:2] in _SHORT_CODES else digits[:3]
    rest = digits[len(code) :]
    if code == "1":
        return len(rest) == 10 and rest[0] not in "01"
    known = code in _SHORT_CODES or (len(code) == 3 and code[:2] in _LONG_CODES)
    return known and 6 <= len(rest) <= 12 and (not rest.startswith("0") or "(0)" in number or code == "39")


# Length of an IBAN by country (SWIFT's IBAN registry).
_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 "
    "FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 "
    "LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 "
    "SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBAN_LENGTHS = {each[:2]: int(each[2:]) for each in _LENGTHS.split()}
_IBAN = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})\d{2}(?: ?[A-Z0-9]){11,30}")


def ibans(text: str) -> Spans:
    """Bank accounts of the right length for their country whose remainder by 97 is 1."""
    for match in _IBAN.finditer(text):
        wanted = _IBAN_LENGTHS.get(match[1], 0)
        end, compact = match.start(), ""
        while len(compact) < wanted and end < match.end():
            compact += text[end].strip()
            end += 1
        whole = len(compact) == wanted and not text[end : end + 1].isalnum()
        if whole and int("".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])) % 97 == 1:
            yield match.start(), end


_CARD = re.compile(r"(?<![\w.,+\-])\d(?:[ \-]?\d){12,18}(?![\w]|[.,\-]\d)")


def cards(text: str) -> Spans:
    """Payment cards: an issuer's prefix with its length, and a right check digit."""
    for match in _CARD.finditer(text):
        digits = _digits(match.group())
        if _issued(digits) and _luhn(digits):
            yield match.span()


def _issued(digits: str) -> bool:
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return size == 16
    if two in (34, 37):
        return size == 15
    if two in (36, 38, 39) or 300 <= int(digits[:3]) <= 305:
        return size in (14, 16)
    return (two in (62, 65) or four == 6011 or 644 <= int(digits[:3]) <= 649 or 3528 <= four <= 3589) and size >= 16


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


_SSN = re.compile(r"(?<![\w.\-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w]|[.\-]\d)")


def social_security_numbers(text: str) -> Spans:
    """United States social security numbers in their written form."""
    yield from _spans(_SSN, text)


_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_NUMBERED = re.compile(
    r"(?i)(?:\bv|\b(?:versions?|release|build|section|chapter|figure|table|clause|paragraph|article)s?\b|§|[=<>~!]=|\^)"
    r"[ .:]{0,2}$"
)


def ip_addresses(text: str) -> Spans:
    """IPv4 and IPv6 addresses of machines; loopback, unspecified and one-digit ones name nobody."""
    if text.count(".") >= 3:
        for match in _IPV4.finditer(text):
            small = all(len(part) == 1 for part in match.group().split("."))
            if (
                not small
                and _address(match.group())
                and not _NUMBERED.search(text, max(0, match.start() - 20), match.start())
            ):
                yield match.span()
    if text.count(":") >= 2:
        for match in _IPV6.finditer(text):
            groups = [group for group in match.group().split(":") if group]
            if len(groups) >= 3 and any(sign.isdigit() for sign in match.group()) and _address(match.group()):
                yield match.span()


def _address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or text.startswith("255."))


def _mixed(value: str) -> bool:
    return any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value)


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def _spans(pattern: re.Pattern[str], text: str) -> Spans:
    for match in pattern.finditer(text):
        yield match.span()


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the gap or bracket that a greedy number took along."""
    while text[end - 1] in " .-/(":
        end -= 1
    while text[start] in " .-/":
        start += 1
    return start, end


def _disjoint(spans: list[tuple[int, int]]) -> Spans:
    last = 0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= last:
            yield start, end
            last = end


# In order of precedence: a secret that holds an address is a secret.
RECOGNISERS: tuple[tuple[str, Recogniser], ...] = (
    ("PRIVATE_KEY", private_keys),
    ("TOKEN", tokens),
    ("LOGIN", logins),
    ("EMAIL", emails),
    ("SECRET", assigned_secrets),
    ("IBAN", ibans),
    ("CARD", cards),
    ("SSN", social_security_numbers),
    ("IP", ip_addresses),
    ("PHONE", phones),
)
