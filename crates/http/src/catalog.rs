//! Every kind of problem an API of ours can answer with. Documentation and tests list them from here, so none is missing.

use axum::http::StatusCode;

/// Where the pages of the problem types stand; a type is this and the kind's slug.
pub const TYPE_BASE: &str = "https://tidefold.dev/problems/";

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $status:ident, $slug:literal, $title:literal $(, $retryable:ident)?;)*) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind { $($(#[doc = $doc])+ $variant),* }

        impl ProblemKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [ProblemKind] = &[$(ProblemKind::$variant),*];

            /// The last part of its type: `log-full`.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(ProblemKind::$variant => $slug),* }
            }

            /// Its title, the same for every problem of the kind.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(ProblemKind::$variant => $title),* }
            }

            /// Its status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(ProblemKind::$variant => StatusCode::$status),* }
            }

            /// Whether the same request may succeed later, unchanged.
            #[must_use]
            pub fn retryable(self) -> bool {
                match self { $(ProblemKind::$variant => kinds!(@ $($retryable)?)),* }
            }

            /// What the documentation says about it.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(ProblemKind::$variant => concat!($($doc),+).trim_ascii()),* }
            }
        }
    };
    (@ retryable) => { true };
    (@) => { false };
}

kinds! {
    /// No route has this path. `GET /` lists what there is.
    NotFound = NOT_FOUND, "not-found", "There is nothing under this path";
    /// The path exists, but not for this method; `Allow` names those it has.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method";
    /// An operator's request that the state of the node does not allow; `detail` says why.
    Conflict = CONFLICT, "conflict", "What is there does not allow this";
    /// The node serves another app.
    UnknownApp = NOT_FOUND, "unknown-app", "There is no such app here";
    /// A header or parameter is not what it has to be.
    InvalidRequest = BAD_REQUEST, "invalid-request", "A header or parameter is wrong";
    /// HTTP does not allow the request: its first line, a header, `Host` or `Transfer-Encoding` more than once. The connection
    /// is closed.
    BadRequest = BAD_REQUEST, "bad-request", "This is no request of HTTP/1.1";
    /// The head of the request, or one of its lines, is larger than the limit. The connection is closed.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "The head of the request is too large";
    /// The address in the first line is longer than the limit. The connection is closed.
    UriTooLong = URI_TOO_LONG, "uri-too-long", "The address is too long";
    /// The head of the request did not arrive in time. The connection is closed.
    HeadTimeout = REQUEST_TIMEOUT, "head-timeout", "The head did not arrive in time", retryable;
    /// A page of another site sent the request; `listen.origins` names those whose pages may.
    CrossSite = FORBIDDEN, "cross-site", "Pages of other sites may not ask this node";
    /// The admin port is not known by this name; `listen.admin_hosts` names those it has besides its addresses.
    UnknownHost = MISDIRECTED_REQUEST, "unknown-host", "The port is not known by this name";
    /// The caller may not do this; `detail` says what it may.
    Forbidden = FORBIDDEN, "forbidden", "The caller may not do this";
    /// A request that changes something does not say who wants it, in `Tidefold-Operator`.
    OperatorMissing = FORBIDDEN, "operator-missing", "The request does not say who operates";
    /// The node answers as many requests as it can; nothing was done.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "Too many requests are being answered", retryable;
    /// The node is starting or a projection has no active tables yet.
    NotReady = SERVICE_UNAVAILABLE, "not-ready", "The node is not ready", retryable;
    /// The body stopped coming.
    BodyTimeout = REQUEST_TIMEOUT, "body-timeout", "The body did not arrive in time", retryable;
    /// The connection broke off in the middle of the body.
    BodyBroken = BAD_REQUEST, "body-broken", "The body broke off", retryable;
    /// The body is larger than the limit.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    /// A mistake of ours. The request id finds it in the log of the node; repeated as it is, the request meets it again.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong inside";

    /// The app has no message of this type; `detail` names the nearest.
    UnknownMessageType = NOT_FOUND, "unknown-message-type", "The app has no such message type";
    /// The body's media type is not one this path takes.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body's media type is not supported";
    /// The message does not fit its schema; `errors` has every mistake with its JSON pointer and rule.
    InvalidMessage = BAD_REQUEST, "invalid-message", "The message does not fit its schema";
    /// The line around the message, not the message itself, is wrong; `errors` has every mistake.
    InvalidEnvelope = BAD_REQUEST, "invalid-envelope", "The line is not a message with its attributes";
    /// A line is longer than the limit; it was skipped.
    LineTooLong = PAYLOAD_TOO_LARGE, "line-too-long", "The line is too long";
    /// The encoded message is larger than the log takes.
    MessageTooLarge = PAYLOAD_TOO_LARGE, "message-too-large", "The message is too large for the log";
    /// The message type's schema has no id yet; nothing was appended.
    SchemaNotRegistered = SERVICE_UNAVAILABLE, "schema-not-registered", "The schema has no id yet", retryable;
    /// The log's queue is full; nothing was appended.
    LogFull = SERVICE_UNAVAILABLE, "log-full", "The log's queue is full", retryable;
    /// The log cannot be reached or cannot write; nothing was appended.
    LogUnavailable = SERVICE_UNAVAILABLE, "log-unavailable", "The log is not available", retryable;
    /// The topic is not the one its tables were folded from, or was altered; `detail` says what its operator has to do. A
    /// message does not count: send it again, with its id, once that is done.
    LogChanged = SERVICE_UNAVAILABLE, "log-changed", "The log is not the one that the tables were folded from", retryable;
    /// The log did not answer in time. The message may be in it: send it again with the id of this answer, and it counts once.
    AppendUnknown = GATEWAY_TIMEOUT, "append-unknown", "It is not known whether the message was appended", retryable;
    /// Guards refused the command; `codes` has every one that failed.
    Rejected = CONFLICT, "rejected", "The command was rejected";
    /// The entity's version is not the one `If-Match` names.
    VersionMismatch = PRECONDITION_FAILED, "version-mismatch", "The entity has another version";
    /// The id was used before with another payload.
    IdempotencyConflict = UNPROCESSABLE_ENTITY, "idempotency-conflict", "The id was used for another message";
    /// The message cannot be folded; it stays in the log as a dead letter.
    Dead = UNPROCESSABLE_ENTITY, "dead", "The message cannot be folded";
    /// The position's text is wrong, or its topic or partition is not one of the app's.
    InvalidPosition = BAD_REQUEST, "invalid-position", "This is not a position of the app";
    /// No message stands at this position: the log does not reach there, or a transaction was aborted or ended there.
    UnknownPosition = NOT_FOUND, "unknown-position", "The log has no record at this position";

    /// The app has no table of this name; `detail` names the nearest.
    UnknownTable = NOT_FOUND, "unknown-table", "The app has no such table";
    /// There is no row under this key.
    RowNotFound = NOT_FOUND, "row-not-found", "There is no row under this key";
    /// The query asks for what the table's key does not allow; `detail` says what it allows.
    InvalidQuery = BAD_REQUEST, "invalid-query", "The table cannot be asked this";
    /// The cursor is not one of this query.
    InvalidCursor = BAD_REQUEST, "invalid-cursor", "The cursor does not belong to this query";
    /// The position was not reached in the time allowed.
    PositionNotReached = SERVICE_UNAVAILABLE, "position-not-reached", "The position is not visible yet", retryable;
    /// The position lies in a partition whose projection is halted; `detail` says why. It waits for an operator.
    ProjectionHalted = SERVICE_UNAVAILABLE, "projection-halted", "The projection is halted", retryable;
    /// The store cannot be reached or is too slow.
    StoreUnavailable = SERVICE_UNAVAILABLE, "store-unavailable", "The store is not available", retryable;
    /// The store refuses what it was asked, and will again; `detail` says why. It waits for an operator.
    StoreRefused = INTERNAL_SERVER_ERROR, "store-refused", "The store refuses what it was asked";
    /// This node's store has failed and takes nothing more until the node is started again. Another node may answer.
    StoreFailed = SERVICE_UNAVAILABLE, "store-failed", "The node's store has failed", retryable;
    /// Something that is stored is not what was written; `detail` names it, and what to do. It waits for an operator.
    Damaged = INTERNAL_SERVER_ERROR, "damaged", "What is stored is damaged";
}

impl ProblemKind {
    /// The kind of a slug.
    #[must_use]
    pub fn named(slug: &str) -> Option<ProblemKind> {
        ProblemKind::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// Its name in code: the slug with underscores.
    #[must_use]
    pub fn code(self) -> String {
        self.slug().replace('-', "_")
    }
}
