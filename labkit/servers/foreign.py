"""Servers that labkit did not start, and the three ways in which they may be asked what a server tells.

- Through the system account, `$SYS.REQ.SERVER.…`, for who may log in there: every server, every page.
- At their monitoring addresses, over HTTP: every page of those that are given.
- As any client of an account: its own account's connections on every server, and its streams.

Sources: https://docs.nats.io/running-a-nats-service/configuration/sys_accounts#system-services,
https://docs.nats.io/running-a-nats-service/nats_admin/monitoring, and for a client's own account
`$SYS.REQ.ACCOUNT.PING.CONNZ` and `$JS.API`, https://docs.nats.io/reference/reference-protocols/nats_api_reference.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from labkit.servers import background
from labkit.servers.errors import LabError, NotInTimeError, ServerStateError

if TYPE_CHECKING:
    from nats.aio.client import Client

OWN_NAME = "labkit-attached"  # of the client through which a system is asked
MONITOR_PORT = 8222  # where the documentation has it
FIND_TIMEOUT = 2.0  # seconds, for all servers of a system to answer
QUIET = 0.3  # seconds without one more answer, where nobody says how many there are
AFTERWARDS = 0.1  # seconds, where there are as many as a server counts; leaf nodes count otherwise
ASK_TIMEOUT = 5.0  # seconds, for a page

Page = dict[str, Any]

# A page's options as the system account names them; over HTTP they have the names on the left.
_AS_REQUEST = {
    "connz": {"acc": "acc"},
    "subsz": {"subs": "subscriptions", "acc": "account"},
    "jsz": {"acc": "account", "consumers": "consumer", "leader-only": "leader_only"}
    | {"stream-leader-only": "stream_leader_only"},
    "leafz": {"subs": "subscriptions", "acc": "account"},
    "routez": {"subs": "subscriptions"},
    "gatewayz": {"accs": "accounts", "acc_name": "account_name", "gw_name": "name"},
    "accountz": {"acc": "account"},
}
_STATES = {"open": 0, "closed": 1, "all": 2}


class AttachError(LabError):
    """A system that cannot be asked; the text says by which way, and what to do."""


@dataclass(frozen=True)
class Known:
    """What a server said of itself when it was found. `cluster` and `domain` are "" for none."""

    id: str
    name: str
    cluster: str = ""
    domain: str = ""
    jetstream: bool = False


class Way(Protocol):
    """A way to ask: who is there, and one page of one of them."""

    sees_links: bool  # whether its servers tell of links and of themselves, or of clients only

    def find(self) -> list[Known]:
        """The servers that answer now."""

    def page(self, server: Known, endpoint: str, options: Mapping[str, Any]) -> Page:
        """What one of them says. Raises ServerStateError when it says nothing."""


class ForeignServer:
    """A server that labkit did not start, by its own name for itself."""

    def __init__(self, known: Known, way: Way, name: str | None = None) -> None:
        self.known, self.name = known, name or known.name
        self._way, self._silent = way, False

    @property
    def state(self) -> str:
        """ "running", or "silent" since it did not answer when it was asked last."""
        return "silent" if self._silent else "running"

    @property
    def sees_links(self) -> bool:
        """Whether it tells of its links and of itself, and not only of an account's clients."""
        return self._way.sees_links

    def monitor(self, endpoint: str, /, **options: Any) -> Page:
        """What a monitoring endpoint says, for example `monitor("connz", subs="detail")`.

        Raises ServerStateError when the server does not answer within 5 s, or may not tell.
        """
        try:
            return self._way.page(self.known, endpoint, options)
        except SilenceError:
            self._silent = True
            raise

    def found(self, known: Known | None) -> None:
        """Note that it answered when the system was looked at again, or did not."""
        self.known, self._silent = known or self.known, known is None

    def __repr__(self) -> str:
        return f"<server {self.name}: {self.state}>"


class SilenceError(ServerStateError):
    """A server that does not answer."""


# --- asking over NATS ---------------------------------------------------------------------------


class Asker:
    """A client in the background, asked from any thread while the notebook's loop does other things."""

    def __init__(self, connect: Callable[..., Any]) -> None:
        connecting = connect(name=OWN_NAME, error_cb=_is_told_when_asked)
        self.client: Client = background.run(connecting, 2 * ASK_TIMEOUT, "a connection")

    def request(self, subject: str, body: Mapping[str, Any] | None = None) -> Page | None:
        """The first answer; None when nobody is there, or it takes too long."""
        answers = self.gather(subject, body, bool, ASK_TIMEOUT, timeout=ASK_TIMEOUT)
        return answers[0] if answers else None

    def gather(
        self,
        subject: str,
        body: Mapping[str, Any] | None,
        enough: Callable[[list[Page]], bool],
        quiet: float = QUIET,
        afterwards: float = 0.0,
        timeout: float = FIND_TIMEOUT,
    ) -> list[Page]:
        """All answers, until none came for `quiet` seconds, or `afterwards` once there are enough."""
        asking = self._gather(subject, body, enough, quiet, afterwards, timeout)
        try:
            return background.run(asking, timeout + 1, f"answers on {subject}")
        except NotInTimeError:
            return []

    async def _gather(
        self,
        subject: str,
        body: Mapping[str, Any] | None,
        enough: Callable[[list[Page]], bool],
        quiet: float,
        afterwards: float,
        timeout: float,
    ) -> list[Page]:
        inbox = await self.client.subscribe(self.client.new_inbox())
        payload = json.dumps(body).encode() if body else b""
        await self.client.publish(subject, payload, reply=inbox.subject)
        found: list[Page] = []
        deadline = time.monotonic() + timeout
        try:
            while (left := deadline - time.monotonic()) > 0:
                patience = afterwards if enough(found) else quiet
                if not patience:
                    break
                message = await inbox.next_msg(min(patience, left))
                if (message.headers or {}).get("Status"):
                    break  # the server's own word: nobody listens
                found.append(json.loads(message.data))
        except TimeoutError:
            pass  # what was heard is what there is
        finally:
            await inbox.unsubscribe()
        return found

    def server_id(self) -> str:
        """The id of the server that it is connected to."""
        return str(self.client._server_info.get("server_id", ""))

    def close(self) -> None:
        """End the connection."""
        background.run(self.client.close(), ASK_TIMEOUT, "the end of a connection")


async def _is_told_when_asked(_: Exception) -> None:
    """What goes wrong between questions is nobody's concern: the next one is not answered."""


def _known(server: Page) -> Known:
    cluster = server.get("cluster", "")
    return Known(
        server["id"],
        server["name"],
        "" if cluster == server["name"] else cluster,  # a leaf node on its own says that
        server.get("domain", ""),
        bool(server.get("jetstream")),
    )


class SystemAccount:
    """Every server of the system, every page: for who may log in to the system account."""

    sees_links = True

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def find(self) -> list[Known]:
        """All servers; each says how many it knows of, so that the wait after the last is short."""

        def all_are_here(answers: list[Page]) -> bool:
            return bool(answers) and len(answers) >= max(
                answer["statsz"].get("active_servers", 1) for answer in answers
            )

        answers = self._asker.gather(
            "$SYS.REQ.SERVER.PING", None, all_are_here, afterwards=AFTERWARDS
        )
        return [_known(answer["server"]) for answer in answers]

    def page(self, server: Known, endpoint: str, options: Mapping[str, Any]) -> Page:
        """A page, asked for on the server's own subject."""
        subject = f"$SYS.REQ.SERVER.{server.id}.{endpoint.upper()}"
        answer = self._asker.request(subject, as_request(endpoint, options))
        if answer is None:
            raise SilenceError(f"{server.name} does not answer {subject}")
        if "error" in answer:
            said = answer["error"].get("description", answer["error"])
            raise ServerStateError(f"{server.name} refuses /{endpoint}: {said}")
        page: Page = answer["data"]
        return page


def as_request(endpoint: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a page, as nats-server names them in a request."""
    names = _AS_REQUEST.get(endpoint, {})
    body: dict[str, Any] = {}
    for key, value in options.items():
        if key == "subs" and value == "detail":
            body |= {"subscriptions": True, "subscriptions_detail": True}
        elif key == "subs":
            body["subscriptions"] = bool(value)
        elif key == "state":
            body["state"] = _STATES.get(value, value)
        else:
            body[names.get(key, key)] = bool(value) if key == "auth" else value
    return body


class OwnAccount:
    """What any client may ask: its account's connections on each server, and its account's streams."""

    sees_links = False

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        answer = asker.request("$SYS.REQ.USER.INFO") or {}
        self.account: str = (answer.get("data") or {}).get("account") or "its account"

    def find(self) -> list[Known]:
        """The servers on which the account has connections, this client's at least."""
        answers = self._asker.gather(
            "$SYS.REQ.ACCOUNT.PING.CONNZ", {"limit": 1}, lambda found: False
        )
        return [_known(answer["server"]) for answer in answers if "server" in answer]

    def page(self, server: Known, endpoint: str, options: Mapping[str, Any]) -> Page:
        """Connections, and JetStream's streams; everything else is for others."""
        if endpoint == "connz":
            wanted = {**as_request(endpoint, options), "server_name": server.name}
            asked = {**wanted, "exact_match": True}
            found = self._asker.gather("$SYS.REQ.ACCOUNT.PING.CONNZ", asked, bool, FIND_TIMEOUT)
            if not found:
                raise SilenceError(f"{server.name} does not answer for account {self.account}")
            page: Page = found[0].get("data") or {}
            return page
        if endpoint == "jsz" and options.get("streams"):
            return self._streams(server)
        raise ServerStateError(
            f"{server.name} tells /{endpoint} to its system account, or at its monitoring address; "
            f"you are a client of account {self.account}. Attach with a context of the system "
            'account, or with monitor=["host:8222"]'
        )

    def _streams(self, server: Known) -> Page:
        """What /jsz would say of this account's streams, from JetStream's own API."""
        if server.id != self._asker.server_id():
            return {}  # the API answers for the whole system: asked once
        details = []
        prefix = self._asker.client.jsm()._prefix  # the context's domain may have another
        for stream in self._listed(f"{prefix}.STREAM.LIST", "streams"):
            name = stream["config"]["name"]
            consumers = self._listed(f"{prefix}.CONSUMER.LIST.{name}", "consumers")
            details.append({"name": name, **stream, "consumer_detail": consumers})
        return {"config": {}, "account_details": [{"name": self.account, "stream_detail": details}]}

    def _listed(self, subject: str, key: str) -> list[Page]:
        """All pages of a list of JetStream's API."""
        found: list[Page] = []
        while True:
            answer = self._asker.request(subject, {"offset": len(found)})
            if answer is None or "error" in answer:
                return found
            found += answer.get(key) or []
            if len(found) >= answer.get("total", 0) or not answer.get(key):
                return found


# --- asking over HTTP ---------------------------------------------------------------------------


class Addresses:
    """Servers by their monitoring addresses: "host:8222", "host", or an http or https URL."""

    sees_links = True

    def __init__(self, addresses: Iterable[str]) -> None:
        self._urls = [_monitoring_url(address) for address in addresses]
        self._of: dict[str, str] = {}  # each server's URL, by its id
        self.silent: dict[str, str] = {}  # addresses that nobody answers at, and why
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def find(self) -> list[Known]:
        """Those that answer; `silent` has the others."""
        from concurrent.futures import ThreadPoolExecutor

        self.silent = {}
        with ThreadPoolExecutor(16, "labkit-find") as pool:
            answers = zip(self._urls, pool.map(self._varz, self._urls), strict=True)
            found = [(url, varz) for url, varz in answers if varz is not None]
        self._of |= {varz["server_id"]: url for url, varz in found}
        return list({varz["server_id"]: _of_varz(varz) for _, varz in found}.values())

    def _varz(self, url: str) -> Page | None:
        try:
            varz = self._get(f"{url}/varz", FIND_TIMEOUT)
            return varz if "server_id" in varz else None
        except (OSError, ValueError) as error:
            self.silent[url] = str(error)
            return None

    def page(self, server: Known, endpoint: str, options: Mapping[str, Any]) -> Page:
        """A page, over HTTP."""
        query = urlencode({k: "true" if v is True else v for k, v in options.items()})
        url = f"{self._of[server.id]}/{endpoint}"
        try:
            return self._get(f"{url}?{query}", ASK_TIMEOUT)
        except (OSError, ValueError) as error:
            raise SilenceError(f"{server.name} does not answer {url} ({error})") from None

    def _get(self, url: str, timeout: float) -> Page:
        try:
            with self._open(url, timeout=timeout) as answer:
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:  # /healthz says with it that it is not well
            body = error.read()
        try:
            page: Page = json.loads(body)
        except ValueError:
            raise ValueError(body.decode(errors="replace").strip() or "an empty answer") from None
        return page


def _of_varz(varz: Page) -> Known:
    settings = varz.get("jetstream", {}).get("config")
    cluster = varz.get("cluster", {}).get("name") or varz.get("gateway", {}).get("name") or ""
    domain = (settings or {}).get("domain", "")
    return Known(varz["server_id"], varz["server_name"], cluster, domain, settings is not None)


def _monitoring_url(address: str) -> str:
    """The URL before "/varz". Raises AttachError for what is no address."""
    text = str(address).rstrip("/")
    url = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = url.port or MONITOR_PORT
    except ValueError:
        port = 0
    if url.scheme not in ("http", "https") or not url.hostname or not port:
        raise AttachError(
            f'{address!r} is no monitoring address; write "host:8222", as the server\'s http_port says'
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}:{port}{url.path.removesuffix('/varz')}"
