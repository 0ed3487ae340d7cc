"""Policy state that cannot be read means deny, or no server: never that there was no policy."""

import pathlib
import random
import shutil

import pytest

from callers import Account, Callers, TimedServer, allow, deny, told
from conftest import files
from test_tamper import flip, overwrite

CASES = 10
BLOCK = 4096


class Stored:
    """A server whose policies of every kind forbid something to users who may all."""

    def __init__(self, home):
        self.server = TimedServer(home, trace=False).start()
        self.callers = Callers(self.server.access())
        self.account = account = Account(self.callers)
        self.at = {"Bucket": account.bucket(), "Key": "k"}
        account.s3.put_object(**self.at, Body=b"secret")
        self.key = account.key()
        self.steps = {"identity policy": self.identity, "boundary": self.boundary, "group policy": self.group,
                      "bucket policy": self.bucket, "key policy": self.key_policy, "session's role": self.role}
        self.forbidden, self.bytes = {}, {}
        for name, step in self.steps.items():
            before = self.content()
            self.forbidden[name] = step()
            self.bytes[name] = changed(before, self.content())
        # Not the last of what was written: a last record that is broken is one that was never acknowledged.
        for number in range(5):
            account.s3.put_object(Bucket=self.at["Bucket"], Key=f"later{number}", Body=b"x")

    def content(self):
        return {path: path.read_bytes() for path in files(self.server.data / "meta")}

    def reads(self, actor):
        return lambda: self.callers.of(actor, "s3").get_object(**self.at)["Body"].read()

    def identity(self):
        user = self.account.user(allow(), deny("s3:GetObject"))
        return self.reads(user)

    def boundary(self):
        user = self.account.user(allow())
        bound = self.account.managed(allow("kms:*"))
        self.account.iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=bound)
        return self.reads(user)

    def group(self):
        user = self.account.user(allow())
        self.account.iam.create_group(GroupName="denying")
        self.account.iam.put_group_policy(
            GroupName="denying", PolicyName="p",
            PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}')
        self.account.iam.add_user_to_group(GroupName="denying", UserName=user.name)
        return self.reads(user)

    def bucket(self):
        user = self.account.user(allow())
        self.account.bucket_policy(self.at["Bucket"], {**deny("s3:GetObject"), "Principal": {"AWS": user.arn}})
        return self.reads(user)

    def key_policy(self):
        user = self.account.user(allow())
        self.account.key_policy(self.key, {**deny("kms:Encrypt"), "Principal": {"AWS": user.arn}})
        return lambda: self.callers.of(user, "kms").encrypt(KeyId=self.key, Plaintext=b"x")

    def role(self):
        user = self.account.user(allow())
        session = self.account.assume(user, self.account.role(allow(), deny("s3:GetObject")))
        return self.reads(session)

    def restart(self):
        """Whether it starts; clients speak to the new process."""
        try:
            self.server.start()
        except AssertionError:
            assert self.server.process.returncode > 0, "it refused without an error code"
            return False
        self.callers = Callers(self.server.access())
        return True


def changed(before, after):
    """(path, offset) of bytes that were written."""
    found = []
    for path, data in after.items():
        old = before.get(path, b"")
        for start in range(0, len(data), BLOCK):
            if data[start:start + BLOCK] != old[start:start + BLOCK]:
                found += [(path, at) for at in range(start, min(start + BLOCK, len(data))) if data[at:at + 1] != old[at:at + 1]]
    return found


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_damaged_policies_never_allow(tmp_path, killed):
    stored = Stored(tmp_path / "server")
    for name, call in stored.forbidden.items():
        assert told(call).code in ("AccessDenied", "AccessDeniedException"), name
    written = {name: where for name, where in stored.bytes.items() if where}
    assert set(written) == set(stored.steps), "some policy was not stored"
    stored.server.kill() if killed else stored.server.stop()
    pristine = tmp_path / "pristine"
    shutil.copytree(stored.server.data, pristine,
                    ignore=lambda where, names: [n for n in names if (pathlib.Path(where) / n).is_socket()])
    rng, refused = random.Random(5 + killed), 0
    places = [rng.choice(written[name]) for name in stored.steps]
    # And wherever else the store keeps what it knows: after a graceful end it may be elsewhere.
    rest = [path for path in sorted(files(stored.server.data / "meta")) if path.stat().st_size]
    while len(places) < CASES:
        path = rng.choice(rest)
        data = path.read_bytes()
        used = [at for at in range(0, len(data), BLOCK) if data[at:at + BLOCK].strip(b"\0")]
        places.append((path, rng.choice(used) + rng.randrange(BLOCK)))
    for path, at in places:
        if path.exists() and at < path.stat().st_size:
            overwrite(path, flip(path.read_bytes(), at, rng.randrange(8)))
            if stored.restart():
                for name, call in stored.forbidden.items():
                    answer = told(call)
                    assert not answer.fine, f"{name}: byte {at} of {path.name} flipped, and it is allowed"
                stored.server.kill()
            else:
                refused += 1
            shutil.rmtree(stored.server.data)
            shutil.copytree(pristine, stored.server.data)
    assert stored.restart()
    for name, call in stored.forbidden.items():
        assert told(call).code in ("AccessDenied", "AccessDeniedException"), name
    stored.server.stop()
    stored.server.assert_sane()
