"""The guard: a small process that starts servers and ends them when its owner is gone.

Run as `python -I -S guard.py FOLDER`, standard library only. Its standard input is a pipe that
the owner (a notebook's kernel, a script, pytest) holds open: when the owner ends, however it
ends, the pipe closes, and the guard kills the servers and removes FOLDER. It is no supervisor:
it restarts nothing and keeps no state.

What goes in: {"id": …, "argv": […], "cwd": …, "output": file} starts a process;
{"id": …, "links": {…}} is an order for the forwarder, a thread of this process (forwarder.py), which
saves the start of another Python.
What comes out: {"id": …, "pid": N} or {"id": …, "error": "…"}, later {"id": …, "exit": code}, and
{"id": …, "answer": {…}} from the forwarder.

Every server waits for this start of Python, so only built-in modules are imported before the first
one is on its way: the same Python at both ends talks marshal (json, signal and subprocess take as
long to import as two servers take to start).
"""

import _thread
import marshal
import os
import sys
import time

FOLDER_REMOVAL_TIMEOUT = 5.0  # seconds; Windows frees a killed process's files a little later
SIGKILL = 9  # on every Unix


def say(event):
    """Tell the owner; when the owner is gone there is nobody to tell."""
    try:
        os.write(1, marshal.dumps(event))
    except OSError:
        pass


def lifeline():
    """What a process reads from so that it is killed when the guard is, and what the guard holds of it.

    A pipe whose other end only the guard has, and that is never written to. When the guard is gone
    the system tells the reader that it ended, by the signal that is chosen here (fcntl(2), F_SETSIG:
    Linux). PR_SET_PDEATHSIG would do the same, but has to be set in the child, for which Python
    must copy the whole guard with each start: that takes ten times as long.
    """
    if sys.platform != "linux":
        return os.open(os.devnull, os.O_RDONLY), None
    import fcntl

    end, held = os.pipe()
    fcntl.fcntl(end, fcntl.F_SETSIG, SIGKILL)
    fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC)
    return end, held


def tie(end, pid):
    """Have the signal of a lifeline sent to this process. On Linux."""
    import fcntl

    fcntl.fcntl(end, fcntl.F_SETOWN, pid)


class Child:
    """What is needed here of subprocess.Popen, which it stands in for except on Windows."""

    def __init__(self, argv, cwd, stdin, output):
        os.chdir(cwd)
        self.pid = os.posix_spawn(
            argv[0],
            argv,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setpgroup=0,
        )

    def wait(self):
        """Its exit code, once it has ended; None for all but the first thread that is told."""
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            return None

    def kill(self):
        try:
            os.kill(self.pid, SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended


def spawn(argv, cwd, stdin, output):
    """Start a process in a group of its own, so that an interrupt of the owner does not reach it."""
    if sys.platform != "win32":
        return Child(argv, cwd, stdin, output)
    import subprocess

    apart = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(
        argv, cwd=cwd, stdin=stdin, stdout=output, stderr=output, creationflags=apart
    )


def start(request, children):
    """Start what is asked for, and say so."""
    end, held = lifeline()
    try:
        with open(request["output"], "ab") as output:
            child = spawn(request["argv"], request["cwd"], end, output.fileno())
    except OSError as error:
        say({"id": request["id"], "error": str(error)})
        close(held)
        return
    else:
        if held is not None:
            tie(end, child.pid)
    finally:
        os.close(end)
    children[request["id"]] = child
    leave_politely()  # while the first server starts, and before anybody is told that it has
    say({"id": request["id"], "pid": child.pid})
    _thread.start_new_thread(report, (request["id"], children, held))


def report(name, children, held):
    """Reap the child and say how it ended."""
    code = children[name].wait()
    children.pop(name)
    close(held)
    say({"id": name, "exit": code})


def close(held):
    """Let go of the end of a lifeline, where there is one."""
    if held is not None:
        os.close(held)


def begin_forwarding(request):
    """Start the forwarder of the lab's links, in a thread, and return it.

    It listens when this returns: servers that are started afterwards may dial it at once.
    """
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from forwarder import Forwarder

    forwarder = Forwarder(say)
    forwarder.carry_out(request)
    _thread.start_new_thread(forwarder.run, ())
    return forwarder


def hold_lock(folder):
    """Hold a lock that the system releases at death: it tells others that this lab is alive.

    Who looks whether it is held (`labkit ps`) holds it for an instant: wait for that.
    """
    handle = open(os.path.join(folder, "guard.lock"), "wb")
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def remove(folder):
    """Remove the folder, again until it is gone or the deadline passes."""
    import shutil

    deadline = time.monotonic() + FOLDER_REMOVAL_TIMEOUT
    shutil.rmtree(folder, ignore_errors=True)
    while os.path.exists(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(folder, ignore_errors=True)


def remove_outside(folder):
    """Remove the files elsewhere that the owner has listed: what it wrote for other programs."""
    try:
        with open(os.path.join(folder, "also-remove"), encoding="utf-8") as listed:
            for path in listed.read().splitlines():
                os.unlink(path)
    except OSError:
        pass  # none listed, or gone already


def leave_politely():
    """When `labkit stop`, the session or the system asks for it, take the way that a gone owner opens.

    The pipe ends then. An exception would do, but could also come while the folder is removed.
    """
    import signal

    def leave(_signal, _frame):
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), leave)
    signal.signal(signal.SIGINT, lambda _signal, _frame: None)  # ignoring would be inherited


def serve(children):
    """Carry out what the owner asks for, until it is gone."""
    forwarder = None
    while True:
        try:
            request = marshal.load(sys.stdin.buffer)
        except (EOFError, ValueError, TypeError):
            return  # ended, perhaps in the middle of a request
        if "argv" in request:
            start(request, children)
        elif forwarder is None:
            forwarder = begin_forwarding(request)
        else:
            forwarder.order(request)


def main():
    folder, children = sys.argv[1], {}
    lock = hold_lock(folder)
    try:
        serve(children)
    finally:
        left = list(children.values())
        for child in left:
            child.kill()  # their data goes with them: there is nothing to save by a slower end
        for child in left:
            child.wait()
        remove_outside(folder)
        lock.close()
        remove(folder)


if __name__ == "__main__":
    main()
