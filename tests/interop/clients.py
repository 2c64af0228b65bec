"""Every client by every way to TLS and every mechanism of AUTH that it speaks. A client's own message is compared where it
arrives; a table says what went through."""
import asyncio
import base64
import json
import smtplib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from common import ALICE, BOB, OURS, call, compare, find, message, unverified, wait_for

ISSUER, AUDIENCE = f"https://issuer.{OURS}", "submission"
# port, and whether it is TLS from the start
MODES = {"STARTTLS 587": ("submission", False), "STARTTLS 2525": ("submission_alt", False), "TLS 465": ("submissions", True)}
TOKENS, CERTIFICATES = ("XOAUTH2", "OAUTHBEARER"), ("EXTERNAL",)
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", *TOKENS, *CERTIFICATES)
# Versions that nobody has seen are not run.
PYTHON_PACKAGES = ("aiosmtplib==5.1.3", "scramp==1.5.0")


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Identities:
    """What alice logs in with besides her password: a token of an issuer, and a certificate of an authority."""

    def __init__(self, folder):
        self.authority, self.certificate, self.key = (folder / name for name in ("ca.pem", "alice.pem", "alice.key"))
        self.jwks = folder / "jwks.json"
        signing, request, names = folder / "issuer.key", folder / "alice.csr", folder / "alice.ext"
        root = folder / "ca.key"
        new = ["-newkey", "rsa:2048", "-nodes"]
        self.openssl("req", "-x509", *new, "-days", "2", "-subj", "/CN=authority", "-keyout", root, "-out", self.authority)
        self.openssl("req", *new, "-subj", "/CN=alice", "-keyout", self.key, "-out", request)
        names.write_text(f"subjectAltName=email:{ALICE}\nextendedKeyUsage=clientAuth\n")
        signed = ["-CA", self.authority, "-CAkey", root, "-CAcreateserial", "-days", "2", "-extfile", names]
        self.openssl("x509", "-req", "-in", request, *signed, "-out", self.certificate)
        self.openssl("genrsa", "-out", signing, "2048")
        self.token = self.signed(signing)

    @staticmethod
    def openssl(*arguments, stdin=None):
        command = ["openssl", *(str(argument) for argument in arguments)]
        return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout

    def signed(self, signing):
        """A JWT for alice (RFC 9068), and the key that it is checked with."""
        modulus = self.openssl("rsa", "-in", signing, "-noout", "-modulus").decode().strip().removeprefix("Modulus=")
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}
        self.jwks.write_text(json.dumps({"keys": [key]}))
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "email": ALICE, "iat": now, "exp": now + 3600}
        parts = ({"typ": "at+jwt", "alg": "RS256", "kid": "k"}, claims)
        token = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        return f"{token}.{base64url(self.openssl('dgst', '-sha256', '-sign', signing, stdin=token.encode()))}"

    def settings(self):
        return {
            "msa.auth.mechanisms": json.dumps(MECHANISMS),
            "msa.auth.client_authority_file": self.authority,
            "mda.oauth.issuer": ISSUER,
            "mda.oauth.audience": AUDIENCE,
            "mda.oauth.jwks_file": self.jwks,
        }


class Matrix:
    """One cell for each client, way to TLS and mechanism."""

    def __init__(self, postrider, identities, venv):
        self.postrider, self.identities = postrider, identities
        if not (venv / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", *PYTHON_PACKAGES], check=True)
        sys.path += [str(path) for path in venv.glob("lib/python*/site-packages")]
        self.curl_knows_scram = "gsasl" in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
        methods = subprocess.run(["msmtp", "--version"], capture_output=True, text=True).stdout.lower()
        self.msmtp_knows = [name for name in MECHANISMS if name.lower() in methods.replace(":", " ").split()]

    def clients(self):
        passwords = ("PLAIN", "LOGIN")
        curl = (*passwords, *(("SCRAM-SHA-256",) if self.curl_knows_scram else ()), *TOKENS, *CERTIFICATES)
        return {
            "smtplib": (self.smtplib, (*passwords, "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", *TOKENS, *CERTIFICATES)),
            "aiosmtplib": (self.aiosmtplib, (*passwords, "XOAUTH2")),
            "swaks": (self.swaks, passwords),
            "curl": (self.curl, curl),
            "msmtp": (self.msmtp, self.msmtp_knows),
            "s-nail": (self.s_nail, (*passwords, "OAUTHBEARER", *CERTIFICATES)),
        }

    def run(self):
        """Sends everything, then looks for everything; how many passed and failed."""
        begin = time.monotonic()
        cells = {}
        with ThreadPoolExecutor(4) as pool:
            for client, (send, mechanisms) in self.clients().items():
                for mode in MODES:
                    for mechanism in mechanisms:
                        subject = f"{client} {mode} {mechanism}"
                        content = message(subject, BOB, size=2000)
                        cells[client, mode, mechanism] = content, pool.submit(send, mode, mechanism, content)
            results = {}
            for cell, (content, sent) in cells.items():
                try:
                    sent.result()
                    self.arrived(*cell, content)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is this cell's failure
                    results[cell] = f"{type(error).__name__}: {error}"
                else:
                    results[cell] = None
        self.show(results)
        failed = sum(result is not None for result in results.values())
        print(f"{len(results)} ways to log in took {time.monotonic() - begin:.1f} s", flush=True)
        return len(results) - failed, failed

    def arrived(self, client, mode, mechanism, content):
        subject = f"{client} {mode} {mechanism}"
        arrived = wait_for(f'"{subject}"', lambda: find(self.postrider.mailbox(BOB), subject))
        if client == "s-nail":  # It writes the header section itself.
            body = content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
            assert arrived.partition(b"\n\n")[2] == body, "the body has changed"
        else:
            compare(content, arrived)
        # The protocol that the server says it has heard (RFC 3848).
        assert b"with ESMTPSA" in arrived or b"with UTF8SMTPSA" in arrived, arrived[:1000]

    @staticmethod
    def show(results):
        width = max(len(name) for name in MECHANISMS)
        for (client, mode, mechanism), result in results.items():
            if result:
                print(f"FAILED {client}, {mode}, {mechanism}: {result}")
        for client in dict.fromkeys(client for client, _, _ in results):
            print(f"{client:<{width + 4}}" + "  ".join(f"{mode:<13}" for mode in MODES))
            for mechanism in MECHANISMS:
                cells = [results.get((client, mode, mechanism), "-") for mode in MODES]
                if any(cell != "-" for cell in cells):
                    words = ("ok" if cell is None else cell if cell == "-" else "FAILED" for cell in cells)
                    print(f"  {mechanism:<{width}}  " + "  ".join(f"{word:<13}" for word in words))

    def port(self, mode):
        name, implicit = MODES[mode]
        return self.postrider.ports[name], implicit

    def context(self, mechanism):
        context = unverified()
        if mechanism in CERTIFICATES:
            context.load_cert_chain(self.identities.certificate, self.identities.key)
        return context

    def file(self, mode, mechanism, client, content):
        file = self.postrider.folder / f"{client}-{mode}-{mechanism}.eml"
        file.write_bytes(content)
        return file

    # The clients, one method each.

    def smtplib(self, mode, mechanism, content):
        port, implicit = self.port(mode)
        context = self.context(mechanism)
        opened = smtplib.SMTP_SSL("127.0.0.1", port, timeout=60, context=context) if implicit else None
        with opened or smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            if not implicit:
                client.starttls(context=context)
            client.ehlo()
            assert client.has_extn("auth") and mechanism in client.esmtp_features["auth"].split(), client.esmtp_features
            client.user, client.password = ALICE, self.postrider.password
            if mechanism == "PLAIN":
                client.auth(mechanism, client.auth_plain)
            elif mechanism == "LOGIN":
                client.auth(mechanism, client.auth_login)
            elif mechanism == "XOAUTH2":
                client.auth(mechanism, lambda _=None: f"user={ALICE}\1auth=Bearer {self.identities.token}\1\1")
            elif mechanism == "OAUTHBEARER":
                client.auth(mechanism, lambda _=None: f"n,a={ALICE},\1auth=Bearer {self.identities.token}\1\1")
            elif mechanism == "EXTERNAL":
                assert client.docmd("AUTH", "EXTERNAL =")[0] == 235
            else:
                self.scramp(client, mechanism)
            client.sendmail(ALICE, [BOB], content, mail_options=["BODY=8BITMIME"])

    def scramp(self, client, mechanism):
        """SCRAM by a library of its own, bound to the server's certificate."""
        import scramp

        binding = None
        if mechanism.endswith("-PLUS"):
            binding = "tls-server-end-point", client.sock
        exchange = scramp.ScramClient([mechanism], ALICE, self.postrider.password, channel_binding=binding)

        def step(line, expected):
            code, said = client.docmd(line)
            assert code == expected, (code, said)
            return base64.b64decode(said).decode() if code == 334 else said

        def encode(text):
            return base64.b64encode(text.encode()).decode()

        exchange.set_server_first(step(f"AUTH {mechanism} {encode(exchange.get_client_first())}", 334))
        exchange.set_server_final(step(encode(exchange.get_client_final()), 334))
        step("", 235)

    def aiosmtplib(self, mode, mechanism, content):
        import aiosmtplib

        port, implicit = self.port(mode)

        async def send():
            client = aiosmtplib.SMTP(
                hostname="127.0.0.1", port=port, use_tls=implicit, start_tls=not implicit, tls_context=unverified(), timeout=60
            )
            async with client:
                await client.ehlo()
                if mechanism == "PLAIN":
                    await client.auth_plain(ALICE, self.postrider.password)
                elif mechanism == "LOGIN":
                    await client.auth_login(ALICE, self.postrider.password)
                else:
                    await client.auth_xoauth2(ALICE, self.identities.token)
                await client.sendmail(ALICE, [BOB], content, mail_options=["BODY=8BITMIME"])

        asyncio.run(send())

    def swaks(self, mode, mechanism, content):
        port, implicit = self.port(mode)
        file = self.file(mode, mechanism, "swaks", content.removesuffix(b"\r\n"))
        command = ["swaks", "--server", f"127.0.0.1:{port}", "--tls-on-connect" if implicit else "--tls"]
        command += ["--auth", mechanism, "--auth-user", ALICE, "--auth-password", self.postrider.password]
        call([*command, "--from", ALICE, "--to", BOB, "--data", f"@{file}", "--silent", "2"])

    def curl(self, mode, mechanism, content):
        port, implicit = self.port(mode)
        file = self.file(mode, mechanism, "curl", content)
        scheme = "smtps" if implicit else "smtp"
        command = ["curl", "--silent", "--show-error", "--insecure", "--ssl-reqd", "--max-time", "60"]
        command += ["--url", f"{scheme}://127.0.0.1:{port}/client.test", "--mail-from", ALICE, "--mail-rcpt", BOB]
        command += ["--login-options", f"AUTH={mechanism}", "--upload-file", file]
        if mechanism in TOKENS:
            command += ["--user", f"{ALICE}:", "--oauth2-bearer", self.identities.token]
        elif mechanism in CERTIFICATES:
            command += ["--user", f"{ALICE}:", "--cert", self.identities.certificate, "--key", self.identities.key]
        else:
            command += ["--user", f"{ALICE}:{self.postrider.password}"]
        call(command)

    def msmtp(self, mode, mechanism, content):
        port, implicit = self.port(mode)
        secret = self.identities.token if mechanism in TOKENS else self.postrider.password
        command = ["msmtp", "--host=127.0.0.1", f"--port={port}", "--tls=on", f"--tls-starttls={'off' if implicit else 'on'}"]
        command += ["--tls-certcheck=off", f"--auth={mechanism.lower()}", f"--from={ALICE}", "--domain=client.test"]
        command += [f"--user={ALICE}", f"--passwordeval=echo {secret}"]
        if mechanism in CERTIFICATES:
            command += [f"--tls-cert-file={self.identities.certificate}", f"--tls-key-file={self.identities.key}"]
        call([*command, BOB], stdin=content.replace(b"\r\n", b"\n"))

    def s_nail(self, mode, mechanism, content):
        port, implicit = self.port(mode)
        secret = self.identities.token if mechanism in TOKENS else self.postrider.password
        scheme = "submissions" if implicit else "submission"
        user = ALICE.replace("@", "%40")
        login = user if mechanism in CERTIFICATES else f"{user}:{secret}"
        settings = [f"mta={scheme}://{login}@127.0.0.1:{port}", f"smtp-auth={mechanism.lower()}", "v15-compat", "tls-verify=ignore"]
        settings += [f"from={ALICE}", "hostname=client.test", "ttycharset=iso-8859-1", "sendcharsets=iso-8859-1", "mime-encoding=8b"]
        settings += ["DEAD=/dev/null", *([] if implicit else ["smtp-use-starttls"])]
        if mechanism in CERTIFICATES:
            settings += [f"tls-config-pairs=Certificate={self.identities.certificate},PrivateKey={self.identities.key}"]
        command = ["s-nail", "-:/", "-X", "unset record", *(part for setting in settings for part in ("-S", setting))]
        body = content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
        call([*command, "-s", f"s-nail {mode} {mechanism}", "-.", BOB], stdin=body)
