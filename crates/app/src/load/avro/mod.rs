//! The folder's Avro schemas: every named type of every file, checked where it stands, resolved across files, and
//! written out as one self-contained schema each.

mod check;
pub(crate) mod definition;
mod doubts;
mod logical;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use apache_avro::Schema;
use tidefold_codec::schema::{TypeProblem, named_types};
use tidefold_codec::{RecordType, Type};

use definition::{AvroFile, Definition, declared_kind, full_name, referred, roots, short};

use super::json::{Json, Node};
use super::report::Report;
use crate::rules;
use crate::source::SourceFile;

/// A named type that is right.
#[derive(Clone, Debug)]
pub(crate) struct NamedType {
    /// Self-contained, canonical.
    pub json: String,
    pub schema: Schema,
    pub ty: Type,
}

/// All named types of the folder.
pub(crate) struct Schemas<'f> {
    pub definitions: BTreeMap<String, Definition<'f>>,
    /// Those that are right, by full name.
    pub right: BTreeMap<String, NamedType>,
    /// Names that files with mistakes would declare: those who use them are not told that there is no such type.
    pub lost: BTreeSet<String>,
    /// Their types by full name and, where it is unambiguous, short name.
    pub types: BTreeMap<String, Type>,
    /// The enums among them, each once.
    pub enums: Vec<Type>,
}

/// Reads the JSON of every `.avsc` file.
pub(crate) fn parse_files(sources: &[SourceFile], report: &mut Report) -> Vec<AvroFile> {
    let mut files = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".avsc")) {
        let path = source.path.clone();
        match Node::parse(&source.text) {
            Ok(root) => files.push(AvroFile { path, root, lost: BTreeSet::new() }),
            Err(error) => {
                report.add(rules::JSON_SYNTAX, &source.path, error.span, error.message, None);
                let span = 0..source.text.len();
                files.push(AvroFile {
                    path,
                    root: Node { value: Json::Null, span },
                    lost: names_in(&source.text),
                });
            }
        }
    }
    files
}

/// What looks like a declared name in a text that is not JSON.
fn names_in(text: &str) -> BTreeSet<String> {
    let values = text.split("\"name\"").skip(1).filter_map(|rest| rest.trim_start().strip_prefix(':'));
    let quoted = values.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    quoted.map(|name| short(name).to_owned()).collect()
}

/// Checks and resolves the files' schemas.
pub(crate) fn resolve<'f>(files: &'f [AvroFile], report: &mut Report) -> Schemas<'f> {
    let mut schemas = Schemas {
        definitions: BTreeMap::new(),
        right: BTreeMap::new(),
        lost: BTreeSet::new(),
        types: BTreeMap::new(),
        enums: Vec::new(),
    };
    for file in files {
        schemas.lost.extend(file.lost.iter().cloned());
        if declares_less_than_it_seems(file) {
            schemas.lost.extend(stem(&file.path));
        }
    }
    for file in files {
        check::repeated_members(&file.path, &file.root, report);
        for root in roots(&file.root) {
            collect(&file.path, root, "", &mut schemas.definitions, &mut schemas.lost, report);
        }
    }
    check::definitions(files, &schemas.lost, &mut schemas.definitions, report);
    spread_broken(&mut schemas.definitions);
    let names: Vec<String> = schemas.definitions.keys().cloned().collect();
    for name in &names {
        if let Some(named) = schemas.finish(name, report) {
            schemas.right.insert(name.clone(), named);
        }
    }
    schemas.types = types_by_name(&schemas.right);
    let full_names =
        |(name, ty): &(&String, &Type)| matches!(ty, Type::Enum(symbols) if symbols.full_name == **name);
    schemas.enums = schemas.types.iter().filter(full_names).map(|(_, ty)| ty.clone()).collect();
    schemas
}

/// Whether a file's declaration has no name: it would have the file's.
fn declares_less_than_it_seems(file: &AvroFile) -> bool {
    roots(&file.root).iter().any(|root| full_name(root, "").is_none())
}

/// A file's name without folder and ending.
fn stem(path: &str) -> Option<String> {
    path.rsplit('/').next()?.strip_suffix(".avsc").map(str::to_owned)
}

/// Enters every declaration at or below a schema.
fn collect<'f>(
    file: &'f str,
    node: &'f Node,
    namespace: &str,
    definitions: &mut BTreeMap<String, Definition<'f>>,
    lost: &mut BTreeSet<String>,
    report: &mut Report,
) {
    match &node.value {
        Json::Array(branches) => {
            for branch in branches {
                collect(file, branch, namespace, definitions, lost, report);
            }
        }
        Json::Object(_) => {
            let mut inner = namespace.to_owned();
            if declared_kind(node).is_some()
                && let Some((full, within)) = full_name(node, namespace)
            {
                inner = within;
                let name_span = node.get("name").map_or(node.span.clone(), |name| name.span.clone());
                if let Some(first) = definitions.get(&full) {
                    let message = format!("the type `{full}` is declared twice");
                    let help = format!("the other declaration is in {}", first.file);
                    report.add(rules::DUPLICATE_AVRO_TYPE, file, name_span, message, help);
                    lost.extend(stem(file));
                } else {
                    let definition = Definition {
                        full_name: full.clone(),
                        file,
                        node,
                        name_span,
                        uses: BTreeSet::new(),
                        broken: false,
                    };
                    definitions.insert(full, definition);
                }
            }
            for part in parts(node) {
                collect(file, part, &inner, definitions, lost, report);
            }
        }
        Json::Null | Json::Boolean(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

/// The schemas directly in a schema object.
fn parts(node: &Node) -> impl Iterator<Item = &Node> {
    let fields = node.get("fields").map(Node::elements).unwrap_or_default();
    let nested = ["type", "items", "values"].into_iter().filter_map(|key| node.get(key));
    nested.chain(fields.iter().filter_map(|field| field.get("type")))
}

/// A type that uses a broken one cannot be judged either.
fn spread_broken(definitions: &mut BTreeMap<String, Definition<'_>>) {
    loop {
        let broken: BTreeSet<String> =
            definitions.values().filter(|d| d.broken).map(|d| d.full_name.clone()).collect();
        let reached = definitions.values_mut().filter(|d| !d.broken && !d.uses.is_disjoint(&broken));
        let mut any = false;
        for definition in reached {
            definition.broken = true;
            any = true;
        }
        if !any {
            return;
        }
    }
}

/// Types by full name, and by short name where only one has it.
fn types_by_name(right: &BTreeMap<String, NamedType>) -> BTreeMap<String, Type> {
    let mut types: BTreeMap<String, Type> = BTreeMap::new();
    for (full_name, named) in right {
        types.insert(full_name.clone(), named.ty.clone());
        let name = short(full_name);
        if right.keys().filter(|other| short(other) == name).count() == 1 {
            types.insert(name.to_owned(), named.ty.clone());
        }
    }
    types
}

// === impl Schemas ===

impl<'f> Schemas<'f> {
    /// The declarations of a short or full name.
    pub fn declared(&self, name: &str) -> Vec<&Definition<'f>> {
        let same = |d: &&Definition<'f>| d.full_name == name || short(&d.full_name) == name;
        self.definitions.values().filter(same).collect()
    }

    /// A record that is right.
    pub fn record(&self, full_name: &str) -> Option<(&NamedType, &std::sync::Arc<RecordType>)> {
        let named = self.right.get(full_name)?;
        match &named.ty {
            Type::Record(record) => Some((named, record)),
            _ => None,
        }
    }

    /// The place of a field's declaration in a record, or of its name.
    pub fn field_place(&self, full_name: &str, field: &str) -> Option<(&'f str, Range<usize>)> {
        let definition = self.definitions.get(full_name)?;
        let found =
            fields(definition.node).iter().find(|node| node.get("name").and_then(Node::text) == Some(field));
        let place = found
            .and_then(|node| node.get("type"))
            .map_or(definition.name_span.clone(), |ty| ty.span.clone());
        Some((definition.file, place))
    }

    /// Parses a declaration that has no mistakes of its own, written out with all that it uses.
    fn finish(&self, full_name: &str, report: &mut Report) -> Option<NamedType> {
        let definition = self.definitions.get(full_name).filter(|definition| !definition.broken)?;
        let json = write::self_contained(&self.definitions, full_name);
        let schema = match Schema::parse_str(&json) {
            Ok(schema) => schema,
            Err(error) => {
                let message = format!("this is no Avro: {error}");
                let span = self.wrong_field(definition).unwrap_or(definition.name_span.clone());
                report.add(rules::AVRO_SCHEMA, definition.file, span, message, None);
                return None;
            }
        };
        match named_types(&schema) {
            Ok(mut types) => {
                let ty = types.remove(full_name).or_else(|| types.remove(short(full_name)))?;
                Some(NamedType { json, schema, ty })
            }
            Err(problems) => {
                for problem in problems {
                    self.problem(definition, problem, report);
                }
                None
            }
        }
    }

    /// The field that the Avro parser refuses by itself: its default, or its type.
    fn wrong_field(&self, definition: &Definition<'f>) -> Option<Range<usize>> {
        let mut places = fields(definition.node).iter().enumerate();
        let (_, field) = places.find(|(at, _)| {
            let json = write::with_one_field(&self.definitions, &definition.full_name, *at);
            Schema::parse_str(&json).is_err()
        })?;
        field.get("default").or(field.get("type")).map(|node| node.span.clone())
    }

    fn problem(&self, definition: &Definition<'f>, problem: TypeProblem, report: &mut Report) {
        let message = problem.to_string();
        let (file, span) = match &problem {
            TypeProblem::Unsupported { path, .. } => self.locate(definition, path),
            TypeProblem::Recursive { name } | TypeProblem::UnknownName { name } => {
                let at = self.definitions.get(name).unwrap_or(definition);
                (at.file, at.name_span.clone())
            }
        };
        report.add(rules::UNSUPPORTED_TYPE, file, span, message, None);
    }

    /// The place of a field, by names from the outside in.
    fn locate(&self, definition: &Definition<'f>, path: &[String]) -> (&'f str, Range<usize>) {
        let mut file = definition.file;
        let mut span = definition.name_span.clone();
        let mut record = Some(definition);
        let mut inner: Option<&Node> = Some(definition.node);
        for name in path {
            let Some(node) = inner else { break };
            let found =
                fields(node).iter().find(|field| field.get("name").and_then(Node::text) == Some(name));
            let Some(ty) = found.and_then(|field| field.get("type")) else { break };
            if let Some(record) = record {
                file = record.file;
            }
            span = ty.span.clone();
            let namespace =
                record.map_or("", |record| record.full_name.rsplit_once('.').map_or("", |(ns, _)| ns));
            record = self.record_within(ty, namespace).or(record);
            inner = record.map(|record| record.node);
        }
        (file, span)
    }

    /// The record that a field's type leads to, through unions, arrays and maps.
    fn record_within(&self, node: &Node, namespace: &str) -> Option<&Definition<'f>> {
        match &node.value {
            Json::Text(name) => self.definitions.get(&referred(name, namespace)),
            Json::Array(branches) => branches.iter().find_map(|branch| self.record_within(branch, namespace)),
            Json::Object(_) if declared_kind(node).is_some() => {
                self.definitions.get(&full_name(node, namespace)?.0)
            }
            Json::Object(_) => parts(node).find_map(|part| self.record_within(part, namespace)),
            Json::Null | Json::Boolean(_) | Json::Number(_) => None,
        }
    }
}

fn fields(node: &Node) -> &[Node] {
    node.get("fields").map(Node::elements).unwrap_or_default()
}
