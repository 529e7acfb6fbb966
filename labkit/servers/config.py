"""Reading nats-server configuration files: which settings they hold, and where each one stands.

Only as much of the language as labkit needs to move addresses and folders in a private copy:
blocks, arrays, strings, comments, variables as plain words. The server itself is the judge of
what is valid; what this reader cannot make sense of is left for the server to explain.
Source of the grammar: nats-server's conf/lex.go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labkit.servers.errors import ConfigError

Key = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[\s,;]|#[^\n]*|//[^\n]*)*")
_KEY = re.compile(r"\"(?P<dq>[^\"\n]*)\"|'(?P<sq>[^'\n]*)'|(?P<word>[^\s:={}\[\],;#\"']+)")
_SEPARATOR = re.compile(r"[ \t]*[:=]?[ \t]*\n?[ \t]*")
_VALUE = re.compile(
    r"\"(?P<dq>(?:[^\"\\]|\\.)*)\"|'(?P<sq>[^']*)'|\((?P<block>[^)]*)\n\s*\)|(?P<word>[^\s,;\]\}]+)"
)


@dataclass(frozen=True)
class Setting:
    """One value in a file: its key as a path of lower-case names and array positions, and its span.

    `value` is None for a block or an array; then the span runs from its opening to its closing
    bracket. `start` and `end` are offsets into the file's text, `line` counts from 1.
    """

    key: Key
    value: str | None
    start: int
    end: int
    line: int
    quoted: bool = False

    @property
    def name(self) -> str:
        """The key's last name, for example "listen"."""
        return next(part for part in reversed(self.key) if isinstance(part, str))


@dataclass
class ConfigFile:
    """A configuration file, its settings, and the files that it includes.

    `included_at` is the span of this file's name in the file that includes it.
    """

    path: Path
    text: str
    included_at: tuple[int, int] = (0, 0)
    settings: list[Setting] = field(default_factory=list)
    includes: list[ConfigFile] = field(default_factory=list)

    def where(self, setting: Setting) -> str:
        """File and line, as errors name them: "hub.conf:7"."""
        return f"{self.path.name}:{setting.line}"

    def everything(self) -> Iterator[tuple[ConfigFile, Setting]]:
        """Every setting of this file and of those it includes, each with the file it stands in."""
        for setting in self.settings:
            yield self, setting
        for included in self.includes:
            yield from included.everything()

    def files(self) -> Iterator[ConfigFile]:
        """This file and every file that it includes."""
        yield self
        for included in self.includes:
            yield from included.files()

    def meant(self, setting: Setting) -> str | None:
        """The setting's value, or what it stands for where it is a variable like $NAME.

        Variables are settings further out, or of the environment; a bcrypt hash is none.
        """
        value = setting.value
        if value is None or setting.quoted or not value.startswith("$") or value[1:2] == "2":
            return value
        named = [
            other
            for _, other in self.everything()
            if other.key[-1] == value[1:].lower() and other is not setting
            if other.key[:-1] == setting.key[: len(other.key) - 1]
        ]
        if named:
            return max(named, key=lambda other: len(other.key)).value  # the innermost
        return os.environ.get(value[1:], value)

    def find(self, *key: str) -> tuple[ConfigFile, Setting] | None:
        """The setting under exactly this key; a name with "|" stands for its spellings."""
        wanted = [part.split("|") for part in key]
        for file, setting in self.everything():
            if len(setting.key) == len(wanted) and all(
                part in names for part, names in zip(setting.key, wanted, strict=True)
            ):
                return file, setting
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
    file = ConfigFile(path, text.removeprefix("\ufeff"))
    _Reader(file, prefix, (*seen, path)).block(prefix, top=True)
    return file


class _Reader:
    """Walks once over a file's text and collects its settings."""

    def __init__(self, file: ConfigFile, prefix: Key, seen: tuple[Path, ...]) -> None:
        self.file, self.prefix, self.seen = file, prefix, seen
        self.text, self.at = file.text, 0

    def skip(self) -> str:
        """Step over space, separators and comments; the next character, "" at the end."""
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def block(self, key: Key, top: bool = False) -> None:
        """The settings up to the closing brace, or to the end of the file at the top."""
        while (character := self.skip()) not in ("", "}"):
            self.setting(key)
        if character == "}":
            self.at += 1
            if top:
                self.block(key, top=True)  # a brace too many: the server will say so

    def setting(self, key: Key) -> None:
        match = _KEY.match(self.text, self.at)
        if match is None:
            self.at += 1  # nothing that can start a key: left for the server to explain
            return
        self.at = match.end()
        name = (match["dq"] or match["sq"] or match["word"] or "").lower()
        if name == "include":
            self.include(key)
            return
        separator = _SEPARATOR.match(self.text, self.at)
        assert separator is not None
        self.at = separator.end()
        self.value((*key, name))

    def value(self, key: Key) -> None:
        start = self.at
        opening = self.text[start : start + 1]
        if opening in ("{", "["):
            self.at += 1
            if opening == "{":
                self.block(key)
            else:
                self.array(key)
            self.add(key, None, start, self.at)
            return
        match = _VALUE.match(self.text, start)
        if match is None:
            return
        self.at = match.end()
        value = next(
            part
            for part in (match["dq"], match["sq"], match["block"], match["word"])
            if part is not None
        )
        self.add(key, value, start, self.at, quoted=match["word"] is None)

    def array(self, key: Key) -> None:
        position = 0
        while (character := self.skip()) not in ("", "]"):
            before = self.at
            self.value((*key, position))
            if self.at == before:
                self.at += 1
            position += 1
        if character == "]":
            self.at += 1

    def include(self, key: Key) -> None:
        self.skip()
        match = _VALUE.match(self.text, self.at)
        if match is None:
            return
        self.at = match.end()
        target = match["dq"] or match["sq"] or match["word"] or ""
        path = (self.file.path.parent / target).resolve()
        included = _read(path, None, key, self.seen)
        included.included_at = match.span()
        self.file.includes.append(included)

    def add(self, key: Key, value: str | None, start: int, end: int, quoted: bool = False) -> None:
        line = self.text.count("\n", 0, start) + 1
        self.file.settings.append(Setting(key, value, start, end, line, quoted))


@dataclass(frozen=True)
class Edit:
    """Replace the text between two offsets."""

    start: int
    end: int
    text: str


def apply(text: str, edits: list[Edit]) -> str:
    """The text with every edit made; edits do not overlap and keep the line numbers."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def quote(value: str) -> str:
    """The value as a string of the configuration language; a Windows path keeps its backslashes."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
