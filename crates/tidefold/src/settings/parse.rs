//! Setting texts to values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidefold_telemetry::logging::Format;

use super::resolved::{Origin, Resolved, SettingError};

/// Reads settings by key and collects what is wrong.
pub(super) struct Reader<'a> {
    resolved: &'a Resolved,
    errors: Vec<SettingError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(resolved: &'a Resolved) -> Reader<'a> {
        Reader { resolved, errors: resolved.2.clone() }
    }

    pub(super) fn finish(self) -> Result<(), Vec<SettingError>> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    pub(super) fn text(&mut self, key: &'static str) -> String {
        self.resolved.0.get(key).map(|(text, _)| text.clone()).unwrap_or_default()
    }

    /// A text, if there is one.
    pub(super) fn given(&mut self, key: &'static str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// Texts with commas between them.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<String> {
        let text = self.text(key);
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    /// A whole number above 0, if there is one.
    pub(super) fn number(&mut self, key: &'static str) -> Option<u32> {
        self.given(key)?;
        self.read(key, "a whole number above 0", |text| text.parse().ok().filter(|n| *n > 0))
    }

    pub(super) fn path(&mut self, key: &'static str) -> PathBuf {
        self.text(key).into()
    }

    /// A file for TLS to the store. One that is set and not used would be a connection less safe than it looks.
    pub(super) fn of_tls(&mut self, key: &'static str) -> Option<PathBuf> {
        self.given(key)?;
        let on = matches!(self.text("store.tls").as_str(), "on" | "true");
        let unused = "of use while store.tls is off; set store.tls to on";
        self.read(key, unused, |text| on.then(|| text.into()))
    }

    pub(super) fn address(&mut self, key: &'static str) -> SocketAddr {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        self.read(key, "an address such as 127.0.0.1:8080", |text| text.parse().ok()).unwrap_or(nowhere)
    }

    pub(super) fn count(&mut self, key: &'static str) -> usize {
        self.read(key, "a whole number above 0", |text| text.parse().ok().filter(|n| *n > 0)).unwrap_or(1)
    }

    pub(super) fn bytes(&mut self, key: &'static str) -> usize {
        self.read(key, "a size such as 64MiB", parse_bytes).unwrap_or(1)
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Duration {
        self.read(key, "a duration such as 250ms, 10s or 2m", parse_duration).unwrap_or_default()
    }

    pub(super) fn switch(&mut self, key: &'static str) -> bool {
        let parse = |text: &str| match text {
            "on" | "true" => Some(true),
            "off" | "false" => Some(false),
            _ => None,
        };
        self.read(key, "on or off", parse).unwrap_or_default()
    }

    pub(super) fn log_format(&mut self, key: &'static str) -> Format {
        self.read(key, "auto, text or json", Format::named).unwrap_or_default()
    }

    pub(super) fn protocol(&mut self, key: &'static str) -> String {
        let known = |text: &str| ["classic", "consumer"].contains(&text).then(|| text.to_owned());
        self.read(key, "classic or consumer", known).unwrap_or_default()
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let fallback = (String::new(), Origin::Default);
        let (text, origin) = self.resolved.0.get(key).unwrap_or(&fallback);
        let value = parse(text);
        if value.is_none() {
            self.errors.push(SettingError::Invalid {
                origin: origin.clone(),
                key: key.to_owned(),
                text: text.clone(),
                expected,
            });
        }
        value
    }
}

/// `500`, `64KiB`, `1MiB`, `2GiB` (powers of 1,024) and `kB`, `MB`, `GB` (powers of 1,000).
#[must_use]
pub fn parse_bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: usize = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// `250ms`, `10s`, `2m`, `1h`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3_600)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_people_write_them() {
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("10 kB"), Some(10_000));
        assert_eq!(parse_bytes("12"), Some(12));
        assert_eq!(parse_bytes("12 parsecs"), None);
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("10"), None);
        assert_eq!(parse_duration("s"), None);
    }
}
