//! The rules that the folder's structure and schemas have to keep; those of SQL are in [`crate::sql`].

/// A rule's name and what it asks, in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What stands in brackets behind `error`.
    pub name: &'static str,
    /// What it asks.
    pub text: &'static str,
}

macro_rules! rules {
    ($($constant:ident $name:literal $text:literal)*) => {
        $(#[doc = $text] pub const $constant: &str = $name;)*
        /// All of them, by subject.
        pub const RULES: &[Rule] = &[$(Rule { name: $name, text: $text },)*];
    };
}

rules! {
    // files
    MISSING_FILE "missing-file" "The folder has an `app.toml`."
    FILE_TOO_LARGE "file-too-large" "A file has at most 1 MiB, a folder at most 1,000 files."
    TOML_SYNTAX "toml-syntax" "`app.toml` and scenario files are TOML."
    JSON_SYNTAX "json-syntax" "Every `.avsc` file is JSON."
    UNKNOWN_KEY "unknown-key" "A section has no keys but its own."
    MISSING_KEY "missing-key" "What a section cannot do without is there."
    WRONG_VALUE "wrong-value" "A value has the type its key asks for."
    OUT_OF_RANGE "out-of-range" "A number is in the range its key allows."
    // names
    BAD_NAME "bad-name" "Apps, topics, tables, columns, guards and lets are snake_case, messages PascalCase, none too long. Key fields keep their names."
    RESERVED_NAME "reserved-name" "Names that Tidefold itself uses are left to it."
    DUPLICATE_TABLE "duplicate-table" "Entities and views have different names."
    DUPLICATE_MESSAGE "duplicate-message" "A message belongs to one topic and stands there once."
    // schemas
    AVRO_SCHEMA "avro-schema" "Every `.avsc` file holds an Avro schema."
    UNKNOWN_AVRO_TYPE "unknown-avro-type" "A type that a schema names is Avro's own or declared in one of the folder's files."
    UNKNOWN_AVRO_ATTRIBUTE "unknown-avro-attribute" "An attribute that looks like one of Avro's is spelled like it."
    UNKNOWN_LOGICAL_TYPE "unknown-logical-type" "A logical type is one of Avro's: a near miss is a mistake, any other name is ignored, with a warning."
    INVALID_LOGICAL_TYPE "invalid-logical-type" "A logical type fits the type it stands on; where it does not it is ignored, with a warning."
    MISPLACED_ATTRIBUTE "misplaced-attribute" "An attribute stands within the type or field that it is of; elsewhere it is ignored, with a warning."
    DOUBTFUL_DEFAULT "doubtful-default" "A default is of its union's first type, and null is written without quotes; else there is a warning."
    DUPLICATE_AVRO_TYPE "duplicate-avro-type" "A named type is declared once in the folder."
    UNSUPPORTED_TYPE "unsupported-type" "A type has a place in SQL, JSON and tables; recursive types have none."
    UNKNOWN_MESSAGE "unknown-message" "A message that a topic names is declared in an `.avsc` file."
    MESSAGE_NOT_RECORD "message-not-record" "A message is an Avro record."
    // topics
    NO_MESSAGES "no-messages" "A topic has at least one message."
    EMPTY_KEY "empty-key" "A key has at least one field or column."
    KEY_FIELD_MISSING "key-field-missing" "Every message of a topic has the topic's key fields."
    KEY_FIELD_TYPE "key-field-type" "A key field has the same type in every message, one that can stand in a key."
    KEY_FIELD_NULL "key-field-null" "A key field is never null."
    COMMAND_WITHOUT_ENTITY "command-without-entity" "A topic with commands has an entity that can refuse them."
    // entities
    UNKNOWN_TOPIC "unknown-topic" "An entity's topic is declared."
    SECOND_ENTITY "second-entity" "A topic has at most one entity."
    UNKNOWN_TYPE "unknown-type" "A column's type is one that there is, or declared in one of the folder's files."
    KEY_COLUMN_DECLARED "key-column-declared" "An entity's key columns come from its topic and are not declared again."
    MESSAGE_NOT_HANDLED "message-not-handled" "An entity says what each message of its topic does."
    MESSAGE_OF_OTHER_TOPIC "message-of-other-topic" "An entity handles messages of its own topic only."
    UNKNOWN_WHEN "unknown-when" "`when` is absent, present or any."
    DELETE_WITH_SET "delete-with-set" "A message that deletes the entity sets nothing, and needs one to delete."
    GUARD_ON_EVENT "guard-on-event" "An event is a fact: it has no guards."
    COLUMN_NOT_SET "column-not-set" "A message that creates an entity gives a value to every column that is not nullable."
    NEVER_CREATED "never-created" "An entity has a message that creates it."
    // views
    VIEW_WITHOUT_SOURCE "view-without-source" "A view reads from an entity, or from an event of a topic without one."
    EVENT_HAS_ENTITY "event-has-entity" "Events of a topic with an entity are not read by views; the entity is."
    UNKNOWN_KEY_COLUMN "unknown-key-column" "A key column of a view is a column that its SELECT gives."
    REPEATED_KEY_COLUMN "repeated-key-column" "A column stands in a view's key once."
    KEY_COLUMN_TYPE "key-column-type" "A key column has a type that can stand in a key."
    KEY_COLUMN_NULL "key-column-null" "A key column is never NULL."
    KEY_INCOMPLETE "key-incomplete" "An index has the key of its source in its own key, and over UNNEST the ordinality too."
    ROLLUP_KEY "rollup-key" "A rollup's key is all its group columns and nothing else."
    BAD_BUCKET "bad-bucket" "A view is split by a hash or by the time of its first clustering column, not by both."
    BAD_CLUSTERING "bad-clustering" "A clustering column is a column, with ASC or DESC behind it."
    // scenarios
    UNKNOWN_SCENARIO_NAME "unknown-scenario-name" "Messages, tables and columns in scenarios are the app's."
    BAD_DATA "bad-data" "A message's data fits its schema."
    BAD_TIME "bad-time" "A time is RFC 3339."
    BAD_OUTCOME "bad-outcome" "An outcome is applied, duplicate, dead, or rejected with its codes, one for each message of `when`."
    BAD_EXPECTATION "bad-expectation" "Rows are expected by key (of an entity) or as the whole list of a table."
    SCENARIO_FAILED "scenario-failed" "What a scenario expects is what happens."
    DUPLICATE_SCENARIO "duplicate-scenario" "Scenarios of an app have different names."
}
