"""The guard: a small process that starts servers and ends them when its owner is gone.

Run as `python -I -S guard.py`, standard library only. Its standard input is a pipe that the owner (a
notebook's kernel, a script, pytest) holds open: when the owner ends, however it ends, the pipe closes,
and the guard kills the servers and removes the folders of their labs. One guard serves all labs of its
owner, one after another and side by side. It is no supervisor: it restarts nothing and keeps no state.

What goes in, each with "lab", the run folder that tells which lab is meant:
{"open": {…}} begins a lab; its processes get this environment;
{"id": …, "argv": […], "cwd": …, "output": file, "environment": {…}} starts a process, with this added to
the lab's environment;
{"id": …, "links": {…}} is an order for the lab's forwarder, a thread of this process (forwarder.py), which
saves the start of another Python;
{"close": True} ends the lab.
What comes out, with the same "lab": {"opened": True}; {"id": …, "pid": N} or {"id": …, "error": "…"}, later
{"id": …, "exit": code}; {"id": …, "answer": {…}} from the forwarder; {"closed": True} when nothing of the
lab is left.
Another process ends one lab by a file called "stop" in its folder, and a signal that says "look" (SIGURG,
which does no harm to a guard that has only just begun). Windows has none: there the guard looks by itself.

Every server waits for this start of Python, so only built-in modules are imported before the first
one is on its way: the same Python at both ends talks marshal (json, signal and subprocess take as
long to import as two servers take to start).
"""

import _thread
import marshal
import os
import sys
import time

END_TIMEOUT = (
    5.0  # seconds, for a killed process to be gone; one that waits for a dead disk is left
)
FOLDER_REMOVAL_TIMEOUT = 5.0  # seconds; Windows frees a killed process's files a little later
LOCK_TIMEOUT = 2.0  # seconds; who looks at a lock holds it for some microseconds
LOOK_AGAIN = 0.25  # seconds between looks for a wish to stop, on Windows
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

    def __init__(self, argv, cwd, environment, stdin, output):
        os.chdir(cwd)
        self.pid = os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setpgroup=0,
        )

    def wait(self):
        """Its exit code, once it has ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self):
        try:
            os.kill(self.pid, SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended


def spawn(argv, cwd, environment, stdin, output):
    """Start a process in a group of its own, so that an interrupt of the owner does not reach it."""
    if sys.platform != "win32":
        return Child(argv, cwd, environment, stdin, output)
    import subprocess

    apart = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        stdin=stdin,
        stdout=output,
        stderr=output,
        creationflags=apart,
    )


class Lab:
    """A lab in the guard's care: its folder and lock, its processes, and its links."""

    def __init__(self, folder, environment, started):
        self.folder, self.environment = folder, environment
        self.started = started  # what to do once a process of it has been started
        self.lock = hold_lock(folder)
        self.processes = {}  # id to (child, what is released once its end was told)
        self.forwarder = None
        self.changing = _thread.allocate_lock()  # held while a process starts or the lab ends
        self.ended = False

    def say(self, event):
        """Tell the owner something of this lab."""
        say({"lab": self.folder, **event})

    def obey(self, request):
        """Carry out what the owner asks for; a lab that has ended does nothing more."""
        with self.changing:
            if self.ended:
                return
            if "argv" in request:
                self.start(request)
            elif self.forwarder is None:
                self.forwarder = begin_forwarding(request, self.say)
            else:
                self.forwarder.order(request)

    def start(self, request):
        """Start a process, and say so."""
        held = None
        try:
            end, held = lifeline()
            try:
                with open(request["output"], "ab") as output:
                    child = spawn(
                        request["argv"],
                        request["cwd"],
                        {**self.environment, **request["environment"]},
                        end,
                        output.fileno(),
                    )
                if held is not None:
                    tie(end, child.pid)
            finally:
                os.close(end)
        except OSError as error:
            self.say({"id": request["id"], "error": str(error)})
            close(held)
            return
        told = _thread.allocate_lock()
        told.acquire()
        self.processes[request["id"]] = child, told
        self.started()  # while the server starts, and before anybody is told that it has
        self.say({"id": request["id"], "pid": child.pid})
        _thread.start_new_thread(self.report, (request["id"], child, told, held))

    def report(self, name, child, told, held):
        """Reap the child and say how it ended."""
        code = child.wait()
        self.processes.pop(name)
        close(held)
        self.say({"id": name, "exit": code})
        told.release()

    def kill(self):
        """Kill its processes: their data goes with them, there is nothing to save by a slower end."""
        for child, _ in list(self.processes.values()):
            child.kill()

    def end(self):
        """Kill its processes, remove its files and say so. A second call waits for the first."""
        with self.changing:
            if self.ended:
                return
            self.ended = True
            running = list(self.processes.values())
            self.kill()
            if self.forwarder is not None:
                self.forwarder.end()
            for _, told in running:
                told.acquire(timeout=END_TIMEOUT)
            self.lock.close()
            remove_all(self.folder)
            self.say({"closed": True})


def close(held):
    """Let go of the end of a lifeline, where there is one."""
    if held is not None:
        os.close(held)


def begin_forwarding(request, tell):
    """Start the forwarder of a lab's links, in a thread, and return it.

    It listens when this returns: servers that are started afterwards may dial it at once.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    if here not in sys.path:
        sys.path.append(here)
    from forwarder import Forwarder

    forwarder = Forwarder(tell)
    forwarder.carry_out(request)
    _thread.start_new_thread(forwarder.run, ())
    return forwarder


def hold_lock(folder):
    """Hold a lock that the system releases at death: it tells others that this lab is alive.

    Who looks whether it is held (`labkit ps`) holds it for an instant: try again. Raises OSError
    when it is held for longer.
    """
    handle = open(os.path.join(folder, "guard.lock"), "wb")
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def remove(folder):
    """Remove the folder, again until it is gone or the deadline passes."""
    import shutil

    deadline = time.monotonic() + FOLDER_REMOVAL_TIMEOUT
    shutil.rmtree(folder, ignore_errors=True)
    while os.path.exists(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(folder, ignore_errors=True)


def listed_outside(folder):
    """The files elsewhere that the owner has listed, each before it wrote it for other programs."""
    try:
        with open(os.path.join(folder, "also-remove"), encoding="utf-8") as listed:
            return listed.read().splitlines()
    except OSError:
        return []


def remove_outside(paths, folder):
    """Remove these files. One that does not name this lab's folder is another's, and stays."""
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                written = file.read()
            if not written or os.path.basename(folder) in written:
                os.unlink(path)
        except OSError:
            pass  # gone already


def remove_all(folder):
    """Remove a lab's files: also one that the owner writes at this moment.

    The owner looks for the folder after it has written, and then removes its file itself.
    """
    paths = listed_outside(folder)
    remove_outside(paths, folder)
    remove(folder)
    remove_outside(paths, folder)


class Guard:
    """The labs in this process's care, and what its owner, the system and others want of it."""

    def __init__(self):
        self.labs = {}  # by their folders
        self.listening = self.leaving = False
        self.serving = True  # until the owner or a signal ends that

    def serve(self):
        """Carry out what the owner asks for, until it is gone."""
        while True:
            try:
                request = marshal.load(sys.stdin.buffer)
            except (EOFError, ValueError, TypeError):
                return  # ended, perhaps in the middle of a request
            lab = self.labs.get(request["lab"])
            if "open" in request:
                self.begin(request["lab"], request["open"])
            elif lab is None:
                continue  # it has ended meanwhile, and its owner has been told
            elif "close" in request:
                self.end_soon(lab)
            else:
                lab.obey(request)

    def begin(self, folder, environment):
        """Take a lab into care, unless its folder is gone by now, or this guard is about to go."""
        try:
            if self.leaving:
                raise OSError
            lab = Lab(folder, environment, self.listen_for_signals)
        except OSError:
            say({"lab": folder, "closed": True})
        else:
            self.labs[folder] = lab
            lab.say({"opened": True})

    def end_soon(self, lab):
        """End a lab in a thread, so that the others are served meanwhile."""
        _thread.start_new_thread(self.end, (lab,))

    def end(self, lab):
        """End a lab, and forget it."""
        lab.end()
        self.labs.pop(lab.folder, None)

    def end_all(self):
        """End every lab: first all processes, which takes a moment, then the files."""
        left = list(self.labs.values())
        for lab in left:
            lab.kill()
        for lab in left:
            lab.end()

    def end_what_is_to_stop(self):
        """End the labs in whose folder somebody has left the wish that they stop."""
        for lab in list(self.labs.values()):
            if os.path.exists(os.path.join(lab.folder, "stop")):
                self.end_soon(lab)

    def take_no_more(self, *_):
        """Refuse labs that the owner gives after it could know that this guard is to go."""
        self.leaving = True

    def leave(self):
        """Asked to go by the session or the system, take the way that a gone owner opens: the pipe ends."""
        self.leaving = True
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def listen_for_signals(self):
        """Once: leave when asked to, and end a lab when somebody wants it to stop.

        A thread heeds the signals. Python's handlers run in the main thread, between two steps of
        it, and one that comes just before that thread waits for a request would wait along.
        """
        if self.listening:
            return
        self.listening = True
        import signal

        signal.signal(signal.SIGINT, lambda *_: None)  # ignoring would be inherited
        if not hasattr(signal, "SIGURG"):
            _thread.start_new_thread(self.keep_looking, ())
            return
        heard, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        signal.signal(signal.SIGURG, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.take_no_more)
        _thread.start_new_thread(self.heed, (heard, _thread.get_ident()))
        self.end_what_is_to_stop()  # somebody may have asked a moment ago

    def heed(self, heard, main):
        """Do what signals ask for; `heard` has the number of each."""
        import signal

        while number := os.read(heard, 1):
            if number[0] == signal.SIGURG:
                self.end_what_is_to_stop()
            elif number[0] in (signal.SIGTERM, signal.SIGHUP):
                self.leave()
                while self.serving:  # wake it, again where it was just about to wait
                    signal.pthread_kill(main, signal.SIGINT)
                    time.sleep(0.001)

    def keep_looking(self):
        """Look again and again for labs that are to stop, where no signal tells of them."""
        while True:
            time.sleep(LOOK_AGAIN)
            self.end_what_is_to_stop()


def main():
    guard = Guard()
    try:
        guard.serve()
    finally:
        guard.serving = False
        guard.end_all()


if __name__ == "__main__":
    main()
