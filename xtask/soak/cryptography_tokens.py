"""Tokens, key derivation, signatures and certificates."""
import datetime
import sys

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

key = ec.generate_private_key(ec.SECP256R1())
now = datetime.datetime(2026, 1, 1)
size = 0
for turn in range(int(sys.argv[1])):
    box = Fernet(Fernet.generate_key())
    for n in range(50):
        assert box.decrypt(box.encrypt(b"text %d" % n)) == b"text %d" % n
        digest = hmac.HMAC(b"key", hashes.SHA256())
        digest.update(b"%d" % n)
        size += len(digest.finalize())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example%d.org" % turn)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(turn + 1).not_valid_before(now)
    builder = builder.not_valid_after(now + datetime.timedelta(days=9))
    names = x509.SubjectAlternativeName([x509.DNSName("n%d.example.org" % n) for n in range(9)])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    read = x509.load_pem_x509_certificate(pem)
    size += len(read.subject.rfc4514_string()) + len(list(read.extensions))
print(size)
