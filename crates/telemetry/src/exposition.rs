//! Metrics as text, in the two formats that scrapers read, and which of them one asked for.
//!
//! Every metric has the same name, help and samples in both, and both pass `promtool check metrics`. Where they differ is
//! a counter: OpenMetrics takes `_total` as the ending of its samples only, so that name, help and type of its family
//! would stand under another name. There a counter is of unknown type instead, which is what a family without a `TYPE`
//! is; its name still says it.

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// How much OpenMetrics is worth to us beside the text format, in thousandths. Prometheus' own request weighs the two
/// 0.5 to 0.3 (or 0.6 to 0.4); it is answered with text, in which counters have their type.
const OPEN_METRICS_WORTH: u32 = 550;

// === impl Exposition ===

impl Exposition {
    /// The one that fits the lines of an `Accept` header best (RFC 9110, section 12.5.1). Whoever accepts neither, or says
    /// nothing that can be read, gets text: it is better than nothing.
    #[must_use]
    pub fn accepted<'a>(lines: impl IntoIterator<Item = &'a str>) -> Exposition {
        let ranges: Vec<Range<'_>> =
            lines.into_iter().flat_map(|line| line.split(',')).filter_map(Range::read).collect();
        let weight = |of: Exposition| {
            let fitting = ranges.iter().filter_map(|range| Some((range.fits(of)?, range.weight)));
            fitting.max().map_or(0, |(_, weight)| weight)
        };
        let (text, open) = (weight(Exposition::Text), weight(Exposition::OpenMetrics));
        if open * OPEN_METRICS_WORTH > text * 1_000 { Exposition::OpenMetrics } else { Exposition::Text }
    }

    /// Its `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// In this format, from what `prometheus_client` writes.
    pub(crate) fn written(self, encoded: &str) -> String {
        let mut out = String::with_capacity(encoded.len() + 1_024);
        let mut help = None;
        for line in encoded.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ');
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                let text = help.take().filter(|(of, _)| *of == name).map(|(_, text)| text);
                self.family(name, kind, text, &mut out);
            } else if line != "# EOF" && !(self == Exposition::Text && line.starts_with("# UNIT ")) {
                out.push_str(line);
                out.push('\n');
            }
        }
        if self == Exposition::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    /// The lines that stand before a family's samples.
    fn family(self, name: &str, kind: &str, help: Option<&str>, out: &mut String) {
        let ending = if kind == "counter" { "_total" } else { "" };
        if let Some(help) = help {
            out.push_str(&format!("# HELP {name}{ending} {help}\n"));
        }
        match (self, kind) {
            (Exposition::Text, "unknown") => out.push_str(&format!("# TYPE {name} untyped\n")),
            (Exposition::OpenMetrics, "counter") => {}
            _ => out.push_str(&format!("# TYPE {name}{ending} {kind}\n")),
        }
    }
}

/// One range of an `Accept` header.
struct Range<'a> {
    /// `text/plain`, `text/*`, `*/*`.
    media: &'a str,
    /// Its parameter `version`.
    version: Option<&'a str>,
    /// In thousandths.
    weight: u32,
}

// === impl Range ===

impl<'a> Range<'a> {
    /// One that cannot be read counts as not said.
    fn read(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| media.contains('/'))?;
        let mut range = Range { media, version: None, weight: 1_000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("q") {
                range.weight = weight(value)?;
            } else if name.trim().eq_ignore_ascii_case("version") {
                range.version = Some(value);
            }
        }
        Some(range)
    }

    /// How closely it names a format; the closest range that does decides.
    fn fits(&self, format: Exposition) -> Option<u8> {
        let (media, group, versions): (_, _, &[&str]) = match format {
            // Whoever reads a later text format reads this one.
            Exposition::Text => ("text/plain", "text/*", &["0.0.4", "1.0.0"]),
            Exposition::OpenMetrics => ("application/openmetrics-text", "application/*", &["1.0.0"]),
        };
        let closeness = if self.media == "*/*" {
            0
        } else if self.media.eq_ignore_ascii_case(group) {
            1
        } else if self.media.eq_ignore_ascii_case(media) {
            2 + u8::from(self.version.is_some())
        } else {
            return None;
        };
        self.version.is_none_or(|version| versions.contains(&version)).then_some(closeness)
    }
}

/// `0.5` as thousandths; at most three places, at most 1.
fn weight(text: &str) -> Option<u32> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = places.len() <= 3 && places.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match whole {
        "0" => 0,
        "1" => 1_000,
        _ => return None,
    };
    let places: u32 = if digits { format!("{places:0<3}").parse().ok()? } else { return None };
    Some(whole + places).filter(|weight| *weight <= 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_gets_the_format_that_fits_best_and_text_where_none_does() {
        const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;\
            version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain;version=0.0.4",
            "Text/Plain; Version=0.0.4; Q=0.1",
            "text/*",
            "application/json",
            "nonsense",
            "text/html, */*;q=0.1",
            PROMETHEUS_2,
            PROMETHEUS_3,
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=9.9.9",
            "application/openmetrics-text;q=7, text/plain;q=0.1",
            "application/openmetrics-text;version=1.0.0;q=0.5, */*",
            "text/plain, application/openmetrics-text",
        ] {
            assert_eq!(Exposition::accepted([accept]), Exposition::Text, "{accept}");
        }
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text;version=\"1.0.0\"",
            "application/openmetrics-text,text/plain;q=0.5",
            "text/plain;q=0, */*",
            "application/*",
            "*/*;q=0.1, text/plain;q=0, application/openmetrics-text;q=0.001",
        ] {
            assert_eq!(Exposition::accepted([accept]), Exposition::OpenMetrics, "{accept}");
        }
        assert_eq!(Exposition::accepted(["text/plain;q=0", "application/*"]), Exposition::OpenMetrics);
    }

    #[test]
    fn a_counter_has_its_whole_name_in_front_of_its_samples() {
        let encoded = "# HELP a b c.\n# TYPE a counter\na_total{x=\"# EOF\"} 1\n# HELP d e.\n# TYPE d gauge\nd 2\n# EOF\n";
        let text = "# HELP a_total b c.\n# TYPE a_total counter\na_total{x=\"# EOF\"} 1\n# HELP d e.\n# TYPE d gauge\nd 2\n";
        assert_eq!(Exposition::Text.written(encoded), text);
        let open = "# HELP a_total b c.\na_total{x=\"# EOF\"} 1\n# HELP d e.\n# TYPE d gauge\nd 2\n# EOF\n";
        assert_eq!(Exposition::OpenMetrics.written(encoded), open);
    }
}
