"""What the users of rclone, s3cmd, restic and the AWS CLI do, with the programs they use."""

import hashlib
import os
import pathlib
import subprocess

import pytest

from conftest import Clients, new_bucket, refused, tool
from s3raw import ssec

BIG = 21 << 20  # Above the part size of every client here.
TREE = {"a.txt": 10, "empty": 0, "dir/b.bin": 70_000, "dir/sub/c": 1, "sp ace/\u00fc+%&.txt": 333, "big.bin": BIG}


def make_tree(root):
    for name, size in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return root


def digests(root):
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in pathlib.Path(root).rglob("*") if p.is_file()}


@pytest.fixture
def run(clients, tmp_path, bucket):
    """Runs a client in its own directory; a non-zero exit is a failure that shows what it printed."""
    def run(*command, fails=False, **env):
        program = [tool(command[0]), *map(str, command[1:])]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=240,
                              env=clients.env(tmp_path, LC_ALL="C.UTF-8", **env))
        assert (done.returncode != 0) is fails, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout
    run.bucket, run.home = bucket, tmp_path
    run.source = make_tree(tmp_path / "source")
    return run


def test_aws_s3_syncs_moves_and_removes(run, s3, clients):
    where = f"s3://{run.bucket}"
    run("aws", "s3", "sync", "source", where)
    assert run("aws", "s3", "sync", "source", where) == "", "a second sync found work"
    run("aws", "s3", "sync", where, "back")
    assert digests(run.home / "back") == digests(run.source)
    (run.source / "a.txt").unlink()
    run("aws", "s3", "sync", "source", where, "--delete")
    assert "a.txt" not in run("aws", "s3", "ls", "--recursive", where)
    run("aws", "s3", "cp", "--recursive", where, f"{where}/copied")
    run("aws", "s3", "mv", f"{where}/big.bin", f"{where}/moved.bin")  # A server-side copy in parts.
    run("aws", "s3", "mv", f"{where}/moved.bin", "moved.bin")
    assert (run.home / "moved.bin").read_bytes() == (run.source / "big.bin").read_bytes()
    run("aws", "s3", "rm", "--recursive", where)
    assert "Contents" not in s3.list_objects_v2(Bucket=run.bucket)
    run("aws", "s3", "rb", where)
    assert refused(s3.head_bucket, Bucket=run.bucket).status == 404


def test_aws_s3_streams_presigns_and_goes_over_tls(run, clients):
    where = f"s3://{run.bucket}"
    tls = {"AWS_ENDPOINT_URL": clients.access.https, **({"AWS_CA_BUNDLE": clients.access.ca} if clients.access.ca else {})}
    run("bash", "-c", f"cat source/big.bin | aws s3 cp - {where}/stream && aws s3 cp {where}/stream - | cmp - source/big.bin",
        **tls)
    sigv4 = str(run.home / "aws-config")  # The CLI still presigns with SigV2 in us-east-1 unless told.
    (run.home / "aws-config").write_text("[default]\ns3 =\n  signature_version = s3v4\n")
    url = run("aws", "s3", "presign", f"{where}/stream", AWS_CONFIG_FILE=sigv4).strip()
    import urllib.request
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == (run.source / "big.bin").read_bytes()


def test_boto3_transfers_in_parts_and_copies_on_the_server(run, clients):
    from boto3.s3.transfer import TransferConfig
    s3 = clients.boto("https")
    config = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    want = (run.source / "big.bin").read_bytes()
    key = os.urandom(32)
    trio = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    for name, more in (("plain", {}), ("customer", trio)):
        s3.upload_file(str(run.source / "big.bin"), run.bucket, name, Config=config, ExtraArgs=more)
        s3.download_file(run.bucket, name, str(run.home / "back"), Config=config, ExtraArgs=more)
        assert (run.home / "back").read_bytes() == want
    s3.copy({"Bucket": run.bucket, "Key": "plain"}, run.bucket, "copy", Config=config)
    head = s3.head_object(Bucket=run.bucket, Key="copy")
    assert (head["ContentLength"], head["ETag"][-3:]) == (BIG, '-3"')
    s3.download_file(run.bucket, "copy", str(run.home / "back"))
    assert (run.home / "back").read_bytes() == want
    raw = clients.raw("https")
    assert raw.send("GET", f"/{run.bucket}/customer", headers=ssec(key)).body == want


def rclone_env(clients):
    a = clients.access
    return {"RCLONE_CONFIG_S_TYPE": "s3", "RCLONE_CONFIG_S_PROVIDER": "Other", "RCLONE_CONFIG_S_ENV_AUTH": "true",
            "RCLONE_CONFIG_S_ENDPOINT": a.http, "RCLONE_CONFIG_S_REGION": a.region, "RCLONE_RETRIES": "1",
            "RCLONE_LOW_LEVEL_RETRIES": "1"}


def test_rclone_copies_syncs_checks_and_reads_ranges(run, clients):
    env, where = rclone_env(clients), f"s:{run.bucket}/p"
    parts = ["--s3-upload-cutoff", "8M", "--s3-chunk-size", "8M"]
    run("rclone", "copy", "source", where, *parts, **env)
    run("rclone", "check", "source", where, **env)
    run("rclone", "check", "source", where, "--download", **env)
    (run.source / "a.txt").write_bytes(b"changed")
    (run.source / "empty").unlink()
    run("rclone", "sync", "source", where, *parts, **env)
    run("rclone", "check", "source", where, **env)
    run("rclone", "copy", where, "back", "--multi-thread-cutoff", "8M", "--multi-thread-streams", "4", **env)
    assert digests(run.home / "back") == digests(run.source)
    done = subprocess.run([tool("rclone"), "cat", f"{where}/big.bin", "--offset", "65530", "--count", "131080"],
                          capture_output=True, env=clients.env(run.home, **env), timeout=60)
    assert done.stdout == (run.source / "big.bin").read_bytes()[65530:65530 + 131080]
    run("rclone", "copy", where, f"s:{run.bucket}/q", "--s3-copy-cutoff", "8M", *parts, **env)  # On the server.
    run("rclone", "check", where, f"s:{run.bucket}/q", **env)
    run("rclone", "moveto", f"{where}/big.bin", f"{where}/dir/moved", **env)
    assert "dir/moved" in run("rclone", "lsf", "-R", where, **env).split()
    run("rclone", "purge", where, **env)
    assert run("rclone", "lsf", f"s:{run.bucket}", **env).split() == ["q/"]


def test_s3cmd_puts_gets_syncs_and_uploads_in_parts(run, clients):
    a = clients.access
    host = a.http.removeprefix("http://")
    config = run.home / "s3cfg"
    config.write_text(f"[default]\naccess_key = {a.access}\nsecret_key = {a.secret}\nhost_base = {host}\n"
                      f"host_bucket = {host}\nuse_https = False\nbucket_location = {a.region}\n"
                      "signature_v2 = False\nmultipart_chunk_size_mb = 8\nmax_retries = 1\n")
    config.chmod(0o600)
    def s3cmd(*command, **more):
        return run("s3cmd", "-c", config, "--no-progress", *command, **more)
    where = f"s3://{run.bucket}"
    s3cmd("put", "source/a.txt", f"{where}/a.txt")
    s3cmd("get", f"{where}/a.txt", "a-back")
    assert (run.home / "a-back").read_bytes() == (run.source / "a.txt").read_bytes()
    s3cmd("put", "source/big.bin", f"{where}/big")
    s3cmd("get", f"{where}/big", "big-back")
    assert (run.home / "big-back").read_bytes() == (run.source / "big.bin").read_bytes()
    s3cmd("sync", "source/", f"{where}/tree/")
    s3cmd("sync", f"{where}/tree/", "tree-back/")
    assert digests(run.home / "tree-back") == digests(run.source)
    # s3cmd 2.3 puts the ACL that it read.
    s3cmd("cp", f"{where}/a.txt", f"{where}/b.txt")
    md5 = hashlib.md5((run.source / "a.txt").read_bytes()).hexdigest()
    assert md5 in s3cmd("info", f"{where}/b.txt")
    s3cmd("mv", f"{where}/b.txt", f"{where}/c.txt")
    s3cmd("del", "--recursive", "--force", where)
    assert s3cmd("ls", "--recursive", where) == ""
    s3cmd("get", f"{where}/a.txt", "none", fails=True)
    s3cmd("rb", where)


def test_restic_backs_up_checks_and_restores(run, clients):
    repository = f"s3:{clients.access.http}/{run.bucket}/repo"
    env = {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": "only-for-this-test",
           "RESTIC_CACHE_DIR": str(run.home / "cache")}
    run("restic", "init", **env)
    run("restic", "backup", "source", **env)
    (run.source / "a.txt").write_bytes(b"second")
    run("restic", "backup", "source", **env)
    run("restic", "check", "--read-data", **env)
    run("restic", "restore", "latest", "--target", "restored", **env)
    assert digests(run.home / "restored/source") == digests(run.source)
    run("restic", "forget", "--keep-last", "1", "--prune", **env)
    run("restic", "check", "--read-data", **env)
    assert len(run("restic", "snapshots", "--compact", "-q", **env).strip().splitlines()) == 5


def test_a_restart_under_a_client_loses_nothing(make_server, tmp_path):
    """What was synced before stays synced after."""
    server = make_server(trace=False)
    source = make_tree(tmp_path / "source")
    def aws(*command):
        done = subprocess.run([tool("aws"), "s3", *map(str, command)], capture_output=True, text=True, timeout=240,
                              env=Clients(server.access()).env(tmp_path))
        assert done.returncode == 0, done.stderr
        return done.stdout
    bucket = new_bucket(Clients(server.access()).boto())
    aws("sync", source, f"s3://{bucket}")
    server.restart()
    assert aws("sync", source, f"s3://{bucket}") == ""
    aws("sync", f"s3://{bucket}", tmp_path / "back")
    assert digests(tmp_path / "back") == digests(source)
