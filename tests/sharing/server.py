"""A web server of its own process: `python server.py FOLDER [CERTIFICATE KEY]` prints its port.

Besides the folder's files it has programs in /git, /endless, which never stops sending, and redirects.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
from functools import partial
from http.server import CGIHTTPRequestHandler, ThreadingHTTPServer

REDIRECTS = {
    "/moved": "/good.o1r",
    "/circle": "/circle",
    "/elsewhere": "http://192.0.2.1/good.o1r",
    "/file": "file:///etc/passwd",
    "/plain": "http://127.0.0.1:1/good.o1r",
}


class Handler(CGIHTTPRequestHandler):
    cgi_directories = ["/git"]
    have_fork = False  # it would become another user

    def do_GET(self) -> None:
        if self.path.startswith("/lead/"):  # a git repository that is said to be elsewhere
            self.send_response(302)
            self.send_header("Location", f"/git/backend/plain.git/{self.path.removeprefix('/lead/')}")
            self.end_headers()
        elif self.path in REDIRECTS:
            self.send_response(302)
            self.send_header("Location", REDIRECTS[self.path])
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"\0" * 2**20)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=sys.argv[1]))
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
