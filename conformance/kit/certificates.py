"""Authorities and certificates for checks, made by the `openssl` program."""

import shutil
import subprocess
from pathlib import Path

from kit.report import Skip

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """An authority of its own, which issues certificates into a folder."""

    def __init__(self, folder, name):
        if not shutil.which("openssl"):
            raise Skip("needs openssl to make certificates")
        self.folder, self.name = Path(folder), name
        self.certificate, self.key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl("req", "-x509", *CURVE, "-days", "2", "-subj", f"/CN={name}", "-out", self.certificate, "-keyout", self.key)

    def issue(self, name, usage="serverAuth", alternative=""):
        """A certificate and its key, as file names; for a server give `alternative` names such as `IP:127.0.0.1`."""
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        extensions.write_text(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={alternative}\n" if alternative else ""), encoding="ascii")
        openssl("req", *CURVE, "-subj", f"/CN={name}", "-out", request, "-keyout", key)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", certificate)
        key.chmod(0o600)  # libpq refuses a key that others may read.
        return str(certificate), str(key)

    def server(self, name="server"):
        """A certificate for this machine."""
        return self.issue(name, alternative="IP:127.0.0.1,DNS:localhost")


def openssl(*arguments):
    """Runs it; says why when it fails."""
    done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"openssl {arguments[0]}: {' '.join(done.stderr.split())[-300:]}")
