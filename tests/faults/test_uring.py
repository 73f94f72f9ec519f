"""Where io_uring is denied or lacks what the loops need, epoll serves and one line of the log says why."""

import ctypes
import errno
import json
import platform
import struct
import subprocess

import pytest

from ingot import Server, environment
from iofault import LIBRARY

IO_URING_SETUP, IO_URING_REGISTER = 425, 427  # the same on every machine
IORING_OP_SENDMSG = 9
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def deny(number, code):
    """For a child between fork and exec: the system call fails with that errno from now on."""
    load, equal, answer = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
    program = b"".join(struct.pack("<HBBI", *step) for step in (
        (load, 0, 0, 0), (equal, 0, 1, number), (answer, 0, 0, ERRNO | code), (answer, 0, 0, ALLOW)))
    libc = ctypes.CDLL(None, use_errno=True)

    def before_exec():
        code_of_program = ctypes.create_string_buffer(program, len(program))
        header = ctypes.create_string_buffer(struct.pack("<H6xQ", len(program) // 8, ctypes.addressof(code_of_program)))
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")

    return before_exec


class Denied(Server):
    """A server that some system call is denied to."""

    def __init__(self, before_exec, **arguments):
        super().__init__(**arguments)
        self.before_exec = before_exec

    def spawn(self):
        self.ready_file.unlink(missing_ok=True)
        with open(self.output_path, "ab") as out:
            self.process = subprocess.Popen(self.command(), env=environment(self.env), stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT, preexec_fn=self.before_exec)
        return self


def serves_by_epoll(server, reason):
    try:
        server.start()
        server.client().create_bucket(Bucket="works")
        server.client().put_object(Bucket="works", Key="k", Body=b"x" * 300000)
        assert server.client().get_object(Bucket="works", Key="k")["Body"].read() == b"x" * 300000
        lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
        said = [line for line in lines if line["msg"] == "io_uring is not available; epoll serves"]
        assert [(line["level"], line["reason"]) for line in said] == [("warn", reason)]
        assert {line["backend"] for line in lines if line["msg"] == "serving"} == {"epoll"}
        server.stop()
    finally:
        server.remove()


needs_linux_64 = pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the filter is written for two machines")


@needs_linux_64
@pytest.mark.parametrize("code,reason", [(errno.EPERM, "Operation not permitted"), (errno.ENOSYS, "Function not implemented")])
def test_io_uring_is_denied(code, reason):
    serves_by_epoll(Denied(deny(IO_URING_SETUP, code), backend="auto"), reason)


@needs_linux_64
def test_io_uring_cannot_be_probed():
    serves_by_epoll(Denied(deny(IO_URING_REGISTER, errno.EPERM), backend="auto"), "probing")


def test_an_operation_is_missing():
    env = {"LD_PRELOAD": str(LIBRARY), "IOFAULT_NO_OPCODE": str(IORING_OP_SENDMSG)}
    serves_by_epoll(Server(env=env, backend="auto"), "SENDMSG")


@needs_linux_64
def test_uring_asked_for_by_name_is_refused_in_one_line():
    server = Denied(deny(IO_URING_SETUP, errno.EPERM), backend="uring")
    try:
        server.spawn()
        assert server.wait(60) == 3
        assert "ingot: backend: uring does not start here: " in server.output()
    finally:
        server.remove()
