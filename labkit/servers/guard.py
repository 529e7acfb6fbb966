"""The guard: a small process that starts servers and ends them when its owner is gone.

Run as `python -I -S guard.py FOLDER`, standard library only. Its standard input is a pipe that
the owner (a notebook's kernel, a script, pytest) holds open: when the owner ends, however it
ends, the pipe closes, and the guard kills the servers and removes FOLDER. It is no supervisor:
it restarts nothing and keeps no state.

A line in, JSON: {"id": …, "argv": […], "cwd": …, "output": file} starts a process;
{"id": …, "links": {…}} is an order for the forwarder, a thread of this process (forwarder.py), which
saves the start of another Python.
Lines out, JSON: {"id": …, "pid": N} or {"id": …, "error": "…"}, later {"id": …, "exit": code}, and
{"id": …, "answer": {…}} from the forwarder.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

FOLDER_REMOVAL_TIMEOUT = 5.0  # seconds; Windows frees a killed process's files a little later


def say(event):
    """Tell the owner; when the owner is gone there is nobody to tell."""
    try:
        os.write(1, (json.dumps(event) + "\n").encode())
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
    fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC)
    return end, held


def tie(end, pid):
    """Have the signal of a lifeline sent to this process. On Linux."""
    import fcntl

    fcntl.fcntl(end, fcntl.F_SETOWN, pid)


def start(request, children):
    """Start one process in a group of its own, so that an interrupt of the owner does not reach it."""
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    else:
        apart = {"process_group": 0}
    end, held = lifeline()
    try:
        with open(request["output"], "ab") as output:
            child = subprocess.Popen(
                request["argv"],
                cwd=request["cwd"],
                stdin=end,
                stdout=output,
                stderr=output,
                **apart,
            )
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
    say({"id": request["id"], "pid": child.pid})
    threading.Thread(target=report, args=(request["id"], child, held), daemon=True).start()


def report(name, child, held):
    """Reap the child and say how it ended."""
    code = child.wait()
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
    from importlib import util

    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "forwarder.py")
    spec = util.spec_from_file_location("forwarder", beside)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    forwarder = module.Forwarder(say)
    forwarder.carry_out(request)
    threading.Thread(target=forwarder.run, name="forwarder", daemon=True).start()
    return forwarder


def hold_lock(folder):
    """Hold a lock that the system releases at death: it tells others that this lab is alive.

    Who looks whether it is held (`labkit ps`) holds it for an instant: wait for that.
    """
    handle = open(os.path.join(folder, "guard.lock"), "w")
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


def leave(_signal, _frame):
    """A polite end asked for by `labkit stop`, the session or the system: the same way out."""
    raise SystemExit(0)


def main():
    folder = sys.argv[1]
    children, forwarder = {}, None
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), leave)
    signal.signal(signal.SIGINT, lambda _signal, _frame: None)  # ignoring would be inherited
    lock = hold_lock(folder)
    try:
        for line in sys.stdin:
            request = json.loads(line)
            if "links" in request:
                if forwarder is None:
                    forwarder = begin_forwarding(request)
                else:
                    forwarder.order(request)
            else:
                start(request, children)
    finally:
        for child in children.values():
            child.kill()  # their data goes with them: there is nothing to save by a slower end
        for child in children.values():
            child.wait()
        remove_outside(folder)
        lock.close()
        remove(folder)


if __name__ == "__main__":
    main()
