"""Start, watch and stop an Ingot server; used by the fixtures in conftest.py and by other test folders.

What is started is chosen by the environment, so that one suite runs against everything:
  INGOT_TEST_VARIANT  release (default), asan, tsan, clang: build/<variant>/ingot
  INGOT_TEST_BACKEND  auto (default), epoll, uring
  INGOT_TEST_STORE    engine (default), memory
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import boto3
import botocore.config

ROOT = pathlib.Path(__file__).resolve().parents[2]
VARIANT = os.environ.get("INGOT_TEST_VARIANT", "release")
BACKEND = os.environ.get("INGOT_TEST_BACKEND", "auto")
STORE = os.environ.get("INGOT_TEST_STORE", "engine")
BINARY = ROOT / "build" / VARIANT / "ingot"
PROMTOOL = shutil.which("promtool") or str(ROOT / "build" / "tools" / "promtool")  # tools/deps.sh puts it there
SANITIZED = VARIANT in ("asan", "tsan")

ACCESS_KEY = "INGOTTESTACCESSKEY00"
SECRET_KEY = "a/test+secret/of+forty/characters+000000"
REGION = "us-east-1"

# What a sanitizer prints; found in a server's output it fails the test whatever the exit code was.
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", ": runtime error: ")


def environment(extra=None):
    """The environment of a server: this one without INGOT_* and AWS_* settings of the caller."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("INGOT_", "AWS_", "NOTIFY_", "WATCHDOG_"))}
    env.setdefault("ASAN_OPTIONS", "exitcode=99:detect_stack_use_after_return=0")
    env.setdefault("LSAN_OPTIONS", "suppressions=" + str(ROOT / "tests" / "lsan.supp") + ":print_suppressions=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "exitcode=99:suppressions=" + str(ROOT / "tests" / "tsan.supp"))
    env.update(extra or {})
    return env


def run_ingot(*args, env=None, timeout=60, cwd=None, input=None):
    """Run `ingot ARGS` to its end; returns the CompletedProcess with text output."""
    return subprocess.run(
        [str(BINARY), *map(str, args)], env=environment(env), timeout=timeout, cwd=cwd, input=input,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
    )


def flags_of(settings):
    """{'drain_time': '2s', 'listen': ['a', 'b']} → ['--drain-time=2s', '--listen=a', '--listen=b']"""
    flags = []
    for name, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        flags += [f"--{name.replace('_', '-')}={v}" for v in values]
    return flags


class Server:
    """One server process on a data directory. start() returns when it is ready."""

    def __init__(self, data=None, env=None, own_keys=False, **settings):
        self.temp = pathlib.Path(tempfile.mkdtemp(prefix="ingot-wire-"))
        self.data = pathlib.Path(data) if data else self.temp / "data"
        self.ready_file = self.temp / "ready"
        self.output_path = self.temp / "output"
        self.settings = {"listen": "127.0.0.1:0", "backend": BACKEND, "store": STORE, "log_format": "json", **settings}
        self.access_key, self.secret_key = ACCESS_KEY, SECRET_KEY
        # own_keys: let the server make its root credentials instead of giving it the tests'.
        self.env = {} if own_keys else {"INGOT_ACCESS_KEY": ACCESS_KEY, "INGOT_SECRET_KEY": SECRET_KEY}
        self.env.update(env or {})
        self.process = None
        self.endpoints = []

    def command(self):
        return [str(BINARY), "server", f"--data={self.data}", f"--ready-file={self.ready_file}",
                *flags_of(self.settings)]

    def spawn(self):
        """Start the process and do not wait for anything."""
        self.ready_file.unlink(missing_ok=True)
        with open(self.output_path, "ab") as out:
            self.process = subprocess.Popen(self.command(), env=environment(self.env), stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT)
        return self

    def start(self, timeout=60):
        self.spawn()
        deadline = time.monotonic() + timeout
        while not self.ready_file.exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server left with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server was not ready in {timeout} s:\n{self.output()}")
            time.sleep(0.005)
        self.endpoints = self.ready_file.read_text().split()
        return self

    @property
    def endpoint(self):
        return self.endpoints[0]

    @property
    def address(self):
        """(host, port) of the first endpoint, for raw sockets."""
        host, port = self.endpoint.split("//")[1].rsplit(":", 1)
        return host.strip("[]"), int(port)

    def output(self):
        return self.output_path.read_text(errors="replace") if self.output_path.exists() else ""

    def settled_output(self):
        """The output once the access log, which is written some lines at once, has caught up."""
        time.sleep(0.3)
        return self.output()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        return self.process.wait(timeout)

    def stop(self, timeout=60):
        """SIGTERM; the exit code must be 0 and no sanitizer may have spoken."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait(timeout)
        self.process = None
        assert code == 0, f"the server left with {code}:\n{self.output()[-8000:]}"
        self.check_output()

    def check_output(self):
        text = self.output()
        for mark in SANITIZER_MARKS:
            assert mark not in text, text[max(0, text.find(mark) - 500):][:8000]

    def kill(self):
        """kill -9, as a power cut would end the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def remove(self):
        self.kill()
        shutil.rmtree(self.temp, ignore_errors=True)

    # ---- talking to it ----
    def client(self, access_key=None, secret_key=None, endpoint=None, **config):
        """A boto3 client: path style, no retries (an error must show), as many connections as a test wants."""
        options = {"signature_version": "s3v4", "retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"},
                   "max_pool_connections": 64, "connect_timeout": 10, "read_timeout": 60, **config}
        return boto3.session.Session().client(
            "s3", endpoint_url=endpoint or self.endpoint, region_name=REGION,
            aws_access_key_id=access_key or self.access_key, aws_secret_access_key=secret_key or self.secret_key,
            config=botocore.config.Config(**options),
        )

    def connect(self, timeout=20):
        """A raw TCP connection to the first endpoint."""
        return socket.create_connection(self.address, timeout=timeout)

    def pid(self):
        return self.process.pid

    def rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")
