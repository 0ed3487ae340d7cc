#!/usr/bin/env python3
"""A second evaluator of AWS's policy language, written from its documentation, by another approach.

It reads one case in JSON a line, and prints for each what is decided and which statements apply.
Patterns become regular expressions, addresses and dates are the standard library's, and a decision
is set algebra: which layers consent, and which of them each way of being named demands. Slow.
"""

import datetime
import functools
import ipaddress
import json
import re
import sys

LAYERS = ("identity", "boundary", "session")
ELEMENTS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
LOCKOUT_REPAIR = {"s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"}


class Unreadable(Exception):
    """A text that is no policy."""


class Unresolved(Exception):
    """A variable without a value."""


# --- Documents ------------------------------------------------------------------------------------


def once(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise Unreadable
    return dict(pairs)


def listed(value):
    return value if isinstance(value, list) else [value]


@functools.lru_cache(maxsize=1000)
def parse(text):
    try:
        document = json.loads(text, object_pairs_hook=once)
    except ValueError as error:
        raise Unreadable from error
    if not isinstance(document, dict) or set(document) - {"Version", "Id", "Statement"}:
        raise Unreadable
    version = document.get("Version", "2008-10-17")
    statements = listed(document.get("Statement", []))
    if version not in ("2008-10-17", "2012-10-17") or not statements:
        raise Unreadable
    for statement in statements:
        twice = any({name, "Not" + name} <= set(statement) for name in ("Principal", "Action", "Resource"))
        if set(statement) - ELEMENTS or twice or statement.get("Effect") not in ("Allow", "Deny"):
            raise Unreadable
    return version == "2012-10-17", statements


# --- Patterns -------------------------------------------------------------------------------------

TOKEN = re.compile(
    r"""\$\{(?P<escape>[*?$])\}
      | \$\{[ ]*(?P<key>[^,}]*?)[ ]*(?:,[ ]*'(?P<default>[^']*)'[ ]*)?\}
      | (?P<never>\$\{[^}]*\})
      | (?P<one>.)""",
    re.VERBOSE | re.DOTALL,
)
PLAIN = re.compile(r"(?P<one>.)", re.DOTALL)


def tokens(text, variables):
    """Pairs of a kind (`text`, `glob`, `variable`, `never`) and its content."""
    for match in (TOKEN if variables else PLAIN).finditer(text):
        found = match.groupdict()
        if found.get("escape") is not None:
            yield "text", found["escape"]
        elif found.get("key") is not None:
            yield "variable", (found["key"], found["default"])
        elif found.get("never") is not None:
            yield "never", None
        else:
            yield ("glob" if found["one"] in "*?" else "text"), found["one"]


def lowered(text):
    return "".join(letter.lower() for letter in text)


def regex(parts, request, wildcards=True, fold=False):
    out = []
    for kind, content in parts:
        if kind == "glob" and wildcards:
            out.append(".*" if content == "*" else ".")
            continue
        if kind == "never":
            raise Unresolved
        if kind == "variable":
            key, default = content
            content = request.single(key)
            if content is None:
                content = default
            if content is None:
                raise Unresolved
        out.append(re.escape(lowered(content) if fold else content))
    return "".join(out)


def full(pattern, text):
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def text_matches(pattern, text, request, variables, wildcards, fold):
    expression = regex(tokens(pattern, variables), request, wildcards, fold)
    return full(expression, lowered(text) if fold else text)


def arn_matches(pattern, arn, request, variables):
    if pattern == "*":
        return True
    fields = [[]]
    for token in tokens(pattern, variables):
        if token == ("text", ":") and len(fields) < 6:
            fields.append([])
        else:
            fields[-1].append(token)
    expressions = [regex(field, request) for field in fields]
    parts = arn.split(":", 5)
    return len(parts) == len(expressions) and all(map(full, expressions, parts))


def actions_match(pattern, action):
    return full(regex(tokens(pattern.lower(), False), None), action.lower())


# --- The request ----------------------------------------------------------------------------------


def iso(millis):
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis % 1000:03}Z"


def truth(value):
    return "true" if value else "false"


class Request:
    """A case, and the values of its condition keys."""

    def __init__(self, case):
        self.case = case
        who = self.who = case["principal"]
        self.kind = who["kind"]
        self.account = who.get("account")
        self.own_arn = {
            "root": lambda: f"arn:aws:iam::{self.account}:root",
            "user": lambda: f"arn:aws:iam::{self.account}:user/{who['path']}",
            "session": lambda: f"arn:aws:sts::{self.account}:assumed-role/{who['role']}/{who['session']}",
            "federated": lambda: f"arn:aws:sts::{self.account}:federated-user/{who['name']}",
            "service": lambda: None,
            "anonymous": lambda: None,
        }[self.kind]()
        self.keys = self.services() | self.globals()

    def services(self):
        """What services bring. Keys of the request itself, and tags of principals, are not theirs."""
        keys = {name.lower(): values for name, values in self.case["conditions"]}
        context = self.case["context"]
        for name, value in sorted(context.items()):
            keys.setdefault("kms:encryptioncontext:" + name.lower(), []).append(value)
        if context:
            keys["kms:encryptioncontextkeys"] = list(context)
        return {name: values for name, values in keys.items() if not name.startswith("aws:principaltag/")}

    def globals(self):
        case, who = self.case, self.who
        via = case["via"]
        service = re.sub(r"^([^.]+)\..*(\.amazonaws\.com)$", r"\1\2", via) if via else None
        user_id = {
            "root": self.account,
            "user": who.get("id"),
            "session": f"{who.get('id')}:{who.get('session')}",
            "federated": f"{self.account}:{who.get('name')}",
            "service": None,
            "anonymous": "anonymous",
        }[self.kind]
        principal_type = {
            "root": "Account",
            "user": "User",
            "session": "AssumedRole",
            "federated": "FederatedUser",
            "service": None,
            "anonymous": "Anonymous",
        }[self.kind]
        address = ipaddress.ip_address(case["ip"])
        address = getattr(address, "ipv4_mapped", None) or address
        hidden = via or self.kind == "service"
        values = {
            "aws:calledvia": service,
            "aws:calledviafirst": service,
            "aws:calledvialast": service,
            "aws:currenttime": iso(case["received"]),
            "aws:epochtime": str(case["received"] // 1000),
            "aws:federatedprovider": case["provider"],
            "aws:multifactorauthpresent": None if case["mfa"] is None else truth(case["mfa"]),
            "aws:principalaccount": self.account,
            "aws:principalarn": case["role_arn"] if self.kind == "session" else self.own_arn,
            "aws:principalisawsservice": truth(self.kind == "service"),
            "aws:principalservicename": who["name"] if self.kind == "service" else None,
            "aws:principaltype": principal_type,
            "aws:requestedregion": case["region"],
            "aws:resourceaccount": case["owner"],
            "aws:securetransport": truth(case["tls"] is not None),
            "aws:sourceidentity": case["source_identity"],
            "aws:sourceip": None if hidden else str(address),
            "aws:tokenissuetime": None if case["token_issued"] is None else iso(case["token_issued"]),
            "aws:useragent": case["user_agent"],
            "aws:userid": user_id,
            "aws:username": who["path"].split("/")[-1] if self.kind == "user" else None,
            "aws:viaawsservice": truth(via is not None),
            "s3:signatureversion": "AWS4-HMAC-SHA256" if case["signed"] else None,
            "s3:tlsversion": case["tls"],
            "kms:calleraccount": self.account,
            "kms:viaservice": via,
        }
        for name, value in case["tags"]:
            values["aws:principaltag/" + name.lower()] = value
        # Of others than services these two are what the services bring.
        if source := who.get("source"):
            values["aws:sourcearn"] = source["arn"]
            values["aws:sourceaccount"] = source["account"]
        # Absent ones too: what services bring under such a name does not count.
        return {name: [] if value is None else [value] for name, value in values.items()}

    def values(self, key):
        return self.keys.get(key.lower(), [])

    def single(self, key):
        values = self.values(key)
        return values[0] if len(values) == 1 and key.lower() != "aws:calledvia" else None


# --- Conditions -----------------------------------------------------------------------------------


def seconds(text):
    if text.isdigit():
        return datetime.timedelta(seconds=int(text))
    match = re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d))?", text
    )
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    since = datetime.datetime(int(year), int(month), int(day)) - datetime.datetime(1970, 1, 1)
    since += datetime.timedelta(hours=int(hour or 0), minutes=int(minute or 0), seconds=int(second or 0))
    since += datetime.timedelta(milliseconds=int(((fraction or "") + "000")[:3]))
    if zone and zone != "Z":
        offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        since += -offset if zone[0] == "+" else offset
    return since


def network(text):
    found = ipaddress.ip_network(text, strict=False)
    if found.version == 6 and found.prefixlen >= 96 and found.network_address.ipv4_mapped:
        return ipaddress.ip_network((found.network_address.ipv4_mapped, found.prefixlen - 96))
    return found


def within(address, text):
    address = ipaddress.ip_address(address)
    address = getattr(address, "ipv4_mapped", None) or address
    return address in network(text)


ORDERS = {
    "Equals": lambda a, b: a == b,
    "LessThan": lambda a, b: a < b,
    "LessThanEquals": lambda a, b: a <= b,
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanEquals": lambda a, b: a >= b,
}


def number(text):
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        raise ValueError(text)
    return float(text)


def scalar(value):
    return truth(value) if isinstance(value, bool) else str(value)


def comparison(name, request, variables):
    """A function of a request's value and a policy's."""
    if name in ("StringEquals", "StringLike", "StringEqualsIgnoreCase"):
        wildcards, fold = name == "StringLike", name.endswith("IgnoreCase")
        return lambda value, wanted: text_matches(wanted, value, request, variables, wildcards, fold)
    if name in ("ArnEquals", "ArnLike"):
        return lambda value, wanted: arn_matches(wanted, value, request, variables)
    if name == "Bool":
        return lambda value, wanted: {value.lower(), wanted.lower()} in ({"true"}, {"false"})
    if name == "BinaryEquals":
        return lambda value, wanted: value == wanted
    if name == "IpAddress":
        return within
    kind, order = re.fullmatch("(Numeric|Date)(.*)", name).groups()
    convert = number if kind == "Numeric" else seconds
    return lambda value, wanted: ORDERS[order](convert(value), convert(wanted))


def compared(compare, value, wanted):
    try:
        return compare(value, wanted)
    except ValueError:
        return False


def condition_holds(operator, key, wanted, request, variables):
    values = request.values(key)
    wanted = [scalar(value) for value in listed(wanted)]
    if operator == "Null":
        return truth(not values) in {value.lower() for value in wanted}
    _, set_operator, name, if_exists = re.fullmatch(r"((ForAllValues|ForAnyValue):)?(.*?)(IfExists)?", operator).groups()
    positive = re.sub("^(String|Numeric|Date|Arn)Not", r"\1", name)
    positive = "IpAddress" if positive == "NotIpAddress" else positive
    negated = positive != name
    if positive in ("StringEqualsEquals", "ArnEqualsEquals"):
        raise AssertionError(operator)
    if not values:
        if if_exists or set_operator == "ForAllValues":
            return True
        return negated and set_operator is None
    compare = comparison(positive, request, variables)
    verdicts = set()
    for value in values:
        equal, unresolved = set(), False
        for one in wanted:
            try:
                equal.add(compared(compare, value, one))
            except Unresolved:
                unresolved = True
        if negated:
            verdicts.add(True not in equal and not unresolved)
        else:
            verdicts.add(True in equal)
    everyone = set_operator == "ForAllValues" or (negated and set_operator is None)
    return False not in verdicts if everyone else True in verdicts


# --- Statements -----------------------------------------------------------------------------------


def covers(statement, element, matches):
    """Whether `Action` or `Resource`, or its negation, speaks of the request."""
    if element in statement:
        return any(matches(pattern) is True for pattern in listed(statement[element]))
    if "Not" + element in statement:
        return all(matches(pattern) is False for pattern in listed(statement["Not" + element]))
    return False


def applies(statement, request, variables, layer):
    def resource_matches(pattern):
        try:
            return arn_matches(pattern, request.case["resource"], request, variables)
        except Unresolved:
            return None

    # A trust policy has no resources: it is about its role.
    of_role = layer == "resource" and request.case["kind"] == "trust" and not {"Resource", "NotResource"} & set(statement)
    return (
        covers(statement, "Action", lambda pattern: actions_match(pattern, request.case["action"]))
        and (of_role or covers(statement, "Resource", resource_matches))
        and all(
            condition_holds(operator, key, wanted, request, variables)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def names(element):
    """Pairs of a kind and a name."""
    if element == "*":
        return {("AWS", "*")}
    return {(kind, name) for kind, values in element.items() for name in listed(values)}


def ways(named, request):
    """In which ways a set of names speaks of the caller."""
    found = set()
    account = request.account
    if ("AWS", "*") in named:
        found.add("everyone")
    if account and named & {("AWS", account), ("AWS", f"arn:aws:iam::{account}:root")}:
        found.add("account")
    if account and ("CanonicalUser", request.case["canonical_id"]) in named:
        found.add("account")
    own = {
        "root": set(),
        "user": {("AWS", request.own_arn), ("AWS", request.who.get("id"))},
        "session": {("AWS", request.own_arn)},
        "federated": {("AWS", request.own_arn)},
        "service": {("Service", request.who.get("name"))},
        "anonymous": set(),
    }[request.kind]
    if request.case["provider"]:
        own = own | {("Federated", request.case["provider"])}
    if named & own:
        found.add("itself")
    if request.kind == "session" and named & {("AWS", request.case["role_arn"]), ("AWS", request.who["id"])}:
        found.add("role")
    if request.kind == "federated" and ("AWS", request.case["federator_arn"]) in named:
        found.add("federator")
    return found


# All of whose names must be listed for `NotPrincipal` to spare them.
SPARED = {
    "root": {"account"},
    "user": {"account", "itself"},
    "session": {"account", "itself", "role"},
    "federated": {"account", "itself"},
    "service": {"itself"},
    "anonymous": {"itself"},
}


def resource_statement_speaks(statement, request):
    """Whether it speaks of the caller, and in which ways it allows."""
    allow = statement["Effect"] == "Allow"
    if "Principal" in statement:
        found = ways(names(statement["Principal"]), request)
        return bool(found), found if allow else set()
    if allow:
        return False, set()
    if "NotPrincipal" in statement:
        found = ways(names(statement["NotPrincipal"]), request)
        return not ("everyone" in found or SPARED[request.kind] <= found), set()
    return True, set()


# --- Grants ---------------------------------------------------------------------------------------


def grant_ways(grant, request):
    case = request.case
    service, _, operation = case["action"].partition(":")
    if service != "kms":
        return set()
    found = set()
    own = grant["operations"]
    pairs = set(case["context"].items())
    equals, subset = grant["equals"], grant["subset"]
    meets = (equals is None or set(equals.items()) == pairs) and (subset is None or set(subset.items()) <= pairs)
    if operation in own:
        if operation == "CreateGrant":
            asked = set(request.values("kms:GrantOperations"))
            kinds = request.values("kms:GrantConstraintType")
            kept = equals is None or "EncryptionContextEquals" in kinds
            permitted = bool(asked) and asked <= set(own) and kept and meets
        else:
            permitted = meets or operation in ("DescribeKey", "RetireGrant")
        if permitted:
            found |= ways({("AWS", grant["grantee"])}, request)
    if operation == "RetireGrant" and grant["retiring"]:
        found |= ways({("AWS", grant["retiring"])}, request)
    return found


# --- Access control lists -------------------------------------------------------------------------

EVERYBODY = "http://acs.amazonaws.com/groups/global/AllUsers"
EVERY_ACCOUNT = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"

BUCKET_RIGHTS = {
    "READ": {"ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"},
    "WRITE": {"PutObject", "DeleteObject"},
    "READ_ACP": {"GetBucketAcl"},
    "WRITE_ACP": {"PutBucketAcl"},
}
OBJECT_RIGHTS = {
    "READ": {"GetObject", "GetObjectVersion", "GetObjectAttributes", "GetObjectVersionAttributes"},
    "WRITE": set(),
    "READ_ACP": {"GetObjectAcl", "GetObjectVersionAcl"},
    "WRITE_ACP": {"PutObjectAcl", "PutObjectVersionAcl"},
}
for rights in (BUCKET_RIGHTS, OBJECT_RIGHTS):
    rights["FULL_CONTROL"] = set().union(*rights.values())


def in_list(lists, which):
    return (lists or {}).get(which)


def object_is_of_another_account(case):
    """Then it is no matter of the bucket's policy, and not of the bucket's account either."""
    bucket, found = in_list(case["acls"], "bucket"), in_list(case["acls"], "object")
    return bool(found) and asked_of(case) in OBJECT_RIGHTS["FULL_CONTROL"] and found["owner"] != bucket["owner"]


def asked_of(case):
    service, _, action = case["action"].partition(":")
    return action if service == "s3" else None


def acl_ways(case, request):
    """Which lines of the lists speak of the request, and in which ways of the caller."""
    lists, action, caller = case["acls"], asked_of(case), case["canonical_id"]
    spoken = {}
    for which, rights in (("bucket", BUCKET_RIGHTS), ("object", OBJECT_RIGHTS)):
        found = in_list(lists, which)
        for index, (grantee, permission) in enumerate(found["grants"] if found else []):
            if action not in rights[permission]:
                continue
            if action == "DeleteObject" and not (lists["object"] and lists["object"]["owner"] == caller):
                continue
            if lists["ignores_public"] and grantee in (EVERYBODY, EVERY_ACCOUNT):
                continue
            if grantee == EVERYBODY:
                spoken[index] = "everyone"
            elif request.account and grantee in (EVERY_ACCOUNT, caller):
                spoken[index] = "account"
            elif grantee == LOG_DELIVERY and request.who.get("name") == "logging.s3.amazonaws.com" and request.kind == "service":
                spoken[index] = "itself"
    return spoken


# --- Decisions ------------------------------------------------------------------------------------


def decide(case):
    request = Request(case)
    own_account = request.account == case["owner"]
    foreign = object_is_of_another_account(case)
    root_repairs = (
        request.kind == "root" and own_account and case["kind"] == "ordinary" and case["action"].lower() in LOCKOUT_REPAIR
    )
    texts = {
        "identity": case["identity"],
        "boundary": [case["boundary"]] if case["boundary"] is not None else [],
        "session": case["session"],
        "resource": [case["resource_policy"]] if case["resource_policy"] is not None and not root_repairs else [],
    }
    try:
        policies = {layer: [parse(text) for text in layer_texts] for layer, layer_texts in texts.items()}
    except Unreadable:
        return "unreadable", []

    matched, effects, namings = set(), set(), set()
    for layer, layer_policies in policies.items():
        for place, (variables, statements) in enumerate(layer_policies):
            for index, statement in enumerate(statements):
                allow = statement["Effect"] == "Allow"
                if layer == "resource":
                    speaks, found = resource_statement_speaks(statement, request)
                    speaks = speaks and not (allow and foreign)
                else:
                    has_principal = bool({"Principal", "NotPrincipal"} & set(statement))
                    speaks, found = not (allow and has_principal), set()
                if speaks and applies(statement, request, variables, layer):
                    matched.add(f"{layer}/{place}/{index}")
                    effects.add((layer, statement["Effect"]))
                    namings |= found
    listed_ways = acl_ways(case, request)
    matched |= {f"acl/{index}" for index in listed_ways}
    namings |= set(listed_ways.values())
    if any(effect == "Deny" for _, effect in effects):
        return "explicit", sorted(matched)

    allowing = {layer for layer, effect in effects if effect == "Allow"}
    # Layers that are not there do not limit; but a federated user needs a session policy.
    consents = {layer for layer in ("boundary", "session") if not texts[layer]} | allowing
    if request.kind == "federated" and not texts["session"]:
        consents.discard("session")
    if request.kind == "root":
        consents.add("identity")

    is_session = request.kind in ("session", "federated")
    demands = {
        "itself": set(),
        "role": {"boundary", "session"},
        "federator": {"boundary", "session"},
        "everyone": {"boundary", "session"} if is_session else set(),
        "account": set(LAYERS),
    }

    def suffices(found):
        return any(demands[way] <= consents for way in found)

    if foreign:
        own_account = bool(request.account) and case["canonical_id"] == case["acls"]["object"]["owner"]
    by_policy = set(namings)
    explicit = case["kind"] != "ordinary"
    if case["kind"] == "key" and case["action"].lower() == "kms:retiregrant":
        by_policy, explicit = set(), False
    if request.kind in ("service", "anonymous"):
        allowed = bool(by_policy & {"itself", "everyone"})
        if request.kind == "anonymous" and case["kind"] == "key":
            allowed = False
    elif own_account:
        allowed = suffices(by_policy | (set() if explicit else {"account"}))
    else:
        allowed = bool(by_policy) and set(LAYERS) <= consents
    if not allowed:
        allowed = any(suffices(grant_ways(grant, request)) for grant in case["grants"])
    return ("allowed" if allowed else "implicit"), sorted(matched)


def main():
    for line in sys.stdin:
        outcome, matched = decide(json.loads(line))
        print(json.dumps({"outcome": outcome, "matched": matched}))


if __name__ == "__main__":
    main()
