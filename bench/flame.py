#!/usr/bin/env python3
"""Flame graphs of the server at work: `make profiles` (PROFILES=get-4KiB,list selects works, PROFILE_SECONDS=10 how long each).

For each work a server is started on a new directory, loaded by `ingot bench` and sampled by `perf record`. The stacks are folded into a
tree, drawn as an SVG in docs/decisions/0012-speed/. A frame below SMALLEST of the samples is left out, so a file stays small."""

import html
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "wire"))
from ingot import BINARY, Server  # noqa: E402

OUT = ROOT / "docs" / "decisions" / "0012-speed"
SECONDS = int(os.environ.get("PROFILE_SECONDS", "10"))
WORKS = {  # operation, size, connections, prepared objects
    "put-4KiB": ("put", "4KiB", 64, 1000),
    "get-4KiB": ("get", "4KiB", 64, 1000),
    "put-64MiB": ("put", "64MiB", 4, 4),
    "get-64MiB": ("get", "64MiB", 4, 8),
    "list": ("list", "1KiB", 4, 10000),
}
WIDTH, ROW, SMALLEST = 1200, 16, 0.005


class Frame:
    def __init__(self):
        self.samples, self.callees = 0, {}


def fold(script):
    """The tree of all stacks in what `perf script` says, outermost function first."""
    root = Frame()
    for sample in script.split("\n\n"):
        stack = re.findall(r"^\s+[0-9a-f]+ (.+) \(.*\)$", sample, re.M)
        if not stack:
            continue
        at = root
        at.samples += 1
        for name in reversed(stack):
            name = re.sub(r"\+0x[0-9a-f]+$|\(.*", "", name)
            at = at.callees.setdefault(name, Frame())
            at.samples += 1
    return root


def colour(name):
    """Warm, the same for the same function."""
    n = sum(ord(c) * (i + 1) for i, c in enumerate(name))
    return f"#{224 + n % 30:02x}{100 + n // 7 % 110:02x}{40 + n // 3 % 40:02x}"


def boxes(frame, x, depth, scale, least, out):
    """Appends (x, depth, width, name, samples) of every frame that is wide enough; returns the greatest depth."""
    deepest = depth
    for name, callee in sorted(frame.callees.items(), key=lambda item: -item[1].samples):
        if callee.samples >= least:
            out.append((x, depth, callee.samples * scale, name, callee.samples))
            deepest = max(deepest, boxes(callee, x, depth + 1, scale, least, out))
        x += callee.samples * scale
    return deepest


def draw(root, title):
    found = []
    rows = boxes(root, 0, 0, WIDTH / root.samples, root.samples * SMALLEST, found) + 1
    height = rows * ROW + 2 * ROW
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">',
             f'<text x="4" y="13">{html.escape(title)}</text>']
    for x, depth, width, name, samples in found:
        y = height - (depth + 1) * ROW
        text = f"{name} {100 * samples / root.samples:.1f} %"
        short = name[:int(width / 6.7)] if width > 24 else ""
        lines.append(f'<g><title>{html.escape(text)}</title><rect x="{x:.1f}" y="{y}" width="{max(width - 0.3, 0.3):.1f}" height="{ROW - 1}" '
                     f'fill="{colour(name)}"/>' + (f'<text x="{x + 2:.1f}" y="{y + 11}">{html.escape(short)}</text>' if short else "") + "</g>")
    return "\n".join([*lines, "</svg>", ""])


def bench(server, operation, size, connections, objects, *more):
    subprocess.run([BINARY, "bench", "--endpoint", server.endpoint, f"--mix={operation}=1", f"--size={size}", f"--connections={connections}",
                    f"--objects={objects}", "--keep", "--quiet", *more], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "INGOT_ACCESS_KEY": server.access_key, "INGOT_SECRET_KEY": server.secret_key})


def profile(name, operation, size, connections, objects):
    server = Server(access_log="false").start()
    try:
        with tempfile.TemporaryDirectory() as temp:
            data = f"{temp}/perf.data"
            bench(server, operation, size, connections, objects, "--warmup=0s", "--duration=1s")
            recorder = subprocess.Popen(["perf", "record", "-q", "-F", "499", "-g", "-o", data, "-p", str(server.pid())])
            bench(server, operation, size, connections, objects, "--warmup=1s", f"--duration={SECONDS}s")
            recorder.terminate()
            recorder.wait()
            script = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym,dso"], capture_output=True, text=True, errors="replace", check=True).stdout
        server.stop()
    finally:
        server.remove()
    root = fold(script)
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.svg"
    path.write_text(draw(root, f"{name}, {connections} connections, {root.samples} samples, {time.strftime('%Y-%m-%d')}"))
    print(f"{path.relative_to(ROOT)}: {root.samples} samples, {path.stat().st_size >> 10} KiB", flush=True)


def main():
    wanted = os.environ.get("PROFILES", ",".join(WORKS)).split(",")
    for name in wanted:
        profile(name, *WORKS[name])


if __name__ == "__main__":
    main()
