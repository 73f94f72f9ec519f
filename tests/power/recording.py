"""A recorded run of the server on a file system of its own."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from ingot import ROOT, VARIANT, Server
import work

POWER = ROOT / "build" / VARIANT / "tests" / "power" / "power"
NOSYNC = POWER.with_name("nosync.so")
DISK = 384 << 20  # xfs takes no less than 300 MiB
# Small, so that a few thousand operations see the log recycled, collected and archived, and RocksDB flush and compact.
SIZES = {"log_size": "4MiB", "log_segment_size": "1MiB", "archive_size": "64KiB", "index_buffer": "128KiB", "min_part_size": 1,
         "inline_max": "32KiB"}
MKFS = {"ext4": ["mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"], "xfs": ["mkfs.xfs", "-q", "-K"]}
OPTIONS = {"ext4": "noatime,noauto_da_alloc", "xfs": "noatime,nouuid"}


def missing():
    """Why nothing can be recorded here, or None."""
    if os.geteuid() != 0:
        return "only root may mount"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(device, os.R_OK | os.W_OK):
            return f"{device} is missing"
    for program in ("mkfs.ext4", "mkfs.xfs", "losetup", "mount", "umount"):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"{program} is missing"
    if not POWER.exists():
        return f"{POWER.relative_to(ROOT)} is not built (libfuse3-dev is missing)"
    return None


def run(*command, timeout=120):
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    done = subprocess.run([str(c) for c in command], env=env, timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}")
    return done.stdout.strip()


class Recording:
    """with Recording("ext4") as r: r.load(…); r.replay(…). `folder` is on the disk of the test's own temporary files."""

    def __init__(self, fs):
        self.fs = fs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ingot-power-"))
        self.log, self.position, self.history = (self.folder / n for n in ("blocks", "position", "history"))
        self.mount = self.folder / "mnt"
        self.served = self.folder / "record"
        self.process = self.loop = None
        self.first = 0
        self.keep = False
        self.seen = {}

    def __enter__(self):
        self.mount.mkdir()
        self.served.mkdir()
        return self

    def __exit__(self, *_):
        self.unmount()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def serve(self):
        self.process = subprocess.Popen([str(POWER), "record", f"--dir={self.served}", f"--bytes={DISK}", f"--log={self.log}",
                                         f"--position={self.position}"], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (self.served / "disk").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the recording disk does not come up")
            time.sleep(0.01)
        self.loop = run("losetup", "--find", "--show", "--direct-io=on", self.served / "disk")
        run(*MKFS[self.fs], self.loop)
        run("mount", "-t", self.fs, "-o", OPTIONS[self.fs], self.loop, self.mount)

    def unmount(self):
        if self.process is None:
            return
        for undo in (["umount", self.mount], ["losetup", "-d", self.loop], ["umount", self.served]):
            for _ in range(200):  # what still holds it ends in a moment
                if subprocess.run(list(map(str, undo)), stderr=subprocess.DEVNULL, check=False).returncode == 0:
                    break
                time.sleep(0.05)
        self.process.wait(60)
        self.process = None

    def load(self, seed, workers=4, steps=150, nosync=None, backend="auto"):
        """Record the load: afterwards blocks, history and first are there. nosync: flushes of paths with this word are lost (not
        with io_uring, whose flushes are no calls)."""
        self.serve()
        clock = work.Clock(self.position)
        self.first = clock.now()
        env = {"LD_PRELOAD": str(NOSYNC), "NOSYNC": nosync} if nosync else {}
        server = Server(data=self.mount / "data", env=env, watchdog=0, backend=backend, **SIZES)
        try:
            server.start()
            work.run(server, clock, seed, workers, steps).write(self.history)
            self.seen = self.files()
            server.kill()
        finally:
            server.remove()
        self.unmount()

    def files(self):
        """What the load made the engine do: the number of the newest log segment, table files, snapshots of the archive."""
        data = self.mount / "data"
        return {"segments": max(int(p.stem, 16) for p in (data / "log").glob("0*.log")),
                "tables": max((int(p.stem) for p in (data / "index").glob("*.sst")), default=0),
                "snapshots": len(list((data / "archive").glob("*.snap")))}

    def command(self, states, seed, deep_one_in):
        return (f"{POWER} replay --dir={self.folder} --bytes={DISK} --log={self.log} --history={self.history} --fs={self.fs} "
                f"--first={self.first} --states={states} --seed={seed} --deep-one-in={deep_one_in}")

    def replay(self, states, seed, deep_one_in=10, timeout=7200):
        """(exit code, output) of judging that many states."""
        done = subprocess.run(self.command(states, seed, deep_one_in).split(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout, check=False)
        return done.returncode, done.stdout
