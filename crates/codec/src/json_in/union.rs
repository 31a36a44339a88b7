//! Unions: `{"branch": value}`, or the bare value when just one branch takes it.

use super::form::{BranchForm, Form, UnionForm};
use super::names::list;
use super::path::Path;
use super::value::{Encoding, Mistake, Stop, Taking, take_number, take_text};
use crate::json_out::{full_name, short_name};
use crate::schema::kind;
use crate::types::{ColumnType, Type};
use crate::wire::write_long;

// === impl BranchForm ===

impl BranchForm {
    pub(super) fn new(ty: &Type, branches: &[ColumnType]) -> BranchForm {
        let mut names = vec![crate::json_out::branch_name(branches, ty).to_owned()];
        match full_name(ty) {
            Some(full) => names.push(full.to_owned()),
            // The specification's own mapping names a logical type by its base type.
            None => names.extend(base_name(ty).map(str::to_owned)),
        }
        names.dedup();
        debug_assert!(names.iter().all(|name| !short_name(name).is_empty()), "{} has a name", kind(ty));
        BranchForm { names, form: Form::new(ty, false) }
    }

    fn is_object(&self) -> bool {
        matches!(self.form, Form::Map(_) | Form::Record(_))
    }
}

pub(super) fn base_name(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Date | Type::TimeMillis => Some("int"),
        Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => Some("long"),
        Type::Uuid => Some("string"),
        Type::Decimal { fixed: None, .. } => Some("bytes"),
        Type::Boolean
        | Type::Int
        | Type::Long
        | Type::Float
        | Type::Double
        | Type::Bytes
        | Type::String
        | Type::Fixed(_)
        | Type::Enum(_)
        | Type::Decimal { .. }
        | Type::Array(_)
        | Type::Map(_)
        | Type::Record(_)
        | Type::Union(_) => None,
    }
}

// === impl UnionForm ===

impl UnionForm {
    fn names(&self) -> String {
        list(self.branches.iter().filter_map(|branch| branch.names.first()).map(String::as_str))
    }

    fn tagged(&self, name: &str) -> Option<(i64, &BranchForm)> {
        self.numbered().find(|(_, branch)| branch.names.iter().any(|known| known == name))
    }

    fn numbered(&self) -> impl Iterator<Item = (i64, &BranchForm)> {
        (self.first..).zip(&self.branches)
    }
}

// === impl Encoding ===

impl Encoding<'_, '_> {
    pub(super) fn union(&mut self, form: &UnionForm, first: u8, path: &Path<'_>) -> Result<(), Stop> {
        match first {
            b'"' => {
                let text = self.string(path)?;
                self.bare(form, path, |ty, taking, out| take_text(ty, &text, taking, out))
            }
            b'-' | b'0'..=b'9' => {
                let number = self.reader.number();
                let number = self.syntax(path, number)?;
                self.bare(form, path, |ty, taking, out| take_number(ty, number, taking, out))
            }
            b'{' => self.tagged_or_bare(form, path),
            _ => {
                let fits = |branch: &BranchForm| match &branch.form {
                    Form::Scalar(Type::Boolean) => matches!(first, b't' | b'f'),
                    Form::Array(_) => first == b'[',
                    Form::Scalar(_) | Form::Map(_) | Form::Record(_) | Form::Union(_) => false,
                };
                match form.numbered().find(|(_, branch)| fits(branch)) {
                    Some((number, branch)) => {
                        write_long(number, self.out);
                        self.value(&branch.form, first, path)
                    }
                    None => self.wrong(first, || format!("union of {}", form.names()), path),
                }
            }
        }
    }

    /// A scalar that stands bare. First by the form in which each branch would be written, then by any form.
    fn bare(
        &mut self,
        form: &UnionForm,
        path: &Path<'_>,
        take: impl Fn(&Type, Taking, &mut Vec<u8>) -> Result<(), Mistake>,
    ) -> Result<(), Stop> {
        let start = self.out.len();
        let mut mistakes = Vec::new();
        for taking in [Taking::Strictly, Taking::Freely] {
            mistakes.clear();
            let mut matches = Vec::new();
            let mut end = start;
            for (number, branch) in form.numbered() {
                let Form::Scalar(ty) = &branch.form else { continue };
                write_long(number, self.out);
                match take(ty, taking, self.out) {
                    Ok(()) if matches.is_empty() => end = self.out.len(),
                    Ok(()) => self.out.truncate(end),
                    Err(mistake) => {
                        self.out.truncate(end);
                        mistakes.extend((mistake.0 != "wrong_type").then_some(mistake));
                        continue;
                    }
                }
                matches.push(branch);
            }
            match matches.as_slice() {
                [] => {}
                [_] => return Ok(()),
                several => {
                    let names = list(several.iter().filter_map(|b| b.names.first()).map(String::as_str));
                    let detail = format!("the value fits {names}: write {{\"branch\": value}} to choose one");
                    return self.violate(path, "ambiguous_union", detail);
                }
            }
        }
        match <[Mistake; 1]>::try_from(mistakes) {
            Ok([(code, detail)]) => self.violate(path, code, detail),
            Err(_) => self.violate(
                path,
                "wrong_type",
                format!("the value fits no branch of the union of {}", form.names()),
            ),
        }
    }

    fn tagged_or_bare(&mut self, form: &UnionForm, path: &Path<'_>) -> Result<(), Stop> {
        let (at, depth) = (self.reader.at(), self.depth());
        let (size, told) = (self.out.len(), self.violations.len());
        self.enter(path)?;
        self.reader.eat(b'{');
        if self.reader.peek() == b'"' {
            let name = self.string(path)?;
            if let Some((number, branch)) = form.tagged(&name)
                && self.reader.eat(b':')
            {
                write_long(number, self.out);
                let first = self.reader.peek();
                self.value(&branch.form, first, &path.name(&name))?;
                if self.reader.eat(b'}') {
                    self.leave();
                    return Ok(());
                }
            }
        }
        // More than one member, or no branch of that name: the object itself is the value.
        self.reader.seek(at);
        self.set_depth(depth);
        self.out.truncate(size);
        self.violations.truncate(told);
        let objects: Vec<_> = form.numbered().filter(|(_, branch)| branch.is_object()).collect();
        match objects.as_slice() {
            [] => self.wrong(b'{', || format!("union of {}", form.names()), path),
            [(number, branch)] => {
                write_long(*number, self.out);
                self.value(&branch.form, b'{', path)
            }
            several => self.one_of(form, several, path),
        }
    }

    /// Tries each branch that an object could be.
    fn one_of(
        &mut self,
        form: &UnionForm,
        branches: &[(i64, &BranchForm)],
        path: &Path<'_>,
    ) -> Result<(), Stop> {
        let (at, depth) = (self.reader.at(), self.depth());
        let told = self.violations.len();
        let mut size = self.out.len();
        let mut matches = 0;
        // Over the value once, so that a broken text is told as one.
        self.skip(path)?;
        let end = self.reader.at();
        for (number, branch) in branches {
            self.reader.seek(at);
            write_long(*number, self.out);
            let read = self.value(&branch.form, b'{', path);
            let fits = read.is_ok() && self.violations.len() == told;
            if fits && matches == 0 {
                size = self.out.len();
            }
            matches += usize::from(fits);
            self.out.truncate(size);
            self.violations.truncate(told);
            self.set_depth(depth);
        }
        self.reader.seek(end);
        let names = form.names();
        match matches {
            1 => Ok(()),
            0 => {
                let detail =
                    format!("the object fits no branch of the union of {names}: write {{\"branch\": {{…}}}}");
                self.violate(path, "wrong_type", detail)
            }
            _ => {
                let detail =
                    format!("the object fits several of {names}: write {{\"branch\": {{…}}}} to choose one");
                self.violate(path, "ambiguous_union", detail)
            }
        }
    }
}
