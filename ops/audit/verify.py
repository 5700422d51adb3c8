#!/usr/bin/env python3
"""Checks bundles by the rule of VERIFY.md: `python3 verify.py DIR [--key VKEY]`.

Needs nothing but Python 3.9 and its standard library; signatures are checked by `openssl` where it is
there, else by the arithmetic of RFC 8032 below. Prints each check with what it counted, and ends with
`verified: ...` (exit 0), `failed: <reason>: <what>` (exit 6), or how it is called (exit 2).
"""

import base64
import binascii
import bisect
import gc
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unicodedata

WIDTH = 256
MAX_SAFE = 2**53 - 1
MAX_DEPTH = 120
MAX_NOTE = 256 * 1024
MAX_MANIFEST = 256 * 1024 * 1024
MAX_LEAF = 61440
MAX_LEAF_TILE = WIDTH * (2 + 65535)
MAX_PROOF = 64 * 45
MAX_PATH = 512
MAX_NUMBER = 2**127
DAY = 86_400_000
TRUTH_COMES_WITHIN = 5_356_800_000
FORMAT = "dagbook.bundle/1"
UNLISTED = ("SHA256SUMS", "manifest.json", "manifest.note")
EMPTY_ROOT = hashlib.sha256(b"").digest()


class Failure(Exception):
    """A check that does not hold."""

    def __init__(self, reason, what):
        super().__init__(what)
        self.reason = reason
        self.what = what


class Malformed(Exception):
    """Bytes that are not what they should be; whoever reads them gives the reason."""


def shown(text):
    """A stranger's text, as far as it is printed."""
    return ascii(str(text)[:120])[1:-1]


def sha256(data):
    return hashlib.sha256(data).digest()


def hexed(data):
    return hashlib.sha256(data).hexdigest()


# --- Canonical JSON (section 1)


def _no_float(text):
    raise Malformed("a number that is no integer")


def _int(text):
    if len(text) < 16:
        return int(text)
    if len(text) > 17:
        raise Malformed("an integer beyond 2^53 - 1")
    number = int(text)
    if abs(number) > MAX_SAFE:
        raise Malformed("an integer beyond 2^53 - 1")
    return number


def _sound(value, depth):
    if depth > MAX_DEPTH:
        raise Malformed("nested too deeply")
    members = ()
    if isinstance(value, dict):
        names = list(value)
        # ASCII sorts alike by characters and by UTF-16, and C compares it.
        is_plain = "".join(names).isascii()
        if names != sorted(names, key=None if is_plain else _utf16):
            raise Malformed("members that are not in order")
        members = value.values()
    elif isinstance(value, list):
        members = value
    elif value is None:
        raise Malformed("a null")
    for member in members:
        if isinstance(member, (dict, list)) or member is None or depth == MAX_DEPTH:
            _sound(member, depth + 1)


def _utf16(name):
    return name.encode("utf-16-be", "surrogatepass")


_READER = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float, parse_int=_int)
_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def rendered(value):
    return _WRITER.encode(value)


def canonical(data):
    """The value of canonical JSON; everything else is malformed."""
    try:
        text = data.decode("utf-8")
        value = _READER.decode(text)
        _sound(value, 0)
        if rendered(value) != text:
            raise Malformed("not the canonical spelling")
    except Malformed as error:
        raise Malformed("not canonical JSON: %s" % error) from None
    except (ValueError, RecursionError) as error:
        raise Malformed("not canonical JSON: %s" % shown(error)) from None
    return value


def to_canonical(value):
    def in_order(value):
        if isinstance(value, dict):
            return {name: in_order(value[name]) for name in sorted(value, key=_utf16)}
        if isinstance(value, list):
            return [in_order(item) for item in value]
        return value

    return rendered(in_order(value)).encode("utf-8")


# --- The forms of values


def text(value):
    if not isinstance(value, str):
        raise Malformed("a text is expected")
    return value


def integer(value, least=-MAX_SAFE, most=MAX_SAFE):
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Malformed("an integer is expected")
    return value


def natural(value):
    return integer(value, 0)


def boolean(value):
    if not isinstance(value, bool):
        raise Malformed("true or false is expected")
    return value


def hex_digest(value):
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise Malformed("64 hexadecimal digits are expected")
    return value


def whole(value, least=-MAX_NUMBER, most=MAX_NUMBER - 1):
    """A whole number of any size, in a text."""
    if not isinstance(value, str) or not re.fullmatch(r"0|-?[1-9][0-9]{0,38}", value):
        raise Malformed("a whole number in a text is expected")
    number = int(value)
    if not least <= number <= most:
        raise Malformed("a number is out of range")
    return number


def positive_whole(value):
    return whole(value, 1)


def natural_whole(value):
    return whole(value, 0)


def one_of(*words):
    def read(value):
        if value not in words or not isinstance(value, str):
            raise Malformed("one of %s is expected" % ", ".join(words))
        return value

    return read


def list_of(read):
    def read_all(value):
        if not isinstance(value, list):
            raise Malformed("an array is expected")
        return [read(item) for item in value]

    return read_all


class Shape:
    """An object with these members; `exact`: and no others."""

    def __init__(self, needed, perhaps=None, exact=False):
        self.needed = needed
        self.perhaps = perhaps or {}
        self.exact = exact

    def __call__(self, value):
        if not isinstance(value, dict):
            raise Malformed("an object is expected")
        read = {}
        try:
            for name, member in self.needed.items():
                if name not in value:
                    break
                read[name] = member(value[name])
            else:
                for name, member in self.perhaps.items():
                    read[name] = member(value[name]) if name in value else None
                name = None
        except Malformed as error:
            raise Malformed("`%s`: %s" % (name, error)) from None
        if name is not None:
            raise Malformed("the member `%s` is missing" % name)
        if self.exact:
            for name in value:
                if name not in read:
                    raise Malformed("the member `%s` is not known" % shown(name))
        return read


def any_object(value):
    if not isinstance(value, dict):
        raise Malformed("an object is expected")
    return value


HEAD = Shape({"root": hex_digest, "size": natural}, exact=True)
MANIFEST = Shape(
    {
        "control": Shape(
            {"events": natural},
            {"currency": text, "facts": natural, "lines": natural, "total_minor": text},
            exact=True,
        ),
        "files": list_of(Shape({"bytes": natural, "path": text, "sha256": hex_digest}, exact=True)),
        "format": one_of(FORMAT),
        "kind": one_of("invoice", "history"),
        "log": Shape(
            {"end": HEAD, "first": natural, "origin": text, "start": HEAD, "tiles": list_of(natural)},
            exact=True,
        ),
        "program": text,
        "rating": lambda value: integer(value, 1, 1),
        "tenant": text,
    },
    {"period": Shape({"end": integer, "name": text, "start": integer, "zone": text}, exact=True)},
    exact=True,
)
ENVELOPE = Shape(
    {
        "ac": Shape({"id": text, "kind": text}, {"on_behalf_of": text, "token": text}, exact=True),
        "at": integer,
        "d": any_object,
        "id": text,
        "pos": natural,
        "rt": integer,
        "st": text,
        "sv": natural,
        "tl": natural,
        "tn": text,
        "ts": natural,
        "ty": text,
        "v": lambda value: integer(value, 1, 1),
    },
    {"b": any_object, "ca": text, "co": text, "s": any_object, "tp": text},
    exact=True,
)
GPU = Shape({"model": text, "mode": text, "count": natural})
USAGE = Shape(
    {
        "executor": text,
        "class": text,
        "allocated_ms": integer,
        "released_ms": integer,
        "requested": Shape(
            {"cpu_milli": natural, "mem_mib": natural, "disk_mib": natural, "gpu": list_of(GPU)}
        ),
        "outcome": text,
        "fault": one_of("none", "user", "policy", "infra"),
    },
    {"started_ms": integer, "used": Shape({}, {"egress_bytes": natural})},
)
HEARD = Shape({"planned": integer, "exited": integer}, {"started": integer})
TIERS = Shape(
    {
        "kind": one_of("flat", "graduated", "volume"),
        "steps": list_of(Shape({"price_nanos": natural_whole}, {"up_to": natural_whole}, exact=True)),
    },
    exact=True,
)
MATCH = Shape({}, {"class": text, "executor": text, "gpu_model": text, "mode": text}, exact=True)
METERS = ("cpu_milli_ms", "mem_mib_ms", "disk_mib_ms", "gpu_ms", "runner_ms", "egress_bytes")
VERSION = lambda value: integer(value, 0, 2**32 - 1)
EXPONENT = lambda value: integer(value, 0, 9)
CARD = Shape(
    {
        "name": text,
        "version": VERSION,
        "currency": text,
        "exponent": EXPONENT,
        "bill": one_of("allocated", "started"),
        "clock": one_of("executor", "orchestrator"),
        "bill_faults": Shape({"infra": boolean, "policy": boolean, "user": boolean}, exact=True),
        "minimum_ms": natural,
        "increment_ms": lambda value: integer(value, 1),
        "rounding": one_of("half_even"),
        "prices": list_of(
            Shape(
                {"sku": text, "meter": one_of(*METERS), "match": MATCH, "per": positive_whole, "tiers": TIERS},
                exact=True,
            )
        ),
    },
    exact=True,
)
CONTRACT = Shape(
    {
        "name": text,
        "version": VERSION,
        "currency": text,
        "exponent": EXPONENT,
        "overrides": list_of(Shape({"sku": text, "per": positive_whole, "tiers": TIERS}, exact=True)),
        "discounts": list_of(
            Shape({"name": text, "parts_per_billion": natural_whole}, {"skus": list_of(text)}, exact=True)
        ),
        "credits": list_of(Shape({"name": text, "amount_minor": natural_whole}, exact=True)),
    },
    exact=True,
)
TOTAL = {"quantity": whole, "rate_card": text, "rate_card_version": text, "sku": text}
PUBLISHED = {"effective_from": integer, "sha256": hex_digest, "source": text}
BILLING = {
    "rate_card.adopted": Shape(dict(PUBLISHED, card=CARD)),
    "contract.published": Shape(dict(PUBLISHED, contract=CONTRACT)),
    "period.opened": Shape(
        {"period": text, "start": integer, "end": integer, "zone": text, "currency": text, "exponent": EXPONENT}
    ),
    "period.closed": Shape(
        {
            "period": text,
            "size": natural,
            "root": hex_digest,
            "rating": natural,
            "number": text,
            "usage": hex_digest,
            "lines": hex_digest,
            "invoice": hex_digest,
            "total_minor": whole,
            "totals": list_of(Shape(TOTAL, {"period": text})),
            "corrected": list_of(Shape(TOTAL, {"period": text})),
            "credits": list_of(Shape({"contract": text, "minor": whole, "name": text})),
        }
    ),
    "credit_note.issued": Shape({"number": text, "invoice": text, "sha256": hex_digest, "document": text}),
}


# --- Trees and tiles (section 3)


def leaf_hash(leaf):
    return sha256(b"\0" + leaf)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


def root_of(hashes):
    """The root over leaf hashes: perfect subtrees are joined as they appear."""
    stack = []
    for i, value in enumerate(hashes):
        while i & 1:
            value = node_hash(stack.pop(), value)
            i >>= 1
        stack.append(value)
    return joined(stack)


def joined(peaks):
    """The root of a tree that consists of these perfect subtrees, widest first."""
    if not peaks:
        return EMPTY_ROOT
    value = peaks[-1]
    for left in reversed(peaks[:-1]):
        value = node_hash(left, value)
    return value


def tile_path(level, index, width):
    groups = ["%03d" % (index % 1000)]
    index //= 1000
    while index:
        groups.append("x%03d" % (index % 1000))
        index //= 1000
    path = "tile/%s/%s" % (level, "/".join(reversed(groups)))
    return path if width == WIDTH else "%s.p/%d" % (path, width)


def is_tile_path(path):
    found = re.fullmatch(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?", path)
    if not found:
        return False
    level, groups, width = found.groups()
    width = WIDTH if width is None else int(width)
    index = int(groups.replace("x", "").replace("/", ""))
    if level != "entries" and int(level) > 63 or index >= 2**64 or not 1 <= width <= WIDTH:
        return False
    level = level if level == "entries" else int(level)
    return tile_path(level, index, width) == path


def consistent(m, old_root, n, new_root, proof):
    """RFC 9162, 2.1.4.2: whether a proof leads from a tree of m leaves to one of n."""
    if m > n:
        return False
    if m == n or m == 0:
        return not proof and (m == 0 or old_root == new_root)
    path = list(proof)
    if m & (m - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for value in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr = node_hash(value, fr)
            sr = node_hash(value, sr)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, value)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == old_root and sr == new_root


# --- Ed25519: openssl, or the reference arithmetic of RFC 8032

_P = 2**255 - 19
_D = -121665 * pow(121666, _P - 2, _P) % _P
_L = 2**252 + 27742317777372353535851937790883648493
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_DER = bytes.fromhex("302a300506032b6570032100")


def _add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    p, q = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    r, s = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = q - p, s - r, s + r, q + p
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(n, point):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = _add(total, point)
        point = _add(point, point)
        n >>= 1
    return total


def _point(data):
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= _P:
        return None
    x2 = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if x2 == 0:
        return None if sign else (0, y, 1, 0)
    x = pow(x2, (_P + 3) // 8, _P)
    if (x * x - x2) % _P:
        x = x * _SQRT_M1 % _P
    if (x * x - x2) % _P:
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


_BASE = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def ed25519_by_arithmetic(key, message, signature):
    a, r = _point(key), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    left, right = _times(s, _BASE), _add(r, _times(h, a))
    return not (
        (left[0] * right[2] - right[0] * left[2]) % _P or (left[1] * right[2] - right[1] * left[2]) % _P
    )


def ed25519_by_openssl(key, message, signature):
    """True, False, or None where there is no openssl that can say it."""
    program = shutil.which("openssl")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, content in (("key", _DER + key), ("message", message), ("signature", signature)):
            paths.append(os.path.join(folder, name))
            with open(paths[-1], "wb") as file:
                file.write(content)
        command = [program, "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths[0]]
        command += ["-rawin", "-in", paths[1], "-sigfile", paths[2]]
        try:
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        except (OSError, subprocess.SubprocessError):
            return None
    said = done.stdout + done.stderr
    # Neither the exit status nor the words are believed alone.
    if done.returncode == 0 and b"Signature Verified Successfully" in said:
        return True
    if done.returncode != 0 and b"Signature Verification Failure" in said:
        return False
    return None


class Signatures:
    """Checks signatures, and remembers by what."""

    def __init__(self, arithmetic):
        self.arithmetic = arithmetic
        self.by = "the arithmetic of RFC 8032" if arithmetic else "openssl"

    def holds(self, key, message, signature):
        if len(key) != 32 or len(signature) != 64:
            return False
        said = None if self.arithmetic else ed25519_by_openssl(key, message, signature)
        if said is None:
            self.by = "the arithmetic of RFC 8032"
            return ed25519_by_arithmetic(key, message, signature)
        return said


# --- Notes, keys, policies (C2SP)


def unbase64(value):
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise Malformed("not base64") from None
    if base64.b64encode(data).decode() != value:
        raise Malformed("not base64")
    return data


def is_key_name(name):
    return bool(name) and not any(c == "+" or c.isspace() or unicodedata.category(c) == "Cc" for c in name)


class Key:
    def __init__(self, vkey):
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise Malformed("not a verifier key (name+hexid+base64)")
        self.name, data = parts[0], unbase64(parts[2])
        if len(data) != 33 or data[0] not in (1, 4) or not is_key_name(self.name):
            raise Malformed("not an Ed25519 key of a log or a witness")
        self.kind, self.public = data[0], data[1:]
        try:
            self.id = sha256(self.name.encode("utf-8") + b"\n" + data)[:4]
        except UnicodeEncodeError:
            raise Malformed("the name of the key is no text") from None
        if self.id.hex() != parts[1]:
            raise Malformed("the id is not that of the key")

    def same(self, other):
        return (self.kind, self.name, self.public) == (other.kind, other.name, other.public)


class Note:
    def __init__(self, data):
        if len(data) > MAX_NOTE:
            raise Malformed("longer than 256 KiB")
        try:
            whole_text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None
        at = whole_text.rfind("\n\n")
        if at < 0 or not whole_text.endswith("\n") or at + 2 >= len(whole_text):
            raise Malformed("no text with signature lines behind an empty line")
        self.text = whole_text[: at + 1]
        if any(c < " " and c != "\n" for c in self.text):
            raise Malformed("control characters in the text")
        lines = whole_text[at + 2 : -1].split("\n")
        if len(lines) > 64:
            raise Malformed("more than 64 signatures")
        self.lines = [self.line(line) for line in lines]

    @staticmethod
    def line(line):
        parts = line.split(" ", 2)
        if len(parts) != 3 or parts[0] != "\u2014" or not is_key_name(parts[1]):
            raise Malformed("a signature line is broken")
        data = unbase64(parts[2])
        if len(data) < 5:
            raise Malformed("a signature line is broken")
        return parts[1], data[:4], data[4:]

    def signed_by(self, key, signatures):
        """Whether the key has signed; a wrong signature is malformed."""
        mine = [data for name, key_id, data in self.lines if name == key.name and key_id == key.id]
        if not mine:
            return False
        if len(mine) > 1:
            raise Malformed("the key `%s` has signed twice" % shown(key.name))
        message, signature = self.text.encode("utf-8"), mine[0]
        if key.kind == 4:
            seconds = int.from_bytes(signature[:8], "big")
            if len(signature) != 72 or seconds >= 2**63:
                raise Malformed("the cosignature by `%s` is wrong" % shown(key.name))
            message = b"cosignature/v1\ntime %d\n" % seconds + message
            signature = signature[8:]
        if not signatures.holds(key.public, message, signature):
            raise Malformed("the signature by `%s` is wrong" % shown(key.name))
        return True


class Checkpoint:
    def __init__(self, note_text):
        lines = note_text[:-1].split("\n")
        if len(lines) < 3 or not lines[0] or "" in lines[3:]:
            raise Malformed("not a checkpoint")
        if not re.fullmatch(r"0|[1-9][0-9]{0,19}", lines[1], re.ASCII):
            raise Malformed("the size is no decimal number")
        self.origin, self.size, self.root = lines[0], int(lines[1]), unbase64(lines[2])


class Policy:
    def __init__(self, data):
        if len(data) > MAX_NOTE:
            raise Malformed("longer than 256 KiB")
        if any(byte < 32 and byte not in (9, 10) or byte == 127 for byte in data):
            raise Malformed("control characters")
        try:
            content = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None
        if not content.endswith("\n"):
            raise Malformed("the last line does not end")
        self.logs, self.witnesses, self.groups, self.members, self.quorum = [], {}, {}, set(), None
        for number, line in enumerate(content.split("\n"), 1):
            words = [word for word in re.split("[ \t]", line) if word]
            if words and not words[0].startswith("#"):
                try:
                    self.line(words)
                except Malformed as error:
                    raise Malformed("line %d: %s" % (number, error)) from None
        if self.quorum is None:
            raise Malformed("there is no quorum")

    def line(self, words):
        kind, rest = words[0], words[1:]
        if kind == "log" and len(rest) in (1, 2):
            self.logs.append(self.key(rest[0], 1, self.logs))
        elif kind == "witness" and len(rest) in (2, 3):
            self.unused(rest[0])
            self.witnesses[rest[0]] = self.key(rest[1], 4, self.witnesses.values())
        elif kind == "group" and len(rest) >= 3:
            self.group(rest[0], rest[1], rest[2:])
        elif kind == "quorum" and len(rest) == 1:
            if self.quorum is not None or rest[0] != "none" and not self.defined(rest[0]):
                raise Malformed("a second quorum, or one that is not defined")
            self.quorum = rest[0]
        else:
            raise Malformed("`%s` is not known" % shown(kind))

    @staticmethod
    def key(vkey, kind, others):
        key = Key(vkey)
        if key.kind != kind or any(key.public == other.public for other in others):
            raise Malformed("a key of another kind, or one that was there before")
        return key

    def group(self, name, threshold, members):
        self.unused(name)
        if threshold == "all":
            count = len(members)
        elif threshold == "any":
            count = 1
        elif re.fullmatch(r"\+?[0-9]{1,20}", threshold, re.ASCII):
            count = int(threshold)
        else:
            raise Malformed("a threshold is expected")
        if not 1 <= count <= len(members):
            raise Malformed("the threshold is out of range")
        for member in members:
            if not self.defined(member) or member in self.members:
                raise Malformed("a member that is not defined, or is one of another group")
            self.members.add(member)
        self.groups[name] = (count, members)

    def defined(self, name):
        return name in self.witnesses or name in self.groups

    def unused(self, name):
        if name == "none" or self.defined(name):
            raise Malformed("the name `%s` is taken" % shown(name))

    def cosigned(self, note, signatures):
        """The witnesses that have co-signed, if they are enough."""
        reached = {name for name, key in self.witnesses.items() if note.signed_by(key, signatures)}
        count = len(reached)
        for name, (threshold, members) in self.groups.items():
            if sum(member in reached for member in members) >= threshold:
                reached.add(name)
        if self.quorum != "none" and self.quorum not in reached:
            raise Malformed("the quorum `%s` is not reached" % shown(self.quorum))
        return count


# --- From leaves to money (sections 5 to 9)


def limited(number, reason):
    if not -MAX_NUMBER <= number < MAX_NUMBER:
        raise Failure(reason, "a number of 2^127 or more comes out")
    return number


def rounded(numerator, denominator):
    """The quotient to the nearest integer, a half to the even one."""
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or 2 * rest == denominator and quotient & 1:
        quotient += 1
    return quotient


def csv_field(value):
    value = str(value)
    if any(c in value for c in ',"\r\n'):
        return '"%s"' % value.replace('"', '""')
    return value


def csv_line(values):
    return ",".join(csv_field(value) for value in values) + "\n"


USAGE_HEADER = (
    "usage_id,leaf_index,run,step,attempt,sku,meter,quantity,slice_start_ms,slice_end_ms,"
    "rate_card,rate_card_version,fault,billed\n"
)
LINES_HEADER = (
    "line_id,sku,rate_card,rate_card_version,tier,quantity,per,price_nanos,amount_nanos,"
    "amount_minor,currency,usage_count,usage_root\n"
)


ATTEMPT = Shape({"attempt": text, "step": text}, {"heard": HEARD})
SAID = Shape({"step": text, "usage": USAGE}, {"heard": HEARD})


class Said:
    """One leaf that says something about an attempt."""

    def __init__(self, index, kind, leaf):
        d = leaf["d"]
        self.index, self.kind, self.rt = index, kind, leaf["rt"]
        read = SAID(d)
        self.step, self.usage, self.heard = read["step"], read["usage"], read["heard"]
        # The leaf is canonical, so this is how it stands there.
        self.raw = rendered(d["usage"])


class Counting:
    """What counts for an attempt by the leaves below a size (section 5)."""

    def __init__(self, said, size):
        self.end = self.truth = self.checkpoint = None
        self.anomalies = []
        for each in said:
            if each.index >= size:
                break
            if each.kind == "usage.checkpoint":
                self.add_checkpoint(each)
            elif each.kind == "attempt.exited":
                self.add_end(each)
            else:
                self.add_stale(each)
        self.final = self.end is not None
        self.leaf = self.counts()
        self.lost = self.is_lost() and self.truth is None
        self.fault = None
        if self.leaf is not None:
            by = self.end if self.leaf is self.checkpoint and self.final else self.leaf
            self.fault = by.usage["fault"]

    def is_lost(self):
        return self.end is not None and self.end.usage["outcome"] == "lost"

    def counts(self):
        if self.truth is not None:
            return self.truth
        if self.end is not None and not self.is_lost():
            return self.end
        return self.checkpoint

    def add_checkpoint(self, said):
        if self.end is not None:
            self.anomalies.append((said.index, "after_end"))
        elif self.checkpoint is not None and said.usage["released_ms"] < self.checkpoint.usage["released_ms"]:
            self.anomalies.append((said.index, "checkpoint_backwards"))
        else:
            self.checkpoint = said

    def add_end(self, said):
        if self.end is None:
            self.end = said
        elif said.raw != self.end.raw:
            self.anomalies.append((said.index, "conflict"))

    def add_stale(self, said):
        in_time = self.is_lost() and said.rt - self.end.rt <= TRUTH_COMES_WITHIN
        if in_time and self.truth is None:
            self.truth = said
            return
        counts = self.counts()
        if counts is None or said.raw != counts.raw:
            self.anomalies.append((said.index, "conflict"))


class Fact:
    __slots__ = (
        "id", "leaf", "run", "step", "attempt", "sku", "meter", "quantity", "start", "end",
        "label", "version", "fault", "billed", "period",
    )  # fmt: skip

    def key(self):
        return (self.sku, self.label, self.version)

    def with_quantity(self, quantity):
        other = Fact()
        for name in Fact.__slots__:
            setattr(other, name, getattr(self, name))
        other.quantity, other.billed = quantity, True
        return other

    def row(self):
        return csv_line(
            (
                self.id, self.leaf, self.run, self.step, self.attempt, self.sku, self.meter,
                self.quantity, self.start, self.end, self.label, self.version, self.fault,
                "true" if self.billed else "false",
            )
        )  # fmt: skip


class Book:
    """Prices and periods by the leaves below a size."""

    def __init__(self, ledger, size):
        below = lambda entries: [entry for entry in entries if entry[0] < size]
        self.cards, self.contracts = below(ledger.cards), below(ledger.contracts)
        self.periods = {}
        for index, period in below(ledger.periods):
            self.periods.setdefault(period["period"], period)
        cuts = {adopted["effective_from"] for _, adopted in self.cards + self.contracts}
        for _, period in below(ledger.periods):
            cuts.update((period["start"], period["end"]))
        self.cuts = sorted(cuts)

    @staticmethod
    def in_force(entries, at):
        """The entry with the greatest instant, and of equal ones the highest index."""
        best = None
        for index, entry in entries:
            if entry["effective_from"] <= at and (best is None or entry["effective_from"] >= best["effective_from"]):
                best = entry
        return best

    def card_at(self, at):
        entry = self.in_force(self.cards, at)
        return None if entry is None else entry["card"]

    def contract_at(self, at):
        entry = self.in_force(self.contracts, at)
        return None if entry is None else entry["contract"]

    def rules_at(self, at):
        card = self.card_at(at)
        if card is None and self.cards:
            first = min(entry["effective_from"] for _, entry in self.cards)
            card = self.card_at(first)
        if card is None:
            faults = {"infra": False, "policy": True, "user": True}
            card = {"bill": "allocated", "clock": "executor", "bill_faults": faults}
            card.update(minimum_ms=0, increment_ms=1)
        return card

    def period_at(self, at):
        for name, period in self.periods.items():
            if period["start"] <= at < period["end"]:
                return name
        return None

    def entry(self, sku, label, version):
        """The price behind a label."""
        for _, adopted in self.cards:
            card = adopted["card"]
            name, number = card["name"], str(card["version"])
            if (name, number) == (label, version):
                for price in card["prices"]:
                    if price["sku"] == sku:
                        return price
            for _, published in self.contracts:
                contract = published["contract"]
                both = (name + "+" + contract["name"], "%s+%d" % (number, contract["version"]))
                if both == (label, version):
                    for price in contract["overrides"]:
                        if price["sku"] == sku:
                            return price
        raise Failure("rating", "no price is known for %s by %s %s" % (shown(sku), shown(label), shown(version)))


def interval(counting, rules, anomalies):
    leaf, usage, heard = counting.leaf, counting.leaf.usage, counting.leaf.heard
    if rules["clock"] == "orchestrator" and heard is not None:
        planned, started, b = heard["planned"], heard["started"], heard["exited"]
    else:
        planned, started, b = usage["allocated_ms"], usage["started_ms"], usage["released_ms"]
    a = planned
    if rules["bill"] == "started":
        a = b if started is None else started
    if b > leaf.rt + DAY:
        anomalies.append("in_future")
        b = leaf.rt + DAY
    if heard is not None and a < heard["planned"] - DAY:
        anomalies.append("in_past")
        a = heard["planned"] - DAY
    if b < a:
        anomalies.append("inverted")
        b = a
    return a, b


def facts_of(run, attempt, counting, book):
    """All facts of an attempt, and the anomalies of section 7."""
    anomalies, facts = [], []
    if counting.leaf is None:
        return facts, anomalies
    usage = counting.leaf.usage
    rules = book.rules_at(usage["allocated_ms"])
    a, b = interval(counting, rules, anomalies)
    if a == b:
        return facts, anomalies
    padding = 0
    if counting.final:
        unit = rules["increment_ms"]
        duration = max(b - a, rules["minimum_ms"])
        padding = -(-duration // unit) * unit - (b - a)
    bounds = book.cuts[bisect.bisect_right(book.cuts, a) : bisect.bisect_left(book.cuts, b)]
    bounds = [a] + bounds + [b]
    for number in range(len(bounds) - 1):
        start, end = bounds[number], bounds[number + 1]
        is_last = number == len(bounds) - 2
        period = book.period_at(start)
        if period is None:
            continue
        duration = end - start + (padding if is_last else 0)
        for meter, mode, quantity in quantities(usage, duration, is_last and counting.final):
            limited(quantity, "usage")
            priced = price(book, usage, start, meter, mode)
            if quantity == 0 or priced is None:
                continue
            fact = Fact()
            key = meter if mode is None else "%s/%s/%s" % (meter, mode[0], mode[1])
            name = "dagbook.usage/1\n%s\n%s\n%s\n%s\n%d\n" % (run, counting.leaf.step, attempt, key, number)
            fact.id, fact.leaf = hexed(name.encode("utf-8")), counting.leaf.index
            fact.run, fact.step, fact.attempt, fact.meter = run, counting.leaf.step, attempt, key
            fact.sku, fact.label, fact.version = priced
            fact.quantity, fact.start, fact.end, fact.period = quantity, start, end, period
            fact.fault = counting.fault
            fact.billed = bool(fact.label) and (fact.fault == "none" or rules["bill_faults"][fact.fault])
            facts.append(fact)
    return facts, anomalies


def quantities(usage, duration, with_egress):
    requested, gpus = usage["requested"], {}
    yield "cpu_milli_ms", None, requested["cpu_milli"] * duration
    yield "mem_mib_ms", None, requested["mem_mib"] * duration
    yield "disk_mib_ms", None, requested["disk_mib"] * duration
    for gpu in requested["gpu"]:
        mode = (gpu["model"], gpu["mode"])
        gpus[mode] = gpus.get(mode, 0) + gpu["count"]
    for mode, count in gpus.items():
        yield "gpu_ms", mode, count * duration
    yield "runner_ms", None, duration
    if with_egress:
        yield "egress_bytes", None, (usage["used"] or {}).get("egress_bytes") or 0


def price(book, usage, at, meter, mode):
    """(sku, label, version) of a meter at an instant; None: no fact."""
    card = book.card_at(at)
    if card is None:
        return "", "", ""
    is_so = {"executor": usage["executor"], "class": usage["class"]}
    is_so["gpu_model"], is_so["mode"] = mode if mode is not None else (None, None)
    for entry in card["prices"]:
        wanted = entry["match"]
        if entry["meter"] == meter and all(v is None or is_so[k] == v for k, v in wanted.items()):
            break
    else:
        return None
    sku, label, version = entry["sku"], card["name"], str(card["version"])
    contract = book.contract_at(at)
    if contract is not None and any(override["sku"] == sku for override in contract["overrides"]):
        label, version = label + "+" + contract["name"], "%s+%d" % (version, contract["version"])
    return sku, label, version


class Line:
    def __init__(self, kind, period, sku, label, version, tier, quantity, per, price_nanos, amounts, ids):
        self.kind, self.period, self.sku, self.label, self.version = kind, period, sku, label, version
        self.tier, self.quantity, self.per, self.price = tier, quantity, per, price_nanos
        self.nanos, self.minor = amounts
        self.count, self.root = len(ids), root_of([leaf_hash(bytes.fromhex(i)) for i in sorted(ids)]).hex()


def amounts(quantity, price_nanos, per, exponent):
    exact = limited(quantity * price_nanos, "rating")
    divisor = limited(per * 10 ** (9 - exponent), "rating")
    return rounded(exact, per), rounded(exact, divisor)


def steps_of(total, entry):
    """{step: (quantity, per, price)} of a sum."""
    found, kind, before = {}, entry["tiers"]["kind"], 0
    if total <= 0:
        return found
    for number, step in enumerate(entry["tiers"]["steps"], 1):
        end = step["up_to"]
        if kind != "graduated":
            if kind == "flat" or end is None or end >= total:
                return {number: (total, entry["per"], step["price_nanos"])}
            continue
        quantity = (total if end is None else min(total, end)) - before
        if quantity > 0:
            found[number] = (quantity, entry["per"], step["price_nanos"])
        before = before if end is None else end
    return found


class Computed:
    """All that a closing must say."""


class Ledger:
    """What leaves say about money, and what follows from it."""

    def __init__(self):
        self.cards, self.contracts, self.periods, self.closings, self.notes = [], [], [], [], []
        self.attempts, self.raw, self.broken, self.timelines = {}, {}, [], {}

    def add(self, index, leaf):
        kind, d = leaf["ty"], leaf["d"]
        try:
            if leaf["st"] == "billing":
                self.timelines[index] = leaf["tl"]
                if kind in BILLING:
                    self.add_billing(index, kind, BILLING[kind](d), d)
            elif kind in ("attempt.exited", "usage.checkpoint", "report.stale"):
                self.add_said(index, kind, leaf, d)
        except Malformed as error:
            raise Failure("usage", "leaf %d, %s: %s" % (index, kind, error)) from None

    def add_said(self, index, kind, leaf, d):
        try:
            attempt = ATTEMPT(d)["attempt"]
            if kind == "report.stale" and "usage" not in d:
                return
            run = text(leaf.get("co"))
            self.attempts.setdefault((run, attempt), []).append(Said(index, kind, leaf))
        except Malformed as error:
            # Behind the size of a closing nothing is asked of it.
            self.broken.append((index, "leaf %d, %s: %s" % (index, kind, error)))

    def check_read(self, size):
        for index, what in self.broken:
            if index < size:
                raise Failure("usage", what)

    def add_billing(self, index, kind, read, d):
        if kind == "rate_card.adopted":
            self.not_in_closed(read["effective_from"])
            self.raw[index] = to_canonical(d["card"])
            self.cards.append((index, read))
        elif kind == "contract.published":
            self.not_in_closed(read["effective_from"])
            self.raw[index] = to_canonical(d["contract"])
            self.contracts.append((index, read))
        elif kind == "period.opened":
            self.open(read)
            self.periods.append((index, read))
        elif kind == "credit_note.issued":
            self.notes.append((index, read))
        else:
            self.check_closing(index, read)
            self.closings.append((index, read))

    def not_in_closed(self, instant):
        """What is closed stays as it was (section 5)."""
        for _, closing in self.closings:
            if instant < self.opened(closing["period"])[1]["end"]:
                raise Malformed("it reaches back into the closed period %s" % shown(closing["period"]))

    def opened(self, name):
        for index, period in self.periods:
            if period["period"] == name:
                return index, period
        raise Malformed("the period %s was not opened" % shown(name))

    def open(self, read):
        self.not_in_closed(read["start"])
        if read["end"] <= read["start"]:
            raise Malformed("a period without time")
        for _, other in self.periods:
            if other["period"] == read["period"] or other["start"] < read["end"] and read["start"] < other["end"]:
                raise Malformed("a period that was there before, or overlaps one")

    def check_closing(self, index, closing):
        size, before = closing["size"], self.closings
        opened_at, period = self.opened(closing["period"])
        if size > index or before and size < before[-1][1]["size"]:
            raise Malformed("it cannot count %d leaves" % size)
        if opened_at >= size or any(other["period"] == closing["period"] for _, other in before):
            raise Malformed("the period was not open")
        late = [(i, entry["effective_from"]) for i, entry in self.cards + self.contracts]
        late += [(i, other["start"]) for i, other in self.periods]
        if any(i >= size and instant < period["end"] for i, instant in late):
            raise Malformed("something behind its size reaches back into the period")

    def at_size(self, size):
        """{attempt: (what counts, facts, anomalies)} by the leaves below a size."""
        book = Book(self, size)
        for (run, attempt), said in self.attempts.items():
            if said and said[0].index < size:
                counting = Counting(said, size)
                facts, anomalies = facts_of(run, attempt, counting, book)
                yield (run, attempt), counting, facts, anomalies

    def close(self, number, issuer, origin, tenant):
        """Rates the closing of this number, from 0."""
        closing_index, closing = self.closings[number]
        size, name = closing["size"], closing["period"]
        self.check_read(size)
        book = Book(self, size)
        if name not in book.periods:
            raise Failure("usage", "the period %s was not opened below leaf %d" % (shown(name), size))
        out = Computed()
        out.period = book.periods[name]
        before = self.closings[:number]
        self.check_currency(book, out.period)
        m = before[-1][1]["size"] if before else 0
        usage, corrections, counted = self.facts(name, size, m, {c["period"] for _, c in before})
        for charged in {fact.period for fact in corrections}:
            self.same_currency(book.periods[charged], out.period)
        self.write_usage(out, usage, corrections)
        self.write_lines(out, book, closing, [c for _, c in before], usage, corrections)
        out.number = "%s-%06d" % (tenant, number + 1)
        # As it was when the period was closed (section 9).
        origin = "%s/%d" % (origin.rpartition("/")[0], self.timelines[closing_index])
        self.write_invoice(out, closing, counted, issuer, origin, tenant)
        return out

    @staticmethod
    def same_currency(one, period):
        if (one["currency"], one["exponent"]) != (period["currency"], period["exponent"]):
            raise Failure("usage", "what prices the period %s has another currency" % shown(period["period"]))

    def check_currency(self, book, period):
        start, end = period["start"], period["end"]
        for at in [start] + [cut for cut in book.cuts if start < cut < end]:
            for one in (book.card_at(at), book.contract_at(at)):
                if one is not None:
                    self.same_currency(one, period)

    def facts(self, name, size, m, closed):
        usage, corrections, counted = [], [], {}
        then = {}
        if m and closed:
            for key, _, facts, _ in self.at_size(m):
                then[key] = [fact for fact in facts if fact.period in closed]
        for key, counting, facts, anomalies in self.at_size(size):
            usage.extend(fact for fact in facts if fact.period == name)
            now = [fact for fact in facts if fact.period in closed] if closed else []
            corrections.extend(self.corrected(now, then.pop(key, [])))
            names = [word for index, word in counting.anomalies if m <= index < size]
            if counting.leaf is not None and m <= counting.leaf.index < size:
                names += anomalies + (["lost"] if counting.lost else [])
            elif counting.leaf is None and counting.lost and m <= counting.end.index < size:
                names.append("lost")
            for word in names:
                counted[word] = counted.get(word, 0) + 1
        for gone in then.values():
            corrections.extend(self.corrected([], gone))
        return usage, corrections, counted

    @staticmethod
    def corrected(now, then):
        def by_key(facts):
            return {(f.period, f.id, f.sku, f.label, f.version): f for f in facts}

        now, then = by_key(now), by_key(then)
        for key in set(now) | set(then):
            one, other = now.get(key), then.get(key)
            difference = sum(f.quantity * sign for f, sign in ((one, 1), (other, -1)) if f and f.billed)
            if difference:
                yield (one or other).with_quantity(difference)

    @staticmethod
    def write_usage(out, usage, corrections):
        rows = [(fact.id, kind, fact.start, fact.row().encode("utf-8")) for kind, facts in
                enumerate((usage, corrections)) for fact in facts]
        rows.sort()
        out.facts = len(rows)
        out.usage = USAGE_HEADER.encode() + b"".join(row[-1] for row in rows)

    def write_lines(self, out, book, closing, before, usage, corrections):
        exponent, lines = out.period["exponent"], []
        sums, ids = {}, {}
        for fact in usage:
            if fact.billed:
                sums[fact.key()] = limited(sums.get(fact.key(), 0) + fact.quantity, "usage")
                ids.setdefault(fact.key(), []).append(fact.id)
        name = out.period["period"]
        for key, total in sums.items():
            for tier, (quantity, per, nanos) in steps_of(total, book.entry(*key)).items():
                worth = amounts(quantity, nanos, per, exponent)
                lines.append(Line("usage", name, *key, tier, quantity, per, nanos, worth, ids[key]))
        out.totals = [total_of(key, total) for key, total in sorted(sums.items(), key=by_bytes)]
        corrected = self.correct(book, before, corrections, exponent, lines)
        out.corrected = corrected
        start_of = lambda period: book.periods[period]["start"]
        kinds = {"usage": 0, "correction": 1}
        lines.sort(
            key=lambda line: (kinds[line.kind], start_of(line.period))
            + by_bytes(((line.sku, line.label, line.version), 0))
            + (line.tier,)
        )
        self.reduce(out, book, before, lines)
        out.lines = lines
        out.total = limited(sum(line.minor for line in lines), "rating")
        rows = []
        for number, line in enumerate(lines, 1):
            line.id = "%06d" % number
            rows.append(
                csv_line(
                    (
                        line.id, line.sku, line.label, line.version, line.tier, line.quantity, line.per,
                        line.price, line.nanos, line.minor, out.period["currency"], line.count, line.root,
                    )
                )
            )  # fmt: skip
        out.lines_csv = (LINES_HEADER + "".join(rows)).encode("utf-8")

    @staticmethod
    def correct(book, before, corrections, exponent, lines):
        """Adds the correction lines, and says the new sums."""
        carried = {}
        for closing in before:
            for total in closing["totals"]:
                key = (closing["period"], total["sku"], total["rate_card"], total["rate_card_version"])
                carried[key] = total["quantity"]
            for total in closing["corrected"]:
                key = (total["period"], total["sku"], total["rate_card"], total["rate_card_version"])
                carried[key] = total["quantity"]
        changes, ids = {}, {}
        for fact in corrections:
            key = (fact.period,) + fact.key()
            changes[key] = limited(changes.get(key, 0) + fact.quantity, "usage")
            ids.setdefault(key, []).append(fact.id)
        corrected = []
        start_of = lambda key: book.periods[key[0]]["start"]
        for key in sorted(changes, key=lambda key: (start_of(key),) + by_bytes((key[1:], 0))):
            old = carried.get(key, 0)
            new = limited(old + changes[key], "usage")
            if new != old:
                corrected.append(dict(total_of(key[1:], new), period=key[0]))
            entry = book.entry(*key[1:])
            was, now = steps_of(old, entry), steps_of(new, entry)
            for tier in sorted(set(was) | set(now)):
                _, per, nanos = now.get(tier) or was[tier]
                quantities_of = [steps.get(tier, (0,))[0] for steps in (now, was)]
                worth = [amounts(quantity, nanos, per, exponent) for quantity in quantities_of]
                quantity = quantities_of[0] - quantities_of[1]
                worth = (worth[0][0] - worth[1][0], worth[0][1] - worth[1][1])
                if quantity or any(worth):
                    lines.append(
                        Line("correction", key[0], *key[1:], tier, quantity, per, nanos, worth, ids[key])
                    )
        return corrected

    @staticmethod
    def reduce(out, book, before, lines):
        """Adds discounts and credits, and says what was taken from credits."""
        out.credits = []
        contract = book.contract_at(out.period["end"] - 1)
        if contract is None:
            return
        name, exponent = out.period["period"], out.period["exponent"]
        label, version = contract["name"], str(contract["version"])
        remainders = [[line.sku, line.nanos] for line in lines]
        for discount in contract["discounts"]:
            skus, parts = discount["skus"], discount["parts_per_billion"]
            covered = [each for each in remainders if skus is None or each[0] in skus]
            quantity = limited(sum(each[1] for each in covered), "rating")
            if quantity == 0:
                continue
            worth = amounts(quantity, -parts, 10**9, exponent)
            sku = "discount:" + discount["name"]
            lines.append(Line("discount", name, sku, label, version, 1, quantity, 10**9, -parts, worth, []))
            for each in covered:
                each[1] -= rounded(limited(each[1] * parts, "rating"), 10**9)
        total = sum(line.minor for line in lines)
        for credit in contract["credits"]:
            taken_before = sum(
                limited(taken["minor"], "rating")
                for closing in before
                for taken in closing["credits"]
                if (taken["contract"], taken["name"]) == (label, credit["name"])
            )
            taken = max(0, min(credit["amount_minor"] - taken_before, total))
            if taken == 0:
                continue
            total -= taken
            quantity = limited(taken * 10 ** (9 - exponent), "rating")
            sku, worth = "credit:" + credit["name"], amounts(quantity, -1, 1, exponent)
            lines.append(Line("credit", name, sku, label, version, 1, quantity, 1, -1, worth, []))
            out.credits.append({"contract": label, "minor": str(taken), "name": credit["name"]})

    @staticmethod
    def write_invoice(out, closing, anomalies, issuer, origin, tenant):
        lines, postings = [], []
        for line in out.lines:
            lines.append(
                {
                    "amount_minor": str(line.minor),
                    "amount_nanos": str(line.nanos),
                    "class": line.kind,
                    "line_id": line.id,
                    "per": str(line.per),
                    "period": line.period,
                    "price_nanos": str(line.price),
                    "quantity": str(line.quantity),
                    "rate_card": line.label,
                    "rate_card_version": line.version,
                    "sku": line.sku,
                    "tier": line.tier,
                    "usage_count": line.count,
                    "usage_root": line.root,
                }
            )
            if line.minor:
                account = line.sku.replace(":", "/", 1) if line.kind in ("discount", "credit") else "revenue/" + line.sku
                postings.append({"account": "receivable/" + tenant, "minor": str(line.minor)})
                postings.append({"account": account, "minor": str(-line.minor)})
        period = out.period
        invoice = {
            "anomalies": anomalies,
            "currency": period["currency"],
            "exponent": period["exponent"],
            "facts": out.facts,
            "format": "dagbook.invoice/1",
            "issuer": issuer,
            "lines": lines,
            "log": {"origin": origin, "root": closing["root"], "size": closing["size"]},
            "number": out.number,
            "period": {name: period[name] for name in ("end", "start", "zone")},
            "postings": postings,
            "rating": 1,
            "tenant": tenant,
            "total_minor": str(out.total),
        }
        invoice["period"]["name"] = period["period"]
        out.invoice = to_canonical(invoice) + b"\n"


def total_of(key, quantity):
    return {"quantity": str(quantity), "rate_card": key[1], "rate_card_version": key[2], "sku": key[0]}


def by_bytes(item):
    """The order of (sku, label, version)."""
    return tuple(part.encode("utf-8") for part in item[0])


# --- A bundle (sections 1 to 4)

NAMED = "policy checkpoint start.checkpoint consistency.proof usage.csv lines.csv invoice.json verify.py VERIFY.md"
OF_MONEY = ("usage.csv", "lines.csv", "invoice.json")
FOLDERS_OF_MONEY = ("ratecards/", "contracts/", "credit_notes/", "focus/", "proofs/")


def is_path(path):
    if len(path) > MAX_PATH or not re.fullmatch(r"[A-Za-z0-9._+/-]+", path, re.ASCII):
        return False
    if path in NAMED.split(" ") or is_tile_path(path):
        return True
    patterns = r"(ratecards|contracts)/[^/]+\.(json|yaml)|credit_notes/[^/]+\.json|focus/[^/]+\.csv|proofs/[^/]+\.tlog-proof"
    return re.fullmatch(patterns, path) is not None


def files_below(folder):
    """Paths of all that is no folder, with whether it is a plain file."""
    found, waiting = {}, [(folder, "")]
    while waiting:
        place, prefix = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, prefix + entry.name + "/"))
                else:
                    found[prefix + entry.name] = entry.is_file(follow_symlinks=False)
    return found


class Bundle:
    def __init__(self, folder, key, signatures, say):
        self.folder, self.given, self.signatures, self.say = folder, key, signatures, say
        self.stage = "manifest"

    def read(self, path, limit=None):
        if path not in self.files and path not in UNLISTED:
            raise Malformed("%s is missing" % shown(path))
        with open(os.path.join(self.folder, path), "rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
        if limit is not None and len(data) > limit:
            raise Malformed("%s is longer than %d bytes" % (shown(path), limit))
        return data

    def check(self):
        """Runs all checks in their order; the first that fails is raised."""
        checks = [self.check_manifest, self.check_signature, self.check_root, self.check_consistency]
        checks += [self.check_leaves, self.check_sequence]
        for stage, check in zip("manifest signature root consistency leaf sequence".split(), checks):
            self.stage = stage
            self.guarded(check)
        if self.manifest["kind"] == "history":
            self.stage = "manifest"
            if self.manifest["control"]["events"] != self.events:
                raise Failure("manifest", "control.events is not %d" % self.events)
            log = self.manifest["log"]
            return "%d events of %s, up to %d" % (self.events, shown(self.tenant), log["end"]["size"])
        for stage, check in (("usage", self.check_usage), ("rating", self.check_rating), ("invoice", self.check_invoice)):
            self.stage = stage
            self.guarded(check)
        period = self.computed.period
        sums = (self.computed.number, shown(self.tenant), shown(period["period"]), self.computed.total, period["exponent"])
        return "%s of %s for %s: %d minor units (exponent %d) of %s from %d events" % (
            sums + (shown(period["currency"]), self.events)
        )

    def guarded(self, check):
        try:
            check()
        except Malformed as error:
            raise Failure(self.stage, str(error)) from None

    # Manifest

    def check_manifest(self):
        self.files = {}
        on_disk = files_below(self.folder)
        for path in UNLISTED:
            if on_disk.get(path) is not True:
                raise Malformed("%s is missing, or no plain file" % path)
        self.bytes = self.read("manifest.json", MAX_MANIFEST)
        if not self.bytes.endswith(b"\n"):
            raise Malformed("manifest.json does not end in a line feed")
        self.manifest = manifest = MANIFEST(canonical(self.bytes[:-1]))
        self.tenant, self.log = manifest["tenant"], manifest["log"]
        self.check_members()
        paths = [entry["path"] for entry in manifest["files"]]
        for path in paths:
            if not is_path(path):
                raise Malformed("manifest.json lists `%s`, which no bundle has" % shown(path))
        if any(a.encode() >= b.encode() for a, b in zip(paths, paths[1:])):
            raise Malformed("the files of manifest.json are not in order")
        for path in ("VERIFY.md", "verify.py"):
            if path not in paths:
                raise Malformed("manifest.json does not list %s" % path)
        self.files = {entry["path"]: entry for entry in manifest["files"]}
        for path, plain in on_disk.items():
            if not plain or path not in self.files and path not in UNLISTED:
                raise Malformed("%s is not in manifest.json, or no plain file" % shown(path))
        total = 0
        for path, entry in self.files.items():
            if path not in on_disk:
                raise Malformed("%s is missing" % path)
            total += self.check_digest(path, entry)
        self.check_sums()
        self.say("manifest", "%d files, %d bytes: sizes, digests, SHA256SUMS" % (len(self.files), total))

    def check_members(self):
        manifest, log = self.manifest, self.log
        is_invoice = manifest["kind"] == "invoice"
        control = manifest["control"]
        members = [control[name] for name in ("currency", "facts", "lines", "total_minor")] + [manifest["period"]]
        if any((member is not None) != is_invoice for member in members):
            raise Malformed("period and control are not those of the kind %s" % manifest["kind"])
        if log["first"] % WIDTH or log["first"] > log["end"]["size"]:
            raise Malformed("log.first is %d" % log["first"])
        tiles = log["tiles"]
        if any(a >= b for a, b in zip(tiles, tiles[1:])) or tiles and tiles[-1] >= log["first"] // WIDTH:
            raise Malformed("log.tiles are not earlier tiles in ascending order")
        for entry in manifest["files"]:
            path = entry["path"]
            if not is_invoice and (path in OF_MONEY or path.startswith(FOLDERS_OF_MONEY)):
                raise Malformed("manifest.json lists `%s`, which no history has" % shown(path))

    def check_digest(self, path, entry):
        digest, size = hashlib.sha256(), 0
        with open(os.path.join(self.folder, path), "rb") as file:
            if os.fstat(file.fileno()).st_size != entry["bytes"]:
                raise Malformed("%s has another size" % path)
            while True:
                part = file.read(1 << 20)
                if not part:
                    break
                size += len(part)
                digest.update(part)
        if size != entry["bytes"] or digest.hexdigest() != entry["sha256"]:
            raise Malformed("%s has another digest" % path)
        return size

    def check_sums(self):
        self.note = self.read("manifest.note", MAX_NOTE)
        digests = {path: entry["sha256"] for path, entry in self.files.items()}
        digests["manifest.json"], digests["manifest.note"] = hexed(self.bytes), hexed(self.note)
        sums = "".join("%s  %s\n" % (digests[path], path) for path in sorted(digests)).encode()
        if self.read("SHA256SUMS", len(sums)) != sums:
            raise Malformed("SHA256SUMS is not what follows from the files")

    # Signature

    def check_signature(self):
        policy = Policy(self.read("policy", MAX_NOTE))
        if len(policy.logs) != 1:
            raise Malformed("policy does not name one log")
        log_key = policy.logs[0]
        if self.given is not None and not log_key.same(self.given):
            raise Malformed("policy names another log than --key")
        self.check_origin(log_key)
        note = Note(self.note)
        if note.text != "%s\n%s\n%s\n" % (FORMAT, self.tenant, hexed(self.bytes)):
            raise Malformed("manifest.note has another text")
        self.check_signed("manifest.note", note, log_key)
        end = self.checkpoint("checkpoint", log_key, self.log["end"])
        count = policy.cosigned(end, self.signatures)
        if self.log["start"]["size"]:
            self.checkpoint("start.checkpoint", log_key, self.log["start"])
        elif "start.checkpoint" in self.files or self.log["start"]["root"] != EMPTY_ROOT.hex():
            raise Malformed("log.start is the empty tree, but there is a start.checkpoint or another root")
        found = (shown(log_key.name), count, len(policy.witnesses), self.signatures.by)
        self.say("signature", "log %s, %d of %d witnesses, checked by %s" % found)

    def check_origin(self, key):
        site, _, rest = self.log["origin"].partition("/t/")
        tenant, _, timeline = rest.rpartition("/")
        if tenant != self.tenant or not re.fullmatch(r"[1-9][0-9]{0,15}", timeline, re.ASCII):
            raise Malformed("the origin is not that of a log of the tenant")
        if site != key.name and not site.startswith(key.name + "/"):
            raise Malformed("the log's key is not one of this site")
        self.issuer = site

    def check_signed(self, path, note, key):
        if not note.signed_by(key, self.signatures):
            raise Malformed("%s has no signature by `%s`" % (path, shown(key.name)))

    def checkpoint(self, path, key, head):
        note = Note(self.read(path, MAX_NOTE))
        self.check_signed(path, note, key)
        said = Checkpoint(note.text)
        if (said.origin, said.size, said.root.hex()) != (self.log["origin"], head["size"], head["root"]):
            raise Malformed("%s has another origin, size or root than manifest.json" % path)
        return note

    # Root

    def tiles(self):
        """(number, width) of the entry tiles that must be there."""
        size = self.log["end"]["size"]
        for k in self.log["tiles"]:
            yield k, WIDTH
        for k in range(self.log["first"] // WIDTH, -(-size // WIDTH)):
            yield k, min(WIDTH, size - k * WIDTH)

    def hash_tile(self, level, index, width):
        path = tile_path(level, index, width)
        data = self.read(path, 32 * WIDTH)
        if len(data) != 32 * width:
            raise Malformed("%s does not have %d hashes" % (path, width))
        self.seen += 1
        return [data[i : i + 32] for i in range(0, len(data), 32)]

    def entry_tile(self, index, width):
        path = tile_path("entries", index, width)
        data, leaves, at = self.read(path, MAX_LEAF_TILE), [], 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            if at + 2 + length > len(data):
                raise Malformed("%s ends within entry %d" % (path, len(leaves)))
            leaves.append(data[at + 2 : at + 2 + length])
            at += 2 + length
        if len(leaves) != width:
            raise Malformed("%s has %d leaves, not %d" % (path, len(leaves), width))
        return leaves

    def check_root(self):
        size, self.seen = self.log["end"]["size"], 0
        self.upper, count, level = {}, size // WIDTH, 1
        while count:
            self.upper[level] = []
            for index in range(-(-count // WIDTH)):
                hashes = self.hash_tile(level, index, min(WIDTH, count - index * WIDTH))
                self.upper[level].extend(hashes)
            count, level = count // WIDTH, level + 1
        for level in self.upper:
            for index in range(len(self.upper[level]) // WIDTH):
                self.check_parent(level, index, self.upper[level][index * WIDTH : (index + 1) * WIDTH])
        self.events, entries, last = 0, 0, []
        for index, width in self.tiles():
            hashes = self.hash_tile(0, index, width)
            entries += 1
            self.events += width
            for i, leaf in enumerate(self.entry_tile(index, width)):
                if leaf_hash(leaf) != hashes[i]:
                    raise Malformed("leaf %d does not have the hash in tile/0" % (index * WIDTH + i))
            if width == WIDTH:
                self.check_parent(0, index, hashes)
            else:
                last = hashes
        tiles = sum(path.startswith("tile/") for path in self.files)
        if tiles != self.seen + entries:
            raise Malformed("there are %d tiles, not %d" % (tiles, self.seen + entries))
        whole_tiles = self.peaks(size - size % WIDTH)
        root = joined(whole_tiles + self.partial(last))
        if root.hex() != self.log["end"]["root"]:
            raise Malformed("the tiles lead to the root %s" % root.hex())
        counts = (self.events, entries, self.seen, size, root.hex())
        self.say("root", "%d leaves in %d tiles, %d tiles of hashes: size %d, root %s" % counts)

    def check_parent(self, level, index, hashes):
        above = self.upper.get(level + 1, [])
        if index >= len(above) or root_of(hashes) != above[index]:
            raise Malformed("%s does not have the root in the tile above" % tile_path(level, index, WIDTH))

    def peaks(self, size):
        """Perfect subtrees of the first leaves, a multiple of 256, from the tiles above the leaves."""
        peaks, start = [], 0
        for bit in range(size.bit_length() - 1, 7, -1):
            if size >> bit & 1:
                level, width = bit // 8, 1 << bit % 8
                first = start >> 8 * level
                peaks.append(root_of(self.upper[level][first : first + width]))
                start += 1 << bit
        return peaks

    @staticmethod
    def partial(hashes):
        """Perfect subtrees of fewer than 256 hashes."""
        peaks, start = [], 0
        for bit in range(7, -1, -1):
            if len(hashes) >> bit & 1:
                peaks.append(root_of(hashes[start : start + (1 << bit)]))
                start += 1 << bit
        return peaks

    def root_at(self, size):
        rest = size % WIDTH
        hashes = []
        if rest:
            index = size // WIDTH
            width = min(WIDTH, self.log["end"]["size"] - index * WIDTH)
            hashes = self.hash_tile(0, index, width)[:rest]
        return joined(self.peaks(size - rest) + self.partial(hashes))

    # Consistency

    def check_consistency(self):
        start, end = self.log["start"], self.log["end"]
        if start["size"] == 0:
            if "consistency.proof" in self.files:
                raise Malformed("there is a consistency.proof, but no head before")
            self.say("consistency", "no head was signed before")
            return
        try:
            lines = self.read("consistency.proof", MAX_PROOF).decode("ascii")
        except UnicodeDecodeError:
            raise Malformed("consistency.proof is no proof") from None
        if lines and not lines.endswith("\n"):
            raise Malformed("consistency.proof does not end in a line feed")
        proof = [unbase64(line) for line in lines.split("\n")[:-1]]
        if any(len(value) != 32 for value in proof):
            raise Malformed("consistency.proof has a line that is no hash")
        roots = [bytes.fromhex(head["root"]) for head in (start, end)]
        if not consistent(start["size"], roots[0], end["size"], roots[1], proof):
            raise Malformed("consistency.proof does not lead from %d to %d" % (start["size"], end["size"]))
        self.say("consistency", "%d leaves lead to %d" % (start["size"], end["size"]))

    # Leaves and their numbers

    def leaves(self):
        """(index, leaf) of all that are there."""
        for index, width in self.tiles():
            for i, data in enumerate(self.entry_tile(index, width)):
                yield index * WIDTH + i, data

    def check_leaves(self):
        # What is wrong with numbers, or with money, is said when it is asked for.
        self.later, numbers, self.ledger = {}, Numbers(self.log["first"] == 0), Ledger()
        for index, data in self.leaves():
            if len(data) > MAX_LEAF:
                raise Malformed("leaf %d has more than %d bytes" % (index, MAX_LEAF))
            try:
                leaf = canonical(data)
                ENVELOPE(leaf)
            except Malformed as error:
                raise Malformed("leaf %d: %s" % (index, error)) from None
            if leaf["tn"] != self.tenant:
                raise Malformed("leaf %d is of the tenant %s" % (index, shown(leaf["tn"])))
            if self.later:
                continue
            try:
                numbers.add(index, leaf)
                if self.manifest["kind"] == "invoice":
                    self.ledger.add(index, leaf)
            except Failure as failure:
                self.later[failure.reason] = failure
                # A gap may come behind what is wrong with money.
                self.keep_counting(numbers, index, failure)
        self.streams = len(numbers.streams)
        self.say("leaf", "%d leaves are canonical events of %s" % (self.events, shown(self.tenant)))

    def keep_counting(self, numbers, behind, failure):
        if failure.reason == "sequence":
            return
        for index, data in self.leaves():
            if index > behind:
                try:
                    leaf = canonical(data)
                    ENVELOPE(leaf)
                    numbers.add(index, leaf)
                except Malformed:
                    return
                except Failure as gap:
                    self.later["sequence"] = gap
                    return

    def check_sequence(self):
        if "sequence" in self.later:
            raise self.later["sequence"]
        self.say("sequence", "%d streams without a gap" % self.streams)

    # Money

    def check_usage(self):
        if "usage" in self.later:
            raise self.later["usage"]
        period = self.manifest["period"]
        for number, (index, closing) in enumerate(self.ledger.closings):
            if closing["period"] == period["name"]:
                break
        else:
            raise Malformed("there is no closing of the period %s" % shown(period["name"]))
        self.closing = closing
        self.ledger.check_read(closing["size"])
        opened = Book(self.ledger, closing["size"]).periods.get(period["name"])
        if opened is None or any(opened[name] != period[name] for name in ("start", "end", "zone")):
            raise Malformed("the period of manifest.json was not opened so")
        self.check_closed_head(index, closing)
        self.computed = self.ledger.close(number, self.issuer, self.log["origin"], self.tenant)
        if self.read("usage.csv") != self.computed.usage:
            raise Malformed(self.difference("usage.csv", self.computed.usage))
        if hexed(self.computed.usage) != closing["usage"]:
            raise Malformed("leaf %d has another digest of usage.csv" % index)
        self.say("usage", "%d facts, byte for byte" % self.computed.facts)

    def check_closed_head(self, index, closing):
        try:
            root = self.root_at(closing["size"]).hex()
        except Malformed as error:
            raise Failure("root", "the size of the closing: %s" % error) from None
        if root != closing["root"]:
            raise Failure("root", "leaf %d closes with another root than that of size %d" % (index, closing["size"]))

    def difference(self, path, wanted):
        """The first line of a file that is not what follows."""
        there = self.read(path).split(b"\n")
        for number, line in enumerate(wanted.split(b"\n"), 1):
            if number > len(there) or there[number - 1] != line:
                found = there[number - 1] if number <= len(there) else b""
                found, line = (shown(each.decode("utf-8", "replace")) for each in (found, line))
                return "%s, line %d: there is `%s`, it follows `%s`" % (path, number, found, line)
        return "%s has more lines than follow" % path

    def check_rating(self):
        ledger, size, wanted = self.ledger, self.closing["size"], {}
        for folder, entries, member in (
            ("ratecards", ledger.cards, "card"),
            ("contracts", ledger.contracts, "contract"),
        ):
            for index, read in entries:
                if index >= size:
                    continue
                if hexed(ledger.raw[index]) != read["sha256"]:
                    raise Malformed("leaf %d has another digest of its %s" % (index, member))
                path = "%s/%s.%d" % (folder, read[member]["name"], read[member]["version"])
                for end, content in (("json", ledger.raw[index] + b"\n"), ("yaml", read["source"].encode("utf-8"))):
                    name = "%s.%s" % (path, end)
                    if wanted.setdefault(name, content) != content:
                        raise Malformed("%s was recorded twice, differently" % shown(name))
        self.check_copies(wanted, ("ratecards/", "contracts/"))
        computed = self.computed
        if self.read("lines.csv") != computed.lines_csv:
            raise Malformed(self.difference("lines.csv", computed.lines_csv))
        if hexed(computed.lines_csv) != self.closing["lines"]:
            raise Malformed("the closing has another digest of lines.csv")
        self.say("rating", "%d lines, byte for byte; %d rate cards and contracts" % (len(computed.lines), len(wanted) // 2))

    def check_copies(self, wanted, folders):
        for path in self.files:
            if path.startswith(folders) and path not in wanted:
                raise Malformed("%s does not follow from a leaf" % path)
        for path, content in wanted.items():
            if self.read(path) != content:
                raise Malformed("%s is not what was recorded" % path)

    def check_invoice(self):
        computed, closing = self.computed, self.closing
        if closing["rating"] != 1:
            raise Malformed("the closing has the rating %d" % closing["rating"])
        if self.read("invoice.json") != computed.invoice:
            raise Malformed(self.difference("invoice.json", computed.invoice))
        if hexed(computed.invoice) != closing["invoice"]:
            raise Malformed("the closing has another digest of invoice.json")
        if closing["number"] != computed.number:
            raise Malformed("the closing has the number %s" % shown(closing["number"]))
        texts = lambda totals: [
            {name: str(value) for name, value in total.items() if value is not None} for total in totals
        ]
        credits = [dict(taken, minor=str(taken["minor"])) for taken in closing["credits"]]
        for name, there, wanted in (
            ("totals", texts(closing["totals"]), computed.totals),
            ("corrected", texts(closing["corrected"]), computed.corrected),
            ("credits", credits, computed.credits),
            ("total_minor", closing["total_minor"], computed.total),
        ):
            if there != wanted:
                raise Malformed("the closing has other `%s`" % name)
        notes = self.check_credit_notes(computed.number)
        control = self.manifest["control"]
        found = {"currency": computed.period["currency"], "events": self.events, "facts": computed.facts}
        found.update(lines=len(computed.lines), total_minor=str(computed.total))
        for name, value in found.items():
            if control[name] != value:
                raise Malformed("control.%s is not %s" % (name, shown(value)))
        self.say("invoice", "%s, byte for byte; %d credit notes" % (computed.number, notes))

    def check_credit_notes(self, number):
        wanted = {}
        for index, note in self.ledger.notes:
            if note["invoice"] != number:
                continue
            document = note["document"].encode("utf-8")
            if hexed(document) != note["sha256"]:
                raise Malformed("leaf %d has another digest of its credit note" % index)
            path = "credit_notes/%s.json" % note["number"]
            if wanted.setdefault(path, document + b"\n") != document + b"\n":
                raise Malformed("the credit note %s was issued twice" % shown(note["number"]))
        self.check_copies(wanted, ("credit_notes/",))
        return len(wanted)


class Numbers:
    """Section 4."""

    def __init__(self, whole_log):
        self.whole_log, self.streams, self.last, self.piece = whole_log, {}, None, 0

    def add(self, index, leaf):
        where = "leaf %d: " % index
        if leaf["ts"] != index:
            raise Failure("sequence", where + "`ts` is %d" % leaf["ts"])
        if self.last is not None:
            if leaf["pos"] <= self.last["pos"]:
                raise Failure("sequence", where + "`pos` does not ascend")
            if leaf["rt"] < self.last["rt"] or leaf["tl"] < self.last["tl"]:
                raise Failure("sequence", where + "`rt` or `tl` descends")
            if index != self.last["ts"] + 1:
                self.piece += 1
        self.last = {name: leaf[name] for name in ("pos", "rt", "tl", "ts")}
        stream, version = leaf["st"], leaf["sv"]
        before, piece = self.streams.get(stream, (-1, None))
        dense = piece == self.piece or self.whole_log or stream == "billing"
        if version <= before or dense and version != before + 1:
            raise Failure("sequence", where + "`sv` of %s is %d behind %d" % (shown(stream), version, before))
        self.streams[stream] = (version, self.piece)


# --- The command


def check_bundle(folder, key, arithmetic, quiet):
    def say(reason, what):
        if not quiet:
            print("%-12s %s" % (reason, what), flush=True)

    bundle = Bundle(folder, key, Signatures(arithmetic), say)
    try:
        print("verified: %s" % bundle.check(), flush=True)
        return 0
    except Failure as failure:
        reason, what = failure.reason, failure.what
    except (Exception, RecursionError) as error:  # noqa: B902 -- nothing that a stranger wrote may end it otherwise
        reason, what = bundle.stage, "cannot be read: %s: %s" % (type(error).__name__, shown(error))
    print("failed: %s: %s" % (reason, what), flush=True)
    return 6


def rate_file(path, tenant, origin):
    """For tests: leaves of one log in, one a line; what each closing must say out, one a line."""
    ledger, worst = Ledger(), 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            leaf = canonical(entry["leaf"].encode("utf-8"))
            ENVELOPE(leaf)
            ledger.add(entry["i"], leaf)
            tenant = tenant or leaf["tn"]
    origin = origin or "site/t/%s/1" % tenant
    issuer = origin.partition("/t/")[0]
    for number, (index, closing) in enumerate(ledger.closings):
        said = {"index": index, "period": closing["period"]}
        try:
            computed = ledger.close(number, issuer, origin, tenant)
            said.update(usage=computed.usage.decode(), lines=computed.lines_csv.decode(), number=computed.number)
            said.update(invoice=computed.invoice.decode(), totals=computed.totals, corrected=computed.corrected)
            said.update(credits=computed.credits, total_minor=str(computed.total), facts=computed.facts)
        except Failure as failure:
            said.update(failed=failure.reason, what=failure.what)
            worst = 6
        print(json.dumps(said), flush=True)
    return worst


USAGE_TEXT = "usage: python3 verify.py DIR... [--key VKEY] [--quiet] [--arithmetic]"


def main(arguments):
    folders, key, options, waiting = [], None, {}, None
    for argument in arguments:
        if waiting is not None:
            options[waiting], waiting = argument, None
        elif argument in ("--key", "--rate", "--tenant", "--origin"):
            waiting = argument
        elif argument in ("--quiet", "--arithmetic"):
            options[argument] = True
        elif argument in ("-h", "--help"):
            print(__doc__ + "\n" + USAGE_TEXT)
            return 0
        elif argument.startswith("-"):
            waiting = "an option that is known"
            break
        else:
            folders.append(argument)
    if waiting is None and "--rate" in options and not folders:
        return rate_file(options["--rate"], options.get("--tenant"), options.get("--origin"))
    try:
        key = Key(options["--key"]) if "--key" in options else None
        wrong = None if key is None or key.kind == 1 else "--key is not the key of a log"
    except Malformed as error:
        wrong = "--key: %s" % error
    missing = [folder for folder in folders if not os.path.isdir(folder)]
    if waiting is not None or wrong or missing or not folders:
        what = wrong or ("%s is no folder" % missing[0] if missing else "a folder is expected")
        print("error: %s\n%s" % (what, USAGE_TEXT), file=sys.stderr)
        return 2
    worst = 0
    for folder in folders:
        if len(folders) > 1:
            print("bundle: %s" % folder, flush=True)
        worst = max(worst, check_bundle(folder, key, "--arithmetic" in options, "--quiet" in options))
    return worst


if __name__ == "__main__":
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    # Nothing below makes cycles: looking for them, over millions of values, finds none.
    gc.disable()
    sys.exit(main(sys.argv[1:]))
