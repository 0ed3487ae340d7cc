"""kill -9 while keys are rotated, imported, destroyed and objects re-encrypted: nothing undecryptable, nothing back.

STRONGROOM_CRASH_CYCLES sets the number of kills (5 here in CI).
"""

import os
import random
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from conftest import Clients, new_bucket

CYCLES = max(5, int(os.environ.get("STRONGROOM_CRASH_CYCLES", "10")) // 2)
SEED = int(os.environ.get("STRONGROOM_CRASH_SEED", str(random.randrange(1 << 32))))
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


class Died(Exception):
    """The server went away: what was asked may or may not have happened."""


def ask(call, **more):
    try:
        return call(**more)
    except ClientError:
        raise
    except BotoCoreError as error:
        raise Died from error


class Worker(threading.Thread):
    def __init__(self, clients, state, rng):
        super().__init__(daemon=True)
        self.kms, self.s3 = clients.boto(service="kms"), clients.boto()
        self.state, self.rng, self.error, self.done = state, rng, None, 0

    def run(self):
        try:
            while True:
                self.step()
                self.done += 1
        except Died:
            pass
        except BaseException as error:  # Reported by the main thread.
            self.error = error


class Rotator(Worker):
    """Rotates, and encrypts under every material."""

    def step(self):
        state = self.state
        if state["rotations"] >= 25 or "key" not in state:
            state["key"] = ask(self.kms.create_key)["KeyMetadata"]["KeyId"]
            state["rotations"] = 0
        text = self.rng.randbytes(20)
        blob = ask(self.kms.encrypt, KeyId=state["key"], Plaintext=text)["CiphertextBlob"]
        state["blobs"].append((blob, text))
        state["rotations"] += 1
        ask(self.kms.rotate_key_on_demand, KeyId=state["key"])


class Importer(Worker):
    """Imports the same material again and again and takes it away; `present` may be unknown (None) after a kill."""

    def step(self):
        state = self.state
        if "key" not in state:
            state["key"] = ask(self.kms.create_key, Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
            state["present"] = False
        was, state["present"] = state["present"], None
        if was:
            ask(self.kms.delete_imported_key_material, KeyId=state["key"])
            state["present"] = False
            return
        params = ask(self.kms.get_parameters_for_import, KeyId=state["key"], WrappingAlgorithm="RSAES_OAEP_SHA_256",
                     WrappingKeySpec="RSA_2048")
        wrapped = serialization.load_der_public_key(params["PublicKey"]).encrypt(state["material"], OAEP)
        ask(self.kms.import_key_material, KeyId=state["key"], ImportToken=params["ImportToken"],
            EncryptedKeyMaterial=wrapped, ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
        state["present"] = True
        if not state["blobs"]:
            text = self.rng.randbytes(20)
            state["blobs"].append((ask(self.kms.encrypt, KeyId=state["key"], Plaintext=text)["CiphertextBlob"], text))


class Switcher(Worker):
    """Enables, disables, schedules and cancels one key."""

    def step(self):
        state = self.state
        if "key" not in state:
            state["key"] = ask(self.kms.create_key)["KeyMetadata"]["KeyId"]
            state["is"] = {"Enabled"}
        now = next(iter(state["is"]))
        call, after = {"Enabled": (self.kms.disable_key, "Disabled"),
                       "Disabled": self.rng.choice([(self.kms.enable_key, "Enabled"),
                                                    (self.kms.schedule_key_deletion, "PendingDeletion")]),
                       "PendingDeletion": (self.kms.cancel_key_deletion, "Disabled")}[now]
        state["is"] = {now, after}
        ask(call, KeyId=state["key"])
        state["is"] = {after}


class Reencrypter(Worker):
    """Moves objects between keys without touching them, and writes new ones."""

    def step(self):
        state = self.state
        if "keys" not in state:
            state["keys"] = [ask(self.kms.create_key)["KeyMetadata"]["Arn"] for _ in range(2)]
        name, body = f"o{self.rng.randrange(12)}", self.rng.randbytes(self.rng.choice([10, 70_000, 300_000]))
        if name not in state["bodies"] or self.rng.random() < 0.3:
            state["bodies"][name] = {*state["bodies"].get(name, {None}), body}
            ask(self.s3.put_object, Bucket=state["bucket"], Key=name, Body=body)
            state["bodies"][name] = {body}
        elif len(state["bodies"][name]) == 1:
            sse = {"KMSKeyArn": self.rng.choice(state["keys"]), "BucketKeyEnabled": self.rng.random() < 0.5}
            ask(self.s3.update_object_encryption, Bucket=state["bucket"], Key=name, ObjectEncryption={"SSEKMS": sse})


@pytest.mark.timeout(120 + 30 * CYCLES)
def test_keys_and_what_they_open_survive_kill(make_server):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    server = make_server(trace=False)
    bucket = new_bucket(Clients(server.access()).boto())
    states = {Rotator: {"blobs": [], "rotations": 0}, Importer: {"blobs": [], "material": rng.randbytes(32)},
              Switcher: {}, Reencrypter: {"bucket": bucket, "bodies": {}}}
    done = 0
    for cycle in range(CYCLES):
        clients = Clients(server.access())
        workers = [kind(clients, state, random.Random(rng.randrange(1 << 32))) for kind, state in states.items()]
        for worker in workers:
            worker.start()
        # The moment of the kill is the experiment, not a synchronisation.
        time.sleep(rng.uniform(0.2, 2))
        server.kill()
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive()
            if worker.error:
                raise worker.error
            done += worker.done
        server.start()
        clients = Clients(server.access())
        kms, s3 = clients.boto(service="kms"), clients.boto()
        place = f"seed {SEED}, cycle {cycle}"
        for blob, text in states[Rotator]["blobs"]:
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == text, place
        check_import(kms, states[Importer], place)
        if "key" in states[Switcher]:
            found = kms.describe_key(KeyId=states[Switcher]["key"])["KeyMetadata"]["KeyState"]
            assert found in states[Switcher]["is"], place
            states[Switcher]["is"] = {found}
        for name, possible in states[Reencrypter]["bodies"].items():
            try:
                got = s3.get_object(Bucket=bucket, Key=name)["Body"].read()
            except s3.exceptions.NoSuchKey:
                got = None
            assert got in possible, f"{place}: {name}"
            states[Reencrypter]["bodies"][name] = {got}
        states[Reencrypter]["bodies"] = {k: v for k, v in states[Reencrypter]["bodies"].items() if v != {None}}
    assert done > CYCLES * 4, f"only {done} operations: the test tested nothing"


def check_import(kms, state, place):
    if "key" not in state:
        return
    found = kms.describe_key(KeyId=state["key"])["KeyMetadata"]["KeyState"]
    if state["present"] is None:
        state["present"] = found == "Enabled"
    assert found == ("Enabled" if state["present"] else "PendingImport"), place
    for blob, text in state["blobs"]:
        if state["present"]:
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == text, place
        else:
            with pytest.raises(kms.exceptions.KMSInvalidStateException):
                kms.decrypt(CiphertextBlob=blob)
