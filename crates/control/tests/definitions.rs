//! Definitions by their hash: a generation is read by what it was built from, whatever was defined since.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not there")]

use std::sync::Arc;

use tidefold_app::{App, SourceFile, load};
use tidefold_control::{Control, Entry, Envelope, Manifest, NoProjection, Outcome};
use tidefold_record::Offset;

/// The control topic of an app of two topics as it was written when manifests named the hash of the whole app: the first
/// start, and a replay.
const WHOLE_DEFINITIONS: &str = include_str!("whole_definitions.ndjson");

const APP: &str = "app = \"shop\"\n\
    [topics.orders]\nkey = [\"id\"]\npartitions = 1\ncommands = []\nevents = [\"Ordered\"]\n\
    [topics.visits]\nkey = [\"id\"]\npartitions = 1\ncommands = []\nevents = [\"Visited\"]\n\
    [views.orders]\nsql = \"SELECT o.id AS id, count(*) AS orders FROM Ordered AS o GROUP BY 1\"\n\
    partition_key = [\"id\"]\nclustering = []\n";

const ONE_MORE: &str = "[views.all_orders]\nsql = \"SELECT o.kind AS kind, count(*) AS orders FROM Ordered AS o GROUP BY 1\"\n\
    partition_key = [\"kind\"]\nclustering = []\n";

fn app(text: &str) -> Arc<App> {
    let schema = |name: &str| {
        let text = format!(
            "{{\"type\":\"record\",\"name\":\"{name}\",\"fields\":[{{\"name\":\"id\",\"type\":\"string\"}},\
             {{\"name\":\"kind\",\"type\":\"string\"}}]}}"
        );
        SourceFile { path: format!("{name}.avsc"), text }
    };
    let text = SourceFile { path: "app.toml".into(), text: text.into() };
    let files = vec![text, schema("Ordered"), schema("Visited")];
    Arc::new(load(files).unwrap_or_else(|wrong| panic!("{wrong}")))
}

fn say(control: &mut Control, entry: Entry) {
    let at = control.next();
    assert_eq!(control.apply(at, &Envelope { expects: at.0, entry }.to_json().unwrap()), Outcome::Taken);
}

/// Builds and activates a topic's next generation from the definition in force.
fn build(control: &mut Control, topic: &str) -> u32 {
    let definition = control.definition().unwrap().name_of(topic).to_owned();
    let generation = control.generations(topic).map_or(1, tidefold_control::Generations::next_generation);
    let manifest = Manifest {
        definition,
        cluster: "c".into(),
        incarnation: "i".into(),
        partitions: 1,
        partitioner: "murmur2".into(),
        semantics: 1,
        window: 10,
        verdicts_of: None,
    };
    say(control, Entry::Building { topic: topic.to_owned(), generation, manifest });
    say(control, Entry::Activated { topic: topic.to_owned(), generation });
    generation
}

fn views(control: &Control, topic: &str, generation: u32) -> usize {
    control.built_from(topic, generation).unwrap().views.len()
}

#[test]
fn every_generation_has_the_definition_it_was_built_from() {
    let mut control = Control::default();
    say(&mut control, Entry::defined(&app(APP)));
    assert_eq!(build(&mut control, "orders"), 1);
    assert_eq!(build(&mut control, "visits"), 1);
    let changed = app(&format!("{APP}{ONE_MORE}"));
    say(&mut control, Entry::defined(&changed));
    assert_eq!((views(&control, "orders", 1), views(&control, "visits", 1)), (1, 0));
    let serving = |control: &Control| -> Vec<(String, usize)> {
        control.serving().iter().map(|known| (known.name().to_owned(), known.views.len())).collect()
    };
    let told = |orders| vec![("orders".to_owned(), orders), ("visits".to_owned(), 0)];
    assert_eq!(serving(&control), told(1), "the active one is served until another is activated");

    assert_eq!(build(&mut control, "orders"), 2);
    assert_eq!((views(&control, "orders", 1), views(&control, "orders", 2)), (1, 2));
    assert_eq!(serving(&control), told(2));
    say(&mut control, Entry::Activated { topic: "orders".into(), generation: 1 });
    assert_eq!(serving(&control), told(1), "back to the one before");

    // The change is none to the other topic, whichever definition it is taken from.
    let name = |app: &App| app.projection("visits").unwrap().hash.clone();
    assert_eq!(name(&app(APP)), name(&changed));
    assert_eq!(build(&mut control, "visits"), 2);
    let hash = |generation| control.built_from("visits", generation).unwrap().hash.clone();
    assert_eq!(hash(1), hash(2));
}

#[test]
fn what_is_not_defined_is_said() {
    let mut control = Control::default();
    say(&mut control, Entry::defined(&app(APP)));
    build(&mut control, "orders");
    assert_eq!(control.built_from("orders", 2).err(), Some(no_generation("orders", 2)));
    assert_eq!(control.built_from("visits", 1).err(), Some(no_generation("visits", 1)));

    // Entries of another topic: its manifest names what is not here.
    let mut other = Control::default();
    let generations: Vec<_> =
        control.generations("orders").into_iter().flat_map(|p| &p.generations).collect();
    let manifest = generations[0].1.manifest.clone();
    say(&mut other, Entry::Building { topic: "orders".into(), generation: 1, manifest });
    let error = other.built_from("orders", 1).err().unwrap();
    assert!(matches!(&error, NoProjection::NotDefined { topic, .. } if topic == "orders"), "{error}");

    let text = SourceFile { path: "app.toml".into(), text: "app = \"shop\"\n[topics.orders]\n".into() };
    let broken = Entry::Defined { hash: "h".into(), sources: vec![text], projections: [].into() };
    let mut newer = Control::default();
    say(&mut newer, broken);
    build(&mut newer, "orders");
    let error = newer.built_from("orders", 1).err().unwrap();
    assert!(matches!(&error, NoProjection::NotLoaded { definition, .. } if definition == "h"), "{error}");
    assert!(error.to_string().contains("start with the release") && error.to_string().contains("app.toml"));
}

fn no_generation(topic: &str, generation: u32) -> NoProjection {
    NoProjection::NoGeneration { topic: topic.to_owned(), generation }
}

#[test]
fn entries_that_define_the_app_as_a_whole_give_the_same_projections() {
    let mut control = Control::default();
    for (offset, entry) in WHOLE_DEFINITIONS.lines().enumerate() {
        let outcome = control.apply(Offset(offset as u64), entry.as_bytes());
        assert_eq!(outcome, Outcome::Taken, "{entry}");
    }
    let definition = control.definition().unwrap();
    let proposal = load(definition.sources.clone()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(definition.is(&proposal), "whatever release took the hash");
    for topic in ["usage", "quotas"] {
        assert_eq!(definition.name_of(topic), definition.hash);
        assert_eq!(control.active(topic), Some(2));
        for generation in [1, 2] {
            let projection = control.built_from(topic, generation).unwrap();
            let proposed = proposal.projection(topic).unwrap();
            assert_eq!(projection.hash, proposed.hash);
            assert_eq!(projection.views.len(), proposed.views.len());
        }
    }
    let mut changed = definition.sources.clone();
    changed[0].text = changed[0].text.replace("clustering = [\"day DESC\"]", "clustering = [\"day\"]");
    let changed = load(changed).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(!definition.is(&changed));
    assert_ne!(control.built_from("usage", 2).unwrap().hash, changed.projection("usage").unwrap().hash);
    assert_eq!(control.built_from("quotas", 2).unwrap().hash, changed.projection("quotas").unwrap().hash);
}
