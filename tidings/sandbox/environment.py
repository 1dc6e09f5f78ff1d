"""The settings that lead tidings to a running sandbox instead of the real providers. Pure."""

from dataclasses import dataclass

from tidings.sandbox.credentials import APNS_TOPIC, FROM_NUMBER, PROJECT_ID, SMTP_USERNAME, Credentials


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a sandbox listens."""

    host: str
    port: int  # SendGrid, Twilio, FCM with its token endpoint, the page and the control doors
    apns_port: int
    smtp_port: int

    @property
    def url(self) -> str:
        """Of the page and the HTTP simulators."""
        return f"http://{self.host}:{self.port}"


def environment(endpoints: Endpoints, credentials: Credentials, *, smtp_login: bool = False) -> dict[str, str]:
    """TIDINGS_* variables as core.config reads them; they hold the sandbox's secrets in the clear."""
    login = {"TIDINGS_SMTP__USERNAME": SMTP_USERNAME, "TIDINGS_SMTP__PASSWORD": credentials.smtp_password}
    return {
        "TIDINGS_SENDGRID__API_KEY": credentials.sendgrid_key,
        "TIDINGS_SENDGRID__BASE_URL": endpoints.url,
        "TIDINGS_SENDGRID__WEBHOOK_PUBLIC_KEY": credentials.webhook_public_key,
        "TIDINGS_SMTP__HOST": endpoints.host,
        "TIDINGS_SMTP__PORT": str(endpoints.smtp_port),
        "TIDINGS_SMTP__STARTTLS": "false",
        **(login if smtp_login else {}),
        "TIDINGS_TWILIO__ACCOUNT_SID": credentials.twilio_sid,
        "TIDINGS_TWILIO__AUTH_TOKEN": credentials.twilio_token,
        "TIDINGS_TWILIO__FROM_NUMBER": FROM_NUMBER,
        "TIDINGS_TWILIO__BASE_URL": endpoints.url,
        "TIDINGS_FCM__PROJECT_ID": PROJECT_ID,
        "TIDINGS_FCM__CREDENTIALS_FILE": str(credentials.service_account_file),
        "TIDINGS_FCM__BASE_URL": endpoints.url,
        "TIDINGS_APNS__KEY_FILE": str(credentials.apns_key_file),
        "TIDINGS_APNS__KEY_ID": credentials.apns_key_id,
        "TIDINGS_APNS__TEAM_ID": credentials.apns_team_id,
        "TIDINGS_APNS__TOPIC": APNS_TOPIC,
        "TIDINGS_APNS__BASE_URL": f"https://{endpoints.host}:{endpoints.apns_port}",
        "TIDINGS_APNS__CA_FILE": str(credentials.ca_file),
    }
