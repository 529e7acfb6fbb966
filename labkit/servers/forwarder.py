"""The forwarder: stands in the links between a lab's servers, so that they can be cut and delayed.

A thread of the guard for each lab that has links, standard library only. Servers dial its ports in
place of each other's. It learns who dialed from what a nats-server sends first, its name included.
It decides nothing: the lab's owner says what is cut.

Orders, each answered by {} or {"error": "…", "port": P}:
{"open": [[port, to, "hub", "leafnodes"]]} listens on `port` for what dials the listener of that kind
of the server "hub", at `to`;
{"cut": [["leaf", "hub"]], "delay": [["leaf", "hub", 50]]} is the state of all links from now on,
delays in milliseconds each way.
"""

import _thread
import collections
import functools
import heapq
import itertools
import re
import selectors
import socket
import time

LOOPBACK = "127.0.0.1"
CHUNK = 262_144  # bytes read at once
MOST_WAITING = 4_194_304  # bytes on their way to one end; then the other end has to wait
LONGEST_GREETING = 16_384  # bytes in which a dialer says who it is
# A leaf node gives its name in CONNECT, servers behind a route or gateway in INFO.
NAME = re.compile(
    rb'"server_name":"([^"]+)"|"server_id":"[^"]+",(?:"domain":"[^"]+",)?"name":"([^"]+)"'
)
# Seconds. Two servers that dial each other for a route in the same millisecond may each drop the
# connection that the other keeps, and dial again a second later. So one greets a little later.
COURTESY = 0.03
# Seconds for a leaf node that dials a server that is just starting: refused, it would dial again after
# a second. It waits as long for the hub's INFO (DEFAULT_LEAFNODE_INFO_WAIT in nats-server).
PATIENCE = 1.0
LOOK_AGAIN = 0.003  # seconds between attempts to reach a server that is just starting
ENCRYPTED = ""  # the name of a dialer that does not say who it is


class End:
    """One end of a connection: a socket, and the bytes on their way to it, each with its time."""

    def __init__(self, sock, link):
        self.sock, self.link = sock, link
        self.peer = self
        self.waiting = collections.deque()  # of (due, bytes)
        self.size = 0
        self.ended = False  # nothing more comes from here
        self.events = 0  # that the selector waits for
        self.timer = 0.0  # when the loop looks at it again


class Link:
    """One live connection from a dialer, known by its name once it has said it, to the server `at`."""

    def __init__(self, dialing, listening, at, kind):
        self.at, self.kind = at, kind
        self.dialer, self.greeting = None, b""
        self.dialing, self.listening = End(dialing, self), End(listening, self)
        self.dialing.peer, self.listening.peer = self.listening, self.dialing

    def listen_for_name(self, data):
        """Look for the dialer's name in what it sends first."""
        self.greeting += data
        found = NAME.search(self.greeting)
        if found:
            self.dialer = (found[1] or found[2]).decode(errors="replace")
        elif len(self.greeting) > LONGEST_GREETING or self.greeting[:1] == b"\x16":  # TLS
            self.dialer = ENCRYPTED

    @property
    def waits(self):
        """Whether this dialer is the one of two that is to greet later."""
        return self.kind == "cluster" and self.dialer is not None and self.dialer > self.at


class Forwarder:
    """All links of a lab, served by one loop in one thread; `say` takes the answers."""

    def __init__(self, say):
        self.say = say
        self.selector = selectors.DefaultSelector()
        self.links = set()
        self.cut, self.delay = set(), {}
        self.reached = set()  # ports of servers that have taken a connection
        self.timers = []  # heap of (due, count, what to do)
        self.count = itertools.count()
        self.orders = collections.deque()
        self.doorbell, self.bell = socket.socketpair()
        self.selector.register(self.doorbell, selectors.EVENT_READ, self.obey)
        self.listeners = []
        self.ending = False
        self.ended = _thread.allocate_lock()  # released when no socket is open any more
        self.ended.acquire()

    # --- the owner's side ---

    def order(self, request):
        """From another thread: have an order carried out and answered; no answer after its end."""
        self.orders.append(request)
        try:
            self.bell.send(b"!")
        except OSError:
            pass  # it has ended, and closed this too

    def end(self):
        """From another thread: close everything, and return when it is closed."""
        self.order(None)
        self.ended.acquire()

    def obey(self, _events):
        """Do what was ordered."""
        self.doorbell.recv(1)
        request = self.orders.popleft()
        if request is None:
            self.ending = True
        else:
            self.carry_out(request)

    def carry_out(self, request):
        """Carry out an order, and answer it."""
        order, answer = request["links"], {}
        for port, to, at, kind in order.get("open", ()):
            try:
                self.open(port, to, at, kind)
            except OSError as error:
                answer = {"error": str(error), "port": port}
        if "cut" in order:
            self.cut = {frozenset(pair) for pair in order["cut"]}
            self.delay = {frozenset((a, b)): ms / 1000 for a, b, ms in order["delay"]}
            for link in [link for link in self.links if self.is_cut(link)]:
                self.close(link)
        self.say({"id": request["id"], "answer": answer})

    def delay_of(self, link):
        """Seconds each way; who does not say its name is delayed as anybody there is."""
        if link.dialer == ENCRYPTED:
            return max((s for pair, s in self.delay.items() if link.at in pair), default=0)
        return self.delay.get(frozenset((link.dialer, link.at)), 0)

    def is_cut(self, link):
        """Whether nothing may pass. Who does not say its name may not pass where anybody is cut off."""
        if link.dialer == ENCRYPTED:
            return any(link.at in pair for pair in self.cut)
        return frozenset((link.dialer, link.at)) in self.cut

    # --- the servers' side ---

    def open(self, port, to, at, kind):
        """Listen for connections to a listener of the server `at`. Raises OSError when the port is taken."""
        listener = socket.socket()
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listeners.append(listener)
        listener.bind((LOOPBACK, port))
        listener.listen(128)
        listener.setblocking(False)
        self.selector.register(
            listener, selectors.EVENT_READ, lambda _events: self.accept(listener, to, at, kind)
        )

    def accept(self, listener, to, at, kind):
        """Take a dialer and connect it."""
        try:
            dialing, _ = listener.accept()
        except OSError:
            return  # it has gone again
        patient = kind == "leafnodes" and to not in self.reached
        self.connect(dialing, to, at, kind, time.monotonic() + (PATIENCE if patient else 0))

    def connect(self, dialing, to, at, kind, until):
        """Connect a dialer; a server that does not run refuses, as it would directly."""
        try:
            listening = socket.create_connection((LOOPBACK, to), timeout=1)
        except OSError:
            if time.monotonic() < until:
                again = functools.partial(self.connect, dialing, to, at, kind, until)
                self.later(time.monotonic() + LOOK_AGAIN, again)
            else:
                dialing.close()
            return
        self.reached.add(to)
        link = Link(dialing, listening, at, kind)
        self.links.add(link)
        for end in (link.dialing, link.listening):
            end.sock.setblocking(False)
            end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.watch(end)

    def watch(self, end):
        """Wait for what matters at this end now; nothing, while its peer is behind."""
        reads = not end.ended and end.peer.size < MOST_WAITING
        writes = end.waiting and end.waiting[0][0] <= time.monotonic()
        events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)
        if events == end.events:
            return
        if not end.events:
            self.selector.register(end.sock, events, lambda mask: self.serve(end, mask))
        elif events:
            key = self.selector.get_key(end.sock)
            self.selector.modify(end.sock, events, key.data)
        else:
            self.selector.unregister(end.sock)
        end.events = events

    def serve(self, end, events):
        """Read from an end, write to it, as far as it goes."""
        if end.link not in self.links:
            return  # closed a moment ago, in the same round
        try:
            if events & selectors.EVENT_READ:
                self.receive(end)
            if events & selectors.EVENT_WRITE:
                self.send(end)
        except OSError:
            self.close(end.link)

    def receive(self, end):
        """Read once, and put it on its way to the peer. Raises OSError when the link is to end."""
        data = end.sock.recv(CHUNK)
        link, due = end.link, time.monotonic()
        if link.dialer is None and end is link.dialing:
            link.listen_for_name(data)
            if self.is_cut(link):
                raise OSError
            due += COURTESY if link.waits else 0
        if data:
            if self.delay:
                due += self.delay_of(link)
            if end.peer.waiting:  # nothing overtakes when a delay becomes shorter
                due = max(due, end.peer.waiting[-1][0])
            end.peer.waiting.append((due, data))
            end.peer.size += len(data)
        end.ended = not data
        self.send(end.peer)

    def send(self, end):
        """Send what is due to an end, as far as it takes it."""
        now = time.monotonic()
        while end.waiting and end.waiting[0][0] <= now:
            due, data = end.waiting[0]
            try:
                sent = end.sock.send(data)
            except BlockingIOError:
                break
            end.size -= sent
            if sent < len(data):
                end.waiting[0] = (due, data[sent:])
                break
            end.waiting.popleft()
        if end.waiting and end.waiting[0][0] > max(now, end.timer):
            end.timer = end.waiting[0][0]
            self.later(end.timer, functools.partial(self.serve, end, selectors.EVENT_WRITE))
        if end.peer.ended and not end.waiting:
            raise OSError
        self.watch(end)
        self.watch(end.peer)

    def close(self, link):
        """End both sides at once, and lose what is on its way, as when a line is cut."""
        self.links.discard(link)
        for end in (link.dialing, link.listening):
            if end.events:
                self.selector.unregister(end.sock)
                end.events = 0
            end.sock.close()

    def later(self, due, do):
        """Have something done at this time of the monotonic clock."""
        heapq.heappush(self.timers, (due, next(self.count), do))

    def run(self):
        """Serve until `end` is called, or the process ends."""
        try:
            while not self.ending:
                wait = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None
                for key, events in self.selector.select(wait):
                    key.data(events)
                while self.timers and self.timers[0][0] <= time.monotonic():
                    heapq.heappop(self.timers)[2]()
        finally:
            self.close_all()
            self.ended.release()

    def close_all(self):
        """Close every socket that is open here."""
        for link in list(self.links):
            self.close(link)
        for sock in (*self.listeners, self.doorbell, self.bell):
            sock.close()
        self.timers.clear()  # with the dialers that wait there
        self.selector.close()
