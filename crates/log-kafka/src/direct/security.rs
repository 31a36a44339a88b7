//! How a connection is secured: TLS and a login, by the same properties that librdkafka takes.

use std::fmt;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use rsasl::config::SASLConfig;
use rsasl::prelude::{Mechname, SASLClient};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::connection::{Connection, Stream, invalid};
use crate::settings::Settings;

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

/// The properties that are understood here. Any other one that begins like these would be passed over by our own connections.
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
    /// # Errors
    /// What the settings ask for and cannot be done, or files that cannot be read.
    pub(crate) fn of(settings: &Settings) -> Result<Security, String> {
        let known = |name: &&String| {
            KNOWN.contains(&name.as_str()) || !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        if let Some(name) = settings.properties.keys().find(|name| !known(name)) {
            return Err(format!("property {name} is not understood; what is: {}", KNOWN.join(", ")));
        }
        let property = |name: &str| settings.properties.get(name).map(String::as_str);
        let protocol = property("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        let (is_tls, is_login) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                let all = "plaintext, ssl, sasl_plaintext or sasl_ssl";
                return Err(format!("security.protocol is {protocol}; it is {all}"));
            }
        };
        let tls = if is_tls { Some(Tls::of(&property)?) } else { None };
        let login = if is_login { Some(Login::of(&property)?) } else { None };
        Ok(Security { tls, login })
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
    fn of<'a>(property: &impl Fn(&str) -> Option<&'a str>) -> Result<Tls, String> {
        fn at<E: fmt::Display>(name: &str) -> impl Fn(E) -> String {
            move |error| format!("{name} cannot be used ({error})")
        }
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(at("TLS"))?;
        builder.set_verify(SslVerifyMode::PEER);
        if let Some(authority) = property("ssl.ca.location") {
            builder.set_ca_file(authority).map_err(at("ssl.ca.location"))?;
        }
        if let Some(certificate) = property("ssl.certificate.location") {
            builder.set_certificate_chain_file(certificate).map_err(at("ssl.certificate.location"))?;
        }
        if let Some(key) = property("ssl.key.location") {
            let pem = std::fs::read(key).map_err(at("ssl.key.location"))?;
            let password = property("ssl.key.password").unwrap_or_default();
            let key = PKey::private_key_from_pem_passphrase(&pem, password.as_bytes());
            let key = key.map_err(at("ssl.key.location"))?;
            builder.set_private_key(&key).map_err(at("ssl.key.location"))?;
            builder.check_private_key().map_err(at("ssl.key.location"))?;
        }
        let checks_name = match property("ssl.endpoint.identification.algorithm").unwrap_or("https") {
            "https" => true,
            "none" => false,
            other => {
                return Err(format!("ssl.endpoint.identification.algorithm is {other}; it is https or none"));
            }
        };
        Ok(Tls { connector: builder.build(), checks_name })
    }
}

// === impl Login ===

impl Login {
    fn of<'a>(property: &impl Fn(&str) -> Option<&'a str>) -> Result<Login, String> {
        let all = MECHANISMS.join(", ");
        let mechanism = property("sasl.mechanism").or_else(|| property("sasl.mechanisms"));
        let mechanism = mechanism.ok_or_else(|| format!("sasl.mechanism is missing; it is one of {all}"))?;
        if !MECHANISMS.contains(&mechanism) {
            return Err(format!("sasl.mechanism is {mechanism}; it is one of {all}"));
        }
        let needed =
            |name: &str| property(name).map(str::to_owned).ok_or_else(|| format!("{name} is missing"));
        Ok(Login {
            mechanism: mechanism.to_owned(),
            user: needed("sasl.username")?,
            password: needed("sasl.password")?,
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

    fn of(properties: &[(&str, &str)]) -> Result<Security, String> {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Security::of(&Settings { properties: properties.collect(), ..Settings::default() })
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_name() {
        let scram = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ];
        for taken in [&[][..], &scram, &[("security.protocol", "ssl")], &[("fetch.min.bytes", "1")]] {
            assert!(of(taken).is_ok(), "{taken:?}");
        }
        for (refused, named) in [
            (&scram[..3], "sasl.password"),
            (&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")], "OAUTHBEARER"),
            (&[("security.protocol", "ssl"), ("ssl.keystore.location", "a.p12")], "ssl.keystore.location"),
            (&[("security.protocol", "ssl"), ("ssl.ca.location", "/no/such/file.pem")], "ssl.ca.location"),
            (&[("enable.ssl.certificate.verification", "false")], "enable.ssl.certificate.verification"),
            (&[("security.protocol", "tls")], "security.protocol"),
        ] {
            let error = of(refused).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
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
