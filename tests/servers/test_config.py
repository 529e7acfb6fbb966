"""Reading server files, and moving their addresses in a private copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.servers import config, placement

TEXT = """\
# a comment with listen: 127.0.0.1:9999
server_name: hub ; listen: 127.0.0.1:4222   // and another
http = "localhost:8222"
cluster {
  name: C1, port: 6222
  routes = [ nats-route://127.0.0.1:6222, "nats-route://a:b@127.0.0.1:6223" ]
}
leafnodes: { host: 127.0.0.1, port: -1, remotes: [ {url: "nats-leaf://127.0.0.1:7422"} ] }
authorization { users: [ {user: a, password: $2a$11$xx/yy#z} ] }
jetstream { store_dir: '/data' }
"""


def values(text: str) -> dict[tuple, str | None]:
    return {
        s.key: s.value for s in config.read(Path("x.conf"), text).settings if s.value is not None
    }


def test_every_value_is_found_under_its_key():
    found = values(TEXT)
    assert found[("server_name",)] == "hub"
    assert found[("http",)] == "localhost:8222"
    assert found[("cluster", "port")] == "6222"
    assert found[("cluster", "routes", 1)] == "nats-route://a:b@127.0.0.1:6223"
    assert found[("leafnodes", "remotes", 0, "url")] == "nats-leaf://127.0.0.1:7422"
    assert found[("authorization", "users", 0, "password")] == "$2a$11$xx/yy#z"
    assert ("comment",) not in found


def test_a_private_copy_moves_every_address_the_same_way_and_keeps_the_lines(tmp_path: Path):
    files = {
        "hub": config.read(Path("hub.conf"), TEXT),
        "other": config.read(Path("other.conf"), "cluster { listen: 127.0.0.1:6223 }\n"),
        "third": config.read(
            Path("third.conf"), "port: 4223\nleafnodes { listen: 127.0.0.1:7422 }\n"
        ),
    }
    servers = placement.plan({"hub": files["hub"], "third": files["third"]})
    port_map = {4222: 20001, 8222: 20002, 6222: 20003, 7422: 20004, 4223: 20005}
    for server in servers:
        placement.place(server, tmp_path, port_map, iter(range(30000, 30010)))
    hub = servers[0].config_path.read_text()
    assert "listen: 127.0.0.1:20001" in hub
    assert "http = 127.0.0.1:20002" in hub
    assert "port: 20003, host: 127.0.0.1" in hub
    assert "nats-route://127.0.0.1:20003" in hub
    assert "a:b@127.0.0.1:6223" in hub, "an address that is none of this topology stays"
    assert "nats-leaf://127.0.0.1:20004" in hub
    assert "listen: 127.0.0.1:9999" in hub, "a comment stays"
    assert "/data" not in hub
    assert hub.splitlines()[:1] == TEXT.splitlines()[:1]
    assert servers[0].addresses == {
        "client": 20001,
        "http": 20002,
        "cluster": 20003,
        "leafnodes": 30000,
    }
    assert "port: 20005, host: 127.0.0.1" in servers[1].config_path.read_text()


def test_includes_are_followed_and_copied(tmp_path: Path):
    source, run = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    (source / "n1.conf").write_text("listen: 127.0.0.1:4222\ncluster { include './routes.conf' }\n")
    (source / "routes.conf").write_text("listen: 127.0.0.1:6222\nroutes: [nats://127.0.0.1:6222]\n")
    (server,) = placement.plan({"n1": config.read(source / "n1.conf")})
    placement.place(server, run, {4222: 20001, 6222: 20002}, iter([20003]))
    assert server.addresses["cluster"] == 20002
    copied = run / "config" / "n1-include-1.conf"
    assert copied.read_text() == "listen: 127.0.0.1:20002\nroutes: [nats://127.0.0.1:20002]\n"
    assert 'include "n1-include-1.conf"' in server.config_path.read_text()


def test_a_mark_at_the_beginning_and_foreign_line_ends_do_no_harm():
    text = "\ufeffserver_name: a\r\njetstream {\r\n  max_mem: 1G\r\n}\r\n"
    assert values(text) == {("server_name",): "a", ("jetstream", "max_mem"): "1G"}


def test_a_variable_stands_for_what_it_was_given(monkeypatch):
    monkeypatch.setenv("LABKIT_TEST_NAME", "from-outside")
    monkeypatch.setenv("LABKIT_TEST_BLOCK", "{ x: [1, 'y'] }")
    text = (
        "N: n1\na: $N\nb: { N: inner, c: $N }\nd: $LABKIT_TEST_NAME\ne: '$N'\nf: $2a$x\n"
        "g: $LABKIT_TEST_BLOCK\nh: $b\n"
    )
    found = values(text)
    assert found[("a",)] == "n1"
    assert found[("b", "c")] == "inner"
    assert found[("d",)] == "from-outside"
    assert found[("e",)] == "$N"
    assert found[("f",)] == "$2a$x"
    assert found[("g", "x", 1)] == "y"
    assert found[("h", "c")] == "inner"


def test_a_variable_that_the_server_cannot_read_is_left_as_it_is(monkeypatch):
    for value in ("two words", "", "{ open", "$LABKIT_TEST_LOOP"):
        monkeypatch.setenv("LABKIT_TEST_LOOP", value)
        assert values("a: $LABKIT_TEST_LOOP\n")[("a",)].startswith("$"), value
    assert values("a: $B\nB: 1\n")[("a",)] == "$B", "it is defined too late"


def test_the_last_of_what_is_said_twice_counts_and_both_are_known(tmp_path: Path):
    (tmp_path / "more.conf").write_text("b { d: 5 }\n")
    (tmp_path / "x.conf").write_text("a: 1\nb { a: 2, c: 3 }\nA: 4\ninclude more.conf\n")
    file = config.read(tmp_path / "x.conf")
    found = {setting.key: setting.value for setting in file.settings}
    assert found == {("a",): "4", ("b", "d"): "5", ("b",): None}
    assert [(earlier.where, later.where) for earlier, later in file.twice] == [
        ("x.conf:1", "x.conf:3"),
        ("x.conf:2", "more.conf:1"),
    ]


# Each line is read by nats-server 2.15 as it stands here; its own reader (conf.ParseFile) says so.
GRAMMAR = {
    "a b": {("a",): "b"},
    "a\n= b": {("a",): "b"},
    "a: b'\nc: d": {("a",): "b", ("c",): "d"},
    "a: [x #]\n y // z\n]": {("a", 0): "x", ("a", 1): "y"},
    "a: (\n one ) two\n)\nb: 1": {("a",): "\n one ) two\n", ("b",): "1"},
    'a: "x\\x41\\n\\"y"': {("a",): 'xA\n"y'},
    "a: 127.0.0.1:4222# c": {("a",): "127.0.0.1:4222"},
    "a: -1\nb: 1.5;c: 1k": {("a",): "-1", ("b",): "1.5", ("c",): "1k"},
    "a: [1,2]\nb\n]": {("a", 0): "1", ("a", 1): "2]", ("a", 2): "b"},
    '{ "a": 1, "b": {"c": true} }': {("a",): "1", ("b", "c"): "true"},
    "'a b': c": {("a b",): "c"},
    "include: x\n'include' y": {("include",): "y"},
}


@pytest.mark.parametrize("text", GRAMMAR)
def test_a_text_is_read_as_the_server_reads_it(text: str):
    assert values(text) == GRAMMAR[text]
