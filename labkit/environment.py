"""The environment of a checkout, .venv: made where there is none, mended, and handed over to.

Standard library only, and readable by Pythons that are too old, so that they can be told.
"""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "labkit-stamp")
LOG = os.path.join(VENV, "labkit-install.log")
LOCK = os.path.join(ROOT, ".venv.lock")
AGAIN = "run the same command again"
NO_NETWORK = re.compile(
    "name resolution|getaddrinfo|Name or service not known|nodename nor servname|"
    "Network is unreachable|No route to host|Connection refused|ConnectTimeout|Max retries|"
    "NewConnectionError|dns error|error sending request|Failed to fetch|tcp connect error|"
    r"from versions: none",
    re.IGNORECASE,
)
NO_SPACE = re.compile("No space left|disk full|os error 28", re.IGNORECASE)
DISK_FULL = "the disk is full; make room (about 1 GB), then {}".format(AGAIN)


class SetupError(Exception):
    """What stands in the way of an environment, with the next step."""


def python_for(arguments):
    """The Python to run these arguments with, after making or mending .venv where it needs it.

    None where labkit was installed for this interpreter, as in conda or somebody's own venv.
    Raises SetupError, or OSError for a file that cannot be used.
    """
    refuse_old_python()
    if is_installed_here():
        return None
    return prepare("dev" if arguments[:1] == ["test"] else "base")


def refuse_old_python():
    if sys.version_info < OLDEST:
        raise SetupError(
            "this is Python {}.{}, and {}.{} or newer is needed. Install one from python.org or your "
            "system's packages, then for example: python3.12 -m labkit {}".format(
                *(sys.version_info[:2] + OLDEST + (" ".join(sys.argv[1:]),))
            )
        )


def in_own_venv():
    """Whether this interpreter is the one of the checkout's .venv."""
    return os.path.realpath(sys.prefix) == os.path.realpath(VENV)


def is_installed_here():
    """Whether labkit was installed for this interpreter, as in conda or somebody's own venv."""
    if in_own_venv():
        return False
    from importlib import metadata

    try:
        metadata.distribution("labkit")
    except metadata.PackageNotFoundError:
        return False
    return True


def command() -> str:
    """What people type here to run labkit: "labkit" where a shell finds it, else a way that works."""
    if shutil.which("labkit"):
        return "labkit"
    return "py -m labkit" if os.name == "nt" else "python3 -m labkit"


def hand_over(command: list) -> int:
    """Become this command, so that signals reach it; on Windows, wait for it and pass its code on."""
    if os.name == "nt":
        child = subprocess.Popen(command)
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                pass  # the child was interrupted too and ends in its own way
    sys.stdout.flush()
    os.execv(command[0], command)


# --- the environment ---------------------------------------------------------------------------


def prepare(extra):
    """The environment's Python, after making or mending the environment where it needs it."""
    python = venv_python()
    if stamp_covers(read_stamp(), extra):
        return python
    if not os.path.isfile(os.path.join(ROOT, "pyproject.toml")):
        raise SetupError("there is no pyproject.toml in {}; run this in a checkout".format(ROOT))
    with lock():
        if stamp_covers(read_stamp(), extra):  # another terminal has just made it
            return python
        make_environment(extra)
    return python


def venv_python():
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(VENV, folder, name)


def fingerprint():
    """What an environment depends on: the list of dependencies, the checkout's place, its Python."""
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        return hashlib.sha256(file.read() + ROOT.encode() + venv_version()).hexdigest()


def venv_version():
    """The Python that .venv says it is of, as venv or uv wrote it there."""
    try:
        with open(os.path.join(VENV, "pyvenv.cfg"), "rb") as file:
            return b"".join(re.findall(rb"^version(?:_info)? *= *(\S+)", file.read(), re.MULTILINE))
    except OSError:
        return b""


def read_stamp():
    """Fingerprint and extra of the last complete install; empty where there was none."""
    try:
        with open(STAMP) as file:
            return file.read().split()
    except OSError:
        return []


def stamp_covers(stamp, extra):
    return (
        len(stamp) == 2
        and os.path.exists(venv_python())
        and stamp[0] == fingerprint()
        and stamp[1] in (extra, "dev")
    )


@contextmanager
def lock():
    """One set-up at a time; the system releases the lock of a process that dies."""
    try:
        handle = open(LOCK, "a+")
    except OSError as error:
        raise SetupError(
            "{} cannot be written ({}); clone into a folder of your own".format(
                ROOT, error.strerror
            )
        )
    try:
        if not try_lock(handle):
            say("another terminal sets up the environment, waiting for it …")
            while not try_lock(handle):
                time.sleep(0.2)
        yield
    finally:
        handle.close()


def try_lock(handle):
    try:
        if os.name == "nt":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def make_environment(extra):
    """Make .venv where it is missing or broken, install, and put the stamp in it."""
    began = time.time()
    uv = find_uv()
    if not has_good_venv(uv):
        make_venv(uv)
    if os.path.exists(STAMP):
        os.remove(STAMP)
    wanted = ROOT + ("[dev]" if extra == "dev" else "")
    if uv:
        command = [uv, "pip", "install", "--python", venv_python(), "-e", wanted]
    else:
        command = [
            venv_python(),
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "-e",
            wanted,
        ]
    say("installing what the course needs into .venv (once; up to a minute) …")
    install(command)
    with open(STAMP, "w") as file:
        file.write("{} {}\n".format(fingerprint(), extra))
    say("ready after {:.0f} s".format(time.time() - began))


def find_uv():
    """uv, where it is on PATH and runs: a version manager may leave a name there that does not."""
    uv = shutil.which("uv")
    try:
        with open(os.devnull, "w") as nowhere:
            works = uv and subprocess.call([uv, "--version"], stdout=nowhere, stderr=nowhere) == 0
    except OSError:
        works = False
    return uv if works else None


def has_good_venv(uv):
    """Whether .venv can be installed into. Raises SetupError for what is not ours to replace."""
    if not os.path.lexists(VENV):
        return False
    if not os.path.isdir(VENV) or (
        os.listdir(VENV) and not os.path.exists(os.path.join(VENV, "pyvenv.cfg"))
    ):
        raise SetupError(
            "{} is there already and is no virtual environment; move it away, then {}".format(
                VENV, AGAIN
            )
        )
    ask = "import sys; print(sys.version_info >= {!r})".format(OLDEST) + (
        "" if uv else "; import pip"
    )
    try:
        answer = subprocess.run(
            [venv_python(), "-c", ask],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        answer = None
    if answer is None or answer.returncode != 0:
        say("found a half-made .venv, making it anew")
        return False
    if answer.stdout.strip() != b"True":
        raise SetupError(
            "{} was made with a Python older than {}.{}; delete it, then {}".format(
                VENV, *(OLDEST + (AGAIN,))
            )
        )
    return True


def make_venv(uv):
    if uv:
        command = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV]
    else:
        refuse_missing_venv_module()
        command = [sys.executable, "-m", "venv", "--clear", VENV]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        said = result.stdout.decode(errors="replace").strip()
        if NO_SPACE.search(said):
            raise SetupError(DISK_FULL)
        raise SetupError("no virtual environment could be made in {}:\n{}".format(VENV, said))


def refuse_missing_venv_module():
    """Debian and Ubuntu pack venv apart, and without it `python -m venv` fails half-way."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(
            "this Python comes without its venv module. On Debian or Ubuntu: "
            "sudo apt install python3-venv (elsewhere, installing uv helps as well); then {}".format(
                AGAIN
            )
        )


def install(command):
    """Run the installer, showing where it is. Raises SetupError when it fails."""
    lines = []
    with open(LOG, "w", encoding="utf-8", buffering=1) as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                lines.append(line)
                show_step(line)
                log.write(line + "\n")
        except BaseException:
            process.stdout.close()  # an installer that goes on writing ends by that
            try:  # Ctrl-C reached the installer too: let it tidy up
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
    show_step("")
    if process.wait() != 0:
        raise SetupError(explain("\n".join(lines)))


def explain(said):
    """The sentence for an install that failed."""
    if NO_SPACE.search(said):
        return DISK_FULL
    if NO_NETWORK.search(said):
        return (
            "the package index cannot be reached. The first run needs the internet, once; "
            "connect, then {}. After that no network is needed. (The log: {})".format(AGAIN, LOG)
        )
    last = "\n".join("  " + line for line in said.strip().splitlines()[-6:])
    return "the packages could not be installed:\n{}\nThe whole log is in {}".format(last, LOG)


def explain_file(error):
    """The sentence for a file in .venv that could not be read or written."""
    if error.errno == errno.ENOSPC:
        return DISK_FULL
    return "{} cannot be used ({}); delete {}, then {}".format(
        error.filename or ROOT, error.strerror, VENV, AGAIN
    )


def show_step(line):
    """On a terminal, the installer's current step on one line that is written over."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\033[K" + line.strip()[:width])
        sys.stderr.flush()


def say(text):
    sys.stderr.write("labkit: {}\n".format(text))
    sys.stderr.flush()
