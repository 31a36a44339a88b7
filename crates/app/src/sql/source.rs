//! One SQL text: its tokens, its places, its limits and the parser over it.

use std::ops::Range;

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

use super::{MAX_TEXT_BYTES, SqlProblem};

/// The most tokens of one text. A chain of binary operators is as deep as it is long, so this also bounds the depth of
/// what the parser builds without recursion.
const MAX_TOKENS: usize = 4_096;

/// How deep parentheses, CASE and function calls may nest.
const MAX_NESTING: usize = 48;

static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// A text and where its tokens stand.
pub(super) struct Source<'t> {
    text: &'t str,
    /// Where each line starts, and whether it is ASCII.
    lines: Vec<(usize, bool)>,
    tokens: Vec<(Token, Range<usize>)>,
}

// === impl Source ===

impl<'t> Source<'t> {
    /// Cuts a text into tokens and makes a parser for them.
    pub(super) fn open(text: &'t str) -> Result<(Source<'t>, Parser<'static>), SqlProblem> {
        let mut source = Source { text, lines: Vec::new(), tokens: Vec::new() };
        if text.len() > MAX_TEXT_BYTES {
            let message = format!("the text has {} bytes; at most {MAX_TEXT_BYTES} are allowed", text.len());
            return Err(source.problem(0..0, "sql-too-long", message, None));
        }
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            source.lines.push((start, line.is_ascii()));
            start += line.len();
        }
        source.lines.push((start, true));
        let tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|error| {
            let at = source.byte(error.location);
            source.problem(at..at, "sql-syntax", sentence(&error.message), None)
        })?;
        for token in &tokens {
            if !matches!(token.token, Token::Whitespace(_)) {
                source.tokens.push((token.token.clone(), source.range(token.span)));
            }
        }
        if let Some((_, place)) = source.tokens.get(MAX_TOKENS) {
            let message = format!("the text has more than {MAX_TOKENS} words and signs");
            let help = Some("name parts of it with `let`".to_owned());
            return Err(source.problem(place.clone(), "sql-too-long", message, help));
        }
        if let Some(place) = source.nested_too_deep() {
            return Err(source.too_deep(place));
        }
        let parser =
            Parser::new(&DIALECT).with_recursion_limit(MAX_NESTING).with_tokens_with_locations(tokens);
        Ok((source, parser))
    }

    /// Where parentheses, CASE or signs before an operand nest deeper than the parser follows: it would give up there with a
    /// message about something else.
    fn nested_too_deep(&self) -> Option<Range<usize>> {
        let (mut depth, mut prefixes) = (0_usize, 0_usize);
        for (token, place) in &self.tokens {
            let word = |word: &str| self.slice(place).eq_ignore_ascii_case(word);
            if *token == Token::LParen || word("CASE") {
                depth += 1;
            } else if *token == Token::RParen || word("END") {
                depth = depth.saturating_sub(1);
            }
            let prefix = matches!(token, Token::Minus | Token::Plus | Token::Tilde) || word("NOT");
            prefixes = if prefix { prefixes + 1 } else { 0 };
            if depth + prefixes > MAX_NESTING {
                return Some(place.clone());
            }
        }
        None
    }

    /// What the parser says, as a problem.
    pub(super) fn syntax(&self, error: &ParserError, parser: &Parser<'_>) -> SqlProblem {
        let here = self.range(parser.get_current_token().span);
        match error {
            ParserError::RecursionLimitExceeded => self.too_deep(here),
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
                let (text, at) = take_location(text);
                let place = at.map(|location| self.token_at(self.byte(location)));
                let end = self.text.trim_end().len();
                let place = place.unwrap_or(if text.ends_with("found: EOF") { end..end } else { here });
                let text = text.replace("found: EOF", "found the end of the text");
                let help = text.contains("found: ").then(|| self.word_help(&place)).flatten();
                self.problem(place, "sql-syntax", sentence(&text), help)
            }
        }
    }

    fn word_help(&self, place: &Range<usize>) -> Option<String> {
        let word = self.text.get(place.clone())?;
        let named = word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        named.then(|| format!("a column named like a keyword is written in double quotes: \"{word}\""))
    }

    /// The problem of a text that nests too deep.
    pub(super) fn too_deep(&self, place: Range<usize>) -> SqlProblem {
        let help = Some("name parts of it with `let`, or store them in a column".to_owned());
        self.problem(place, "sql-too-deep", "the expression nests too deep".to_owned(), help)
    }

    /// A problem whose place is never empty.
    pub(super) fn problem(
        &self,
        place: Range<usize>,
        rule: &'static str,
        message: String,
        help: Option<String>,
    ) -> SqlProblem {
        SqlProblem { span: self.widened(place), rule, message, help }
    }

    fn widened(&self, place: Range<usize>) -> Range<usize> {
        let end = place.end.min(self.text.len());
        let start = place.start.min(end);
        if start < end {
            return start..end;
        }
        let next = self.text.get(start..).and_then(|rest| rest.chars().next());
        match next {
            Some(character) if !character.is_whitespace() => start..start + character.len_utf8(),
            _ => {
                let before = self.text.get(..start).unwrap_or_default().trim_end();
                let last = before.chars().next_back().map_or(0, char::len_utf8);
                if last > 0 {
                    before.len() - last..before.len()
                } else {
                    0..self.text.chars().next().map_or(0, char::len_utf8)
                }
            }
        }
    }

    /// The first word, or the whole text where it begins with none.
    pub(super) fn first_word(&self) -> Range<usize> {
        let whole = self.whole();
        let letters = self.slice(&whole).bytes().take_while(u8::is_ascii_alphabetic).count();
        if letters == 0 { whole } else { whole.start..whole.start + letters }
    }

    /// The whole text without the blanks around it.
    pub(super) fn whole(&self) -> Range<usize> {
        let end = self.text.trim_end().len();
        self.text.len() - self.text.trim_start().len()..end
    }

    /// The text at a place.
    pub(super) fn slice(&self, place: &Range<usize>) -> &'t str {
        self.text.get(place.clone()).unwrap_or_default()
    }

    /// A parser's span as bytes; empty where the parser knows none.
    pub(super) fn range(&self, span: Span) -> Range<usize> {
        if span == Span::empty() {
            return 0..0;
        }
        let start = self.byte(span.start);
        start..self.byte(span.end).max(start)
    }

    fn byte(&self, location: Location) -> usize {
        if location.line == 0 {
            return self.text.len();
        }
        let line = usize::try_from(location.line - 1).unwrap_or(usize::MAX);
        let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(&(start, ascii)) = self.lines.get(line) else { return self.text.len() };
        if ascii {
            return start.saturating_add(column).min(self.text.len());
        }
        let rest = self.text.get(start..).unwrap_or_default();
        rest.char_indices().nth(column).map_or(self.text.len(), |(at, _)| start + at)
    }

    /// The token that starts here, or nothing at this place.
    fn token_at(&self, at: usize) -> Range<usize> {
        let found = self.tokens.iter().find(|(_, place)| place.contains(&at));
        found.map_or(at..at, |(_, place)| place.clone())
    }

    /// Where a keyword stands, outside of parentheses.
    pub(super) fn keyword(&self, word: &str) -> Option<Range<usize>> {
        let mut depth = 0_i32;
        for (token, place) in &self.tokens {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ if depth == 0 && self.slice(place).eq_ignore_ascii_case(word) => {
                    return Some(place.clone());
                }
                _ => {}
            }
        }
        None
    }

    /// The place of a call whose name stands here: with its parentheses.
    pub(super) fn call(&self, name: Range<usize>) -> Range<usize> {
        let Some(at) = self.tokens.iter().position(|(_, place)| place.start >= name.end) else { return name };
        match self.closing(at) {
            Some(end) => name.start..end,
            None => name,
        }
    }

    /// The place of a form like `CAST(… AS int)` around its operand: from the word to the closing parenthesis.
    pub(super) fn form(&self, operand: Range<usize>) -> Range<usize> {
        let Some(at) = self.tokens.iter().position(|(_, place)| place.start >= operand.start) else {
            return operand;
        };
        for opening in (0..at).rev().take(8) {
            let word = opening.checked_sub(1).and_then(|word| self.tokens.get(word));
            let named = matches!(word, Some((Token::Word(_), _)));
            if let (true, Some((Token::LParen, _))) = (named, self.tokens.get(opening)) {
                let start = word.map_or(operand.start, |(_, place)| place.start);
                return start..self.closing(opening).unwrap_or(operand.end);
            }
        }
        operand
    }

    /// The place with the sign or word before it.
    pub(super) fn with_prefix(&self, place: Range<usize>) -> Range<usize> {
        let before = self.tokens.iter().rev().find(|(_, token)| token.end <= place.start);
        before.map_or(place.clone(), |(_, token)| token.start..place.end)
    }

    /// Where the parenthesis at this token is closed.
    fn closing(&self, opening: usize) -> Option<usize> {
        let mut depth = 0_i32;
        for (token, place) in self.tokens.get(opening..)? {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return (*token == Token::RParen).then_some(place.end);
            }
        }
        None
    }
}

/// Splits ` at Line: 1, Column: 5` off.
fn take_location(text: &str) -> (&str, Option<Location>) {
    let parsed = text.rsplit_once(" at Line: ").and_then(|(before, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((before, Location::new(line.parse().ok()?, column.trim().parse().ok()?)))
    });
    parsed.map_or((text, None), |(before, location)| (before, Some(location)))
}

fn sentence(text: &str) -> String {
    let mut characters = text.trim().trim_end_matches('.').chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => "this is not SQL".to_owned(),
    }
}
