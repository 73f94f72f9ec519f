"""The service manager's side channel (sd_notify) and its watchdog."""

import signal
import socket

import pytest


class Manager:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(60)

    def hear(self, wanted):
        """The next message that has this line."""
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            if wanted in lines:
                return lines


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "path" else f"@ingot-test-{tmp_path.name}-{id(request)}"
    m = Manager("\0" + name[1:] if name.startswith("@") else name)
    m.name = name
    yield m
    m.socket.close()


def test_ready_reloading_watchdog_stopping(manager, start_server):
    s = start_server(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"})
    assert "STATUS=serving" in manager.hear("READY=1")
    for _ in range(3):
        manager.hear("WATCHDOG=1")
    s.signal(signal.SIGHUP)
    assert any(line.startswith("MONOTONIC_USEC=") for line in manager.hear("RELOADING=1"))
    manager.hear("READY=1")
    s.signal(signal.SIGTERM)
    manager.hear("STOPPING=1")
    assert s.wait(20) == 0


def test_a_watchdog_for_another_process_is_not_fed(manager, start_server):
    start_server(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    manager.hear("READY=1")
    manager.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.hear("WATCHDOG=1")


def test_no_manager_is_no_matter(start_server):
    for name in ("/nonexistent/notify", "relative", "@"):
        start_server(env={"NOTIFY_SOCKET": name}).stop()
