//! The paths that ingest and query share, so that their routers can be merged: a router refuses two names for one place.
//! And what to say of paths that are none.

use axum::http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// An app: `POST` takes messages of any type, `GET` lists what can be asked.
pub const APP: &str = "/v1/{app}";
/// `POST` to a message type, `GET` of a table.
pub const NAME: &str = "/v1/{app}/{name}";
/// `GET` of a row.
pub const KEY: &str = "/v1/{app}/{name}/{key}";
/// `GET` of an outcome.
pub const OUTCOME: &str = "/v1/{app}/outcomes/{position}";

/// RFC 3986, section 2.3, and the colon of positions.
const NOT_IN_A_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A text as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_A_SEGMENT).to_string()
}

/// What can be asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `POST` of messages.
    Messages,
    /// `GET` of what became of a message.
    Outcomes,
    /// `GET` of tables, and of what there is.
    Reads,
    /// The operators' API.
    Operators,
}

/// A port of a process, so that who asks the wrong one is told which is right.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// The command that the process was started with, such as `query`.
    pub process: &'static str,
    /// Whether it is the one for health, metrics and operators.
    pub is_admin: bool,
    /// What is served at it.
    pub serves: &'static [Service],
    /// Beside an admin port: the number of the process's other port, and what is served there.
    pub beside: Option<(u16, &'static [Service])>,
}

// === impl Service ===

impl Service {
    /// What a request asks for, as far as its path and method say.
    fn asked(method: &Method, segments: &[&str]) -> Option<Service> {
        match (segments, method.as_str()) {
            (["v1", _, "outcomes", ..], "GET" | "HEAD") => Some(Service::Outcomes),
            ([] | ["v1", ..], "GET" | "HEAD") => Some(Service::Reads),
            (["v1", _, ..], "POST") => Some(Service::Messages),
            (["admin", ..], _) => Some(Service::Operators),
            _ => None,
        }
    }

    /// Its name.
    fn name(self) -> &'static str {
        match self {
            Service::Messages => "messages",
            Service::Outcomes => "outcomes",
            Service::Reads => "reads",
            Service::Operators => "operators' calls",
        }
    }

    /// Which processes of a fleet have it.
    fn place(self) -> &'static str {
        match self {
            Service::Messages => "messages are taken by `ingest`",
            Service::Outcomes => "outcomes are served by `ingest`, and by a `query` that has the log (--log)",
            Service::Reads => "reads are served by `query`",
            Service::Operators => {
                "operators' calls go to the admin port (listen.admin) of a `project` or `up` process"
            }
        }
    }
}

// === impl Port ===

impl Port {
    /// The port of one process that is all of a fleet.
    pub const EVERYTHING: Port = Port {
        process: "up",
        is_admin: false,
        serves: &[Service::Messages, Service::Outcomes, Service::Reads],
        beside: None,
    };

    fn has(&self, service: Service) -> bool {
        self.serves.contains(&service)
    }

    /// Where what was asked for is served, if that is not here.
    pub(crate) fn elsewhere(&self, method: &Method, path: &str) -> Option<String> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let service = Service::asked(method, &segments).filter(|service| !self.has(*service))?;
        let (process, place) = (self.process, service.place());
        let beside = self.beside.filter(|(_, serves)| serves.contains(&service));
        if let Some((number, _)) = beside {
            let what = service.name();
            return Some(format!("this is the admin port; {what} are on port {number} (listen.http)"));
        }
        match (service, self.is_admin, process) {
            (Service::Operators, false, "up" | "project") => {
                Some("operators' calls go to the admin port (listen.admin)".to_owned())
            }
            (Service::Operators, ..) => Some(format!("this process is `{process}`; {place}")),
            (_, true, _) => Some(format!(
                "this is the admin port of `{process}`; {place}, on the port that is not for operators (listen.http)"
            )),
            (_, false, _) => Some(format!("this process is `{process}`; {place}")),
        }
    }

    /// Where it is said what there is.
    fn lists(&self) -> &'static str {
        if self.has(Service::Reads) {
            "GET / lists what there is"
        } else if self.is_admin && self.has(Service::Operators) {
            "`tidefold --help` names the calls there are"
        } else if self.is_admin {
            "on the admin port are /livez, /readyz and /metrics"
        } else {
            "GET / of a `query` process lists what there is"
        }
    }
}

/// What to do instead of asking a path under which there is nothing: the path that was probably meant, or where to look.
/// Never the path that was asked.
pub(crate) fn advice(port: &Port, method: &Method, path: &str) -> String {
    if let Some(elsewhere) = port.elsewhere(method, path) {
        return elsewhere;
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let tidy = format!("/{}", segments.join("/"));
    let lists = port.lists();
    match segments.as_slice() {
        ["v1", app, "outcomes"] => {
            format!("an outcome stands under /v1/{app}/outcomes/{{topic}}:{{partition}}:{{offset}}")
        }
        ["v1", app, _, _, ..] if method == Method::POST => {
            format!("messages are sent to /v1/{app} or, of one type, to /v1/{app}/{{type}}")
        }
        ["v1", app, table, key @ ..] if key.len() > 1 => {
            let key = key.join("%2F");
            format!("a key is one part of the path, a `/` in it is written %2F: /v1/{app}/{table}/{key}")
        }
        ["v1", ..] | ["admin", "v1", ..] if tidy != path => {
            format!("without the slashes that are too many it is {tidy} (a key is never empty)")
        }
        ["v1"] => format!("name the app: /v1/{{app}}; {lists}"),
        ["livez" | "readyz" | "healthz" | "metrics", ..] if !port.is_admin => {
            "health, metrics and the operators' API are on the admin port (listen.admin)".to_owned()
        }
        [first, rest @ ..] if !rest.is_empty() && *first != "v1" && first.eq_ignore_ascii_case("v1") => {
            format!("paths are in lower case: /v1/{}", rest.join("/"))
        }
        ["v1", ..] => lists.to_owned(),
        [_, _, ..] if !port.is_admin => format!("paths begin with /v1 and the app: /v1{tidy}; {lists}"),
        _ => lists.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INGEST: Port = Port {
        process: "ingest",
        is_admin: false,
        serves: &[Service::Messages, Service::Outcomes],
        beside: None,
    };
    const QUERY: Port = Port { process: "query", is_admin: false, serves: &[Service::Reads], beside: None };
    const ADMIN: Port =
        Port { process: "query", is_admin: true, serves: &[], beside: Some((8080, &[Service::Reads])) };
    const PROJECT: Port =
        Port { process: "project", is_admin: true, serves: &[Service::Operators], beside: None };
    const UP: Port = Port {
        process: "up",
        is_admin: true,
        serves: &[Service::Operators],
        beside: Some((8080, Port::EVERYTHING.serves)),
    };

    #[test]
    fn a_path_that_is_nearly_one_is_told_as_that_one() {
        for (path, told) in [
            ("/v1/shop/orders/", "it is /v1/shop/orders "),
            ("//v1/shop", "it is /v1/shop "),
            ("/v1/shop/orders/o-1/", "it is /v1/shop/orders/o-1 "),
            ("/v1/shop/orders/a/b", "/v1/shop/orders/a%2Fb"),
            ("/v1/shop/outcomes", "/v1/shop/outcomes/{topic}:{partition}:{offset}"),
            ("/v1", "/v1/{app}"),
            ("/V1/shop", "/v1/shop"),
            ("/shop/orders", "/v1/shop/orders"),
            ("/metrics", "admin port"),
            ("/admin/v1/status", "admin port"),
            ("/nothing", "GET / lists"),
        ] {
            let advice = advice(&Port::EVERYTHING, &Method::GET, path);
            assert!(advice.contains(told), "{path}: {advice}");
        }
    }

    #[test]
    fn who_asks_the_wrong_process_of_a_fleet_is_told_which_is_right() {
        for (port, method, path, told) in [
            (INGEST, Method::GET, "/", "this process is `ingest`; reads are served by `query`"),
            (INGEST, Method::GET, "/v1/shop", "this process is `ingest`; reads are served by `query`"),
            (INGEST, Method::GET, "/v1/shop/orders", "reads are served by `query`"),
            (INGEST, Method::HEAD, "/v1/shop/orders/o-1", "reads are served by `query`"),
            (INGEST, Method::GET, "/nothing", "GET / of a `query` process"),
            (
                INGEST,
                Method::GET,
                "/admin/v1/status",
                "this process is `ingest`; operators' calls go to the admin port",
            ),
            (QUERY, Method::POST, "/v1/shop", "this process is `query`; messages are taken by `ingest`"),
            (QUERY, Method::POST, "/v1/shop/PlaceOrder", "messages are taken by `ingest`"),
            (QUERY, Method::GET, "/v1/shop/outcomes/orders:0:1", "outcomes are served by `ingest`"),
            (ADMIN, Method::GET, "/admin/v1/status", "this process is `query`; operators' calls go to"),
            (ADMIN, Method::POST, "/admin/v1/shop/verify", "of a `project` or `up` process"),
            (ADMIN, Method::GET, "/v1/shop", "this is the admin port; reads are on port 8080 (listen.http)"),
            (
                ADMIN,
                Method::POST,
                "/v1/shop",
                "this is the admin port of `query`; messages are taken by `ingest`",
            ),
            (UP, Method::POST, "/v1/shop", "this is the admin port; messages are on port 8080 (listen.http)"),
            (UP, Method::GET, "/v1/shop/orders/o-1", "this is the admin port; reads are on port 8080"),
            (
                UP,
                Method::GET,
                "/v1/shop/outcomes/orders:0:1",
                "this is the admin port; outcomes are on port 8080",
            ),
            (UP, Method::GET, "/", "this is the admin port; reads are on port 8080"),
            (
                PROJECT,
                Method::GET,
                "/v1/shop",
                "this is the admin port of `project`; reads are served by `query`",
            ),
            (PROJECT, Method::GET, "/admin/v1/nothing", "`tidefold --help`"),
        ] {
            let advice = advice(&port, &method, path);
            assert!(advice.contains(told), "{} {method} {path}: {advice}", port.process);
        }
    }

    /// But for those that are there, of which no advice is asked.
    #[test]
    fn no_advice_is_the_path_that_was_asked() {
        let words = ["v1", "V1", "shop", "outcomes", "orders", "admin", "metrics", "a:0:1", ""];
        let mut paths = vec![String::new()];
        for _ in 0..4 {
            let longer: Vec<_> =
                paths.iter().flat_map(|path| words.map(|word| format!("{path}/{word}"))).collect();
            for path in &longer {
                for port in [Port::EVERYTHING, INGEST, QUERY, ADMIN, PROJECT, UP] {
                    for method in [Method::GET, Method::POST, Method::DELETE] {
                        let advice = advice(&port, &method, path);
                        let told = advice.split([' ', ';']).any(|word| word == path);
                        assert!(
                            !told || path == "/" || (port.is_admin && path == "/metrics"),
                            "{} {method} {path}: {advice}",
                            port.process
                        );
                    }
                }
            }
            paths = longer;
        }
    }
}
