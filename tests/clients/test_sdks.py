"""The same main job by the AWS SDKs for Go, JavaScript and Java: each program prints OK at the end. Versions are pinned in
each folder's own file. A toolchain that is missing or too old skips its test and says so."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent


def tool(name, least, *version_args):
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    text = subprocess.run([path, *version_args], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)", text.stdout + text.stderr)
    version = tuple(map(int, found.groups()))
    if version < least:
        pytest.skip(f"{name} {version[0]}.{version[1]} is older than {least[0]}.{least[1]}")
    return path


def job(server, command, cwd):
    env = dict(os.environ, AWS_ACCESS_KEY_ID=server.access_key, AWS_SECRET_ACCESS_KEY=server.secret_key,
               AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")
    done = subprocess.run([*command, server.endpoint], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.strip().endswith("OK"), done.stdout + done.stderr


def prepare(command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_sdk_go(server, tmp_path):
    go = tool("go", (1, 23), "version")
    prepare([go, "build", "-o", str(tmp_path / "client"), "."], HERE / "go")
    job(server, [str(tmp_path / "client")], tmp_path)


def test_sdk_javascript(server):
    node = tool("node", (18, 0), "--version")
    prepare([tool("npm", (8, 0), "--version"), "ci", "--no-audit", "--no-fund"], HERE / "js")
    job(server, [node, "main.mjs"], HERE / "js")


def test_sdk_java(server):
    java = tool("java", (17, 0), "-version")
    folder = HERE / "java"
    prepare([tool("mvn", (3, 6), "-v"), "-q", "-B", "compile", "dependency:build-classpath",
             "-Dmdep.outputFile=target/classpath"], folder)
    classes = f"{folder}/target/classes:" + (folder / "target" / "classpath").read_text().strip()
    job(server, [java, "-cp", classes, "ingot.Main"], folder)
