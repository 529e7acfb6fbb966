"""Checks of notebook 31: a config file that runs, clients that stand out, and a limit that is changed.

Each starts a server of its own beside the learner's, with names and numbers made up for this run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import numbers
import socket
from typing import Any

from labkit.course import play
from labkit.course.calling import call
from labkit.course.look import Look
from labkit.course.wording import in_words, shortened
from labkit.servers import observe, topology
from labkit.servers.errors import LabError
from labkit.servers.placement import Listener
from labkit.servers.server import ServerProcess

PATIENCE = 5.0  # seconds for a server to answer a few lines
TILL = {"user": "till", "pass": "open sesame"}
LARGEST = 2000  # bytes, of the kiosk's messages
ABOVE = {
    "guest": "guest",
    "robot": "beep beep",
    "admin": "admin",
}  # users of the notebook's own file
BIG, PIECES = bytes(60_000), 250  # far more than the system's buffers hold for who does not read
BUSY = "listen: 127.0.0.1:4222\nhttp: 127.0.0.1:8222\n"
FULL = """
server_name: {name}
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
max_connections: {most}
max_payload: {most}00
ping_interval: {ping}s
accounts {{ SHOP {{ users: [{{user: guest, password: guest}}] }},
           SYS {{ users: [{{user: admin, password: admin}}] }} }}
no_auth_user: guest
system_account: SYS
"""


async def writes_config(look: Look) -> None:
    """Starts a server with the learner's file; asks it, and tries what it should and should not allow."""
    text = look.answer
    look.need(isinstance(text, str) and text.strip(), "kiosk")
    try:
        lab = await play.servers(look, {"config": text})
    except LabError as refusal:
        look.must(False, "refused", why=" ".join(str(refusal).split()))
    async with lab:
        (server,) = lab.values()
        page = await server.monitor.aio("varz")
        listeners = {listener.kind: listener for listener in server.planned.listeners}
        client, http = _written(listeners.get("client")), _written(listeners.get("http"))
        name, largest = page["server_name"], page["max_payload"]
        look.expect(name == "kiosk", "name", name=name)
        everywhere = "everywhere" if client in ("", ":4222") else ""
        look.expect(client == "127.0.0.1:4222", "client", wrong=everywhere, client=client)
        monitored = http in ("127.0.0.1:8222", ":8222")  # without a host, it is that of the clients
        look.expect(monitored, "http", wrong="" if http else "no_http", http=http)
        kilo = "kilo" if largest == 2048 else ""
        look.expect(largest == LARGEST, "payload", wrong=kilo, largest=largest)
        await _lets_in(look, server)
        await _permits(look, server)


def _written(listener: Listener | None) -> str:
    """Host and port of a listener, as the learner's file says them: the server runs on other ports."""
    said = listener.setting.value if listener and listener.setting else None
    if not said or not listener:
        return ""
    host, _, port = said.rpartition(":")
    host = host or (listener.host.value if listener.host and listener.host.value else "")
    return f"{host.replace('localhost', '127.0.0.1')}:{port}"


async def _lets_in(look: Look, server: ServerProcess) -> None:
    """The one user gets in, and nobody else."""
    refused = await _complaints(server, TILL)
    look.must(not refused, "login", refused=refused)
    wrong, other = play.names(2, but=["till", *ABOVE])
    strangers = {
        "a client without a login": {},
        "till with a wrong password": {**TILL, "pass": wrong},
        "till without a password": {**TILL, "pass": ""},
        "another user with the same password": {**TILL, "user": other},
        **{f"the user {user}": {"user": user, "pass": word} for user, word in ABOVE.items()},
    }
    inside = [who for who, login in strangers.items() if not await _complaints(server, login)]
    look.expect(not inside, "strangers", wrong="anybody" if len(inside) > 4 else "", inside=inside)


async def _permits(look: Look, server: ServerProcess) -> None:
    """What the user may publish on and subscribe to, told by what the server refuses."""
    one, other = play.names(2, but=["sales", "prices"])
    sales, elsewhere = (
        [f"sales.{one}", f"sales.{one}.{other}"],
        ["sales", f"prices.{one}", f"{one}.x"],
    )
    prices, others = [f"prices.{one}", "prices.>"], [">", "prices", f"sales.{one}", f"{one}.>"]
    lines = [f"PUB {subject} 0\r\n\r\n" for subject in sales + elsewhere]
    lines += [f"SUB {subject} 1\r\n" for subject in prices + others]
    said = str(await _complaints(server, TILL, *lines))
    barred = [s for s in sales if f'Publish to "{s}"' in said]
    look.expect(not barred, "publishes", barred=barred)
    open_ = [s for s in elsewhere if f'Publish to "{s}"' not in said]
    look.expect(not open_, "publishes_elsewhere", open=open_)
    barred = [s for s in prices if f'Subscription to "{s}"' in said]
    look.expect(not barred, "subscribes", barred=barred)
    open_ = [s for s in others if f'Subscription to "{s}"' not in said]
    look.expect(not open_, "subscribes_elsewhere", open=open_)


async def finds_the_suspects(look: Look) -> None:
    """Calls the learner's function for two busy servers, whose clients have other names each time."""
    suspects = play.function(look, "suspects", look.answer)
    found: dict[str, list[str]] = {
        key: [] for key in ("messages", "bytes", "subscriptions", "slow")
    }
    causes: dict[str, str] = {}
    for _ in range(2):
        async with (
            await play.servers(look, {"busy": BUSY}) as lab,
            contextlib.AsyncExitStack() as ends,
        ):
            (server,) = lab.values()
            who = await _busy(lab, ends)
            called = await call("suspects", suspects, server)
            cids = await _cids(server)
        look.must(not called.problem, "returned", problem=called.problem)
        told = called.value
        look.must(isinstance(told, dict) and found.keys() <= told.keys(), "keys", told=told)
        for key, cases in found.items():
            said = told[key]
            if not (isinstance(said, str) and said == who[key]):
                cases.append(f"it's {who[key]}, and suspects says {in_words(said)}")
                causes[key] = _cause(key, said, who, cids)
    for key, cases in found.items():
        look.expect(not cases, key, wrong=causes.get(key, ""), cases=cases)


def _cause(key: str, said: Any, who: dict[str, str], cids: set[int]) -> str:
    """The sentence that says why it is not this one; "" where there is nothing to say."""
    if not isinstance(said, str):
        return "cid" if isinstance(said, numbers.Integral) and said in cids else "no_name"
    if said == who["popular"] and key in ("messages", "bytes"):
        return "receiver"
    return "gone" if said == who["gone"] else ""


async def _busy(lab: topology.RunningTopology, ends: contextlib.AsyncExitStack) -> dict[str, str]:
    """Clients of which each stands out by something; what each does, with its name."""
    roles = ["messages", "bytes", "subscriptions", "slow", "popular", "quiet", "gone"]
    who = dict(zip(roles, play.names(len(roles)), strict=True))
    clients: dict[str, Any] = {}
    for role in play.chance.sample(roles, len(roles)):
        if role == "slow":
            ends.callback((await _sleeper(lab, who[role])).close)
        else:
            clients[role] = await lab.connect(name=who[role], error_cb=_quiet)
            ends.push_async_callback(clients[role].close)
    await clients["popular"].subscribe("news")
    for number in range(play.chance.randint(20, 40)):
        await clients["subscriptions"].subscribe(f"quiet.{number}")
    for role in ("popular", "subscriptions"):
        await clients[role].flush()
    count = play.chance.randint(400, 600)
    for role, times in (("gone", 2 * count), ("messages", count), ("quiet", 5)):
        for _ in range(times):
            await clients[role].publish("news", b"tea")
        await clients[role].flush()
    for _ in range(PIECES):
        await clients["bytes"].publish("files", BIG)
    await clients["bytes"].flush()
    await clients["popular"].flush()
    await clients["gone"].close()
    (server,) = lab.values()
    await _settled(server, len(roles) - 1)
    return who


async def _sleeper(lab: topology.RunningTopology, name: str) -> socket.socket:
    """A connection that subscribes and never reads; returns when the server has its subscription."""
    (server,) = lab.values()
    host, port = server.address("client").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (host, int(port)))
    hello = json.dumps({"verbose": False, "name": name})
    sent = 3 * "PUB hello 0\r\n\r\n"  # others send less: to be idle is something else
    await loop.sock_sendall(sock, f"CONNECT {hello}\r\n{sent}SUB files 1\r\nPING\r\n".encode())
    heard = b""
    async with asyncio.timeout(PATIENCE):
        while b"PONG" not in heard:
            heard += await loop.sock_recv(sock, 4096)
    return sock


async def limits_clients(look: Look) -> None:
    """Has a limit raised, lowered, and lowered below what is connected; counts who stays."""
    function = play.function(look, "limit_clients", look.answer)
    name, *people = play.names(play.chance.randint(5, 7))
    count, ping = len(people), play.chance.randint(31, 59)
    begin = play.chance.randint(20, 40)
    text = FULL.format(name=name, most=begin, ping=ping)
    wrong: dict[str, list[str]] = {key: [] for key in ("limit", "told", "kept")}
    async with await play.servers(look, {name: text}) as lab:
        server = lab[name]
        for person in people:
            await lab.connect(name=person, allow_reconnect=False, error_cb=_quiet)
        await _settled(server, count)
        before, cids = await server.monitor.aio("varz"), await _cids(server)
        for most in (begin + play.chance.randint(1, 9), count + 1, count - 2):
            called = await call("limit_clients", function, server, most)
            look.must(not called.problem, "returned", problem=called.problem, most=most)
            look.must(server.state == "running", "ended")
            now, wanted = await server.monitor.aio("varz"), max(most, count)
            look.must(now["server_id"] == before["server_id"], "same")
            left = cids - await _cids(server)
            look.must(not left, "stay", left=len(left), count=count, most=most)
            case, limit = f"with {count} clients and most={most}", now["max_connections"]
            if limit != wanted:
                wrong["limit"].append(f"{case}, it must be {wanted}, and it is {limit}")
            told = called.value
            if not (isinstance(told, numbers.Integral) and told == wanted):
                wrong["told"].append(f"{case}, it returned {shortened(told)}, not {wanted}")
            others = ("server_name", "max_payload", "ping_interval")
            wrong["kept"] += [key for key in others if now.get(key) != before[key]]
        refused = await _complaints(server, {})
    look.expect(not left, "all stayed", count=count)
    for key, cases in wrong.items():
        look.expect(not cases, key, cases=list(dict.fromkeys(cases)))
    look.expect(refused, "full")


# --- servers of the check's own ----------------------------------------------------------------


async def _complaints(server: ServerProcess, login: dict[str, str], *lines: str) -> list[str]:
    """What the server complains of when a client logs in so and sends these lines; [] for nothing."""
    host, port = server.address("client").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connect = json.dumps({"verbose": False, "pedantic": False, **login})
    writer.write("".join([f"CONNECT {connect}\r\n", *lines, "PING\r\n"]).encode())
    said, accepted = [], False
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while not accepted and (line := await reader.readline()):
                accepted = line.startswith(b"PONG")
                if line.startswith(b"-ERR"):
                    said.append(line.decode().strip().removeprefix("-ERR ").strip("'"))
    writer.close()
    return said if accepted or said else ["it closes the connection"]


async def _settled(server: ServerProcess, clients: int) -> None:
    """Return when the server counts so many clients: it notices a moment later who has left."""
    async with asyncio.timeout(PATIENCE):
        while len(await _cids(server)) != clients:
            await asyncio.sleep(0.01)


async def _cids(server: ServerProcess) -> set[int]:
    found = await asyncio.to_thread(observe.connections, server)
    return {connection.cid for connection in found}


async def _quiet(error: Exception) -> None:
    """Clients of the check say nothing in the learner's notebook."""
