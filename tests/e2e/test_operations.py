"""What the owner of a server does with its commands, and what happens when the key file is not the right one."""

import subprocess

from conftest import Clients, binary, clean_env, files, new_bucket


def strongroom(server, *command):
    return subprocess.run([binary(), *map(str, command)], env=clean_env(server.home), capture_output=True, text=True,
                          timeout=60)


def test_a_rotated_access_key_is_refused_at_once(make_server):
    server = make_server()
    old = Clients(server.access()).raw()
    assert old.send("GET", "/").status == 200
    done = strongroom(server, "credentials", "rotate", "--data", server.data, "--key-file", server.key_file)
    assert done.returncode == 0, done.stderr
    assert old.send("GET", "/").code == "InvalidAccessKeyId"
    assert Clients(server.access()).raw().send("GET", "/").status == 200
    server.restart()
    assert Clients(server.access()).raw().send("GET", "/").status == 200


def test_a_wrong_key_file_ends_with_code_3_and_changes_nothing(make_server):
    server = make_server()
    s3 = Clients(server.access()).boto()
    s3.put_object(Bucket=(bucket := new_bucket(s3)), Key="k", Body=b"body")
    server.stop()
    good = server.key_file.read_bytes()
    other = make_server()
    other.stop()
    ring = {p: p.read_bytes() for p in files(server.data / "ring")}
    server.key_file.write_bytes(other.key_file.read_bytes())
    server.spawn()
    assert server.process.wait(30) == 3, server.output.read_text()
    assert "key" in server.output.read_text()
    assert {p: p.read_bytes() for p in files(server.data / "ring")} == ring
    server.key_file.write_bytes(good)
    server.start()
    assert Clients(server.access()).raw().send("GET", f"/{bucket}/k").body == b"body"


def test_restarts_do_not_fill_the_disk_with_journal_files(make_server):
    server = make_server(trace=False)
    for _ in range(12):
        server.restart()
    assert len(files(server.data / "meta" / "journal")) <= 6
