//! Shapes of CSV, right and wrong.

use std::path::Path;
use std::sync::Arc;

use tidefold_app::model::Message;
use tidefold_app::{SourceFile, load};

use super::{Mapping, check, lines};
use crate::RunId;
use crate::input::Input;

const APP: &str = "app = \"people\"\n[topics.people]\nkey = [\"id\"]\npartitions = 1\nevents = [\"PersonSeen\"]\n\
    [entities.people]\ntopic = \"people\"\n[entities.people.columns]\nname = \"string\"\n[entities.people.on.PersonSeen]\n\
    when = \"any\"\nset = \"name = msg.name\"\n";

const SCHEMA: &str = r#"{"type":"record","name":"PersonSeen","fields":[{"name":"id","type":"string"},
    {"name":"name","type":"string"},{"name":"age","type":["null","int"],"default":null}]}"#;

fn message() -> Message {
    let files = [("app.toml", APP), ("PersonSeen.avsc", SCHEMA)]
        .map(|(path, text)| SourceFile { path: path.into(), text: text.into() });
    let mut app = load(files.to_vec()).unwrap_or_else(|diagnostics| panic!("{:#?}", diagnostics.list));
    Arc::into_inner(app.projections.remove(0)).unwrap().topic.messages.remove(0)
}

fn input(text: &[u8]) -> Input {
    Box::new(std::io::Cursor::new(text.to_vec()))
}

/// What is said about a file's shape; nothing where it is right.
fn told(text: &[u8], mapping: &Mapping) -> String {
    let checked = check(input(text), Path::new("people.csv"), &message(), mapping);
    checked.map_or_else(|error| error.to_string(), |()| String::new())
}

/// The lines that would be sent, and those that would be refused, by number.
fn sent(text: &[u8], mapping: &Mapping) -> (Vec<String>, Vec<u64>) {
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    let message = message();
    for line in lines(input(text), Path::new("-"), &message, mapping, &RunId::fresh()).unwrap() {
        match line {
            Ok(line) => {
                let value: serde_json::Value = serde_json::from_str(&line.text).unwrap();
                taken.push(value["data"]["name"].as_str().unwrap_or("?").to_owned());
            }
            Err(crate::SourceError::Line { number, .. }) => refused.push(number),
            Err(error) => {
                refused.push(0);
                assert!(!mapping.lenient, "{error}");
                break;
            }
        }
    }
    (taken, refused)
}

#[test]
fn every_broken_shape_is_named_with_line_and_column() {
    let table: [(&[u8], &[&str]); 19] = [
        (b"id,name\np1,Ann\np2,\"Bo\np3,Cy\n", &["people.csv:3: column 2: ", "never closed"]),
        (b"id,name\np1,\"Bo\"x\n", &["people.csv:2: column 2: text follows the closing quote"]),
        (b"id,name\np1,\"Bo\np2,\"Cy\"\n", &["people.csv:2: column 2: ", "closed on line 3"]),
        (b"id,name\np1,\"Bo\np2,Cy\np3,Di\"\n", &["people.csv:2: column 2: ", "looks like a row"]),
        (b"id,\"name\np1,Bo\n", &["people.csv:1: column 2: ", "never closed"]),
        (
            b"id,name\np1\n",
            &["people.csv:2: 1 cells where the header has 2; column 2, `name`, is the first that is missing"],
        ),
        (
            b"id,name\np1,a,b\np2,c\np3,\n",
            &["people.csv:2: 3 cells where the header has 2; column 3 is the first too much"],
        ),
        (b"id,name\n\np1,a\r\np2,c,\r\n", &["people.csv:4: 3 cells"]),
        (b"id,name,\np1,a,\n", &["people.csv:1: column 3 has no name"]),
        (b"id,name,name\np1,a,b\n", &["people.csv:1: columns 2 and 3 have the same name, `name`"]),
        (
            b"id,name,shoe\np1,a,b\n",
            &["people.csv:1: column 3, `shoe`, fills no field of PersonSeen", "--column FIELD=shoe"],
        ),
        (
            b"id,Name\np1,a\n",
            &[
                "column 2, `Name`, fills no field",
                "write the name as its field's, `name`",
                "no column fills the field `name`",
            ],
        ),
        (b"id, name\np1,a\n", &["write the name as its field's, `name`"]),
        (b"id\np1\n", &["people.csv:1: no column fills the field `name`, which has no default"]),
        (b"id;name\np1;a\n", &["people.csv:1: ", "--separator ';'"]),
        (b"id\tname\np1\ta\n", &["people.csv:1: ", "--separator '\\t'"]),
        (b"", &["people.csv:1: there is no header line"]),
        (b"id,name\np1,J\xf6rg\n", &["people.csv:2: column 2, `name`, is not UTF-8 text"]),
        (b"id,n\xe4me\np1,a\n", &["people.csv:1: column 2 is not UTF-8 text"]),
    ];
    for (text, said) in table {
        let told = told(text, &Mapping::default());
        for said in said {
            assert!(told.contains(said), "{}: {said} is not in: {told}", String::from_utf8_lossy(text));
        }
        assert!(!told.contains("{ ") && !told.contains("Some("), "{told}");
        let (_, refused) =
            match lines(input(text), Path::new("-"), &message(), &Mapping::default(), &RunId::fresh()) {
                Ok(_) => sent(text, &Mapping::default()),
                Err(_) => continue,
            };
        assert_eq!(refused, [0], "what is read once ends at its first wrong row");
    }
}

#[test]
fn a_right_shape_is_read_whole() {
    for text in [
        "id,name\np1,Ann\np2,Bo\n",
        "id,name\r\np1,Ann\r\np2,Bo",
        "id,name\rp1,Ann\rp2,Bo\r",
        "name,id\nAnn,p1\nBo,p2\n",
        "id,name,age\np1,Ann,\n\np2,Bo,7\n",
        "\"id\",\"name\"\n\"p1\",\"Ann\"\n\"p\n2\",\"Bo\"\n",
        "sep=;\nid;name\np1;Ann\np2;Bo\n",
    ] {
        assert_eq!(told(text.as_bytes(), &Mapping::default()), "", "{text}");
        assert_eq!(
            sent(text.as_bytes(), &Mapping::default()),
            (vec!["Ann".into(), "Bo".into()], vec![]),
            "{text}"
        );
    }
    let tabs = Mapping { separator: b'\t', ..Mapping::default() };
    assert_eq!(told(b"id\tname\np1\tA, \"b\"\n", &tabs), "");
    let mapped =
        Mapping { fields: vec![("name".into(), "who".into())], id: vec!["nr".into()], ..Mapping::default() };
    assert_eq!(told(b"nr,id,who\n1,p1,Ann\n", &mapped), "", "a column may fill the id alone");
}

#[test]
fn leniently_each_wrong_row_is_passed_over_alone() {
    let lenient = Mapping { lenient: true, ..Mapping::default() };
    let text = b"id,name,shoe\np1,Ann,38\np2,\"Bo,39\np3,Cy\np4,Di,40,x\np5,J\xf6rg,41\np6,\"F\nG\",42\n";
    assert_eq!(sent(text, &lenient), (vec!["Ann".into(), "F\nG".into()], vec![3, 4, 5, 6]));
    assert!(told(text, &Mapping::default()).contains("`shoe`"));
}

#[test]
fn all_mistakes_are_told_up_to_a_bound() {
    let rows: String = (0..30).map(|n| format!("p{n}\n")).collect();
    let told = told(format!("id,name\n{rows}").as_bytes(), &Mapping::default());
    assert_eq!(told.lines().count(), 21, "{told}");
    assert!(told.ends_with("and 10 more"), "{told}");
}

/// What an empty cell, quoted or not, becomes: null, the default, an empty text, or a refusal.
#[test]
fn an_empty_cell_is_null_or_the_default_or_empty_text() {
    let kinds = [
        (r#"["null","int"],"default":null"#, Some("null")),
        (r#"["null","string"],"default":null"#, Some("null")),
        (r#""string""#, Some("\"\"")),
        (r#""string","default":"x""#, Some("\"\"")),
        (r#""bytes","default":"x""#, Some("\"\"")),
        (r#""int","default":7"#, Some("left out")),
        (r#""double","default":7.5"#, Some("left out")),
        (r#""boolean","default":true"#, Some("left out")),
        (r#"{"type":"array","items":"int"},"default":[]"#, Some("left out")),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]},"default":"B""#, Some("left out")),
        (r#"{"type":"long","logicalType":"timestamp-millis"},"default":0"#, Some("left out")),
        (r#""int""#, None),
        (r#""boolean""#, None),
    ];
    for (kind, expected) in kinds {
        let schema = SCHEMA.replace(r#"["null","int"],"default":null"#, kind);
        let files = [("app.toml", APP), ("PersonSeen.avsc", &schema)]
            .map(|(path, text)| SourceFile { path: path.into(), text: text.into() });
        let mut app = load(files.to_vec()).unwrap_or_else(|diagnostics| panic!("{:#?}", diagnostics.list));
        let message = Arc::into_inner(app.projections.remove(0)).unwrap().topic.messages.remove(0);
        for cell in ["", "\"\""] {
            let text = format!("id,name,age\np1,Ann,{cell}\n");
            let source = input(text.as_bytes());
            let mut lines =
                lines(source, Path::new("-"), &message, &Mapping::default(), &RunId::fresh()).unwrap();
            let found = lines.next().unwrap().ok().map(|line| {
                let value: serde_json::Value = serde_json::from_str(&line.text).unwrap();
                value["data"].get("age").map_or("left out".to_owned(), ToString::to_string)
            });
            assert_eq!(found.as_deref(), expected, "{kind} {cell}");
        }
    }
}
