"""The page that asks for a password, and the way out."""

import asyncio
import re
import secrets
from html import escape
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, RedirectResponse

from gnomon_console.access import door as entrance
from gnomon_console.access.check import TooMany
from gnomon_console.access.door import LOGIN, Door
from gnomon_console.access.listening import loopback
from gnomon_console.access.sessions import LONGEST_S

#: Bytes of a form, and the seconds in which it has to come.
_LARGEST, _PATIENCE_S = 8192, 10.0

#: The longest address that is returned to.
_LONGEST = 4096

_TOKEN = re.compile(r"[\w-]{22}", re.ASCII)

_STYLE = """
:root { color-scheme: light dark; --page: #f3f4f6; --card: #fff; --word: #1f2733; --faint: #5b6472;
  --edge: #8a93a3; --bad: #b3122b; --act: #2459ab; }
:root.dark { color-scheme: dark; } :root.light { color-scheme: light; }
@media (prefers-color-scheme: dark) { :root:not(.light) { --page: #12151b; --card: #1b1f27;
  --word: #e6e9ef; --faint: #a3acba; --edge: #76808f; --bad: #ff8091; --act: #2f6fd0; } }
:root.dark { --page: #12151b; --card: #1b1f27; --word: #e6e9ef; --faint: #a3acba; --edge: #76808f;
  --bad: #ff8091; --act: #2f6fd0; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 16px;
  background: var(--page); color: var(--word); font: 16px/1.4 Roboto, system-ui, sans-serif; }
main { width: 100%; max-width: 340px; padding: 24px; border-radius: 6px; background: var(--card);
  border: 1px solid rgba(128, 128, 128, .22); }
h1 { margin: 0 0 16px; font-size: 20px; }
label { display: block; margin-top: 12px; font-size: 14px; color: var(--faint); }
input { width: 100%; margin-top: 4px; padding: 9px 10px; font: inherit; color: inherit;
  background: transparent; border: 1px solid var(--edge); border-radius: 4px; }
button { width: 100%; margin-top: 20px; padding: 10px; font: inherit; font-weight: 600;
  color: #fff; background: var(--act); border: 0; border-radius: 4px; cursor: pointer; }
:focus-visible { outline: 2px solid var(--act); outline-offset: 2px; }
[role=alert] { margin: 0 0 8px; color: var(--bad); font-size: 14px; }
.note { margin: 16px 0 0; color: var(--faint); font-size: 13px; }
"""

# A link from elsewhere brings no cookie, for that is what SameSite=Strict means; the same question
# from this page does. So whoever has logged in goes on without seeing a form twice.
_SCRIPT = """
fetch('/login/known').then(answer => {
  if (answer.status === 204) location.replace(document.forms[0].elements.next.value);
});
"""

_PLAIN = "This connection is not encrypted: others on the way can read the password."


class Login:
    """The routes of logging in and out."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.router = APIRouter(include_in_schema=False)
        self.router.get(LOGIN)(self.form)
        self.router.post(LOGIN)(self.take)
        self.router.get(f"{LOGIN}/known")(self.known)
        self.router.post("/logout")(self.leave)

    async def form(self, request: Request) -> Response:
        """Show the form, or lead on who has logged in."""
        wanted = local(request.query_params.get("next", ""))
        if not self._door.asks or self._door.session(request.scope):
            return RedirectResponse(wanted, 303)
        return self._page(request, wanted)

    async def known(self, request: Request) -> Response:
        """Say whether this browser has logged in: 204, or 401."""
        known = not self._door.asks or self._door.session(request.scope)
        return Response(status_code=204 if known else 401, headers={"Cache-Control": "no-store"})

    async def take(self, request: Request) -> Response:
        """Begin a session for a name with its password, and lead on."""
        given = await _fields(request)
        if given is None:
            return Response("no form", 413, media_type="text/plain")
        wanted = local(given.get("next", ""))
        if not self._door.asks:
            return RedirectResponse(wanted, 303)
        kept = entrance.cookies(request.scope).get(self._form_cookie(request), "")
        if not kept or not _same(kept, given.get("form", "")):
            return self._page(request, wanted, "The form was too old. Once more, please.", 403)
        user = given.get("user", "")
        try:
            stored = await self._door.check.stored(
                user, given.get("password", ""), entrance.address(request.scope)
            )
        except TooMany as error:
            text = f"Too many passwords were tried. Again in {error.after_s} s, please."
            answer = self._page(request, wanted, text, 429)
            answer.headers["Retry-After"] = str(error.after_s)
            return answer
        if stored is None:
            return self._page(request, wanted, "No such name with this password.", 401)
        if old := self._door.session(request.scope):
            self._door.sessions.end(old)
        token = self._door.sessions.begin(user, stored)
        answer = RedirectResponse(wanted, 303)
        self._keep(request, answer, self._door.cookie(request.scope), token)
        self._drop(request, answer, self._form_cookie(request))
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session, for a form of one of its own pages."""
        given = await _fields(request)
        session = self._door.session(request.scope)
        if session is not None:
            if given is None or not _same(session.form, given.get("form", "")):
                return Response("not from a page of this session", 403, media_type="text/plain")
            self._door.sessions.end(session)
        answer = RedirectResponse(LOGIN if self._door.asks else "/", 303)
        self._drop(request, answer, self._door.cookie(request.scope))
        return answer

    def _page(self, request: Request, wanted: str, said: str = "", status: int = 200) -> Response:
        nonce, kept = secrets.token_urlsafe(16), entrance.cookies(request.scope)
        # Two tabs with a form each have one cookie between them.
        form = kept.get(self._form_cookie(request), "")
        if not _TOKEN.fullmatch(form):
            form = secrets.token_urlsafe(16)
        chosen = kept.get("gnomon-dark", "")
        look = {"yes": "dark", "no": "light"}.get(chosen, "")
        alert = f'<p role="alert" id="said">{escape(said)}</p>' if said else ""
        about = ' aria-describedby="said"' if said else ""
        plain = not entrance.secure(request.scope) and not loopback(entrance.address(request.scope))
        note = f'<p class="note">{_PLAIN}</p>' if plain else ""
        script = "" if said else f'<script nonce="{nonce}">{_SCRIPT}</script>'
        page = f"""<!doctype html>
<html lang="en" class="{look}"><head><meta charset="utf-8"><title>Log in · Gnomon</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><style nonce="{nonce}">{_STYLE}</style></head>
<body><main><h1>Gnomon</h1>{alert}
<form method="post" action="{LOGIN}">
<label for="user">Name</label>
<input id="user" name="user" autocomplete="username" autocapitalize="none" spellcheck="false"
 maxlength="200" required autofocus{about}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="1000" required{about}>
<input type="hidden" name="next" value="{escape(wanted)}">
<input type="hidden" name="form" value="{form}">
<button>Log in</button></form>{note}</main>{script}</body></html>
"""
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
                " connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none';"
                " frame-ancestors 'none'"
            ),
        }
        answer = HTMLResponse(page, status, headers)
        self._keep(request, answer, self._form_cookie(request), form)
        return answer

    def _form_cookie(self, request: Request) -> str:
        return f"{self._door.cookie(request.scope)}-form"

    def _drop(self, request: Request, answer: Response, name: str) -> None:
        self._keep(request, answer, name, "", 0)

    def _keep(
        self, request: Request, answer: Response, name: str, value: str, age: int = int(LONGEST_S)
    ) -> None:
        answer.set_cookie(
            name,
            value,
            max_age=age,
            path="/",
            secure=entrance.secure(request.scope),
            httponly=True,
            samesite="strict",
        )


def local(address: str) -> str:
    """Return an address as a path of the console's own, "/" for any other."""
    bad = len(address) > _LONGEST or not address.startswith("/") or address[1:2] in {"/", "\\"}
    # Browsers drop tabs and line ends, and then read what is left.
    if bad or not address.isprintable():
        return "/"
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or parts.path == LOGIN:
        return "/"
    return quote(address, safe="/?&=%:,;+~@!$'()*[]#")


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


async def _fields(request: Request) -> dict[str, str] | None:
    """Return a form's fields, None for what is no small form or comes too slowly."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for part in request.stream():
                body += part
                if len(body) > _LARGEST:
                    return None
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except (TimeoutError, ValueError, ClientDisconnect):
        return None
    return {name: values[-1] for name, values in found.items()}
