#!/usr/bin/env python3
"""A second reader of backups, written from FORMAT.md (section 20) alone: verifies manifests and pieces, restores the files of one
backup, and reads every object of it with the second reader of stores.

The place is a directory; the objects of a bucket are one when they were copied (`aws s3 sync`).
Usage: backup.py PLACE --restore DIR (--key-file FILE | ... | --escrow FILE --identity FILE) [--number N] [--sse-c-key FILE ...] [--out DIR]
"""

import argparse
import hashlib
import hmac
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from formats import Refused, derive, equal, need, open_ring  # noqa: E402
from store import SNAPSHOT, Store, add_openers, given_openers, report_objects, unseal  # noqa: E402

HEAD = re.compile(rb'\{"strongroom-backup":1,"mac":"([0-9a-f]{64})"\}')
# Of journal files, a snapshot, blob files, and both copies of shred files.
PATH = re.compile(r"meta/journal/\d{8,}\.srj|meta/snapshot/\d{20}\.srs|blobs/blobs/([0-9a-f]{2})/\1[0-9a-f]{30}|shreds/[ab]/([0-9a-f]{32})")
OBJECT = re.compile(r"[a-z]+(/[0-9A-Za-z-]+)+")


class Backup:
    """One backup of a place, its manifest verified."""

    def __init__(self, place, number=None, **given):
        self.place = pathlib.Path(place)
        self.raw = {int(path.stem): path.read_bytes() for path in (self.place / "manifests").glob("*.json")
                    if re.fullmatch(r"\d{8,}", path.stem)}
        need(self.raw, "there is no backup")
        self.number = max(self.raw) if number is None else number
        need(self.number in self.raw, "there is no backup of that number")
        # Only what opens the ring can tell whether the manifest is the store's: until then its ring is not believed.
        mac, text = parts_of(self.raw[self.number])
        self.stored_ring = self.piece(json.loads(text)["ring"])
        self.unseal_key = unseal(self.stored_ring, **given)
        self.ring = open_ring(self.stored_ring, self.unseal_key)
        self.key = derive(bytes(64), self.ring["services"][SNAPSHOT], "strongroom/1 backup", self.ring["id"], 32)
        self.manifest = self.verified(self.number)

    def verified(self, number):
        """The body of a manifest, after its MAC."""
        mac, text = parts_of(self.raw[number])
        own = hmac.new(self.key, hashlib.sha256(text).digest(), hashlib.sha256).hexdigest()
        need(equal(own.encode(), mac), "MAC of the manifest")
        manifest = json.loads(text)
        need(manifest["number"] == number, "number of the manifest")
        need(manifest["ring_id"] == self.ring["id"].hex(), "ring of the manifest")
        return manifest

    def piece(self, piece):
        need(OBJECT.fullmatch(piece["object"]), "name of an object")
        offset = piece.get("offset", 0)
        try:
            data = (self.place / piece["object"]).read_bytes()[offset:offset + piece["len"]]
        except OSError as error:
            raise Refused(f"{piece['object']} cannot be read") from error
        need(hashlib.sha256(data).hexdigest() == piece["sha256"], f"{piece['object']} is not what was backed up")
        return data

    def destroyed(self):
        """Shred keys that were destroyed after this backup."""
        found = set()
        for number in sorted(self.raw):
            if number > self.number:
                try:
                    found |= {it["shred"] for it in self.verified(number).get("destroyed", [])}
                except (Refused, ValueError, KeyError):
                    continue
        return found

    def files(self):
        """Path and bytes of every file, without the shred files that are destroyed."""
        destroyed = self.destroyed()
        for path, file in self.manifest["files"].items():
            found = PATH.fullmatch(path)
            need(found, f"path {path}")
            if found[2] not in destroyed:
                yield path, b"".join(self.piece(piece) for piece in file["pieces"])

    def restore(self, target):
        """Writes the data directory; how many files and bytes."""
        target, count, length = pathlib.Path(target), 0, 0
        target.mkdir(mode=0o700, parents=True)
        for path, data in [*self.files(), *((f"ring/ring.{copy}", self.stored_ring) for copy in "ab")]:
            (target / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (target / path).write_bytes(data)
            (target / path).chmod(0o600)
            if not path.startswith("ring/"):
                count, length = count + 1, length + len(data)
        return count, length

    def told(self):
        names = ("number", "ring_id", "mark", "marked", "bytes", "blobs", "shreds", "unreadable", "lineage", "previous")
        return {name: self.manifest.get(name) for name in names} | {"destroyed_since": sorted(self.destroyed())}


def parts_of(raw):
    """MAC and body of a manifest's file."""
    head, _, body = raw.partition(b"\n")
    found = HEAD.fullmatch(head)
    need(found, "head of the manifest")
    return found[1], body


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=pathlib.Path)
    parser.add_argument("--restore", type=pathlib.Path, required=True, help="the data directory to make")
    parser.add_argument("--number", type=int, help="the newest, if left out")
    add_openers(parser)
    args = parser.parse_args()
    opened = Backup(args.place, args.number, **given_openers(args))
    count, length = opened.restore(args.restore)
    customer_keys = [path.read_bytes() for path in args.sse_c_key]
    store = Store(args.restore, customer_keys, unseal_key=opened.unseal_key)
    need(store.rows.last >= opened.manifest["mark"], "the journal ends before the backup's mark")
    told = opened.told() | {"files": count, "restored_bytes": length, "last_commit": store.rows.last}
    return report_objects(store, args, {"backup": told})


if __name__ == "__main__":
    sys.exit(main())
