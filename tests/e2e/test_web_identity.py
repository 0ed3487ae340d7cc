"""AssumeRoleWithWebIdentity against an issuer of the test's own, over real HTTPS."""

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import ssl
import threading
import time
import urllib.parse
import urllib.request

import botocore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from conftest import Clients, new_bucket, refused
from test_iam import AWS, as_user


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size):
    return encode(value.to_bytes(size, "big"))


class Issuer:
    """An issuer on 127.0.0.1 whose certificate a CA of its own signed; its keys and its manners can be changed."""

    def __init__(self, directory):
        self.key, self.rsa = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
        self.asked, self.redirect, self.lie = [], None, {}
        self.chain, self.ca, self.thumbprint = directory / "issuer.pem", directory / "ca.pem", None
        self.certify()
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                if issuer.redirect:
                    self.send_response(302)
                    self.send_header("Location", issuer.redirect)
                    self.end_headers()
                    return
                body = {"/.well-known/openid-configuration": issuer.configuration, "/keys": issuer.keys}.get(self.path)
                body = json.dumps(body()).encode() if body else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def certify(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

        def certificate(name, key, issuer, signer, *extensions):
            named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (name, issuer)]
            builder = (x509.CertificateBuilder().subject_name(named[0]).issuer_name(named[1])
                       .public_key(key.public_key()).serial_number(x509.random_serial_number())
                       .not_valid_before(now - datetime.timedelta(hours=1))
                       .not_valid_after(now + datetime.timedelta(days=1)))
            for extension, critical in extensions:
                builder = builder.add_extension(extension, critical)
            return builder.sign(signer, hashes.SHA256())

        ca = certificate("Test CA", ca_key, "Test CA", ca_key, (x509.BasicConstraints(True, None), True))
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        own = certificate("issuer", server_key, "Test CA", ca_key, (names, False),
                          (x509.BasicConstraints(False, None), True))
        pem = serialization.Encoding.PEM
        self.ca.write_bytes(ca.public_bytes(pem))
        self.chain.write_bytes(server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                                                        serialization.NoEncryption())
                               + own.public_bytes(pem) + ca.public_bytes(pem))
        self.thumbprint = hashlib.sha1(ca.public_bytes(serialization.Encoding.DER)).hexdigest()

    def configuration(self):
        return {"issuer": self.url, "jwks_uri": self.url + "/keys", **self.lie}

    def keys(self):
        point, public = self.key.public_key().public_numbers(), self.rsa.public_key().public_numbers()
        return {"keys": [
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)},
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "n": number(public.n, 256), "e": "AQAB"}]}

    def token(self, alg="ES256", **claims):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "app", "sub": "carol", "iat": now, "exp": now + 300, **claims}
        header = {"alg": alg, "kid": {"ES256": "ec", "RS256": "rsa"}.get(alg, "ec")}
        signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims)).encode()
        if alg == "ES256":
            r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        elif alg == "RS256":
            signature = self.rsa.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = b""
        return f"{signed.decode()}.{encode(signature)}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def issuer(tmp_path):
    issuer = Issuer(tmp_path)
    yield issuer
    issuer.stop()


class Federation:
    """A server, a provider for the issuer and a role for carol."""

    def __init__(self, server, issuer, thumbprints):
        self.clients = Clients(server.access())
        self.iam = self.clients.boto(service="iam")
        self.provider = self.iam.create_open_id_connect_provider(
            Url=issuer.url, ClientIDList=["app"], ThumbprintList=thumbprints)["OpenIDConnectProviderArn"]
        name = issuer.url.removeprefix("https://")
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Federated": self.provider}, "Action": "sts:AssumeRoleWithWebIdentity",
             "Condition": {"StringEquals": {f"{name}:aud": "app", f"{name}:sub": "carol"}}}]}
        self.role = self.iam.create_role(RoleName="web", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        self.iam.attach_role_policy(RoleName="web", PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
        # The clients of those who have no key: nothing is signed.
        self.sts = self.clients.boto(service="sts", signature_version=botocore.UNSIGNED)

    def arguments(self, token):
        return {"RoleArn": self.role, "RoleSessionName": "session", "WebIdentityToken": token}

    def assume(self, token):
        return self.sts.assume_role_with_web_identity(**self.arguments(token))

    def says(self, token):
        error = refused(self.sts.assume_role_with_web_identity, **self.arguments(token))
        return error.status, error.code


def test_a_token_of_the_issuer_opens_a_session_of_the_role(make_server, issuer):
    server = make_server("--oidc-ca", str(issuer.ca), "--oidc-allow-private")
    it = Federation(server, issuer, [])
    s3 = it.clients.boto()
    bucket = new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for alg in ("ES256", "RS256"):
        made = it.assume(issuer.token(alg))
        assert made["SubjectFromWebIdentityToken"] == "carol" and made["Audience"] == "app"
        assert made["Provider"] == issuer.url
        assert made["AssumedRoleUser"]["Arn"].endswith(":assumed-role/web/session")
        client = as_user(it.clients, made["Credentials"], "s3")
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
        assert refused(client.put_object, Bucket=bucket, Key="k", Body=b"y").code == "AccessDenied"
    # Asked once for both, and again for nothing.
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    now = int(time.time())
    for token, answer in [
        (issuer.token(exp=now - 61), (400, "ExpiredTokenException")),
        (issuer.token(nbf=now + 600), (403, "IDPRejectedClaim")),
        (issuer.token(aud="other"), (400, "InvalidIdentityToken")),
        (issuer.token(iss="https://127.0.0.1:1"), (400, "InvalidIdentityToken")),
        (issuer.token("none"), (400, "InvalidIdentityToken")),
        (issuer.token("HS256"), (400, "InvalidIdentityToken")),
        (issuer.token()[:-4] + "AAAA", (400, "InvalidIdentityToken")),
        (issuer.token(sub="mallory"), (403, "AccessDenied")),
    ]:
        assert it.says(token) == answer
    # Whose token is good is named in the record, also where the role is refused; others are strangers.
    recorded = [json.loads(event["CloudTrailEvent"]) for event in it.clients.boto(service="cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "AssumeRoleWithWebIdentity"}])["Events"]]

    def named(subject):
        return {"type": "WebIdentityUser", "principalId": f"{it.provider}:app:{subject}", "userName": subject,
                "identityProvider": it.provider}

    assert [r["userIdentity"] for r in recorded if "errorCode" not in r] == [named("carol")] * 2
    assert [r["userIdentity"] for r in recorded if r.get("errorCode") == "AccessDenied"] == [named("mallory")]
    strangers = [r["userIdentity"]["type"] for r in recorded if r.get("errorCode") == "InvalidIdentityToken"]
    assert strangers and set(strangers) == {"AWSAccount"}
    for path in (server.log, server.output):
        assert issuer.token().split(".")[0] not in path.read_text(), "a token is in the log"
    # The role's end is the session's.
    it.iam.detach_role_policy(RoleName="web", PolicyArn=AWS + "AmazonS3ReadOnlyAccess")
    assert refused(client.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    it.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=it.provider)
    assert it.says(issuer.token()) == (400, "InvalidIdentityToken")


def test_an_issuer_is_known_by_its_thumbprint(make_server, issuer):
    it = Federation(make_server("--oidc-allow-private"), issuer, ["00" * 20])
    assert it.says(issuer.token()) == (400, "IDPCommunicationError")
    assert issuer.asked == []
    it.iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=it.provider,
                                                      ThumbprintList=[issuer.thumbprint.upper()])
    it.assume(issuer.token())


def test_nothing_is_fetched_from_private_addresses_by_redirects_or_for_another_issuer(make_server, issuer):
    it = Federation(make_server("--oidc-ca", str(issuer.ca)), issuer, [])
    assert it.says(issuer.token()) == (400, "InvalidIdentityToken")
    assert issuer.asked == []
    for manners in [{"redirect": "/keys"}, {"lie": {"issuer": "https://other.example"}},
                    {"lie": {"jwks_uri": "http://127.0.0.1:1/keys"}}, {"lie": {"jwks_uri": "file:///etc/passwd"}}]:
        issuer.redirect, issuer.lie = manners.get("redirect"), manners.get("lie", {})
        issuer.asked.clear()
        it = Federation(make_server("--oidc-ca", str(issuer.ca), "--oidc-allow-private"), issuer, [])
        status, code = it.says(issuer.token())
        assert (status, code) in [(400, "InvalidIdentityToken"), (400, "IDPCommunicationError")]
        assert issuer.asked == ["/.well-known/openid-configuration"]


def test_keys_in_a_file_need_no_network(make_server, issuer, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(issuer.keys()))
    it = Federation(make_server("--oidc-jwks", f"{issuer.url}={file}"), issuer, [])
    it.assume(issuer.token())
    old = issuer.token()
    issuer.key = ec.generate_private_key(ec.SECP256R1())
    file.write_text(json.dumps(issuer.keys()))
    it.assume(issuer.token())
    assert it.says(old) == (400, "InvalidIdentityToken")
    assert issuer.asked == []


def test_unsigned_requests_are_for_this_one_action(make_server, issuer):
    it = Federation(make_server("--oidc-ca", str(issuer.ca), "--oidc-allow-private"), issuer, [])
    for call, arguments in [
        ("assume_role", {"RoleArn": it.role, "RoleSessionName": "session"}),
        ("get_caller_identity", {}), ("get_session_token", {}),
        ("decode_authorization_message", {"EncodedMessage": "x"}),
    ]:
        error = refused(getattr(it.sts, call), **arguments)
        assert (error.status, error.code) == (403, "MissingAuthenticationToken"), call
    # IAM has nothing for strangers.
    iam = it.clients.boto(service="iam", signature_version=botocore.UNSIGNED)
    assert refused(iam.list_users).status == 403

    def post(body):
        request = urllib.request.Request(it.clients.access.http, data=body, method="POST",
                                         headers={"Content-Type": "application/x-www-form-urlencoded"})
        try:
            urllib.request.urlopen(request, timeout=30)
            return 200
        except urllib.error.HTTPError as error:
            return error.code

    form = {"Version": "2011-06-15", "Action": "AssumeRoleWithWebIdentity", **it.arguments(issuer.token())}
    assert post(urllib.parse.urlencode(form).encode()) == 200
    assert post(urllib.parse.urlencode({**form, "ProviderId": "www.amazon.com"}).encode()) == 400
    assert post(urllib.parse.urlencode({**form, "WebIdentityToken": "x" * 20_001}).encode()) == 400
    assert post(b"Action=AssumeRoleWithWebIdentity&x=" + b"x" * (65 << 10)) == 403
    assert post(b"\xff\xfe") in (400, 403)


def test_providers_are_managed_as_on_aws(make_server, issuer):
    iam = Clients(make_server().access()).boto(service="iam")
    url, arn = "https://token.actions.githubusercontent.com", "oidc-provider/token.actions.githubusercontent.com"
    made = iam.create_open_id_connect_provider(Url=url, ClientIDList=["sts.amazonaws.com"],
                                               ThumbprintList=["6938fd4d98bab03faadb97b34396831e3780aea1"],
                                               Tags=[{"Key": "k", "Value": "v"}])
    provider = {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}
    assert made["OpenIDConnectProviderArn"].endswith(arn) and made["Tags"] == [{"Key": "k", "Value": "v"}]
    assert refused(iam.create_open_id_connect_provider, Url=url).code == "EntityAlreadyExists"
    iam.add_client_id_to_open_id_connect_provider(ClientID="two", **provider)
    iam.remove_client_id_from_open_id_connect_provider(ClientID="sts.amazonaws.com", **provider)
    iam.tag_open_id_connect_provider(Tags=[{"Key": "K2", "Value": "v2"}], **provider)
    iam.untag_open_id_connect_provider(TagKeys=["k"], **provider)
    shown = iam.get_open_id_connect_provider(**provider)
    assert shown["Url"] == "token.actions.githubusercontent.com" and shown["ClientIDList"] == ["two"]
    assert shown["Tags"] == iam.list_open_id_connect_provider_tags(**provider)["Tags"] == [{"Key": "K2", "Value": "v2"}]
    assert shown["ThumbprintList"] == ["6938fd4d98bab03faadb97b34396831e3780aea1"] and shown["CreateDate"]
    assert [it["Arn"] for it in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]] == \
        [made["OpenIDConnectProviderArn"]]
    iam.delete_open_id_connect_provider(**provider)
    assert refused(iam.get_open_id_connect_provider, **provider).code == "NoSuchEntity"
    assert refused(iam.create_open_id_connect_provider, Url="http://plain.example").code == "ValidationError"
