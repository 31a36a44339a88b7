//! How a connection is secured: TLS and a login, by the same properties that librdkafka takes.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use rsasl::config::SASLConfig;
use rsasl::prelude::{Mechname, SASLClient};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::connection::{Connection, invalid};
use crate::settings::Settings;

/// What a connection is made of, plain or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How connections are secured.
#[derive(Clone, Default)]
pub(crate) struct Security {
    tls: Option<Tls>,
    login: Option<Login>,
}

#[derive(Clone)]
struct Tls {
    connector: SslConnector,
    checks_name: bool,
}

#[derive(Clone)]
struct Login {
    mechanism: String,
    user: String,
    password: String,
}

/// The properties that are understood here. Any other one that begins like these is for librdkafka alone.
const KNOWN: &[&str] = &[
    "security.protocol",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
];
const PREFIXES: &[&str] = &["security.", "ssl.", "sasl.", "enable.ssl.", "enable.sasl."];
const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

// === impl Security ===

impl Security {
    /// None where the settings ask for what only librdkafka does, or for files that cannot be read: it says what is wrong.
    pub(crate) fn of(settings: &Settings) -> Option<Security> {
        let ours = |name: &String| {
            KNOWN.contains(&name.as_str()) || !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        if !settings.properties.keys().all(ours) {
            return None;
        }
        let property = |name: &str| settings.properties.get(name).map(String::as_str);
        let protocol = property("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        let (is_tls, is_login) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => return None,
        };
        let tls = if is_tls { Some(Tls::of(&property).ok()?) } else { None };
        let login = if is_login { Some(Login::of(&property)?) } else { None };
        Some(Security { tls, login })
    }

    /// The stream, with TLS if that is asked for.
    pub(crate) async fn wrap(&self, stream: TcpStream, host: &str) -> io::Result<Box<dyn Stream>> {
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let mut configuration = tls.connector.configure()?;
        configuration.set_verify_hostname(tls.checks_name);
        let mut stream = SslStream::new(configuration.into_ssl(host)?, stream)?;
        Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
        Ok(Box::new(stream))
    }

    /// Logs in, if that is asked for.
    pub(crate) async fn log_in(&self, connection: &mut Connection) -> io::Result<()> {
        match &self.login {
            Some(login) => login.log_in(connection).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mechanism = self.login.as_ref().map(|login| &login.mechanism);
        f.debug_struct("Security").field("tls", &self.tls.is_some()).field("login", &mechanism).finish()
    }
}

// === impl Tls ===

impl Tls {
    fn of<'a>(property: &impl Fn(&str) -> Option<&'a str>) -> io::Result<Tls> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_verify(SslVerifyMode::PEER);
        if let Some(authority) = property("ssl.ca.location") {
            let path = Path::new(authority);
            if !path.is_file() {
                return Err(io::ErrorKind::NotFound.into());
            }
            builder.set_ca_file(path)?;
        }
        if let Some(certificate) = property("ssl.certificate.location") {
            builder.set_certificate_chain_file(certificate)?;
        }
        if let Some(key) = property("ssl.key.location") {
            let pem = std::fs::read(key)?;
            let password = property("ssl.key.password").unwrap_or_default();
            let key = PKey::private_key_from_pem_passphrase(&pem, password.as_bytes())?;
            builder.set_private_key(&key)?;
            builder.check_private_key()?;
        }
        let checks_name = match property("ssl.endpoint.identification.algorithm").unwrap_or("https") {
            "https" => true,
            "none" => false,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Tls { connector: builder.build(), checks_name })
    }
}

// === impl Login ===

impl Login {
    fn of<'a>(property: &impl Fn(&str) -> Option<&'a str>) -> Option<Login> {
        let mechanism = property("sasl.mechanism").or_else(|| property("sasl.mechanisms"))?;
        MECHANISMS.contains(&mechanism).then_some(())?;
        Some(Login {
            mechanism: mechanism.to_owned(),
            user: property("sasl.username")?.to_owned(),
            password: property("sasl.password")?.to_owned(),
        })
    }

    async fn log_in(&self, connection: &mut Connection) -> io::Result<()> {
        let mechanism = StrBytes::from_string(self.mechanism.clone());
        let answer = connection.call(&SaslHandshakeRequest::default().with_mechanism(mechanism), 1).await?;
        if let Some(error) = answer.error_code.err() {
            return Err(io::Error::other(format!("no login by {}: {error}", self.mechanism)));
        }
        let config = SASLConfig::with_credentials(None, self.user.clone(), self.password.clone());
        let mechanism = Mechname::parse(self.mechanism.as_bytes()).map_err(invalid)?;
        let client = SASLClient::new(config.map_err(invalid)?);
        let mut session = client.start_suggested(&[mechanism]).map_err(invalid)?;
        let mut told: Option<Bytes> = None;
        loop {
            let mut say = Vec::new();
            let state = session.step(told.as_deref(), &mut say).map_err(invalid)?;
            if state.has_sent_message() {
                let request = SaslAuthenticateRequest::default().with_auth_bytes(say.into());
                let answer = connection.call(&request, 1).await?;
                if let Some(error) = answer.error_code.err() {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, error.to_string()));
                }
                told = Some(answer.auth_bytes);
            }
            if state.is_finished() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(properties: &[(&str, &str)]) -> Option<Security> {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Security::of(&Settings { properties: properties.collect(), ..Settings::default() })
    }

    #[test]
    fn what_only_librdkafka_does_is_left_to_it() {
        let scram = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ];
        assert!(of(&[]).is_some() && of(&scram).is_some() && of(&[("security.protocol", "ssl")]).is_some());
        assert!(of(&[("fetch.min.bytes", "1")]).is_some());
        assert!(of(&scram[..3]).is_none(), "no password");
        assert!(of(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")]).is_none());
        assert!(of(&[("security.protocol", "ssl"), ("ssl.keystore.location", "a.p12")]).is_none());
        assert!(of(&[("security.protocol", "ssl"), ("ssl.ca.location", "/no/such/file.pem")]).is_none());
        assert!(of(&[("enable.ssl.certificate.verification", "false")]).is_none());
    }

    #[test]
    fn a_login_is_not_shown() {
        let shown = format!(
            "{:?}",
            of(&[
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "somebody"),
                ("sasl.password", "hunter2"),
            ])
        );
        assert!(
            shown.contains("PLAIN") && !shown.contains("hunter2") && !shown.contains("somebody"),
            "{shown}"
        );
    }
}
