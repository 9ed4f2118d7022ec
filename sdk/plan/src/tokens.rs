//! What single tokens tell before a text is parsed: keywords that may stand before a parenthesis, those
//! that show a construct by themselves, signs of other systems. Nothing here may look at a whole text.

use crate::construct::Construct;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

/// Keywords that build no tree by chaining: every other one counts as an operator.
pub(crate) fn builds_no_tree(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::NoKeyword
            | Keyword::SELECT
            | Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::BY
            | Keyword::AS
            | Keyword::CASE
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::END
    )
}

/// Constructs that show themselves by a keyword before a parenthesis.
pub(crate) fn refused_before_parenthesis(word: Keyword) -> Option<Construct> {
    Some(match word {
        Keyword::WINDOW => Construct::NamedWindow,
        Keyword::EXISTS => Construct::Subquery,
        Keyword::ANY | Keyword::ALL | Keyword::SOME => Construct::Operator,
        Keyword::SETS => Construct::GroupingSets,
        Keyword::CONVERT => Construct::Cast,
        Keyword::LIKE | Keyword::ILIKE | Keyword::RLIKE | Keyword::REGEXP | Keyword::TO => {
            Construct::Like
        }
        Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => Construct::SetOperation,
        Keyword::LIMIT | Keyword::OFFSET | Keyword::TOP => Construct::Limit,
        Keyword::QUALIFY => Construct::Qualify,
        Keyword::VALUES => Construct::Clause,
        _ => return None,
    })
}

/// Words after which a parenthesis groups, lists or calls something on the list of functions.
pub(crate) fn may_precede_parenthesis(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::NoKeyword
            | Keyword::SELECT
            | Keyword::DISTINCT
            | Keyword::WHERE
            | Keyword::FILTER
            | Keyword::GROUP
            | Keyword::BY
            | Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::IN
            | Keyword::BETWEEN
            | Keyword::CASE
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::ON
            | Keyword::USING
            | Keyword::HAVING
            | Keyword::OVER
            | Keyword::COUNT
            | Keyword::SUM
            | Keyword::AVG
            | Keyword::CAST
            | Keyword::TRY_CAST
            | Keyword::SAFE_CAST
            | Keyword::EXTRACT
            | Keyword::DECIMAL
            | Keyword::DEC
            | Keyword::NUMERIC
            | Keyword::VARCHAR
            | Keyword::CHAR
            | Keyword::FLOAT
            | Keyword::TIMESTAMP
            | Keyword::MIN
            | Keyword::MAX
            | Keyword::ROW_NUMBER
            | Keyword::LAG
            | Keyword::LEAD
            | Keyword::COALESCE
            | Keyword::NULLIF
    )
}

/// How often the parser reads what is inside, as powers of two: it tries these words as operators and,
/// when that fails, again as functions.
pub(crate) fn tries(word: Keyword) -> usize {
    match word {
        Keyword::POSITION => 2,
        Keyword::NOT
        | Keyword::CASE
        | Keyword::CAST
        | Keyword::TRY_CAST
        | Keyword::SAFE_CAST
        | Keyword::EXTRACT
        | Keyword::CEIL
        | Keyword::FLOOR
        | Keyword::SUBSTR
        | Keyword::SUBSTRING
        | Keyword::TRIM => 1,
        _ => 0,
    }
}

/// Signs that mean something elsewhere: what each is, and what to write.
pub(crate) fn sign(token: &Token) -> Option<(&'static str, &'static str)> {
    const NAMES: &str = "write a name as it is, or in \"double quotes\"";
    Some(match token {
        Token::Char('`') => ("a backtick", NAMES),
        Token::LBracket | Token::RBracket => ("a square bracket", NAMES),
        Token::Char('\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{b4}') => {
            ("a curly quote", "write a text in 'straight quotes', a name as it is")
        }
        Token::Sharp => ("`#`", "begin a comment with --"),
        Token::Char(c) if !c.is_ascii() => {
            ("this character", "write texts in 'single quotes', other names in \"double quotes\"")
        }
        _ => return None,
    })
}

/// Strings that are not `'plain'`.
pub(crate) fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}
