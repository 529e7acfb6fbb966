"""What stands in for signals on Windows, tried on every system: it needs none of Windows itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import labkit
from labkit.servers import config, system_account
from labkit.servers.errors import ServerStateError
from labkit.servers.probe import read_info

TEXT = """
listen: 127.0.0.1:4222
max_payload: %s
accounts {
  SYS { users: [ { user: admin, password: "let me in" } ] }
  APP { users: [ { user: app, password: app } ] }
}
system_account: SYS
"""


def test_a_server_with_a_system_user_reloads_when_it_is_asked():
    with labkit.start({"n1": TEXT % 1000}) as lab:
        n1 = lab["n1"]
        n1.planned.config_path.write_text(
            n1.planned.config_path.read_text().replace("1000", "2000")
        )
        assert n1._way_without_signal()() == "Reloaded"
        assert read_info(n1.planned.addresses["client"])["max_payload"] == 2000


def test_a_server_that_refuses_its_file_says_so_and_goes_on():
    with labkit.start({"n1": TEXT % 1000}) as lab:
        n1 = lab["n1"]
        with n1.planned.config_path.open("a") as copy:
            copy.write("\nfoo: 1\n")
        assert 'unknown field "foo"' in n1._way_without_signal()()
        assert read_info(n1.planned.addresses["client"])["max_payload"] == 1000


def test_without_a_system_user_you_are_told_what_to_do():
    with labkit.start("single") as lab:
        says = "n1 can't be reloaded here: .* no such user .* stop the lab and start it with"
        with pytest.raises(ServerStateError, match=says):
            lab["n1"]._way_without_signal()


def test_a_system_user_who_is_refused_is_told():
    with labkit.start({"n1": TEXT % 1000}) as lab:
        port = lab["n1"].planned.addresses["client"]
        for user in ({"user": "admin", "pass": "wrong"}, {"user": "app", "pass": "app"}):
            with pytest.raises(ServerStateError, match=f"does not answer {user['user']} of its"):
                system_account.reload(port, user)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TEXT % 1000, {"user": "admin", "pass": "let me in"}),
        ("accounts { $SYS { users: [ { user: a, pass: b } ] } }", {"user": "a", "pass": "b"}),
        ("accounts { SYS { users: [ { user: a, pass: b } ] } }", None),
        ('accounts { $SYS { users: [ { user: a, pass: "$2a$11$x" } ] } }', None),
        ("listen: 127.0.0.1:4222", None),
    ],
)
def test_the_login_is_a_plain_user_of_the_system_account(text: str, found: dict[str, str] | None):
    assert system_account.login(config.read(Path("n1.conf"), text)) == found
