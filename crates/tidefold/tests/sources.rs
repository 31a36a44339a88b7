//! What the sources of every crate keep to beyond what a compiler asks: no circle between the files of a crate, and no
//! match over one of our own enums that a new variant would slip through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by failing"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};

/// The one recursive thing: an expression holds expressions, a query is one.
const RECURSIVE: &[&str] = &["crates/app/src/sql"];

/// A file of a crate: its module and what it says.
struct Source {
    file: String,
    /// The module's path from the crate's root.
    module: Vec<String>,
    parsed: syn::File,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every tracked source file of every crate, by crate; tests left out.
fn crates() -> BTreeMap<String, Vec<Source>> {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().unwrap();
    let mut crates: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for file in String::from_utf8(output.stdout).unwrap().lines() {
        let Some((name, path)) = file.split_once("/src/") else { continue };
        let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.iter().any(|part| part == "tests" || part == "bin") || !root().join(file).exists() {
            continue;
        }
        module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        crates.entry(name.to_owned()).or_default().push(Source { file: file.to_owned(), module, parsed });
    }
    crates
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let words = |attribute: &syn::Attribute| attribute.meta.to_token_stream().to_string();
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") && words(attribute).contains("test"))
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

// === circles ===

/// The paths that a file names, each from the crate's root.
fn paths(source: &Source) -> Vec<Vec<String>> {
    let items = source.parsed.items.iter().filter(|item| !is_test(attributes(item)));
    let children: BTreeSet<String> = items
        .clone()
        .filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for item in items {
        walk(&item.to_token_stream(), &source.module, &children, &mut found);
    }
    found
}

/// Finds what follows `crate::`, `self::`, `super::` or a child's name.
fn walk(tokens: &TokenStream, module: &[String], children: &BTreeSet<String>, found: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let word = match token {
            TokenTree::Group(group) => {
                walk(&group.stream(), module, children, found);
                continue;
            }
            TokenTree::Ident(word) => word.to_string(),
            TokenTree::Punct(_) | TokenTree::Literal(_) => continue,
        };
        let inside = at >= 2 && is_sign(tokens.get(at - 2), &[':', '.']);
        if inside || !is_sign(tokens.get(at), &[':']) || !is_sign(tokens.get(at + 1), &[':']) {
            continue;
        }
        let start = match word.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module.split_last().map_or(Vec::new(), |(_, above)| above.to_vec()),
            child if children.contains(child) => [module, std::slice::from_ref(&word)].concat(),
            _ => continue,
        };
        at += 2;
        let rest: TokenStream = tokens[at..].iter().cloned().collect();
        follow(&rest, start, found);
    }
}

/// The paths that go on from here: `a::b`, `{a, b::{c, d}}`.
fn follow(rest: &TokenStream, mut path: Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut rest = rest.clone().into_iter().peekable();
    loop {
        match rest.next() {
            Some(TokenTree::Ident(word)) if word == "super" => {
                path.pop();
            }
            Some(TokenTree::Ident(word)) if word == "self" => {}
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let mut part = TokenStream::new();
                for token in group.stream() {
                    if is_sign(Some(&token), &[',']) {
                        follow(&std::mem::take(&mut part), path.clone(), found);
                    } else {
                        part.extend([token]);
                    }
                }
                if !part.is_empty() {
                    follow(&part, path, found);
                }
                return;
            }
            _ => break,
        }
        if !is_sign(rest.next().as_ref(), &[':']) || !is_sign(rest.next().as_ref(), &[':']) {
            break;
        }
    }
    found.push(path);
}

fn is_sign(token: Option<&TokenTree>, signs: &[char]) -> bool {
    matches!(token, Some(TokenTree::Punct(sign)) if signs.contains(&sign.as_char()))
}

/// What a file gives out under its own name though it stands in another: name, path from the crate's root.
fn given_out(source: &Source) -> Vec<(String, Vec<String>)> {
    let mut list = Vec::new();
    for item in &source.parsed.items {
        if let syn::Item::Use(item) = item
            && !matches!(item.vis, syn::Visibility::Inherited)
        {
            flatten(&item.tree, Vec::new(), &mut list);
        }
    }
    let from_root = |path: Vec<String>| match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("self") => [&source.module, &path[1..]].concat(),
        Some("super") => {
            let above = source.module.split_last().map_or(&[][..], |(_, above)| above);
            [above, &path[1..]].concat()
        }
        _ => [&source.module[..], &path].concat(),
    };
    list.into_iter().map(|(name, path)| (name, from_root(path))).collect()
}

fn flatten(tree: &syn::UseTree, mut path: Vec<String>, list: &mut Vec<(String, Vec<String>)>) {
    match tree {
        syn::UseTree::Path(part) => {
            path.push(part.ident.to_string());
            flatten(&part.tree, path, list);
        }
        syn::UseTree::Name(name) => {
            path.push(name.ident.to_string());
            list.push((name.ident.to_string(), path));
        }
        syn::UseTree::Rename(name) => {
            path.push(name.ident.to_string());
            list.push((name.rename.to_string(), path));
        }
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path.clone(), list)),
        syn::UseTree::Glob(_) => {}
    }
}

/// For each file, by place, the files that it names.
fn edges(sources: &[Source]) -> Vec<BTreeSet<usize>> {
    let by_module: BTreeMap<&[String], usize> =
        sources.iter().enumerate().map(|(at, source)| (source.module.as_slice(), at)).collect();
    let given: Vec<BTreeMap<String, Vec<String>>> =
        sources.iter().map(|source| given_out(source).into_iter().collect()).collect();
    let resolve = |mut path: Vec<String>| {
        for _ in 0..8 {
            let (length, at) =
                (0..=path.len()).rev().find_map(|n| by_module.get(&path[..n]).map(|at| (n, *at)))?;
            let behind = path.get(length).and_then(|name| given[at].get(name));
            match behind {
                Some(to) if by_module.keys().any(|module| to.starts_with(module) && !module.is_empty()) => {
                    path = [to.as_slice(), &path[length + 1..]].concat();
                }
                _ => return Some(at),
            }
        }
        None
    };
    let of = |(at, source): (usize, &Source)| {
        paths(source).into_iter().filter_map(resolve).filter(|to| *to != at).collect()
    };
    sources.iter().enumerate().map(of).collect()
}

/// The groups of files that know each other in circles.
fn circles(sources: &[Source]) -> Vec<Vec<&str>> {
    let edges = edges(sources);
    let reach = |from: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            open.extend(edges[at].iter().filter(|to| seen.insert(**to)));
        }
        seen
    };
    let reached: Vec<BTreeSet<usize>> = (0..sources.len()).map(reach).collect();
    let mut groups = BTreeSet::new();
    for (at, all) in reached.iter().enumerate().filter(|(at, all)| all.contains(at)) {
        let group: Vec<&str> = all
            .iter()
            .filter(|to| reached[**to].contains(&at))
            .map(|to| sources[*to].file.as_str())
            .collect();
        groups.insert(group);
    }
    groups.into_iter().collect()
}

#[test]
fn files_of_a_crate_know_each_other_in_one_direction() {
    let mut wrong = Vec::new();
    for (name, sources) in crates() {
        let recursive = |group: &Vec<&str>| {
            RECURSIVE.iter().any(|folder| group.iter().all(|file| file.starts_with(folder)))
        };
        let groups: Vec<Vec<&str>> =
            circles(&sources).into_iter().filter(|group| !recursive(group)).collect();
        if !groups.is_empty() {
            let groups: Vec<String> = groups.iter().map(|group| group.join("\n    ")).collect();
            wrong.push(format!("{name}:\n  {}", groups.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "circles:\n{}", wrong.join("\n"));
}

// === catch-alls ===

/// Matches with a catch-all arm that tell variants of an enum of ours apart. One that names a single variant is an `if let`
/// in other words, and one over several values at once would have to name their every combination: both are let be.
struct CatchAlls<'e> {
    enums: &'e BTreeSet<String>,
    found: Vec<(usize, String)>,
}

impl<'ast> Visit<'ast> for CatchAlls<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_expr_match(&mut self, whole: &'ast syn::ExprMatch) {
        let mut named = BTreeSet::new();
        whole.arms.iter().for_each(|arm| self.own(&arm.pat, &mut named));
        for arm in &whole.arms {
            if let (Some((name, _)), 2..) = (named.first(), named.len())
                && arm.guard.is_none()
                && takes_all(&arm.pat)
            {
                self.found.push((arm.pat.span_line(), name.clone()));
            }
        }
        visit::visit_expr_match(self, whole);
    }
}

impl CatchAlls<'_> {
    /// The enums of ours, and their variants, that a pattern names at its outermost.
    fn own(&self, pattern: &syn::Pat, named: &mut BTreeSet<(String, String)>) {
        let path = match pattern {
            syn::Pat::Path(path) => &path.path,
            syn::Pat::TupleStruct(pattern) => &pattern.path,
            syn::Pat::Struct(pattern) => &pattern.path,
            syn::Pat::Reference(pattern) => return self.own(&pattern.pat, named),
            syn::Pat::Paren(pattern) => return self.own(&pattern.pat, named),
            syn::Pat::Ident(pattern) => {
                return pattern.subpat.iter().for_each(|(_, pattern)| self.own(pattern, named));
            }
            syn::Pat::Or(pattern) => {
                return pattern.cases.iter().for_each(|pattern| self.own(pattern, named));
            }
            _ => return,
        };
        let mut segments = path.segments.iter().rev().map(|segment| segment.ident.to_string());
        if let (Some(variant), Some(name)) = (segments.next(), segments.next())
            && self.enums.contains(&name)
        {
            named.insert((name, variant));
        }
    }
}

trait Line {
    fn span_line(&self) -> usize;
}

impl Line for syn::Pat {
    fn span_line(&self) -> usize {
        syn::spanned::Spanned::span(self).start().line
    }
}

fn takes_all(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(pattern) => {
            pattern.subpat.is_none() && !pattern.ident.to_string().starts_with(char::is_uppercase)
        }
        _ => false,
    }
}

/// The enums that each crate declares.
fn declared(sources: &[Source]) -> BTreeSet<String> {
    let items = sources.iter().flat_map(|source| &source.parsed.items);
    items
        .filter_map(|item| if let syn::Item::Enum(item) = item { Some(item.ident.to_string()) } else { None })
        .collect()
}

/// Our crates that a crate names.
fn named_crates(sources: &[Source]) -> BTreeSet<String> {
    fn within(tokens: TokenStream, found: &mut BTreeSet<String>) {
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    found.extend(word.to_string().strip_prefix("tidefold_").map(str::to_owned))
                }
                TokenTree::Group(group) => within(group.stream(), found),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
    let mut found = BTreeSet::new();
    sources.iter().for_each(|source| within(source.parsed.to_token_stream(), &mut found));
    found
}

#[test]
fn no_match_over_an_enum_of_ours_has_a_catch_all() {
    let all = crates();
    let declared: BTreeMap<&String, BTreeSet<String>> =
        all.iter().map(|(name, sources)| (name, declared(sources))).collect();
    let mut wrong = Vec::new();
    for (name, sources) in &all {
        let (mut enums, known) = (declared[name].clone(), named_crates(sources));
        for (other, list) in &declared {
            let folder = other.rsplit('/').next().unwrap().replace('-', "_");
            if known.contains(&folder) {
                enums.extend(list.iter().cloned());
            }
        }
        let mut found = Vec::new();
        for source in sources {
            let mut seen = CatchAlls { enums: &enums, found: Vec::new() };
            seen.visit_file(&source.parsed);
            found.extend(seen.found.iter().map(|(line, of)| format!("{}:{line}: over {of}", source.file)));
        }
        if !found.is_empty() {
            wrong.push(format!("{name}: {}\n  {}", found.len(), found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "catch-alls:\n{}", wrong.join("\n"));
}
