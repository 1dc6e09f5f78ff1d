"""FCM, simulated: POST /v1/projects/{project}/messages:send, and the OAuth 2.0 endpoint that its access tokens come from."""

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any

import jwt
import orjson
from aiohttp import web

from tidings.sandbox import fcm_rules as rules
from tidings.sandbox import phone
from tidings.sandbox.context import Sandbox, answer_late
from tidings.sandbox.credentials import PROJECT_ID
from tidings.sandbox.faults import Fault
from tidings.sandbox.store import Message

NAME = "fcm"
TOKEN_PATH = "/token"
TOKEN_LIFE_S = 3599
MAX_ASSERTION_S = 3600  # how long a signed request for a token may be valid
SKEW_S = 300
SCOPES = frozenset({"https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"})
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"  # what google-auth writes, whatever the account's token_uri is
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """The doors of this provider."""
    tokens = Tokens(sandbox)
    return [
        web.post(TOKEN_PATH, tokens.grant),
        web.post("/v1/projects/{project}/messages:send", Fcm(sandbox, tokens).send),
    ]


def _json(body: object, status: int = 200, **headers: str) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


class Tokens:
    """The token endpoint. An access token carries its own end and signature, so that it outlives a restart, as Google's do."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._secret = sandbox.credentials.oauth_secret.encode()
        self._public = sandbox.credentials.fcm_key.public_key()

    async def grant(self, request: web.Request) -> web.Response:
        """Exchange a JWT that the service account signed for an access token."""
        form = await request.post()
        if form.get("grant_type") != GRANT:
            return self._refuse("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        assertion = form.get("assertion")
        if not isinstance(assertion, str):
            return self._refuse("invalid_request", "Missing required parameter: assertion")
        try:
            claims = jwt.decode(
                assertion,
                self._public,
                algorithms=["RS256"],
                audience=[self._sandbox.base_url + TOKEN_PATH, GOOGLE_AUDIENCE],
                issuer=self._sandbox.credentials.fcm_email,
                options={"require": ["iss", "aud", "exp", "iat"]},
                leeway=SKEW_S,
            )
        except jwt.InvalidSignatureError:
            return self._refuse("invalid_grant", "Invalid JWT Signature.")
        except jwt.InvalidIssuerError:
            return self._refuse("invalid_grant", "Invalid grant: account not found")
        except jwt.PyJWTError as error:
            return self._refuse("invalid_grant", f"Invalid JWT: {error}")
        if claims["exp"] - claims["iat"] > MAX_ASSERTION_S:
            words = (
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                "Check your iat and exp values in the JWT claim."
            )
            return self._refuse("invalid_grant", words)
        if not SCOPES & set(str(claims.get("scope", "")).split()):
            return self._refuse("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return _json({"access_token": self.make(), "expires_in": TOKEN_LIFE_S, "token_type": "Bearer"})

    def make(self) -> str:
        """A fresh access token."""
        text = f"{int(time.time()) + TOKEN_LIFE_S}.{secrets.token_hex(8)}"
        return f"ya29.{text}.{self._seal(text)}"

    def is_good(self, token: str) -> bool:
        """Whether the token endpoint made it, and it has not ended."""
        prefix, _, rest = token.partition(".")
        text, _, seal = rest.rpartition(".")
        end = text.partition(".")[0]
        return prefix == "ya29" and hmac.compare_digest(seal.encode(), self._seal(text).encode()) and int(end) > time.time()

    def _seal(self, text: str) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._secret, text.encode(), hashlib.sha256)).decode().rstrip("=")

    def _refuse(self, code: str, words: str) -> web.Response:
        self._sandbox.store.refuse(NAME)
        return _json({"error": code, "error_description": words}, 400)


class Fcm:
    """The messages:send door."""

    def __init__(self, sandbox: Sandbox, tokens: Tokens) -> None:
        self._sandbox = sandbox
        self._tokens = tokens

    async def send(self, request: web.Request) -> web.Response:
        """One call: one message to one device."""
        answer = self._check_call(request)
        if answer is None:
            answer = await self._take(request)
        if answer.status >= 400:
            self._sandbox.store.refuse(NAME)
        return answer

    def _check_call(self, request: web.Request) -> web.Response | None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not self._tokens.is_good(token):
            words = (
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
                "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
            )
            ask = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
            return _json(rules.error(401, "UNAUTHENTICATED", words), 401, **ask)
        project = request.match_info["project"]
        if project != PROJECT_ID:
            words = (
                "Permission 'cloudmessaging.messages.create' denied on resource "
                f"'//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist)."
            )
            return _json(rules.error(403, "PERMISSION_DENIED", words), 403)
        return None

    async def _take(self, request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return _json(rules.error(400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token."), 400)
        wrong = rules.check(body)
        if wrong:
            return _json(wrong, wrong["error"]["code"])
        name = f"projects/{PROJECT_ID}/messages/0:{time.time_ns() // 1000}%{secrets.token_hex(8)}"
        if body.get("validate_only") or body.get("validateOnly"):
            return _json({"name": f"projects/{PROJECT_ID}/messages/fake_message_id"})
        message = body["message"]
        target = next(str(message[kind]) for kind in rules.TARGETS if message.get(kind))
        fault = self._sandbox.faults.decide(NAME, [target])
        refusal = _refusal(fault)
        if refusal:
            return refusal
        self._arrive(message, target, name, fault)
        await answer_late(fault, request)
        return _json({"name": name})

    def _arrive(self, raw: dict[str, Any], target: str, name: str, fault: Fault | None) -> None:
        """Keep the message and let the phone confirm it."""
        sandbox = self._sandbox
        notification = raw.get("notification") or (raw.get("android") or {}).get("notification") or {}
        data: dict[str, str] = raw.get("data") or {}
        notification_id, device = phone.read_unverified(data.get(phone.RECEIPT, ""))
        message = sandbox.store.add(
            Message(
                provider=NAME,
                channel="push",
                to=target,
                sender=PROJECT_ID,
                notification_id=data.get("tidings_id", notification_id),
                provider_id=name,
                at_ms=sandbox.now_ms(),
                device=device,
                title=notification.get("title", ""),
                text=notification.get("body", ""),
                data=data,
                fault=fault.kind if fault else "",
            )
        )
        if (fault is None or fault.kind != "bounce") and phone.send_receipt(sandbox.outbox, data, "delivered"):
            sandbox.store.note(message, "delivered", sandbox.now_ms())


def _refusal(fault: Fault | None) -> web.Response | None:
    match fault.kind if fault else "":
        case "invalid":
            words = "The registration token is not a valid FCM registration token"
            return _json(rules.error(400, "INVALID_ARGUMENT", words, rules.fcm_detail("INVALID_ARGUMENT")), 400)
        case "unregistered":
            words = "Requested entity was not found."
            return _json(rules.error(404, "NOT_FOUND", words, rules.fcm_detail("UNREGISTERED")), 404)
        case "throttle" if fault:
            words = "Quota exceeded for quota metric 'Messages sent' of service 'fcm.googleapis.com'."
            body = rules.error(429, "RESOURCE_EXHAUSTED", words, rules.fcm_detail("QUOTA_EXCEEDED"))
            return _json(body, 429, **{"Retry-After": str(fault.retry_after_s)})
        case "error" if fault:
            internal = fault.status == 500
            words = "Internal error encountered." if internal else "The service is currently unavailable."
            code = "INTERNAL" if internal else "UNAVAILABLE"
            return _json(rules.error(fault.status, code, words, rules.fcm_detail(code)), fault.status)
    return None
