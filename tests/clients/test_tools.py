"""Tools from Debian as users run them, on a real tree: /usr/share goes in, comes back identical, and `ingot check --deep`
agrees. The tree is capped (TREE_MIB) so that the run stays short on a machine with much installed."""

import filecmp
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from ingot import run_ingot

TREE = pathlib.Path("/usr/share")
TREE_MIB = int(os.environ.get("INGOT_TEST_TREE_MIB", "300"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of regular files of /usr/share, whole folders until the cap is reached."""
    top = tmp_path_factory.mktemp("tree")
    left = TREE_MIB << 20
    for folder, _, names in sorted(os.walk(TREE)):
        for name in sorted(names):
            source = pathlib.Path(folder, name)
            if source.is_symlink() or not source.is_file() or not os.access(source, os.R_OK):
                continue
            size = source.stat().st_size
            if size > left:
                continue
            left -= size
            target = top / source.relative_to(TREE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    count = sum(len(files) for _, _, files in os.walk(top))
    assert count > 1000, f"{TREE} has only {count} files"
    return top


def run(command, env=None, cwd=None, timeout=800):
    own = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}  # the caller's accounts and proxies are not ours
    done = subprocess.run(command, env={**own, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def assert_same(a, b):
    names_a = sorted(str(p.relative_to(a)) for p in a.rglob("*") if p.is_file())
    names_b = sorted(str(p.relative_to(b)) for p in b.rglob("*") if p.is_file())
    assert names_a == names_b
    match, mismatch, errors = filecmp.cmpfiles(a, b, names_a, shallow=False)
    assert not mismatch and not errors, (mismatch[:5], errors[:5])
    assert len(match) == len(names_a)


def assert_checks(server):
    server.stop()
    done = run_ingot("check", f"--data={server.data}", "--deep", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rclone_tree(start_server, tree, tmp_path):
    server = start_server()
    conf = tmp_path / "rclone.conf"
    conf.write_text(f"[ingot]\ntype = s3\nprovider = Other\naccess_key_id = {server.access_key}\n"
                    f"secret_access_key = {server.secret_key}\nendpoint = {server.endpoint}\nregion = us-east-1\n")
    rclone = ["rclone", "--config", str(conf)]
    run([*rclone, "sync", "--transfers=8", "--checkers=8", str(tree), "ingot:tree/share"])
    run([*rclone, "check", str(tree), "ingot:tree/share"])
    run([*rclone, "copy", "--transfers=8", "ingot:tree/share", str(tmp_path / "back")])
    assert_same(tree, tmp_path / "back")
    assert_checks(server)


def test_restic_tree(start_server, tree, tmp_path):
    server = start_server()
    env = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key, "AWS_DEFAULT_REGION": "us-east-1",
           "RESTIC_PASSWORD": "of this test", "RESTIC_REPOSITORY": f"s3:{server.endpoint}/backup/repo",
           "RESTIC_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    run(["restic", "init"], env)
    run(["restic", "backup", "."], env, cwd=tree)
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "file").write_bytes(os.urandom(100000))
    run(["restic", "backup", str(tmp_path / "extra")], env)
    run(["restic", "check", "--read-data"], env)
    run(["restic", "restore", "latest", "--path", str(tree), "--target", str(tmp_path / "back")], env)
    back = tmp_path / "back"
    inside = back / tree.relative_to("/")
    assert_same(tree, inside if inside.exists() else back)
    run(["restic", "forget", "--keep-last", "1", "--prune"], env)
    run(["restic", "check"], env)
    assert_checks(server)


def test_s3cmd(start_server, tmp_path):
    server = start_server()
    host, port = server.address
    conf = tmp_path / "s3cfg"
    conf.write_text(f"[default]\naccess_key = {server.access_key}\nsecret_key = {server.secret_key}\nhost_base = {host}:{port}\n"
                    f"host_bucket = {host}:{port}\nuse_https = False\nbucket_location = us-east-1\n")
    source = tmp_path / "in"
    (source / "deep" / "er").mkdir(parents=True)
    files = {"a": b"", "deep/b.txt": b"hello\n", "deep/er/c ü+%.bin": os.urandom(20 << 20)}
    for name, data in files.items():
        (source / name).write_bytes(data)
    s3cmd = ["s3cmd", "-c", str(conf), "--no-progress"]
    run([*s3cmd, "mb", "s3://box"])
    run([*s3cmd, "sync", f"{source}/", "s3://box/tree/"])
    listing = run([*s3cmd, "ls", "-r", "s3://box"])
    assert all(name in listing for name in files), listing
    run([*s3cmd, "cp", "s3://box/tree/deep/er/c ü+%.bin", "s3://box/copy"])
    run([*s3cmd, "get", "s3://box/copy", str(tmp_path / "copy")])
    assert (tmp_path / "copy").read_bytes() == files["deep/er/c ü+%.bin"]
    run([*s3cmd, "sync", "s3://box/tree/", f"{tmp_path}/out/"])
    assert_same(source, tmp_path / "out")
    run([*s3cmd, "del", "-r", "--force", "s3://box"])
    run([*s3cmd, "rb", "s3://box"])
    assert_checks(server)


def test_awscli(start_server, tmp_path):
    server = start_server()
    env = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key, "AWS_DEFAULT_REGION": "us-east-1",
           "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "PYENV_VERSION": ""}
    aws = ["/usr/bin/aws", "--endpoint-url", server.endpoint]
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    files = {"a": b"", "sub/b.txt": b"hello\n", "sub/c ü+%.bin": os.urandom(20 << 20)}
    for name, data in files.items():
        (source / name).write_bytes(data)
    run([*aws, "s3", "mb", "s3://box"], env)
    run([*aws, "s3", "sync", str(source), "s3://box/tree"], env)
    run([*aws, "s3", "cp", "s3://box/tree/sub/c ü+%.bin", "s3://box/copy"], env)
    run([*aws, "s3api", "put-bucket-versioning", "--bucket", "box", "--versioning-configuration", "Status=Enabled"], env)
    run([*aws, "s3", "cp", str(source / "sub" / "b.txt"), "s3://box/copy"], env)
    versions = run([*aws, "s3api", "list-object-versions", "--bucket", "box", "--prefix", "copy", "--query", "length(Versions)"], env)
    assert versions.strip() == "2"
    url = run([*aws, "s3", "presign", "s3://box/copy"], env).strip()
    assert run(["curl", "-sf", url]) == "hello\n"
    run([*aws, "s3", "sync", "s3://box/tree", str(tmp_path / "out")], env)
    assert_same(source, tmp_path / "out")
    assert_checks(server)


def uploads_of_old_botocore(rounds):
    """What they must show: every upload its own answer."""
    tag = {data: f'"{hashlib.md5(data).hexdigest()}"' for data in (b"", b"part", b"stored")}
    return [f"put_object 200 {tag[b'']}", f"upload_part 200 {tag[b'part']}", "put_object 404 NoSuchBucket",
            f"put_object 200 {tag[b'stored']}"] * rounds


def old_botocore(server, rounds):
    script = pathlib.Path(__file__).with_name("old_botocore.py")
    return ["/usr/bin/python3", str(script), server.endpoint, server.access_key, server.secret_key, str(rounds)]


def test_regression_0006_old_botocore(start_server):
    """botocore before 1.44 carries the status of an answer that came in place of the 100 over to the next upload of the
    connection, whose headers are lost: an UploadPart of `aws s3 sync` had no ETag."""
    server = start_server()
    assert run(old_botocore(server, 3), {"PYENV_VERSION": ""}).splitlines() == uploads_of_old_botocore(3)


def test_old_botocore_waits_in_vain(start_server):
    """The server stands still again and again for longer than botocore waits for the 100."""
    server = start_server()
    rounds = 4
    with subprocess.Popen(old_botocore(server, rounds), stdout=subprocess.PIPE, text=True) as client:
        for _ in range(5):
            server.signal(signal.SIGSTOP)
            time.sleep(1.3)
            server.signal(signal.SIGCONT)
            time.sleep(0.05)
        shown = client.communicate(timeout=300)[0]
    assert shown.splitlines() == uploads_of_old_botocore(rounds)
    assert_checks(server)
