"""Callers for the tests of authorization.

One client per service serves them all: `Callers.of(actor, service)` is that client with the actor's credentials in its
signer until the next call of `of`, so that a hundred callers cost no more than one.
"""

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ClientError

from conftest import BOTO_CLIENTS, BOTOCORE, Server
from s3raw import Raw, Signer

VERSION = "2012-10-17"


@dataclass
class Actor:
    """Who signs. Without an access key: nobody."""

    access: str | None = None
    secret: str | None = None
    token: str | None = None
    arn: str | None = None
    name: str | None = None
    id: str | None = None


ANONYMOUS = Actor()


@dataclass
class Told:
    """What a call came to: 200 and None, or the error."""

    status: int
    code: str | None = None
    message: str = ""
    answer: object = None

    @property
    def fine(self):
        return self.code is None

    @property
    def short(self):
        return (self.status, self.code)


def told(call):
    """Runs a call; errors of the service become what it told."""
    try:
        return Told(200, answer=call())
    except ClientError as error:
        answer = error.response
        return Told(answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"],
                    answer["Error"].get("Message", ""), answer)


class Switch(Credentials):
    """Credentials that are whose turn it is."""

    def __init__(self):
        super().__init__("unused", "unused")
        self.actor = ANONYMOUS

    def get_frozen_credentials(self):
        return ReadOnlyCredentials(self.actor.access, self.actor.secret, self.actor.token, None)


class Callers:
    """The clients of one server."""

    def __init__(self, access):
        self.access, self.region = access, access.region
        self.switch = Switch()
        self.session = botocore.session.Session()
        self.session._credentials = self.switch
        self.session.register_component("data_loader", BOTOCORE.get_component("data_loader"))
        self.clients = {}
        self.root = Actor(access.access, access.secret)

    def of(self, actor, service, scheme="http"):
        self.switch.actor = actor
        kind = (service, actor.access is None, scheme)
        if kind not in self.clients:
            more = {"signature_version": UNSIGNED} if actor.access is None else \
                   {"signature_version": "s3v4"} if service == "s3" else {}
            config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **more)
            verify = {"verify": self.access.ca} if scheme == "https" else {}
            self.clients[kind] = self.session.create_client(
                service, region_name=self.region, endpoint_url=getattr(self.access, scheme), config=config, **verify)
            BOTO_CLIENTS.add(self.clients[kind])
        return self.clients[kind]

    def raw(self, actor, scheme="http"):
        return Raw(getattr(self.access, scheme), actor.access, actor.secret, self.region, self.access.ca)


def document(*statements):
    return json.dumps({"Version": VERSION, "Statement": list(statements)})


def allow(action="*", resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action="*", resource="*", **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def without(element, statement):
    return {k: v for k, v in statement.items() if k != element}


def fresh(prefix="n"):
    return f"{prefix}{uuid.uuid4().hex[:18]}"


class Account:
    """The account of a root user: makes identities, buckets and keys."""

    def __init__(self, callers, root=None):
        self.callers, self.root = callers, root or callers.root
        identity = self.sts.get_caller_identity()
        self.id, self.root.arn = identity["Account"], identity["Arn"]

    iam = property(lambda self: self.callers.of(self.root, "iam"))
    sts = property(lambda self: self.callers.of(self.root, "sts"))
    kms = property(lambda self: self.callers.of(self.root, "kms"))
    s3 = property(lambda self: self.callers.of(self.root, "s3"))
    cloudtrail = property(lambda self: self.callers.of(self.root, "cloudtrail"))

    def user(self, *statements, name=None):
        name = name or fresh("u-")
        made = self.iam.create_user(UserName=name)["User"]
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        if statements:
            self.set_user(name, *statements)
        return Actor(key["AccessKeyId"], key["SecretAccessKey"], None, made["Arn"], name, made["UserId"])

    def set_user(self, name, *statements):
        self.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))

    def role(self, *statements, trust=None, name=None):
        """A role and its ARN; without `trust` all of the account may assume it whom IAM lets."""
        name = name or fresh("r-")
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust or self.trust(self.id))["Role"]
        if statements:
            self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
        return made["Arn"]

    @staticmethod
    def trust(*principals, effect="Allow"):
        return document({"Effect": effect, "Principal": {"AWS": list(principals)}, "Action": "sts:AssumeRole"})

    def assume(self, by, role, *session, name="session"):
        """A session of the role, under a session policy of the statements, if there are any."""
        policy = {"Policy": document(*session)} if session else {}
        made = self.callers.of(by, "sts").assume_role(RoleArn=role, RoleSessionName=name, **policy)
        got = made["Credentials"]
        return Actor(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"], made["AssumedRoleUser"]["Arn"])

    def managed(self, *statements):
        return self.iam.create_policy(PolicyName=fresh("p-"), PolicyDocument=document(*statements))["Policy"]["Arn"]

    def bucket(self, name=None, versioned=True):
        name = name or fresh("b-")
        where = {} if self.callers.region == "us-east-1" else {
            "CreateBucketConfiguration": {"LocationConstraint": self.callers.region}}
        self.s3.create_bucket(Bucket=name, **where)
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def bucket_policy(self, bucket, *statements):
        """Sets the bucket's policy, for the bucket and all its objects where a statement names none; none removes it."""
        if not statements:
            self.s3.delete_bucket_policy(Bucket=bucket)
            return
        whole = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        told_of = [{**it, "Resource": whole if it.get("Resource", "*") == "*" else it["Resource"]} for it in statements]
        self.s3.put_bucket_policy(Bucket=bucket, Policy=document(*told_of))

    def key(self, *statements, **members):
        """A key whose policy is AWS's default and the statements."""
        arn = self.kms.create_key(**members)["KeyMetadata"]["Arn"]
        if statements:
            self.key_policy(arn, *statements)
        return arn

    def key_policy(self, key, *statements, default=True):
        first = [allow("kms:*", Sid="account", Principal={"AWS": f"arn:aws:iam::{self.id}:root"})] if default else []
        self.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(*first, *statements))


class TimedServer(Server):
    """A server that can be started at another time."""

    def start_at(self, shift, *more):
        found = subprocess.run(["bash", "-c", "command -v faketime"], capture_output=True, text=True).stdout.strip()
        assert found, "faketime is not installed: run tools/setup-tests.sh"
        library = subprocess.run([found, "-f", "+0d", "printenv", "LD_PRELOAD"], capture_output=True, text=True)
        # The monotonic clock stays: shifted below zero, timers never fire.
        shifted = {"LD_PRELOAD": library.stdout.strip(), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        os.environ |= shifted
        try:
            return self.start(*more)
        finally:
            for name in shifted:
                del os.environ[name]


def query(access, actor, service, version, hours=0, **parameters):
    """One request in the Query protocol, signed `hours` from now; its XML."""
    body = urlencode({"Version": version, **parameters}).encode()
    raw = Raw(access.http, actor.access, actor.secret, access.region)
    signer = Signer(actor.access, actor.secret, access.region, service, timedelta(hours=hours))
    reply = raw.send("POST", "/", headers={"Content-Type": "application/x-www-form-urlencoded"}, body=body,
                     signer=signer)
    assert reply.status == 200, reply
    return reply.body.decode()


def server_with_expired_session(home):
    """A server, and a session of its root user that was over an hour ago."""
    server = TimedServer(home, trace=False).start_at("-2h")
    access = server.access()
    xml = query(access, Actor(access.access, access.secret), "sts", "2011-06-15", hours=-2, Action="GetSessionToken",
                DurationSeconds="900")
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    expired = Actor(*(re.search(f"<{name}>([^<]+)<", xml)[1] for name in names))
    server.stop()
    return server.start(), expired


def post_object(access, actor, client, bucket, key, body=b"form"):
    """A POST form of the actor's; botocore's way of failing."""
    fields = {"key": key}
    if actor.access:
        form = client.generate_presigned_post(bucket, key)
        fields = form["fields"]
    boundary = uuid.uuid4().hex
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
             for k, v in fields.items()]
    lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
    data = b"".join([*lines, body, f"\r\n--{boundary}--\r\n".encode()])
    request = urllib.request.Request(f"{access.http}/{bucket}", data, method="POST", headers={
        "Content-Type": f"multipart/form-data; boundary={boundary}"})
    return urlopen(request)


def urlopen(request):
    """The body of the answer; an error becomes botocore's."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        code, message = re.search("<Code>([^<]+)<", text), re.search("<Message>([^<]+)<", text)
        raise ClientError({"Error": {"Code": code[1] if code else str(error.code),
                                     "Message": message[1] if message else ""},
                           "ResponseMetadata": {"HTTPStatusCode": error.code}}, "raw") from error


