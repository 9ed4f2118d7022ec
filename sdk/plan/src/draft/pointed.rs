//! The place of a refusal in a draft: in its SQL, or, of what stands beside the SQL, in the draft's own text.
//! It shows what was written and nothing else.

use super::{AnalysisDraft, DraftError};
use crate::error::{Place, PlanError};
use crate::pointed::Pointed;
use serde::Deserialize;
use toml::Spanned;

/// What a refusal may be about beside the SQL.
#[derive(Deserialize)]
struct Lines {
    rounds: Option<Spanned<u32>>,
    spend: Option<SpendLines>,
    purpose: Option<Spanned<String>>,
    nodes: Option<Spanned<Vec<String>>>,
    recipients: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
struct SpendLines {
    delta: Option<Spanned<String>>,
}

impl DraftError {
    /// The line that the error is about: of the SQL of `draft`, or else of the text that the draft was read
    /// from. `None` when it is about no one place.
    pub fn pointed(&self, draft: &AnalysisDraft) -> Option<Pointed> {
        let in_sql = match self {
            Self::Plan(refused) => refused.pointed(draft.sql()),
            _ => None,
        };
        in_sql.or_else(|| in_text(self, &draft.text))
    }
}

fn in_text(refused: &DraftError, text: &str) -> Option<Pointed> {
    let lines: Lines = toml::from_str(text).ok()?;
    let span = match refused {
        DraftError::Plan(PlanError::DeltaUnused) => lines.spend?.delta?.span(),
        DraftError::Plan(
            PlanError::RoundsUnused | PlanError::OutOfRange { what: "rounds", .. },
        ) => lines.rounds?.span(),
        DraftError::Purpose { .. } => lines.purpose?.span(),
        DraftError::NotAlone { key: "nodes", .. } | DraftError::Stranger(_, "partners") => {
            lines.nodes?.span()
        }
        DraftError::NotAlone { .. } => lines.recipients?.span(),
        _ => return None,
    };
    let before = text.get(..span.start)?;
    let (line, in_line) = (before.split('\n').count(), before.rsplit('\n').next()?);
    let column = in_line.chars().count().checked_add(1)?;
    let place = Place { line: line.try_into().ok()?, column: column.try_into().ok()? };
    Pointed::at(text, place)
}

#[cfg(test)]
mod tests {
    use crate::draft::{DraftError, analysis_from_toml};
    use crate::{PlanError, reference};

    /// The refused draft, its error, and the line with what stands from the caret on.
    fn refused(lines: &str, sql: &str) -> (PlanError, Option<(u64, String)>) {
        let dictionary = reference::dictionary().unwrap();
        let text = format!(
            "name = \"q\"\nquestion = \"?\"\npurpose = \"p\"\nrow_cap = 5\n{lines}\nsql = \"{sql}\"\n"
        );
        let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let draft = analysis_from_toml(&text, &dictionary, &none).unwrap();
        let error = draft.plan(&dictionary).unwrap_err();
        let pointed = error.pointed(&draft);
        let pointed = pointed.map(|pointed| {
            let from_caret: String = pointed.text.chars().skip(pointed.shown_column - 1).collect();
            (pointed.line, from_caret.trim_start_matches('"').to_owned())
        });
        match error {
            DraftError::Plan(error) => (error, pointed),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_partner_alone_is_asked_alone_and_nothing_else_is_passed_over() {
        let dictionary = reference::dictionary().unwrap();
        let draft = |line: &str| {
            let text = format!(
                "name = \"q\"\nquestion = \"?\"\npurpose = \"p\"\n{line}\nspend = {{ rho = \"1\" }}\n\
                 sql = \"SELECT town, COUNT(*) AS n FROM trips GROUP BY town\"\n"
            );
            let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
            analysis_from_toml(&text, &dictionary, &none).unwrap()
        };
        let alone = |line: &str| draft(line).of_one(&"north".parse().unwrap());
        for fine in ["", "nodes = [\"north\"]", "rounds = 2", "recipients = [\"north\"]"] {
            assert_eq!(alone(fine).unwrap().question().rounds, 1, "{fine}");
        }
        for (line, from_caret) in [
            ("rounds = 3", "3"),
            ("rounds = 0", "0"),
            ("nodes = [\"elsewhere\"]", "[\"elsewhere\"]"),
            ("nodes = [\"north\", \"south\"]", "[\"north\", \"south\"]"),
            ("recipients = [\"ada\"]", "[\"ada\"]"),
        ] {
            let error = alone(line).unwrap_err();
            let pointed = error.pointed(&draft(line)).unwrap();
            let shown: String = pointed.text.chars().skip(pointed.shown_column - 1).collect();
            assert_eq!((pointed.line, shown.as_str()), (4, from_caret), "{error}");
        }
    }

    #[test]
    fn what_stands_beside_the_sql_is_pointed_at_in_the_draft() {
        let public = "SELECT town, COUNT(*) AS n FROM trips GROUP BY town";
        let delta = "spend = { rho = \"1\", delta = \"0.000001\" }";
        let (error, pointed) = refused(delta, public);
        assert_eq!(error, PlanError::DeltaUnused);
        assert_eq!(pointed, Some((5, "0.000001\" }".to_owned())));
        let (error, pointed) = refused(&format!("{delta}\nrounds = 2"), public);
        assert_eq!(error, PlanError::RoundsUnused);
        assert_eq!(pointed, Some((6, "2".to_owned())));
        // What is about the SQL stays there, and what is about nothing written has no place.
        let no_figure = "SELECT town FROM trips GROUP BY town";
        let (_, pointed) = refused("spend = { rho = \"1\" }", no_figure);
        assert_eq!(pointed.map(|(line, _)| line), Some(1));
        let (error, pointed) = refused("spend = {}", public);
        assert_eq!((error, pointed), (PlanError::NoSpend, None));
    }
}
