"""The command `labkit`: parses the command line and hands over. Nothing imports this module."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from labkit import environment
from labkit.servers.errors import LabError

ROOT = Path(__file__).resolve().parent.parent

LABKIT = environment.command()  # what people type here

EXAMPLES = f"""examples:
  {LABKIT} lab                 open JupyterLab on the course
  {LABKIT} lab --no-browser    print the address instead
  {LABKIT} slides 10           the lecture of hour 1 as slides
  {LABKIT} test                run every test and every notebook
  {LABKIT} test -k guard       only the tests whose name has "guard" in it
  {LABKIT} reset 11            a fresh copy of notebook 11; yours is kept beside it
  {LABKIT} ps                  which labs run on this machine, and whose they are
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors meant for people are printed without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console that has no ✔ shows ? and goes on
    if arguments[:1] == ["test"]:  # everything behind it is pytest's
        return _guarded(lambda: test(arguments[1:]))
    if arguments[:1] == ["notebooks"]:
        return _guarded(lambda: notebooks(arguments[1:]))
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    return _guarded(lambda: options.run(options))


def _guarded(command: Callable[[], int]) -> int:
    try:
        return command()
    except LabError as error:
        print(f"labkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlabkit: stopped", file=sys.stderr)
        return 130


class Parser(argparse.ArgumentParser):
    """A parser that offers the near command for a slip of the finger."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Exit with 2 and a sentence."""
        wrong = message.partition("invalid choice: '")[2].partition("'")[0]
        near = difflib.get_close_matches(wrong, COMMANDS, 1)
        hint = f"did you mean: {LABKIT} {near[0]}" if near else f"see: {LABKIT} --help"
        self.exit(2, f"labkit: {f'there is no command {wrong!r}' if wrong else message}; {hint}\n")


COMMANDS = ("lab", "slides", "test", "doctor", "reset", "notebooks", "credentials", "ps", "stop")


def make_parser() -> argparse.ArgumentParser:
    """The commands, their options and their help."""
    parser = Parser(
        prog=LABKIT,
        description="Learn NATS by running it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"labkit {metadata.version('labkit')}"
    )
    commands = parser.add_subparsers(metavar="command", parser_class=Parser)

    command = commands.add_parser("lab", help="open JupyterLab on your copies of the notebooks")
    command.add_argument(
        "--no-browser", action="store_true", help="print the address, open no browser"
    )
    command.add_argument(
        "--port", type=port_number, help="port on 127.0.0.1 (8888, or the next free one)"
    )
    _workspace_option(command)
    command.set_defaults(run=lab)

    command = commands.add_parser("slides", help="show a lecture as slides, with cells that run")
    command.add_argument("number", metavar="NN", help="number of a lecture, as in 10")
    command.add_argument(
        "--no-browser", action="store_true", help="print the address, open no browser"
    )
    command.add_argument(
        "--port", type=port_number, help="port on 127.0.0.1 (8888, or the next free one)"
    )
    _workspace_option(command)
    command.set_defaults(run=slides)

    commands.add_parser(
        "test", help="run every test and notebook; what follows goes to pytest", add_help=False
    )
    commands.add_parser(
        "notebooks",
        help="put notebooks in normal form, check it, make their outputs",
        add_help=False,
    )

    command = commands.add_parser("doctor", help="check that everything is installed and works")
    command.set_defaults(run=doctor)

    command = commands.add_parser(
        "reset", help="a fresh copy of a notebook; yours is kept beside it"
    )
    command.add_argument("numbers", nargs="+", metavar="NN", help="number of a notebook, as in 11")
    _workspace_option(command)
    command.set_defaults(run=reset)

    command = commands.add_parser(
        "credentials", help="make a topology's passwords, keys and certificates, to run it by hand"
    )
    command.add_argument("topology", help="a folder of server files, or its name in server-configs")
    command.set_defaults(run=credentials)

    command = commands.add_parser(
        "ps", help="list the labs running on this machine, and who owns them"
    )
    command.set_defaults(run=ps)

    command = commands.add_parser(
        "stop", help="end labs: those of the owners you name, or all of yours"
    )
    command.add_argument(
        "pids", nargs="*", type=int, metavar="PID", help="pid of an owner, as ps shows it"
    )
    command.add_argument("--all", action="store_true", help="every lab of yours on this machine")
    command.set_defaults(run=stop)
    return parser


def port_number(text: str) -> int:
    """A port that can be listened on. Raises ArgumentTypeError."""
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no port: give a number from 1 to 65535")


def _workspace_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--workspace", type=Path, metavar="DIR", help="folder of your copies (workspace/)"
    )


def lab(options: argparse.Namespace) -> int:
    """Refresh the learner's copies and run JupyterLab on them until it is stopped."""
    from labkit.course import jupyter, workspace

    folder = (options.workspace or workspace.default_folder()).resolve()
    for line in workspace.prepare(folder).lines():
        print(line)
    return jupyter.serve(folder, port=options.port, browser=not options.no_browser)


def slides(options: argparse.Namespace) -> int:
    """Refresh the copies and show one of them as slides (RISE), until it is stopped."""
    from labkit.course import jupyter, lecture, workspace

    page = f"rise/{lecture.name(options.number)}"
    folder = (options.workspace or workspace.default_folder()).resolve()
    for line in workspace.prepare(folder).lines():
        print(line)
    return jupyter.serve(folder, options.port, not options.no_browser, page)


def test(arguments: list[str]) -> int:
    """Become pytest in the checkout with these arguments, so that its exit code is the command's."""
    from labkit.environment import hand_over

    if not (ROOT / "tests").is_dir():
        raise LabError(
            f"there are no tests beside {ROOT / 'labkit'}; "
            "`labkit test` runs in a checkout of the repository, installed with pip install -e ."
        )
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.chdir(ROOT)
    return hand_over([sys.executable, "-m", "pytest", *arguments])


def notebooks(arguments: list[str]) -> int:
    """The command for those who write notebooks."""
    from labkit.course.notebooks import main as run

    return run(arguments)


def doctor(_options: argparse.Namespace) -> int:
    """Print the findings; exit code 1 when something is not well."""
    from labkit.course.doctor import doctor as look

    health = look()
    print(health)
    return 0 if health.ok else 1


def reset(options: argparse.Namespace) -> int:
    """Give fresh copies and say where the old ones are."""
    from labkit.course import workspace

    print(workspace.reset(*options.numbers, folder=options.workspace))
    return 0


def credentials(options: argparse.Namespace) -> int:
    """Make credentials beside the server files; prints what a client of each name needs."""
    from labkit.servers import credentials, folders

    _, path = folders.locate(options.topology)
    recipe = credentials.recipe_of(path) if path else None
    if recipe is None:
        raise LabError(f"{options.topology} needs no credentials: it has no {credentials.RECIPE}")
    for name, settings in credentials.make(recipe, recipe.parent).items():
        print(f"{name:10} " + "  ".join(f"{key} {value}" for key, value in settings.items()))
    print(f"made anew in {recipe.parent / credentials.MADE}; start a server there to use them")
    return 0


def ps(_options: argparse.Namespace) -> int:
    """Print a line for each lab that runs."""
    from labkit.course import labs

    print(labs.ps())
    return 0


def stop(options: argparse.Namespace) -> int:
    """End the labs asked for."""
    from labkit.course import labs

    if not (options.all or options.pids):
        raise LabError(f"give an owner's pid from `{LABKIT} ps`, or --all")
    labs.stop(*(("all",) if options.all else options.pids))
    return 0


if __name__ == "__main__":
    sys.exit(main())
