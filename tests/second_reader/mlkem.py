"""ML-KEM-768 decapsulation, written from FIPS 203: what an escrow's recipient does (FORMAT.md, 21). Not in constant time."""

import hashlib
import hmac

K, N, Q = 3, 256, 3329
ETA, DU, DV = 2, 10, 4
ZETAS = [pow(17, int(f"{i:07b}"[::-1], 2), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * int(f"{i:07b}"[::-1], 2) + 1, Q) for i in range(128)]
ENCAPSULATION_KEY, DECAPSULATION_KEY, CIPHERTEXT = 384 * K + 32, 768 * K + 96, 32 * (DU * K + DV)


def decode(data, bits):
    """ByteDecode (algorithm 6)."""
    number, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    return [(number >> bits * i & mask) % (Q if bits == 12 else 1 << bits) for i in range(N)]


def encode(values, bits):
    """ByteEncode (algorithm 5)."""
    return sum(value << bits * i for i, value in enumerate(values)).to_bytes(32 * bits, "little")


def compress(values, bits):
    return [((value << bits) + Q // 2) // Q % (1 << bits) for value in values]


def decompress(values, bits):
    return [(value * Q + (1 << bits - 1)) >> bits for value in values]


def ntt(values):
    """Algorithm 9."""
    f, i, length = list(values), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
        length //= 2
    return f


def inverse_ntt(values):
    """Algorithm 10."""
    f, i, length = list(values), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [value * 3303 % Q for value in f]


def multiply(a, b):
    """MultiplyNTTs (algorithm 11)."""
    out = []
    for i, gamma in enumerate(GAMMAS):
        a0, a1, b0, b1 = a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]
        out += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def add(*polynomials):
    return [sum(values) % Q for values in zip(*polynomials)]


def dot(left, right):
    return add(*(multiply(a, b) for a, b in zip(left, right)))


def sample_ntt(seed):
    """Algorithm 7."""
    out, length = [], 168 * 5
    while True:
        data, out = hashlib.shake_128(seed).digest(length), []
        for at in range(0, length, 3):
            first, second, third = data[at:at + 3]
            for value in (first + 256 * (second % 16), second // 16 + 16 * third):
                if value < Q and len(out) < N:
                    out.append(value)
        if len(out) == N:
            return out
        length += 168


def sample_noise(seed, number):
    """SamplePolyCBD of the PRF's output (algorithm 8)."""
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([number])).digest(64 * ETA), "little")
    fields = [bits >> 4 * i & 15 for i in range(N)]
    return [((it & 1) + (it >> 1 & 1) - (it >> 2 & 1) - (it >> 3 & 1)) % Q for it in fields]


def encrypt(key, message, coins):
    """K-PKE.Encrypt (algorithm 14)."""
    t, rho = [decode(key[384 * i:384 * (i + 1)], 12) for i in range(K)], key[384 * K:]
    matrix = [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]
    y = [ntt(sample_noise(coins, i)) for i in range(K)]
    noise = [sample_noise(coins, K + i) for i in range(K)]
    u = [add(inverse_ntt(dot([matrix[j][i] for j in range(K)], y)), noise[i]) for i in range(K)]
    v = add(inverse_ntt(dot(t, y)), sample_noise(coins, 2 * K), decompress(decode(message, 1), 1))
    return b"".join(encode(compress(it, DU), DU) for it in u) + encode(compress(v, DV), DV)


def decrypt(key, ciphertext):
    """K-PKE.Decrypt (algorithm 15)."""
    first = ciphertext[:32 * DU * K]
    u = [ntt(decompress(decode(first[32 * DU * i:32 * DU * (i + 1)], DU), DU)) for i in range(K)]
    v = decompress(decode(ciphertext[32 * DU * K:], DV), DV)
    s = [decode(key[384 * i:384 * (i + 1)], 12) for i in range(K)]
    w = [(a - b) % Q for a, b in zip(v, inverse_ntt(dot(s, u)))]
    return encode(compress(w, 1), 1)


def decapsulate(key, ciphertext):
    """The shared secret (algorithm 18): of a ciphertext that was not made for this key, another."""
    assert len(key) == DECAPSULATION_KEY and len(ciphertext) == CIPHERTEXT
    secret, public, digest, rejection = key[:384 * K], key[384 * K:768 * K + 32], key[-64:-32], key[-32:]
    assert hashlib.sha3_256(public).digest() == digest
    message = decrypt(secret, ciphertext)
    shared = hashlib.sha3_512(message + digest).digest()
    if hmac.compare_digest(encrypt(public, message, shared[32:]), ciphertext):
        return shared[:32]
    return hashlib.shake_256(rejection + ciphertext).digest(32)
