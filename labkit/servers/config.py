"""Reading nats-server configuration files: which settings they hold, and where each one stands.

Reads as nats-server does: of a key that a block has twice, the last counts; a variable is looked
up in the blocks around it, then in the environment; an included file is part of the block that
includes it. The server itself judges what is valid: what this reader cannot make sense of, it
leaves for the server to explain.
Source of the grammar: nats-server's conf/lex.go and conf/parse.go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from labkit.servers.errors import ConfigError

Key = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[\s,;]|#[^\n]*|//[^\n]*)*")
_KEY = re.compile(r"\"(?P<dq>[^\"]*)\"|'(?P<sq>[^']*)'|(?P<word>[^\s:=]+)")
_SEPARATOR = re.compile(r"\s*[:=]?\s*")
_PLAIN = r"[^ \t\r\n,;\]}']"  # of what a word is made
_VALUE = re.compile(
    r"\"(?P<dq>(?:[^\"\\]|\\.)*)\"|'(?P<sq>[^']*)'|\((?P<block>.*?\n)\)(?=\n|\Z)"
    rf"|(?P<word>\d+\.\d+(?:\.[\d.:-]*)?|-\d+[\d.a-zA-Z]*|\d+[^\s,;}}\d\w.-]{_PLAIN}*|{_PLAIN}+)'?",
    re.DOTALL,
)
_INCLUDED = re.compile(
    r"[ \t]*(?P<file>\"(?P<dq>[^\"]*)\"|'(?P<sq>[^']*)'|(?P<word>[^ \t\r\n;}']+))"
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r"}
_BCRYPT = "$2a$"  # begins a hash, which is no variable


@dataclass(frozen=True)
class Setting:
    """One value: its key as a path of lower-case names and array positions, and where it stands.

    `value` is what the server takes it for, None for a block or an array. `start` and `end` are
    the span of its text in `file`, brackets and quotes included; `line` counts from 1. For a
    variable that is the text that it stands for, wherever that is.
    `after` is where another setting may be added to the same block: a file and an offset.
    """

    key: Key
    value: str | None
    file: ConfigFile = field(repr=False)
    start: int
    end: int
    line: int
    after: tuple[ConfigFile, int] = field(repr=False)

    @property
    def name(self) -> str:
        """The key's last name, for example "listen"."""
        return next(part for part in reversed(self.key) if isinstance(part, str))

    @property
    def where(self) -> str:
        """File and line, as errors name them: "hub.conf:7"."""
        return self.file.path.name if self.file.pasted else f"{self.file.path.name}:{self.line}"


@dataclass(eq=False)
class ConfigFile:
    """A configuration file, its settings with those that it includes, and the included files.

    `included_at` is the span of this file's name in the file that includes it. The value of a
    variable of the environment is a file too, `pasted` in place of the variable's name.
    `twice` holds the keys that a block has twice: the earlier setting and the later one. `names`
    has the file's own keys as variables may use them: each with its setting last, after those
    inside it.
    """

    path: Path
    text: str
    included_at: tuple[int, int] = (0, 0)
    pasted: bool = False
    settings: list[Setting] = field(default_factory=list)
    includes: list[ConfigFile] = field(default_factory=list)
    twice: list[tuple[Setting, Setting]] = field(default_factory=list)
    names: dict[str, list[Setting]] = field(default_factory=dict)

    def everything(self) -> Iterator[tuple[ConfigFile, Setting]]:
        """Every setting of this file and of those it includes, each with the file it stands in."""
        for setting in self.settings:
            yield setting.file, setting

    def files(self) -> Iterator[ConfigFile]:
        """This file and every file that it includes."""
        yield self
        for included in self.includes:
            yield from included.files()

    def find(self, *key: str) -> Setting | None:
        """The setting under exactly this key; a name with "|" stands for its spellings."""
        wanted = [part.split("|") for part in key]
        for setting in self.settings:
            if len(setting.key) == len(wanted) and all(
                part in names for part, names in zip(setting.key, wanted, strict=True)
            ):
                return setting
        return None


def read(path: Path, text: str | None = None) -> ConfigFile:
    """The file at `path` (or `text`, where it is given in place of the file), includes followed.

    Raises ConfigError for a file that is missing, not text, or includes itself.
    """
    return _read(path, text, prefix=(), seen=())


def _read(path: Path, text: str | None, prefix: Key, seen: tuple[Path, ...]) -> ConfigFile:
    if path in seen:
        raise ConfigError(f"{seen[-1].name} includes {path.name}, which includes it in turn")
    if text is None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            asked = f"{seen[-1].name} includes {path.name}, but " if seen else ""
            raise ConfigError(f"{asked}there is no file {path}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not a text file; is it a configuration file?") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if "\0" in text:  # where nats-server stops reading
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigError(f"{path.name}:{line}: there is a NUL character; take it out")
    file = ConfigFile(path, text.removeprefix("\ufeff"))
    _Reader(file, seen).top(prefix)
    return file


class _Reader:
    """Walks once over a file's text and collects its settings, those of a block before the block."""

    def __init__(self, file: ConfigFile, seen: tuple[Path, ...]) -> None:
        self.file, self.seen = file, (*seen, file.path)
        self.text, self.at = file.text, 0
        self.settings = file.settings
        self.known: set[Key] = set()
        self.scopes: list[dict[str, list[Setting]]] = []

    def skip(self) -> str:
        """Step over space, separators and comments; the next character, "" at the end."""
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def top(self, key: Key) -> None:
        """The settings of the whole file, which may be one block, as JSON is."""
        self.scopes.append(self.file.names)
        while character := self.skip():
            if character in "{}":
                self.at += 1
            else:
                self.setting(key)

    def block(self, key: Key) -> None:
        """The settings up to the closing brace."""
        self.scopes.append({})
        while self.skip() not in ("", "}"):
            self.setting(key)
        self.at += 1
        self.scopes.pop()

    def setting(self, key: Key) -> None:
        match = _KEY.match(self.text, self.at)
        if match is None:
            self.at += 1  # nothing that can start a key: left for the server to explain
            return
        self.at = match.end()
        word = (match["word"] or "").lower()
        if word == "include" and self.text[self.at : self.at + 1].isspace():
            self.include(key)
            return
        name = next(part for part in match.groups() if part is not None)
        separator = _SEPARATOR.match(self.text, self.at)
        assert separator is not None
        self.at = separator.end()
        full = (*key, name.lower())
        earlier, first = self.forget(full), len(self.settings)
        if self.value(full):
            self.scopes[-1][name] = self.settings[first:]
            self.file.twice += [(setting, self.settings[-1]) for setting in earlier]

    def forget(self, key: Key) -> list[Setting]:
        """Drop what was said before under this key; returns the setting itself, if there was one."""
        if key not in self.known:
            return []
        earlier = [setting for setting in self.settings if setting.key == key]
        self.settings[:] = [s for s in self.settings if s.key[: len(key)] != key]
        self.known = {setting.key for setting in self.settings}
        return earlier

    def value(self, key: Key) -> bool:
        """Read one value and add it; whether there was any."""
        start = self.at
        opening = self.text[start : start + 1]
        if opening in ("{", "["):
            self.at += 1
            if opening == "{":
                self.block(key)
            else:
                self.array(key)
            self.add(key, None, start)
            return True
        match = _VALUE.match(self.text, start)
        if match is None:
            return False
        self.at = match.end()
        word = match["word"]
        if word and word.startswith("$") and "\\" not in word and not word.startswith(_BCRYPT):
            self.variable(key, word, start)
        elif match["sq"] is not None or match["block"] is not None:
            self.add(key, match["sq"] or match["block"] or "", start)
        else:
            self.add(key, _ESCAPE.sub(_unescaped, word or match["dq"] or ""), start)
        return True

    def array(self, key: Key) -> None:
        position = 0
        while self.skip() not in ("", "]"):
            before = self.at
            self.value((*key, position))
            if self.at == before:
                self.at += 1
            position += 1
        self.at += 1

    def variable(self, key: Key, word: str, start: int) -> None:
        """Add what the variable stands for, as if it were written here."""
        name = word[1:]
        for scope in reversed(self.scopes):
            if name in scope:
                self.repeat(scope[name], key)
                return
        pasted = ConfigFile(Path(f"{word} in the environment"), os.environ.get(name, "").strip())
        pasted.pasted, pasted.included_at = True, (start, self.at)
        reader = _Reader(pasted, self.seen)
        if pasted.path in self.seen or not reader.value(key) or reader.at != len(pasted.text):
            self.add(key, word, start)  # left for the server to explain
            return
        self.file.includes.append(pasted)
        self.repeat(pasted.settings, key)

    def repeat(self, found: list[Setting], key: Key) -> None:
        """Add settings that were read before, the last with those in its block, under this key."""
        root = found[-1]
        for setting in found:
            after = (self.file, self.at) if setting is root else setting.after
            moved = replace(setting, key=key + setting.key[len(root.key) :], after=after)
            self.settings.append(moved)
            self.known.add(moved.key)

    def include(self, key: Key) -> None:
        match = _INCLUDED.match(self.text, self.at)
        if match is None:
            return
        self.at = match.end()
        target = next(part for part in match.group("dq", "sq", "word") if part is not None)
        path = (self.file.path.parent / target.lstrip("/")).resolve()  # as nats-server joins them
        included = _read(path, None, key, self.seen)
        included.included_at = match.span("file")
        self.file.includes.append(included)
        self.file.twice += included.twice
        for found in included.names.values():
            self.file.twice += [(earlier, found[-1]) for earlier in self.forget(found[-1].key)]
        self.settings += included.settings
        self.known |= {setting.key for setting in included.settings}
        self.scopes[-1].update(included.names)

    def add(self, key: Key, value: str | None, start: int) -> None:
        line = self.text.count("\n", 0, start) + 1
        self.settings.append(
            Setting(key, value, self.file, start, self.at, line, (self.file, self.at))
        )
        self.known.add(key)


def _unescaped(match: re.Match[str]) -> str:
    byte, character = match.groups()
    return chr(int(byte, 16)) if byte else _ESCAPED.get(character, character)


@dataclass(frozen=True)
class Edit:
    """Replace the text between two offsets."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with every edit made; edits do not overlap and keep the line numbers."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def quote(value: str) -> str:
    """The value as a string of the configuration language; a Windows path keeps its backslashes."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_true(value: str | None) -> bool:
    """Whether the server takes a value for "true"."""
    return (value or "").lower() in ("true", "yes", "on")
