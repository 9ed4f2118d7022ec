//! From text to a syntax tree, within fixed time and memory. Lengths, tokens, operators and nesting
//! are bounded before the parser runs, and what would make it backtrack is refused by name; nothing
//! here may look at a dictionary or decide what a construct means.

use crate::construct::Construct;
use crate::error::{Place, PlanError, excerpt};
use crate::functions::{aggregate, refuse_function, refuse_of_person, row_function};
use crate::limits::{
    LITERAL_BYTES_MAX, NESTING_MAX, OPERATORS_MAX, PARSER_RECURSION_MAX, RETRIED_NESTING_MAX,
    TOKENS_MAX,
};
use crate::tokens::{
    builds_no_tree, is_string, may_precede_parenthesis, refused_before_parenthesis, sign, tries,
};
use cloister_terms::limits::SQL_BYTES_MAX;
use sqlparser::ast::Query;
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

/// Parses one query. Errors when the text is over a limit, is not SQL, or uses a construct that is
/// refused already by its tokens.
pub(crate) fn parse(text: &str) -> Result<Box<Query>, PlanError> {
    if text.len() > SQL_BYTES_MAX {
        return Err(PlanError::TextTooLong { bytes: text.len() });
    }
    forbid_characters(text)?;
    let mut tokens = Tokenizer::new(&Surface, text).tokenize_with_location().map_err(|error| {
        let message = excerpt(&error.message.to_lowercase());
        PlanError::Syntax { message, place: place(error.location) }
    })?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    while tokens.last().is_some_and(|last| last.token == Token::SemiColon) {
        tokens.pop();
    }
    screen(&tokens)?;
    let end = tokens.last().map(|last| place(last.span.start)).unwrap_or_default();
    let mut parser = Parser::new(&Surface)
        .with_recursion_limit(PARSER_RECURSION_MAX)
        .with_tokens_with_locations(tokens);
    let query = parser.parse_query().map_err(|error| syntax(error, end))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let message = format!("unexpected `{}`", excerpt(&rest.token.to_string()));
        return Err(PlanError::Syntax { message, place: place(rest.span.start) });
    }
    Ok(query)
}

/// A place from the parser's.
pub(crate) fn place(location: Location) -> Place {
    Place { line: location.line, column: location.column }
}

/// The smallest dialect: ASCII names, `"quoted"` names, nested comments.
#[derive(Debug)]
struct Surface;

impl Dialect for Surface {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_ascii_alphanumeric() || ch == '_'
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
}

/// What reviewers read must be what is parsed: nothing invisible, nothing that reorders text.
fn forbid_characters(text: &str) -> Result<(), PlanError> {
    let mut place = Place { line: 1, column: 1 };
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // A lone carriage return ends a line for editors, but no comment for the parser.
        let is_blank = matches!(c, '\n' | '\t') || (c == '\r' && rest.peek() == Some(&'\n'));
        let is_hidden = matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        if is_hidden || (c.is_control() && !is_blank) {
            return Err(PlanError::ForbiddenCharacter { code: c.into(), place });
        }
        place.column += 1;
        if c == '\n' {
            place = Place { line: place.line + 1, column: 1 };
        }
    }
    Ok(())
}

/// What the parser says, without its own names for what it met. `end`: the last word or sign.
fn syntax(error: ParserError, end: Place) -> PlanError {
    let message = match error {
        ParserError::RecursionLimitExceeded => return PlanError::TooDeep { place: end },
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let (said, place) = located(&message);
    // What ends too early has no place of its own.
    let place = place.unwrap_or(end);
    if said.starts_with("No infix parser") {
        return PlanError::refused(Construct::Operator, place);
    }
    let expected = said.strip_prefix("Expected: ").or_else(|| said.strip_prefix("Expected "));
    let expected = expected.and_then(|rest| rest.split_once(", found: "));
    let message = match expected {
        Some((expected, "EOF")) => format!("it ends where {} should follow", wanted(expected)),
        Some((expected, found)) => {
            format!("`{}` stands where {} is expected", excerpt(found), wanted(expected))
        }
        None => excerpt(said),
    };
    PlanError::Syntax { message, place }
}

/// A message of the parser without the place at its end, and the place.
fn located(message: &str) -> (&str, Option<Place>) {
    let parts = message.rsplit_once(" at Line: ");
    let found = parts.and_then(|(said, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((said, Place { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    found.map_or((message, None), |(said, place)| (said, Some(place)))
}

/// What the parser expects: signs and words of SQL stand in backticks.
fn wanted(expected: &str) -> String {
    let is_sql = !expected.bytes().any(|b| b.is_ascii_lowercase());
    if is_sql { format!("`{}`", excerpt(expected)) } else { excerpt(expected) }
}

/// One open parenthesis or `CASE`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `tries`: how often the parser may read what is inside, as powers of two.
    Parenthesis {
        tries: usize,
    },
    Case,
}

/// Where in its query a token stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Where a thing of FROM is named.
    Tables,
    /// In the condition of a join.
    On,
    /// After LIMIT.
    Limit,
    /// Anywhere else.
    Other,
}

/// One query inside another.
#[derive(Clone, Copy)]
struct Level {
    /// How many parentheses are open around it.
    base: usize,
    part: Part,
}

/// What is known at one token, from those before it.
struct Screen {
    open: Vec<Open>,
    /// Open parentheses; `CASE` does not count, since words such as `AS case` may look like one.
    depth: usize,
    operators: usize,
    /// Queries around this one.
    outer: Vec<Level>,
    level: Level,
    is_test: IsTest,
}

/// Words of `IS [NOT] DISTINCT FROM` read so far: its FROM begins no clause.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum IsTest {
    #[default]
    No,
    Is,
    Distinct,
}

fn screen(tokens: &[TokenWithSpan]) -> Result<(), PlanError> {
    let first = tokens.first().ok_or(PlanError::Empty)?;
    if let Some(token) = tokens.get(TOKENS_MAX) {
        let place = place(token.span.start);
        return Err(PlanError::TooMany { what: "words and signs", max: TOKENS_MAX, place });
    }
    if let Some(second) = tokens.iter().find(|token| token.token == Token::SemiColon) {
        return Err(PlanError::refused(Construct::SeveralStatements, place(second.span.start)));
    }
    let start = match keyword(&first.token) {
        Some(Keyword::SELECT | Keyword::WITH) => None,
        Some(Keyword::FROM) => Some(Construct::Clause),
        _ if first.token == Token::LParen => Some(Construct::Subquery),
        _ => Some(Construct::Statement),
    };
    if let Some(construct) = start {
        return Err(PlanError::refused(construct, place(first.span.start)));
    }
    let level = Level { base: 0, part: Part::Other };
    let (open, outer) = (Vec::new(), Vec::new());
    let mut screen = Screen { open, depth: 0, operators: 0, outer, level, is_test: IsTest::No };
    let mut before = None;
    let mut after = tokens.iter().skip(1);
    for token in tokens {
        screen.step(before, token, after.next().map(|next| &next.token))?;
        before = Some(token);
    }
    Ok(())
}

impl Screen {
    fn step(
        &mut self,
        before: Option<&TokenWithSpan>,
        token: &TokenWithSpan,
        after: Option<&Token>,
    ) -> Result<(), PlanError> {
        let place = place(token.span.start);
        let refused = |construct| Err(PlanError::refused(construct, place));
        if !matches!(token.token, Token::Word(_)) {
            self.is_test = IsTest::No;
        }
        match &token.token {
            Token::Word(word) => {
                self.word(word, before.map(|before| &before.token), after, place)?;
            }
            Token::Number(text, _) | Token::SingleQuotedString(text) => {
                if text.len() > LITERAL_BYTES_MAX {
                    return Err(PlanError::LongLiteral { place });
                }
                let is_text = matches!(token.token, Token::SingleQuotedString(_));
                if is_text && self.is_in(Part::Tables) {
                    return refused(Construct::FileTable);
                }
            }
            Token::LParen => self.open_parenthesis(before, after, place)?,
            Token::RParen => self.close_parenthesis(),
            Token::Comma if self.is_in(Part::Tables) || self.is_in(Part::On) => {
                return refused(Construct::Join);
            }
            Token::Comma | Token::Plus | Token::Minus | Token::Mul | Token::Div
                if self.is_in(Part::Limit) =>
            {
                return refused(self.limit());
            }
            Token::Comma => {}
            Token::Placeholder(_) | Token::Question | Token::Colon | Token::AtSign => {
                return refused(Construct::Placeholder);
            }
            Token::DoubleColon | Token::StringConcat | Token::Mod => self.operator(place)?,
            Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => {
                self.operator(place)?;
            }
            Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Period => {
                self.operator(place)?;
            }
            other if is_string(other) => return refused(Construct::StringKind),
            other => {
                return Err(match sign(other) {
                    Some((what, instead)) => PlanError::Sign { what, place, instead },
                    None => PlanError::refused(Construct::Operator, place),
                });
            }
        }
        Ok(())
    }

    /// Whether this token stands in that part of its query, not in parentheses inside it.
    fn is_in(&self, part: Part) -> bool {
        self.level.part == part && self.depth == self.level.base
    }

    fn enter(&mut self, part: Part) {
        if self.depth == self.level.base {
            self.level.part = part;
        }
    }

    fn close_parenthesis(&mut self) {
        while let Some(open) = self.open.pop() {
            if let Open::Parenthesis { .. } = open {
                if self.depth == self.level.base
                    && let Some(level) = self.outer.pop()
                {
                    self.level = level;
                }
                self.depth = self.depth.saturating_sub(1);
                return;
            }
        }
    }

    fn word(
        &mut self,
        word: &Word,
        before: Option<&Token>,
        after: Option<&Token>,
        place: Place,
    ) -> Result<(), PlanError> {
        if word.value.len() > LITERAL_BYTES_MAX {
            return Err(PlanError::LongLiteral { place });
        }
        // After AS and a dot the parser takes any word for a name, but for the WITH and CAST forms.
        let is_name = match before {
            Some(Token::Period) => true,
            Some(before) => keyword(before) == Some(Keyword::AS),
            None => false,
        };
        if word.quote_style.is_some() || is_name {
            return Ok(());
        }
        if word.keyword == Keyword::FROM && before == Some(&Token::Comma) {
            let message = "a comma stands before `FROM`".to_owned();
            return Err(PlanError::Syntax { message, place });
        }
        if let Some(construct) = self.refused_beside(word.keyword, before, after) {
            return Err(PlanError::refused(construct, place));
        }
        let is_before_text = matches!(after, Some(Token::SingleQuotedString(_)));
        let is_before_number = matches!(after, Some(Token::Number(..)));
        let tested = std::mem::take(&mut self.is_test);
        let refused = |construct| Err(PlanError::refused(construct, place));
        match word.keyword {
            Keyword::CASE => self.push(Open::Case, place)?,
            Keyword::END if self.open.last() == Some(&Open::Case) => {
                self.open.pop();
            }
            Keyword::IS => self.is_test = IsTest::Is,
            Keyword::NOT if tested == IsTest::Is => self.is_test = IsTest::Is,
            Keyword::DISTINCT if tested == IsTest::Is => self.is_test = IsTest::Distinct,
            Keyword::FROM if tested == IsTest::Distinct => {}
            Keyword::FROM => self.enter(Part::Tables),
            Keyword::LATERAL => return refused(Construct::Lateral),
            Keyword::UNNEST if self.is_in(Part::Tables) => {
                return refused(Construct::TableFunction);
            }
            Keyword::TABLESAMPLE if self.is_in(Part::Tables) => {
                return refused(Construct::TableOption);
            }
            Keyword::JOIN => self.enter(Part::Tables),
            Keyword::ON | Keyword::USING if self.is_in(Part::Tables) => self.enter(Part::On),
            Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER => {
                self.enter(Part::Other);
            }
            Keyword::LIMIT if is_before_number => self.enter(Part::Limit),
            Keyword::LIMIT | Keyword::QUALIFY | Keyword::WINDOW | Keyword::SELECT => {
                self.enter(Part::Other);
            }
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => self.enter(Part::Other),
            // The parser tries these twice each, so that a chain of them would double its work.
            Keyword::INTERVAL if is_before_text || is_before_number => {}
            Keyword::INTERVAL => return refused(Construct::Interval),
            Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP => return refused(Construct::Operator),
            Keyword::ROLLUP | Keyword::CUBE => return refused(Construct::GroupingSets),
            Keyword::TIME | Keyword::DATETIME | Keyword::TIMESTAMPTZ if is_before_text => {
                return refused(Construct::TypedText);
            }
            _ => {}
        }
        if builds_no_tree(word.keyword) { Ok(()) } else { self.operator(place) }
    }

    /// Constructs that show themselves by a keyword and the words beside it.
    fn refused_beside(
        &self,
        word: Keyword,
        before: Option<&Token>,
        after: Option<&Token>,
    ) -> Option<Construct> {
        use Keyword as K;
        let (before, next) = (before.and_then(keyword), after.and_then(keyword));
        let joins = self.is_in(Part::Tables) || self.is_in(Part::On);
        let is_number = matches!(after, Some(Token::Number(..)));
        match (word, next) {
            (K::CROSS | K::SEMI | K::ANTI | K::ASOF, Some(K::JOIN))
            | (K::FULL, Some(K::JOIN | K::OUTER))
            | (K::NATURAL, Some(K::JOIN | K::INNER | K::LEFT | K::RIGHT | K::FULL))
                if joins =>
            {
                Some(Construct::OtherJoin)
            }
            (K::ALL, _) if before == Some(K::BY) => Some(Construct::GroupingSets),
            (K::TOP, _) if is_number && before == Some(K::SELECT) => Some(self.limit()),
            (K::FETCH, Some(K::FIRST | K::NEXT)) => Some(self.limit()),
            (K::INTERSECT | K::EXCEPT, Some(K::SELECT | K::ALL | K::DISTINCT))
                if !self.outer.is_empty() =>
            {
                Some(Construct::Intersect)
            }
            _ => None,
        }
    }

    /// What a LIMIT that is refused is: a subquery has none.
    fn limit(&self) -> Construct {
        if self.outer.is_empty() { Construct::Limit } else { Construct::InnerOrder }
    }

    fn open_parenthesis(
        &mut self,
        before: Option<&TokenWithSpan>,
        after: Option<&Token>,
        place: Place,
    ) -> Result<(), PlanError> {
        let name = before.and_then(|before| match &before.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word),
            _ => None,
        });
        // A call is meant by its name.
        let start = before.filter(|_| name.is_some());
        let named = start.map_or(place, |before| self::place(before.span.start));
        let word = name.map_or(Keyword::NoKeyword, |word| word.keyword);
        if let Some(construct) = refused_before_parenthesis(word) {
            return Err(PlanError::refused(construct, named));
        }
        let refused = |construct| Err(PlanError::refused(construct, place));
        let opens_query = matches!(after.and_then(keyword), Some(Keyword::SELECT | Keyword::WITH));
        // The parser tries a parenthesis in FROM twice, so one may only open a query there: its second
        // try then ends at once.
        if self.is_in(Part::Tables) {
            if after.and_then(keyword) == Some(Keyword::VALUES) {
                return refused(Construct::Values);
            }
            if !opens_query || !matches!(word, Keyword::FROM | Keyword::JOIN) {
                return refused(Construct::TableFunction);
            }
            return self.open_query(place);
        }
        if word == Keyword::AS {
            return if opens_query { self.open_query(place) } else { refused(Construct::Clause) };
        }
        if opens_query || matches!(after.and_then(keyword), Some(Keyword::VALUES | Keyword::FROM)) {
            return refused(Construct::Subquery);
        }
        let is_called =
            |name: &Word| row_function(&name.value).is_some() || aggregate(&name.value).is_some();
        if let Some(name) = name
            && !may_precede_parenthesis(word)
            && !is_called(name)
        {
            return Err(match self.outer.as_slice() {
                [] => refuse_function(&name.value, named),
                _ => refuse_of_person(&name.value, named),
            });
        }
        self.push(Open::Parenthesis { tries: tries(word) }, place)?;
        let tries = self.open.iter().map(|open| match open {
            Open::Parenthesis { tries } => *tries,
            Open::Case => 0,
        });
        if tries.sum::<usize>() > RETRIED_NESTING_MAX {
            return Err(PlanError::TooDeep { place });
        }
        Ok(())
    }

    /// The parenthesis before a query inside this one.
    fn open_query(&mut self, place: Place) -> Result<(), PlanError> {
        self.push(Open::Parenthesis { tries: 0 }, place)?;
        self.outer.push(self.level);
        self.level = Level { base: self.depth, part: Part::Other };
        Ok(())
    }

    fn push(&mut self, open: Open, place: Place) -> Result<(), PlanError> {
        if self.open.len() >= NESTING_MAX {
            return Err(PlanError::TooDeep { place });
        }
        self.depth += usize::from(open != Open::Case);
        self.open.push(open);
        Ok(())
    }

    fn operator(&mut self, place: Place) -> Result<(), PlanError> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(PlanError::TooMany { what: "operators", max: OPERATORS_MAX, place });
        }
        Ok(())
    }
}

/// The keyword an unquoted word is.
fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}
