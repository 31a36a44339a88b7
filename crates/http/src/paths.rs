//! The paths that ingest and query share, so that their routers can be merged: a router refuses two names for one place.
//! And what to say of paths that are none.

/// An app: `POST` takes messages of any type, `GET` lists what can be asked.
pub const APP: &str = "/v1/{app}";
/// `POST` to a message type, `GET` of a table.
pub const NAME: &str = "/v1/{app}/{name}";
/// `GET` of a row.
pub const KEY: &str = "/v1/{app}/{name}/{key}";
/// `GET` of an outcome.
pub const OUTCOME: &str = "/v1/{app}/outcomes/{position}";

/// What to do instead of asking a path under which there is nothing: the path that was probably meant, or where to look.
pub(crate) fn advice(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let tidy = format!("/{}", segments.join("/"));
    match segments.as_slice() {
        ["v1", app, "outcomes"] => {
            format!("an outcome stands under /v1/{app}/outcomes/{{topic}}:{{partition}}:{{offset}}")
        }
        ["v1", app, table, key @ ..] if key.len() > 1 => {
            let key = key.join("%2F");
            format!("a key is one part of the path, a `/` in it is written %2F: /v1/{app}/{table}/{key}")
        }
        ["v1", ..] | ["admin", "v1", ..] if tidy != path => {
            format!("without the slashes that are too many it is {tidy} (a key is never empty)")
        }
        ["v1"] => "name the app: /v1/{app}; GET / lists what there is".to_owned(),
        ["livez" | "readyz" | "healthz" | "metrics", ..] | ["admin", ..] => {
            "health, metrics and the operators' API are on the admin port (listen.admin)".to_owned()
        }
        [first, rest @ ..] if !rest.is_empty() && first.eq_ignore_ascii_case("v1") => {
            format!("paths are in lower case: /v1/{}", rest.join("/"))
        }
        [_, _, ..] => format!("paths begin with /v1 and the app: /v1{tidy}; GET / lists what there is"),
        _ => "GET / lists what there is".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(advice(path).contains(told), "{path}: {}", advice(path));
        }
    }
}
