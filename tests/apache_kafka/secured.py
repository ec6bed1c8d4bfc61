"""What Apache Kafka needs to want TLS and a password of its clients, and a certificate that signs itself."""

from collections.abc import Sequence
from pathlib import Path

from processors.dev.process import LOOPBACK
from tests.apache_kafka.apache_kafka import program, run

STORE_PASSWORD = "only-for-this-test"
USER, PASSWORD = "salespulse", "hunter2"
MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
KEYTOOL_SECONDS = 60.0


def new_certificate(directory: Path) -> Path:
    """A certificate (PEM) for loopback, which signs itself; its key store lies beside it."""
    store = ["-keystore", str(directory / "keys.p12"), "-storepass", STORE_PASSWORD, "-alias", "broker"]
    names = ["-dname", "CN=localhost", "-ext", f"san=ip:{LOOPBACK},dns:localhost"]
    run([program("keytool"), "-genkeypair", "-keyalg", "EC", "-validity", "2", *store, *names], KEYTOOL_SECONDS)
    path = directory / "ca.pem"
    run([program("keytool"), "-exportcert", "-rfc", "-file", str(path), *store], KEYTOOL_SECONDS)
    return path


def secure_properties(listeners: Sequence[str], certificate: Path) -> dict[str, object]:
    """What a broker needs so that these listeners of the protocol SASL_SSL work."""
    jaas = f'{MODULE} required username="broker" password="b" user_broker="b" user_{USER}="{PASSWORD}";'
    return {
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        **{f"listener.name.{name.lower()}.plain.sasl.jaas.config": jaas for name in listeners},
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": certificate.with_name("keys.p12"),
        "ssl.keystore.password": STORE_PASSWORD,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificate,
    }
